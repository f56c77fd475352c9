"""Checks annotations at run time, with beartype: those that have the shape and the type of an array.

Other annotations are not checked, because public functions accept values of users in many forms (any kind of number,
None, a mapping for a configuration), and check these themselves. The fields of dataclasses are not checked either: they
describe one item, but the same class also contains stacked items, or shapes when a tree is mapped.
"""

from __future__ import annotations

import inspect
import typing
from typing import Any

from beartype import beartype
from jaxtyping import AbstractArray


def check(function: Any) -> Any:
    """Returns a function whose arrays are checked. jaxtyping's import hook calls this for every function."""
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
    """Returns whether an annotation is or contains an array with a shape."""
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return True
    return any(mentions_arrays(part) for part in typing.get_args(hint))
