"""Freezes a seed that has diverged in its last finite state, while the other seeds continue."""

from __future__ import annotations

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Int

from smac_jax.types import Array, Metrics, Sometimes

Learner = TypeVar("Learner")
NOT_DIVERGED = -1
"""The step of divergence of a seed that has not diverged."""


def has_diverged(learner: Any, metrics: Metrics, q_limit: float) -> Bool[Array, ""]:
    """Returns whether a learner has a value that is not finite, or the absolute mean of its critics exceeds
    ``q_limit``.

    All arrays of the learner count, including scalars such as the temperature and kappa.
    """
    leaves = [x for x in jax.tree.leaves(learner) if jnp.issubdtype(x.dtype, jnp.inexact)]
    finite = jnp.stack([jnp.isfinite(x).all() for x in leaves]).all()
    q = metrics.get("q", jnp.zeros((), jnp.float32))
    return ~finite | (jnp.abs(q.value if isinstance(q, Sometimes) else q) > q_limit)


def freeze_diverged(
    before: Learner, after: Learner, metrics: Metrics, diverged: Int[Array, ""], step: Array, q_limit: float
) -> tuple[Learner, Int[Array, ""]]:
    """Undoes the chunk of training in which a learner diverged, and every later one.

    Args:
      before: the learner at the start of the chunk.
      after: the learner at its end.
      metrics: the mean metrics of the chunk.
      diverged: the step at which this seed was frozen in an earlier chunk, or ``NOT_DIVERGED``.
      step: the first step of the chunk.
      q_limit: see :func:`has_diverged`.

    Returns:
      The learner with which to continue, and the step of divergence or ``NOT_DIVERGED``.
    """
    diverged = jnp.where((diverged == NOT_DIVERGED) & has_diverged(after, metrics, q_limit), step, diverged)
    frozen = diverged != NOT_DIVERGED
    return jax.tree.map(lambda old, new: jnp.where(frozen, old, new), before, after), diverged
