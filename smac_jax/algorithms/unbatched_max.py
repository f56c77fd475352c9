"""A counter that all seeds share, so that ``jax.lax.cond`` on it stays a branch under ``vmap``."""

from __future__ import annotations

import jax

from smac_jax.types import Array


@jax.custom_batching.custom_vmap
def unbatched_max(x: Array) -> Array:
    """Returns the counter ``x [...]``. Under ``vmap`` that is its maximum over the mapped axis, which is not mapped.

    ``jax.lax.cond`` on a mapped condition becomes a selection, which computes both branches. The counters of all seeds
    are equal, except that a seed that diverged was frozen and has a smaller one. Therefore the maximum is used.
    """
    return x


@unbatched_max.def_vmap
def _take_the_largest(axis_size: int, in_batched: list[bool], x: Array) -> tuple[Array, bool]:
    del axis_size
    return (x.max(axis=0) if in_batched[0] else x), False
