"""Which annotations are checked while tests run: those that give an array's shape and type, by beartype.

Other annotations are not: what users give (a number of any kind, None, a mapping for a configuration) is taken in many
forms on purpose, and each public function checks it itself. Nor are the fields of dataclasses: they describe one item,
and the same class holds many of them stacked, or, when a tree is mapped over, their shapes.
"""

from __future__ import annotations

import inspect
import typing
from typing import Any

from beartype import beartype
from jaxtyping import AbstractArray


def check(function: Any) -> Any:
    """The function with its arrays checked, where it has any. (This is how jaxtyping's import hook calls it.)"""
    if function.__name__ == "__init__":
        return function
    arrays = {name: hint for name, hint in function.__annotations__.items() if mentions_arrays(hint)}
    if not arrays:
        return function
    function.__annotations__ = {name: arrays.get(name, Any) for name in function.__annotations__}
    signature = inspect.signature(function)
    function.__signature__ = signature.replace(
        parameters=[p.replace(annotation=arrays.get(p.name, Any)) for p in signature.parameters.values()],
        return_annotation=arrays.get("return", Any),
    )
    return beartype(function)


def mentions_arrays(hint: Any) -> bool:
    """Whether an annotation is, or holds, an array of some shape."""
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return True
    return any(mentions_arrays(part) for part in typing.get_args(hint))
