"""The action-value network, and ensembles of such networks, whose parameters are stacked: ``[member, ...]``."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from smac_jax.networks.mlp import MLP, ORTHOGONAL_SCALE
from smac_jax.types import Array, Key, Params


class Critic(nn.Module):
    """The network ``Q(s, a)`` of one member of an ensemble.

    Attributes:
      hidden: the widths of the hidden layers.
      activation: a key of ``networks.mlp.ACTIVATIONS``. SMAC uses tanh (tables 6-8), because the penalty needs a critic
        whose action-gradient is differentiable, and the second derivative of a relu is zero almost everywhere.
      shared_head: whether the members of an ensemble share their last layer (as in WSRL's code; see :func:`tie_heads`).
        It makes no difference to a single critic.
      layer_norm, initializer, last_hidden_scale, layer_norm_position: as in :class:`smac_jax.networks.mlp.MLP`.
    """

    hidden: tuple[int, ...] = (256, 256)
    activation: str = "relu"
    layer_norm: bool = False
    initializer: str = "fan_in_uniform"
    last_hidden_scale: float = ORTHOGONAL_SCALE
    shared_head: bool = False
    layer_norm_position: str = "before_activation"

    @nn.compact
    def __call__(
        self, observation: Float[Array, "*batch observation"], action: Float[Array, "*batch action"]
    ) -> Float[Array, "*batch"]:
        x = jnp.concatenate([observation, action], axis=-1)
        trunk = MLP(
            self.hidden,
            self.activation,
            1,
            self.layer_norm,
            self.initializer,
            self.last_hidden_scale,
            self.layer_norm_position,
        )
        return trunk(x)[..., 0]


def init_ensemble(critic: Critic, key: Key, num_critics: int, observation_size: int, action_size: int) -> Params:
    """Returns independent initial parameters of the members of an ensemble, with leaves ``[member, ...]``.

    Args:
      critic: the module of one member. With a shared head, the members start with the same last layer.
      key: the random key, which is split into one key for each member.
      num_critics: the number of members.
      observation_size, action_size: the sizes of the inputs.
    """
    observation, action = jnp.zeros(observation_size, jnp.float32), jnp.zeros(action_size, jnp.float32)
    params = jax.vmap(lambda k: critic.init(k, observation, action))(jax.random.split(key, num_critics))
    return _on_heads(critic, params, lambda x: jnp.broadcast_to(x[:1], x.shape))


def tie_heads(critic: Critic, gradient: Params) -> Params:
    """Returns the gradient of the critics' parameters, where that of a shared last layer is the sum over the members.

    A shared last layer is nevertheless stored once for each member. The copies are equal at first, and with a common
    gradient they stay equal with any optimizer that has the same rule for all members.

    Args:
      critic: the module of one member, which says whether the last layer is shared.
      gradient: the gradient of each member, with leaves ``[member, ...]``.
    """
    return _on_heads(critic, gradient, lambda x: jnp.broadcast_to(x.sum(axis=0, keepdims=True), x.shape))


def _on_heads(critic: Critic, params: Params, change: Callable[[Array], Array]) -> Params:
    if not getattr(critic, "shared_head", False):
        return params
    (trunk,) = params["params"]
    layers = params["params"][trunk]
    last = f"Dense_{len(critic.hidden)}"
    return {"params": {trunk: {**layers, last: jax.tree.map(change, layers[last])}}}


def ensemble_values(
    critic: Critic,
    params: Params,
    observation: Float[Array, "*batch observation"],
    action: Float[Array, "*batch action"],
) -> Float[Array, "member *batch"]:
    """Returns ``Q_i(s, a) [member, *batch]`` of all members at the given observations and actions."""
    return jax.vmap(critic.apply, in_axes=(0, None, None))(params, observation, action)


def aggregate(values: Float[Array, "member *batch"], how: str, key: Key) -> Float[Array, "*batch"]:
    """Returns one value ``[*batch]`` for the values of the ensemble.

    Args:
      values: ``Q_i(s, a) [member, *batch]``.
      how: ``"min"``; ``"mean"``; ``"random2"``, which is the smaller value of two different members that are sampled
        once for the whole batch (REDQ: Chen et al. 2021, arXiv 2101.05982, algorithm 1); or ``"random2_independent"``,
        for which the two are sampled independently and may be the same (WSRL's code).
      key: the random key of the members.

    Raises:
      ValueError: ``how`` has another value.
    """
    if how == "min":
        return values.min(axis=0)
    if how == "mean":
        return values.mean(axis=0)
    if how == "random2":
        chosen = jax.random.permutation(key, values.shape[0])[:2]
        return values[chosen].min(axis=0)
    if how == "random2_independent":
        return values[jax.random.randint(key, (2,), 0, values.shape[0], jnp.int32)].min(axis=0)
    raise ValueError(f"aggregate: how = {how!r}, must be 'min', 'mean', 'random2' or 'random2_independent'")
