"""What an algorithm is: a few pure functions over a state, and the actor-critic that passes from one to the next.

An algorithm is built from a frozen config, in the manner of optax: ``init`` makes the state, ``update`` maps
``(state, batch, key)`` to ``(state, metrics)``. Everything is for one seed; the seed axis is the outermost ``vmap``.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jaxtyping import Float

from smac_jax.config import choice, number, resolve, sizes, switch, whole_number
from smac_jax.data.dataset import Dataset
from smac_jax.errors import ConfigError
from smac_jax.networks import Actor, Critic, Policy, init_ensemble
from smac_jax.short_repr import brief, of_config, of_value
from smac_jax.spread import ROUNDING, spread
from smac_jax.types import Array, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Shapes of the actor and of the critic ensemble."""

    actor_hidden: tuple[int, ...] = sizes(256, 256)
    actor_activation: str = choice("relu", "tanh", "gelu", "silu")
    initial_std: float = number(1.0, 1e-3, 5.0, doc="sigma of the policy before any training")
    policy: str = choice("tanh_gaussian", "box_gaussian", doc="squashed by tanh, or clipped to the action box")
    state_dependent_std: bool = switch(True, doc="False: sigma is the same in every state")
    critic_hidden: tuple[int, ...] = sizes(256, 256)
    critic_activation: str = choice("relu", "tanh", "gelu", "silu")
    critic_layer_norm: bool = switch(False)
    num_critics: int = number(2, 1, 1000)
    critic_shared_head: bool = switch(False, doc="the critics have their last layer in common (WSRL)")
    actor_layer_norm: bool = switch(False)
    initializer: str = choice("fan_in_uniform", "orthogonal", doc="of the kernels, of actor and critic alike")
    last_hidden_scale: float = number(
        2.0**0.5, 0.0, 100.0, doc="with 'orthogonal': gain of the last hidden layer (WSRL: 0.01 on some tasks)"
    )
    min_log_std: float = number(-5.0, -20.0, 2.0, doc="log sigma is clipped from below (WSRL: log 1e-5)")
    max_log_std: float = number(2.0, -20.0, 5.0, doc="and from above (WSRL: log 10)")


@dataclasses.dataclass(frozen=True)
class LearningConfig:
    """What every actor-critic algorithm has."""

    batch_size: int = number(256, 1)
    discount: float = number(0.99, 0.0, 1.0)
    polyak: float = number(0.005, 0.0, 1.0)
    critic_learning_rate: float = number(3e-4, 0.0, 1.0)
    actor_learning_rate: float = number(3e-4, 0.0, 1.0)
    optimizer: str = choice("adam", "muon", "muon_optax")
    muon_consistent_rms: float = number(
        0.0, 0.0, 1.0, doc="above 0: Muon's steps have this RMS whatever the layer's width (0.2: as Adam's)"
    )


@dataclasses.dataclass(frozen=True)
class UTDConfig:
    """What an algorithm has that may take several critic steps an update (:func:`high_utd_update`)."""

    utd: int = number(1, 1, 1000, doc="critic minibatches per update")
    policy_rows: str = choice(
        "all",
        "last",
        doc="with utd above 1: the policy's step is on the whole batch (WSRL), or on its last part (RLPD)",
    )


@dataclasses.dataclass(frozen=True)
class StartConfig:
    """What an online algorithm takes over from offline training beside the networks."""

    optimizer_start: str = choice(
        "fresh", "carried", doc="'carried': the optimizers go on from their offline states (WSRL)"
    )


@dataclasses.dataclass(frozen=True)
class PretrainingConfig:
    """What an offline algorithm decides for whoever takes over: the networks, and how they see the world."""

    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    normalize_observations: bool = switch(True, doc="see (observation - mean) / std of the data set")
    reward_scale: float = number(1.0, 1e-6, 1e6, doc="learn from reward_scale * reward + reward_bias; never evaluated")
    reward_bias: float = number(0.0, -1e6, 1e6)
    return_span: float = number(
        0.0,
        0.0,
        1e6,
        doc="above 0: reward_scale times what makes the data's returns span so much (IQL's code: 1000); of data whose "
        "returns are all the same nothing does, and reward_scale stays as it is",
    )


class ActorCritic(struct.PyTreeNode):
    """What the offline phase hands to the online phase: policy, critics, target critics, and how they see the world.

    Attributes:
      actor_params: the policy's parameters.
      critic_params: leaves ``[member, ...]``.
      target_critic_params: the slow copy of the critics.
      observation_mean, observation_std: every network sees ``(observation - mean) / std``.
      reward_scale, reward_bias: the critics' values are in units of ``scale * reward + bias``.
      temperature: the entropy temperature at which this policy is the critics' soft optimum, as far as the algorithm
        that trained them knows (SMAC: alpha); None where it does not say.
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
        return f"ActorCritic({arrays}, actor {_sizes(self.actor)}, critic {_sizes(self.critic)})"

    def normalize(self, observation: Float[Array, "*batch observation"]) -> Float[Array, "*batch observation"]:
        """The networks' view of an observation."""
        return (jnp.asarray(observation, jnp.float32) - self.observation_mean) / self.observation_std

    def normalize_batch(self, batch: Transition) -> Transition:
        """The networks' view of a batch."""
        return batch._replace(
            observation=self.normalize(batch.observation),
            next_observation=self.normalize(batch.next_observation),
            reward=self.reward_scale * batch.reward + self.reward_bias,
        )

    def policy(self, observation: Float[Array, "*batch observation"]) -> Policy:
        """``pi(.|s)`` for an observation in the environment's own units."""
        return self.actor.apply(self.actor_params, self.normalize(observation))  # type: ignore[return-value]


def _sizes(network: Any) -> Any:
    """The widths of a network's layers, or its class where it is somebody's own."""
    return getattr(network, "hidden", type(network).__name__)


class TrainingState(struct.PyTreeNode):
    """What the offline phase knows beside the actor-critic, for an online algorithm that asks for it.

    Attributes:
      critic_optimizer, actor_optimizer: their states.
      temperature: of the entropy term; None where the offline algorithm has none.
      temperature_optimizer: its optimizer's state, or None.
    """

    critic_optimizer: optax.OptState
    actor_optimizer: optax.OptState
    temperature: Float[Array, ""] | None = None
    temperature_optimizer: optax.OptState | None = None

    __repr__ = brief


def start_optimizer(
    config: Any,
    optimizer: optax.GradientTransformation,
    params: Any,
    carried: optax.OptState | None,
    what: str,
) -> optax.OptState:
    """An optimizer's first state: fresh, or the one that was carried over.

    Raises:
      ConfigError: a state is asked for that is not there, or that is another optimizer's.
    """
    fresh = optimizer.init(params)
    if getattr(config, "optimizer_start", "fresh") == "fresh":
        return fresh
    if carried is None:
        raise ConfigError(
            f"{type(config).__name__}.optimizer_start = 'carried': there is no state of the {what}'s optimizer. Pass "
            "training_state=..., as pretrain(...) returns it, of an algorithm that has one."
        )
    if not _alike(fresh, carried):
        raise ConfigError(
            f"{type(config).__name__}.optimizer_start = 'carried': the {what}'s optimizer is another one online than "
            "offline. Give both sides the same optimizer."
        )
    return carried


def _alike(a: Any, b: Any) -> bool:
    shapes = [[(jnp.shape(x), jnp.result_type(x)) for x in jax.tree.leaves(tree)] for tree in (a, b)]
    return str(jax.tree.structure(a)) == str(jax.tree.structure(b)) and shapes[0] == shapes[1]


def starting_optimizers(
    config: Any,
    optimizers: Mapping[str, optax.GradientTransformation],
    actor_critic: ActorCritic,
    carried: TrainingState | None,
) -> tuple[optax.OptState, optax.OptState]:
    """The first states of the critics' and the actor's optimizer. Raises as :func:`start_optimizer` does."""
    critic = start_optimizer(
        config, optimizers["critic"], actor_critic.critic_params, carried and carried.critic_optimizer, "critic"
    )
    actor = start_optimizer(
        config, optimizers["actor"], actor_critic.actor_params, carried and carried.actor_optimizer, "actor"
    )
    return critic, actor


def new_actor_critic(
    network: NetworkConfig,
    key: Key,
    observation_mean: Float[Array, "observation"],
    observation_std: Float[Array, "observation"],
    action_size: int,
    reward_scale: float | Array = 1.0,
    reward_bias: float = 0.0,
) -> ActorCritic:
    """Fresh networks; the target critics start as a copy of the critics."""
    network = resolve(NetworkConfig, network)  # one that no algorithm's config holds was not checked yet
    action_size = whole_number("action_size", action_size, 1)
    actor = Actor(
        action_size,
        network.actor_hidden,
        network.actor_activation,
        network.initial_std,
        network.policy,
        network.state_dependent_std,
        network.min_log_std,
        network.max_log_std,
        network.actor_layer_norm,
        network.initializer,
        network.last_hidden_scale,
    )
    critic = Critic(
        network.critic_hidden,
        network.critic_activation,
        network.critic_layer_norm,
        network.initializer,
        network.last_hidden_scale,
        network.critic_shared_head,
    )
    actor_key, critic_key = jax.random.split(key)
    observation_size = observation_mean.shape[-1]
    critic_params = init_ensemble(critic, critic_key, network.num_critics, observation_size, action_size)
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


def actor_critic_for(config: PretrainingConfig, key: Key, dataset: Dataset) -> ActorCritic:
    """Fresh networks that see a data set as the config says."""
    mean, std = dataset.observation_statistics()
    if not config.normalize_observations:
        mean, std = jnp.zeros_like(mean), jnp.ones_like(std)
    scale = reward_scale_for(config, dataset)
    return new_actor_critic(config.network, key, mean, std, dataset.actions.shape[-1], scale, config.reward_bias)


def reward_scale_for(config: PretrainingConfig, dataset: Dataset) -> Float[Array, ""]:
    """What rewards are multiplied by: ``reward_scale``, and with ``return_span`` what gives the returns that span."""
    scale = jnp.asarray(config.reward_scale, jnp.float32)
    if config.return_span == 0.0:
        return scale
    low, high = dataset.trajectory_returns.min(), dataset.trajectory_returns.max()
    differ = high - low > ROUNDING * jnp.maximum(jnp.abs(low), jnp.abs(high))
    return jnp.where(differ, scale * config.return_span / jnp.where(differ, high - low, 1.0), scale)


def warn_of_equal_returns(config: Any, dataset: Dataset) -> None:
    """Says so where a configuration scales rewards by the spread of returns that have none."""
    span = getattr(config, "return_span", 0.0)
    returns = np.asarray(dataset.trajectory_returns)
    if span > 0.0 and spread(returns) == 0.0:
        warnings.warn(
            f"{type(config).__name__}.return_span = {span:g}: every episode of {dataset.name} returns {returns[0]:g}, "
            f"so no scale makes the returns span that much. Rewards are multiplied by reward_scale = "
            f"{config.reward_scale:g} alone.",
            stacklevel=3,
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


def high_utd_update(
    config: UTDConfig,
    step: Callable[[Any, Transition, Key], tuple[Any, Metrics]],
    state: Any,
    batch: Transition,
    key: Key,
) -> tuple[Any, Metrics, Transition]:
    """Cuts a batch in ``utd`` parts, takes a step on each: ``(state, mean metrics, the rows of the policy's step)``.

    Source: several critic steps an environment step, then one policy step: RLPD (Ball et al. 2023, arXiv 2302.02948),
    algorithm 1, on the last part; WSRL (Zhou et al. 2024, arXiv 2412.07762), ``update_high_utd`` of its code, on all.
    """
    cut = jax.tree.map(lambda x: x.reshape(config.utd, -1, *x.shape[1:]), batch)
    state, metrics = jax.lax.scan(lambda s, x: step(s, *x), state, (cut, jax.random.split(key, config.utd)))
    rows = batch if config.policy_rows == "all" else jax.tree.map(lambda x: x[-1], cut)
    return state, jax.tree.map(jnp.mean, metrics), rows


def check_parts(config: Any) -> None:
    """Raises ConfigError where a batch cannot be cut in ``utd`` equal parts."""
    if config.batch_size % config.utd:
        raise ConfigError(
            f"{type(config).__name__}.batch_size = {config.batch_size}: must be a multiple of utd = {config.utd}."
        )


@jax.custom_batching.custom_vmap
def unbatched_max(x: Array) -> Array:
    """Tells ``vmap`` that a counter is the same along the mapped axis, so that a branch on it stays a branch.

    Of seeds that go on, that is: one that diverged and was frozen lags behind, so the furthest is taken.
    """
    return x


@unbatched_max.def_vmap
def _take_the_furthest(axis_size: int, in_batched: list[bool], x: Array) -> tuple[Array, bool]:
    del axis_size
    return (x.max(axis=0) if in_batched[0] else x), False


def no_diagnostics(state: Any, batch: Transition, key: Key) -> Metrics:
    """For algorithms that have nothing to add to the metrics of their updates."""
    del state, batch, key
    return {}


def no_training_state(state: Any) -> None:
    """For algorithms that have nothing to carry over but the actor-critic."""
    del state


def optimizer_states(state: Any) -> TrainingState:
    """Of a state that has ``critic_optimizer`` and ``actor_optimizer``, and no temperature."""
    return TrainingState(state.critic_optimizer, state.actor_optimizer)


def same_dataset(dataset: Dataset) -> Dataset:
    """For algorithms that need nothing but what is in the file."""
    return dataset


class OfflineAlgorithm(NamedTuple):
    """``init(key, dataset) -> state``; ``phases`` in order; ``actor_critic(state)`` is what gets handed over.

    ``prepare(dataset)`` adds the columns that the algorithm needs; ``diagnostics(state, batch, key)`` is measured once
    an evaluation, not at every update; ``training_state(state)`` is what an online algorithm may ask for beside the
    actor-critic.
    """

    name: str
    config: Any
    init: Callable[..., Any]
    phases: tuple[Phase, ...]
    actor_critic: Callable[[Any], ActorCritic]
    prepare: Callable[[Dataset], Dataset] = same_dataset
    diagnostics: Callable[[Any, Transition, Key], Metrics] = no_diagnostics
    training_state: Callable[[Any], TrainingState | None] = no_training_state

    def __repr__(self) -> str:
        return f"OfflineAlgorithm({', '.join(filter(None, (repr(self.name), of_config(self.config))))})"


class OnlineAlgorithm(NamedTuple):
    """``init(key, actor_critic, training_state=None) -> state``; ``act`` explores; ``update`` learns."""

    name: str
    config: Any
    init: Callable[..., Any]
    update: Callable[[Any, Transition, Key], tuple[Any, Metrics]]
    act: Callable[[Any, Array, Key], Array]
    actor_critic: Callable[[Any], ActorCritic]
    batch_size: int

    def __repr__(self) -> str:
        return f"OnlineAlgorithm({', '.join(filter(None, (repr(self.name), of_config(self.config))))})"
