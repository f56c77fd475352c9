"""Short representations of objects with arrays: they show shapes and not numbers, on one line or a few."""

from __future__ import annotations

import dataclasses
from typing import Any


def brief(thing: Any) -> str:
    """Returns a representation of a dataclass in which arrays are ``float32[2, 11]``, for ``__repr__ = brief``."""
    fields = (f"{f.name}={of_value(getattr(thing, f.name, None))}" for f in dataclasses.fields(thing))
    return f"{type(thing).__name__}({', '.join(fields)})"


def of_value(value: Any) -> str:
    """Returns the type and shape of an array, the number of arrays of a tree, or the `repr` of another short value."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}[{', '.join(map(str, value.shape))}]"
    if value is None or isinstance(value, (str, bool, int, float)) or dataclasses.is_dataclass(value):
        return repr(value)
    import jax  # here, because policies that act without JAX have a representation, too

    arrays = [x for x in jax.tree.leaves(value) if hasattr(x, "shape")]
    if not arrays:
        text = repr(value)
        return text if len(text) <= 80 else f"{type(value).__name__} of {len(jax.tree.leaves(value))}"
    return f"<{len(arrays)} arrays, {sum(x.size for x in arrays):,} numbers>"


def of_config(config: Any) -> str:
    """Returns the fields of a configuration that differ from their defaults, ``kappa=20.0, network.num_critics=2``."""
    try:
        default = type(config)()
    except TypeError:  # a user's class may have fields without defaults
        default = None
    return ", ".join(f"{name}={value!r}" for name, value in _changed(config, default))


def _changed(config: Any, default: Any, prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for field in dataclasses.fields(config):
        value, usual = getattr(config, field.name), getattr(default, field.name, None)
        if dataclasses.is_dataclass(value):
            found += _changed(value, usual, f"{prefix}{field.name}.")
        elif value != usual:
            found.append((f"{prefix}{field.name}", value))
    return found


def of_evaluations(returns: Any, diverged: Any, seeds: tuple[int, ...]) -> str:
    """Returns the number of evaluations, the mean return of the last one, and the seeds that diverged."""
    count = returns.shape[1]
    text = f"{count} evaluations" if count != 1 else "1 evaluation"
    if count and returns[:, -1].size:
        text += f", last return {returns[:, -1].mean():.4g}"
    diverged_seeds = [seed for seed, step in zip(seeds, diverged, strict=True) if step >= 0]
    return text + (f", diverged: seeds {diverged_seeds}" if diverged_seeds else "")
