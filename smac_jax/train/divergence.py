"""A seed that has diverged is frozen as it last was well, and the others go on."""

from __future__ import annotations

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Int

from smac_jax.types import Array, Metrics, Sometimes

Learner = TypeVar("Learner")
NOT_DIVERGED = -1
"""What stands for the step of divergence in a seed that has not."""


def has_diverged(learner: Any, metrics: Metrics, q_limit: float) -> Bool[Array, ""]:
    """Whether a learner holds a number that is not finite, or its critics' mean value is beyond ``q_limit``.

    Every number counts, scalars such as the temperature and kappa too.
    """
    leaves = [x for x in jax.tree.leaves(learner) if jnp.issubdtype(x.dtype, jnp.inexact)]
    sound = jnp.stack([jnp.isfinite(x).all() for x in leaves]).all()
    q = metrics.get("q", jnp.zeros((), jnp.float32))
    return ~sound | (jnp.abs(q.value if isinstance(q, Sometimes) else q) > q_limit)


def freeze_diverged(
    before: Learner, after: Learner, metrics: Metrics, diverged: Int[Array, ""], step: Array, q_limit: float
) -> tuple[Learner, Int[Array, ""]]:
    """Undoes a chunk of training that broke a learner, and every later one.

    Args:
      before: the learner at the start of the chunk.
      after: at its end.
      metrics: of the chunk.
      diverged: the step at which this seed was frozen earlier, or ``NOT_DIVERGED``.
      step: the chunk's first.
      q_limit: see :func:`has_diverged`.

    Returns:
      The learner to go on with, and ``diverged``.
    """
    diverged = jnp.where((diverged == NOT_DIVERGED) & has_diverged(after, metrics, q_limit), step, diverged)
    frozen = diverged != NOT_DIVERGED
    return jax.tree.map(lambda old, new: jnp.where(frozen, old, new), before, after), diverged
