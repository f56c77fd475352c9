"""A counter that is the same for all seeds, so that a branch on it stays a branch under ``vmap``."""

from __future__ import annotations

import jax

from smac_jax.types import Array


@jax.custom_batching.custom_vmap
def unbatched_max(x: Array) -> Array:
    """The counter ``x [...]`` itself; under ``vmap``, the largest along the mapped axis, and no longer mapped.

    ``jax.lax.cond`` on a mapped condition becomes a selection, which computes both branches. The counters of all seeds
    that still train are equal; only that of a seed which diverged and was frozen lags behind, hence the largest.
    """
    return x


@unbatched_max.def_vmap
def _take_the_largest(axis_size: int, in_batched: list[bool], x: Array) -> tuple[Array, bool]:
    del axis_size
    return (x.max(axis=0) if in_batched[0] else x), False
