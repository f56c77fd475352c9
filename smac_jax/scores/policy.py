"""The score of the policy itself: ``grad_a log pi(a|s)`` of a tanh-Gaussian, in closed form.

With ``u = atanh(a)``, ``grad_a log pi = (2a - (u - mu) / sigma^2) / (1 - a^2)``, which is unbounded as ``|a| -> 1``.

Source: SMAC's summary of the penalty, ``grad_a Q = alpha grad_a log pi``, where ``alpha`` is the temperature (or 1).

Deviation: both sides are multiplied by ``1 - a^2``, because training diverges at the edge of the action box otherwise.
As ``1 - a^2 = da/du``, this is the same identity for the gradient with respect to the action before the tanh. Its right
side is no longer divided by ``1 - a^2``.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Float

from smac_jax.config import choice
from smac_jax.networks import Policy, TanhGaussian
from smac_jax.scores.base import WeightedScore
from smac_jax.types import Array, Key, Transition

ACTION_LIMIT = 0.99999
"""Actions are clipped to this magnitude, as is usual, so that ``atanh`` is finite."""
MIN_STD = 0.1
"""The smallest ``sigma`` in the score, which divides by its square."""


@dataclasses.dataclass(frozen=True)
class PolicyScoreConfig:
    """The option of the policy's score."""

    policy_score_actions: str = choice("policy", "dataset", doc="the actions at which the policy's score is matched")


@dataclasses.dataclass(frozen=True)
class PolicyScore:
    """The score of the policy, which has no state. The functions are those of :class:`smac_jax.scores.base.Score`."""

    config: PolicyScoreConfig
    training: ClassVar[None] = None

    def init(self, key: Key, observation_size: int, action_size: int) -> tuple[()]:
        """Returns an empty tuple, because this score does not learn anything."""
        del key, observation_size, action_size
        return ()

    def actions(self, policy: Policy, batch: Transition, key: Key) -> Float[Array, "batch action"]:
        """Returns actions that are sampled from the policy, or those of the data."""
        if self.config.policy_score_actions == "dataset":
            return batch.action
        policy_key, _ = jax.random.split(key)
        return policy.sample(policy_key)

    def evaluate(
        self,
        state: tuple[()],
        policy: Policy,
        observation: Float[Array, "batch observation"],
        action: Float[Array, "batch action"],
    ) -> WeightedScore:
        """Returns :func:`damped_policy_score` with ``sigma`` of at least ``MIN_STD``."""
        del state, observation
        assert isinstance(policy, TanhGaussian), "the formula of the score is that of a tanh-Gaussian"
        return damped_policy_score(policy._replace(log_std=jnp.maximum(policy.log_std, jnp.log(MIN_STD))), action)


def damped_policy_score(policy: TanhGaussian, action: Float[Array, "*batch action"]) -> WeightedScore:
    """Returns ``(1 - a^2) grad_a log pi = 2a - (u - mu) / sigma^2`` with ``u = atanh(a)``, and the weight ``1 - a^2``.

    Args:
      policy: ``mu`` and ``log sigma``, both ``[*batch, action]``.
      action: the actions, ``[*batch, action]``. They are clipped to ``|a| <= ACTION_LIMIT``.
    """
    action = jnp.clip(action, -ACTION_LIMIT, ACTION_LIMIT)
    precision = jnp.exp(-2.0 * policy.log_std)
    return WeightedScore(2.0 * action - (jnp.arctanh(action) - policy.mean) * precision, 1.0 - action**2)
