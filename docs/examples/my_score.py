"""A score for SMAC: of a Gaussian around the action that a small network predicts for a state.

    smac-jax sweep --import=my_score.py --offline=smac --config.smac.score=gaussian

The critic's action-gradient is matched to ``alpha * grad_a log p(a|s)``. Here ``p`` is a normal distribution of the
data's actions, ``N(mu(s), 0.3^2)``, whose score is ``(mu(s) - a) / 0.3^2``. ``mu`` is learned by regression before the
critics are trained.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from smac_jax.extend import Array, Key, Metrics, ScoreTraining, Transition, WeightedScore, register_score
from smac_jax.networks import MLP, Policy

STD = 0.3


class Regression(struct.PyTreeNode):
    """What the score learns."""

    params: Any
    optimizer: optax.OptState


@register_score("gaussian")
@dataclasses.dataclass(frozen=True)
class GaussianScore:
    """The functions are those of :class:`smac_jax.extend.Score`; ``config`` is SMAC's."""

    config: Any
    optimizer = optax.adam(1e-3)

    def init(self, key: Key, observation_size: int, action_size: int) -> Regression:
        """A fresh network."""
        params = MLP((64,), output=action_size).init(key, jnp.zeros(observation_size))
        return Regression(params, self.optimizer.init(params))

    @property
    def training(self) -> ScoreTraining[Regression]:
        """2,000 updates on batches of 256, before the critics."""
        return ScoreTraining(self.update, batch_size=256, num_updates=2_000)

    def predict(self, params: Any, observation: Array, action_size: int) -> Array:
        """``mu(s)``."""
        return jnp.tanh(MLP((64,), output=action_size).apply(params, observation))

    def update(self, state: Regression, batch: Transition, key: Key) -> tuple[Regression, Metrics]:
        """One step of the regression."""

        def loss(params: Any) -> Array:
            return jnp.mean((self.predict(params, batch.observation, batch.action.shape[-1]) - batch.action) ** 2)

        value, gradient = jax.value_and_grad(loss)(state.params)
        updates, optimizer = self.optimizer.update(gradient, state.optimizer)
        return Regression(optax.apply_updates(state.params, updates), optimizer), {"regression_loss": value}

    def actions(self, policy: Policy, batch: Transition, key: Key) -> Array:
        """Where the gradient is matched: at actions that the policy draws."""
        return policy.sample(key)

    def evaluate(self, state: Regression, policy: Policy, observation: Array, action: Array) -> WeightedScore:
        """``grad_a log p(a|s)``, unweighted."""
        mean = self.predict(state.params, observation, action.shape[-1])
        return WeightedScore((mean - action) / STD**2, jnp.ones_like(action))
