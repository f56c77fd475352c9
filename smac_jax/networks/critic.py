"""The action-value network, and the ensemble of them as stacked parameters ``[member, ...]``."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from smac_jax.networks.mlp import MLP
from smac_jax.types import Array, Key, Params


class Critic(nn.Module):
    """One member: ``Q(s, a)``.

    Attributes:
      hidden: width of each layer.
      activation: a key of ``networks.mlp.ACTIVATIONS``. SMAC uses tanh (tables 6-8): the penalty needs a critic whose
        action-gradient is itself differentiable, and a relu's second derivative is zero almost everywhere.
      layer_norm: normalise each hidden layer before its activation.
    """

    hidden: tuple[int, ...] = (256, 256)
    activation: str = "relu"
    layer_norm: bool = False

    @nn.compact
    def __call__(
        self, observation: Float[Array, "*batch observation"], action: Float[Array, "*batch action"]
    ) -> Float[Array, "*batch"]:
        x = jnp.concatenate([observation, action], axis=-1)
        return MLP(self.hidden, self.activation, output=1, layer_norm=self.layer_norm)(x)[..., 0]


def init_ensemble(critic: Critic, key: Key, num_critics: int, observation_size: int, action_size: int) -> Params:
    """Independent parameters for every member, stacked along a leading ``member`` axis."""
    observation, action = jnp.zeros(observation_size), jnp.zeros(action_size)
    return jax.vmap(lambda k: critic.init(k, observation, action))(jax.random.split(key, num_critics))


def ensemble_values(
    critic: Critic,
    params: Params,
    observation: Float[Array, "*batch observation"],
    action: Float[Array, "*batch action"],
) -> Float[Array, "member *batch"]:
    """``Q_i(s, a)`` of every member."""
    return jax.vmap(critic.apply, in_axes=(0, None, None))(params, observation, action)


def aggregate(values: Float[Array, "member *batch"], how: str, key: Key) -> Float[Array, "*batch"]:
    """One value from the ensemble's: ``min``, ``mean``, or ``random2``, the smaller of two members drawn at random.

    Source: REDQ (Chen et al. 2021, arXiv 2101.05982), algorithm 1, for ``random2``.
    """
    if how == "min":
        return values.min(axis=0)
    if how == "mean":
        return values.mean(axis=0)
    if how == "random2":
        chosen = jax.random.permutation(key, values.shape[0])[:2]
        return values[chosen].min(axis=0)
    raise ValueError(f"aggregate: how = {how!r}, must be 'min', 'mean' or 'random2'")
