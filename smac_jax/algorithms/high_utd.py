"""Several critic steps in each update, for a high ratio of updates to data (UTD).

Source: RLPD (Ball et al. 2023, arXiv 2302.02948), algorithm 1, and WSRL (Zhou et al. 2024, arXiv 2412.07762),
``update_high_utd`` of its code. Both split a large batch into parts, and take a critic step on each. The policy step
after them is on the whole batch in WSRL's code, and on the last part in RLPD (:func:`last_part`).
"""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import jax
import jax.numpy as jnp

from smac_jax.algorithms.contracts import Update
from smac_jax.algorithms.learner import LearningConfig
from smac_jax.config import number
from smac_jax.errors import ConfigError
from smac_jax.types import Key, Metrics, Transition

S = TypeVar("S")


@dataclasses.dataclass(frozen=True)
class UTDConfig(LearningConfig):
    """The fields of algorithms that can take several critic steps in each update."""

    utd: int = number(1, 1, 1000, doc="the number of critic minibatches in each update")


def check_utd(config: UTDConfig) -> None:
    """Checks that a batch can be split into ``utd`` equal parts.

    Raises:
      ConfigError: ``batch_size`` is not a multiple of ``utd``.
    """
    if config.batch_size % config.utd:
        raise ConfigError(
            f"{type(config).__name__}.batch_size = {config.batch_size}: must be a multiple of utd = {config.utd}."
        )


def last_part(config: UTDConfig, batch: Transition) -> Transition:
    """Returns the last of the ``utd`` parts of a batch ``[batch, ...]``."""
    return jax.tree.map(lambda x: x[-(x.shape[0] // config.utd) :], batch)


def high_utd_update(
    config: UTDConfig, critic_step: Update[S], state: S, batch: Transition, key: Key
) -> tuple[S, Metrics]:
    """Splits a batch into ``utd`` equal parts, and takes a critic step on each, one after the other.

    Args:
      config: has ``utd``.
      critic_step: one step on a part ``[batch / utd, ...]``.
      state: the state before the first step.
      batch: ``[batch, ...]``.
      key: the random key, which is split into one for each part.

    Returns:
      The state after the last step, and the mean of each metric over the steps.
    """
    parts = jax.tree.map(lambda x: x.reshape(config.utd, -1, *x.shape[1:]), batch)
    keys = jax.random.split(key, config.utd)
    state, metrics = jax.lax.scan(lambda s, x: critic_step(s, *x), state, (parts, keys))
    return state, jax.tree.map(jnp.mean, metrics)
