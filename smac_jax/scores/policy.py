"""The score of the policy itself: ``grad_a log pi(a|s)`` of a tanh-Gaussian, in closed form.

With ``u = atanh(a)``:  ``grad_a log pi = (2a - (u - mu) / sigma^2) / (1 - a^2)``, unbounded as ``|a| -> 1``.

Source: SMAC's summary form of the penalty, ``grad_a Q = alpha grad_a log pi``, with ``alpha`` the temperature (or 1).
Ours: both sides times ``1 - a^2``, without which training diverges at the edge of the action box. It is the same
identity, stated for the gradient with respect to the action before the tanh, since ``1 - a^2 = da/du``; what was
unbounded at the edge is now as bounded as ``(u - mu) / sigma^2``.
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
"""Actions are clipped to this magnitude, as the field does, so that ``atanh`` is finite."""
MIN_STD = 0.1
"""``sigma`` counts as at least this in the score, which has it squared in its denominator."""


@dataclasses.dataclass(frozen=True)
class PolicyScoreConfig:
    """The option of the policy's score."""

    policy_score_actions: str = choice("policy", "dataset", doc="where the policy's score is matched")


@dataclasses.dataclass(frozen=True)
class PolicyScore:
    """The score of the policy. The functions are those of :class:`smac_jax.scores.base.Score`; nothing is learned."""

    config: PolicyScoreConfig
    training: ClassVar[None] = None

    def init(self, key: Key, observation_size: int, action_size: int) -> tuple[()]:
        """Nothing."""
        del key, observation_size, action_size
        return ()

    def actions(self, policy: Policy, batch: Transition, key: Key) -> Float[Array, "batch action"]:
        """Actions drawn from the policy, or those of the data."""
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
        """:func:`damped_policy_score`, with ``sigma`` at least ``MIN_STD``."""
        del state, observation
        assert isinstance(policy, TanhGaussian), "of another distribution the score has another formula"
        return damped_policy_score(policy._replace(log_std=jnp.maximum(policy.log_std, jnp.log(MIN_STD))), action)


def damped_policy_score(policy: TanhGaussian, action: Float[Array, "*batch action"]) -> WeightedScore:
    """``(1 - a^2) grad_a log pi = 2a - (u - mu) / sigma^2``, ``u = atanh(a)``, and the weight ``1 - a^2``.

    Args:
      policy: ``mu`` and ``log sigma``, ``[*batch, action]``.
      action: where to evaluate, ``[*batch, action]``; clipped to ``|a| <= ACTION_LIMIT``.
    """
    action = jnp.clip(action, -ACTION_LIMIT, ACTION_LIMIT)
    precision = jnp.exp(-2.0 * policy.log_std)
    return WeightedScore(2.0 * action - (jnp.arctanh(action) - policy.mean) * precision, 1.0 - action**2)
