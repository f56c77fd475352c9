"""What is printed of things that hold arrays: their shapes, in a line or a few, and never their numbers."""

from __future__ import annotations

import dataclasses
from typing import Any


def brief(thing: Any) -> str:
    """A dataclass by its fields, arrays as ``float32[2, 11]``: ``__repr__ = brief`` in a class that holds arrays."""
    fields = (f"{f.name}={of_value(getattr(thing, f.name, None))}" for f in dataclasses.fields(thing))
    return f"{type(thing).__name__}({', '.join(fields)})"


def of_value(value: Any) -> str:
    """An array's type and shape, how many a tree holds, or what Python prints of anything else that is short."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}[{', '.join(map(str, value.shape))}]"
    if value is None or isinstance(value, (str, bool, int, float)) or dataclasses.is_dataclass(value):
        return repr(value)
    import jax  # here, because what acts without JAX is printed too

    arrays = [x for x in jax.tree.leaves(value) if hasattr(x, "shape")]
    if not arrays:
        text = repr(value)
        return text if len(text) <= 80 else f"{type(value).__name__} of {len(jax.tree.leaves(value))}"
    return f"<{len(arrays)} arrays, {sum(x.size for x in arrays):,} numbers>"


def of_config(config: Any) -> str:
    """A configuration by the fields that are not at their defaults, ``kappa=20.0, network.num_critics=2``."""
    try:
        default = type(config)()
    except TypeError:  # of somebody's own, with fields that have none
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
    """Of a training's result: its evaluations, the mean of the last one, and the seeds that diverged."""
    count = returns.shape[1]
    text = f"{count} evaluations" if count != 1 else "1 evaluation"
    if count and returns[:, -1].size:
        text += f", last return {returns[:, -1].mean():.4g}"
    gone = [seed for seed, step in zip(seeds, diverged, strict=True) if step >= 0]
    return text + (f", diverged: seeds {gone}" if gone else "")
