"""What an algorithm is: a few pure functions over a state, and the actor-critic that passes from one to the next.

An algorithm is built from a frozen config, in the manner of optax: ``init`` makes the state, ``update`` maps
``(state, batch, key)`` to ``(state, metrics)``. Everything is for one seed; the seed axis is the outermost ``vmap``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Float

from smac_jax.config import choice, number, sizes, switch
from smac_jax.networks import Actor, Critic, TanhGaussian, init_ensemble
from smac_jax.types import Array, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Shapes of the actor and of the critic ensemble."""

    actor_hidden: tuple[int, ...] = sizes(256, 256)
    actor_activation: str = choice("relu", "tanh", "gelu", "silu")
    initial_std: float = number(1.0, 1e-3, 5.0, doc="sigma of the policy before any training")
    critic_hidden: tuple[int, ...] = sizes(256, 256)
    critic_activation: str = choice("relu", "tanh", "gelu", "silu")
    critic_layer_norm: bool = switch(False)
    num_critics: int = number(2, 1, 1000)


class ActorCritic(struct.PyTreeNode):
    """What the offline phase hands to the online phase: policy, critics, target critics, and how they see the world.

    Attributes:
      actor_params: the policy's parameters.
      critic_params: leaves ``[member, ...]``.
      target_critic_params: the slow copy of the critics.
      observation_mean, observation_std: every network sees ``(observation - mean) / std``.
      actor, critic: the Flax modules (static).
    """

    actor_params: Params
    critic_params: Params
    target_critic_params: Params
    observation_mean: Float[Array, "observation"]
    observation_std: Float[Array, "observation"]
    actor: Actor = struct.field(pytree_node=False)
    critic: Critic = struct.field(pytree_node=False)

    def normalise(self, observation: Float[Array, "*batch observation"]) -> Float[Array, "*batch observation"]:
        """The networks' view of an observation."""
        return (observation - self.observation_mean) / self.observation_std

    def normalise_batch(self, batch: Transition) -> Transition:
        """The networks' view of a batch."""
        return batch._replace(
            observation=self.normalise(batch.observation), next_observation=self.normalise(batch.next_observation)
        )

    def policy(self, observation: Float[Array, "*batch observation"]) -> TanhGaussian:
        """``pi(.|s)`` for an observation in the environment's own units."""
        return self.actor.apply(self.actor_params, self.normalise(observation))  # type: ignore[return-value]


def new_actor_critic(
    network: NetworkConfig,
    key: Key,
    observation_mean: Float[Array, "observation"],
    observation_std: Float[Array, "observation"],
    action_size: int,
) -> ActorCritic:
    """Fresh networks; the target critics start as a copy of the critics."""
    actor = Actor(action_size, network.actor_hidden, network.actor_activation, network.initial_std)
    critic = Critic(network.critic_hidden, network.critic_activation, network.critic_layer_norm)
    actor_key, critic_key = jax.random.split(key)
    observation_size = observation_mean.shape[-1]
    critic_params = init_ensemble(critic, critic_key, network.num_critics, observation_size, action_size)
    return ActorCritic(
        actor_params=actor.init(actor_key, jnp.zeros(observation_size)),
        critic_params=critic_params,
        target_critic_params=jax.tree.map(jnp.copy, critic_params),
        observation_mean=observation_mean,
        observation_std=observation_std,
        actor=actor,
        critic=critic,
    )


def polyak_average(new: Params, target: Params, rate: float) -> Params:
    """``target <- rate * new + (1 - rate) * target``."""
    return jax.tree.map(lambda n, t: rate * n + (1.0 - rate) * t, new, target)


class Phase(NamedTuple):
    """One stretch of offline training: ``num_updates`` calls of ``update`` on batches of ``batch_size``.

    ``num_updates`` is None for the main phase, whose length the caller of ``pretrain`` decides.
    """

    name: str
    update: Callable[[Any, Transition, Key], tuple[Any, Metrics]]
    batch_size: int
    num_updates: int | None = None


def no_diagnostics(state: Any, batch: Transition, key: Key) -> Metrics:
    """For algorithms that have nothing to add to the metrics of their updates."""
    del state, batch, key
    return {}


class OfflineAlgorithm(NamedTuple):
    """``init(key, dataset) -> state``; ``phases`` in order; ``actor_critic(state)`` is what gets handed over.

    ``diagnostics(state, batch, key)`` is measured once an evaluation, not at every update.
    """

    name: str
    config: Any
    init: Callable[..., Any]
    phases: tuple[Phase, ...]
    actor_critic: Callable[[Any], ActorCritic]
    diagnostics: Callable[[Any, Transition, Key], Metrics] = no_diagnostics


class OnlineAlgorithm(NamedTuple):
    """``init(key, actor_critic) -> state``; ``act(state, observation, key)`` explores; ``update`` learns."""

    name: str
    config: Any
    init: Callable[[Key, ActorCritic], Any]
    update: Callable[[Any, Transition, Key], tuple[Any, Metrics]]
    act: Callable[[Any, Array, Key], Array]
    actor_critic: Callable[[Any], ActorCritic]
    batch_size: int
