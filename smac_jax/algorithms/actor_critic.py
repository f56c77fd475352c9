"""The actor-critic: the networks that offline pre-training makes and online fine-tuning starts from."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Float

from smac_jax.config import choice, number, resolve, sizes, switch, whole_number
from smac_jax.networks import Actor, Critic, Policy, init_ensemble
from smac_jax.short_repr import of_value
from smac_jax.types import AnyArray, Array, Key, Params, Transition


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """The shapes of the actor and of the critic ensemble, and what they start from."""

    actor_hidden: tuple[int, ...] = sizes(256, 256)
    actor_activation: str = choice("relu", "tanh", "gelu", "silu")
    initial_std: float = number(1.0, 1e-3, 5.0, doc="sigma of the policy before any training")
    distribution: str = choice(
        "tanh_gaussian",
        "box_gaussian",
        "one_step_flow",
        doc="of the policy: a Gaussian squashed by tanh, one clipped to the action box, or noise pushed through a "
        "network (FQL; without sigma)",
    )
    state_dependent_std: bool = switch(True, doc="False: sigma is the same in every state")
    critic_hidden: tuple[int, ...] = sizes(256, 256)
    critic_activation: str = choice("relu", "tanh", "gelu", "silu")
    critic_layer_norm: bool = switch(False)
    num_critics: int = number(2, 1, 1000)
    critic_shared_head: bool = switch(False, doc="the critics have their last layer in common (WSRL)")
    actor_layer_norm: bool = switch(False)
    layer_norm_position: str = choice(
        "before_activation",
        "after_activation",
        doc="of the layer norms of actor and critics (ReBRAC, FQL: after)",
    )
    initializer: str = choice(
        "fan_in_uniform",
        "orthogonal",
        "glorot_uniform",
        "edac",
        doc="of the kernels of actor and critics; 'edac' (ReBRAC): biases start at 0.1, last layers near zero",
    )
    last_hidden_scale: float = number(
        2.0**0.5, 0.0, 100.0, doc="with 'orthogonal': gain of the last hidden layer (WSRL: 0.01 on some tasks)"
    )
    min_log_std: float = number(-5.0, -20.0, 2.0, doc="log sigma is clipped from below (WSRL: log 1e-5)")
    max_log_std: float = number(2.0, -20.0, 5.0, doc="and from above (WSRL: log 10)")


class ActorCritic(struct.PyTreeNode):
    """Policy, critics, target critics, and the units in which they see observations and rewards.

    Attributes:
      actor_params: the parameters of the policy.
      critic_params: the parameters of the critics, leaves ``[member, ...]``.
      target_critic_params: the slow copy of the critics, the same shapes.
      observation_mean, observation_std: ``[observation]``; every network sees ``(observation - mean) / std``.
      reward_scale, reward_bias: ``[]``; the values of the critics are in units of ``scale * reward + bias``.
      temperature: ``[]``, the entropy temperature at which this policy is the soft optimum of the critics, as far as
        the algorithm that trained them knows (SMAC: alpha); None where it does not say.
      actor, critic: the Flax modules (static).
    """

    actor_params: Params
    critic_params: Params
    target_critic_params: Params
    observation_mean: Float[Array, "observation"]
    observation_std: Float[Array, "observation"]
    reward_scale: Float[Array, ""]
    reward_bias: Float[Array, ""]
    temperature: Float[Array, ""] | None
    actor: Actor = struct.field(pytree_node=False)
    critic: Critic = struct.field(pytree_node=False)

    def __repr__(self) -> str:
        names = ("actor_params", "critic_params", "observation_mean", "temperature")
        arrays = ", ".join(f"{name}={of_value(getattr(self, name))}" for name in names)
        # a network of somebody's own by its class
        actor, critic = (getattr(network, "hidden", type(network).__name__) for network in (self.actor, self.critic))
        return f"ActorCritic({arrays}, actor {actor}, critic {critic})"

    def normalize(self, observation: Float[AnyArray, "*batch observation"]) -> Float[Array, "*batch observation"]:
        """Returns an observation as the networks see it."""
        return (jnp.asarray(observation, jnp.float32) - self.observation_mean) / self.observation_std

    def normalize_batch(self, batch: Transition) -> Transition:
        """Returns a batch ``[batch, ...]`` as the networks see it: normalized observations, scaled rewards."""
        return batch._replace(
            observation=self.normalize(batch.observation),
            next_observation=self.normalize(batch.next_observation),
            reward=self.reward_scale * batch.reward + self.reward_bias,
        )

    def policy(self, observation: Float[AnyArray, "*batch observation"]) -> Policy:
        """``pi(.|s)`` at observations in the environment's own units."""
        return self.actor.apply(self.actor_params, self.normalize(observation))  # type: ignore[return-value]


def new_actor_critic(
    network: NetworkConfig,
    key: Key,
    observation_mean: Float[Array, "observation"],
    observation_std: Float[Array, "observation"],
    action_size: int,
    reward_scale: float | Array = 1.0,
    reward_bias: float = 0.0,
) -> ActorCritic:
    """Fresh networks. The target critics start as a copy of the critics.

    Args:
      network: shapes and initialization.
      key: of the initial parameters.
      observation_mean, observation_std: ``[observation]``, see :class:`ActorCritic`.
      action_size: the number of action dimensions.
      reward_scale, reward_bias: see :class:`ActorCritic`.

    Raises:
      ConfigError: a field of ``network`` or the action size is out of range.
    """
    network = resolve(NetworkConfig, network)  # one that no algorithm's config holds was not checked yet
    actor = Actor(
        action_size=whole_number("action_size", action_size, 1),
        hidden=network.actor_hidden,
        activation=network.actor_activation,
        initial_std=network.initial_std,
        distribution=network.distribution,
        state_dependent_std=network.state_dependent_std,
        min_log_std=network.min_log_std,
        max_log_std=network.max_log_std,
        layer_norm=network.actor_layer_norm,
        initializer=network.initializer,
        last_hidden_scale=network.last_hidden_scale,
        layer_norm_position=network.layer_norm_position,
    )
    critic = Critic(
        hidden=network.critic_hidden,
        activation=network.critic_activation,
        layer_norm=network.critic_layer_norm,
        initializer=network.initializer,
        last_hidden_scale=network.last_hidden_scale,
        shared_head=network.critic_shared_head,
        layer_norm_position=network.layer_norm_position,
    )
    actor_key, critic_key = jax.random.split(key)
    observation_size = observation_mean.shape[-1]
    critic_params = init_ensemble(critic, critic_key, network.num_critics, observation_size, actor.action_size)
    return ActorCritic(
        actor_params=actor.init(actor_key, jnp.zeros(observation_size, jnp.float32)),
        critic_params=critic_params,
        target_critic_params=jax.tree.map(jnp.copy, critic_params),
        observation_mean=observation_mean,
        observation_std=observation_std,
        reward_scale=jnp.asarray(reward_scale, jnp.float32),
        reward_bias=jnp.asarray(reward_bias, jnp.float32),
        temperature=None,
        actor=actor,
        critic=critic,
    )
