"""TD3: twin delayed deep deterministic policy gradient, online.

    y = r + gamma (1 - terminal) min_i Qbar_i(s', clip(pibar(s') + clip(noise))) ,   L_pi = -mean Q_1(s, pi(s))

Source: Fujimoto et al. 2018 (arXiv 1802.09477), algorithm 1.
Deviations: the actor is whatever was handed over; only its mean is trained, and its standard deviation is not used:
exploration is ``exploration_noise`` on the action, as published. ``policy_aggregation`` is the ensemble's first member
(published), its smallest or its mean; the backup's minimum runs over as many members as were handed over (published:
two). ``utd > 1`` as in :mod:`smac_jax.algorithms.sac`. What to do before the first update is the training loop's: the
published code draws 25,000 uniform actions, SMAC's protocol 5,000 of the policy's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Float

from smac_jax.algorithms.base import (
    ActorCritic,
    LearningConfig,
    OnlineAlgorithm,
    StartConfig,
    TrainingState,
    UTDConfig,
    check_parts,
    high_utd_update,
    polyak_average,
    starting_optimizers,
    unbatched_max,
)
from smac_jax.algorithms.critic import bootstrap, critic_loss, critic_optimizer_step, optimizers, step, target_value
from smac_jax.config import choice, number
from smac_jax.networks import aggregate, ensemble_values
from smac_jax.short_repr import brief
from smac_jax.types import Array, Key, Metrics, Params, Sometimes, Transition

PolicyLoss = Callable[[ActorCritic, Params, Transition], tuple[Array, Metrics]]


@dataclasses.dataclass(frozen=True)
class DelayedConfig(UTDConfig, LearningConfig):
    """What TD3 and TD3+BC share, as in TD3's code (the paper has a rate of 1e-3 and batches of 100)."""

    policy_noise: float = number(0.2, 0.0, doc="smoothing of the target policy")
    noise_clip: float = number(0.5, 0.0)
    policy_delay: int = number(2, 1, doc="critic updates per policy update")
    backup_aggregation: str = choice("min", "mean", "random2")
    policy_aggregation: str = choice("first", "min", "mean")


@dataclasses.dataclass(frozen=True)
class TD3Config(DelayedConfig, StartConfig):
    """Hyper-parameters of TD3."""

    exploration_noise: float = number(0.1, 0.0)


class State(struct.PyTreeNode):
    """Actor-critic, the target policy, and the optimizers' states."""

    actor_critic: ActorCritic
    target_actor_params: Params
    critic_optimizer: optax.OptState
    actor_optimizer: optax.OptState
    step: Array

    __repr__ = brief


def init(config: DelayedConfig, key: Key, actor_critic: ActorCritic, carried: TrainingState | None = None) -> State:
    """Takes an actor-critic as it is; the target policy starts as a copy of the policy.

    Raises:
      ConfigError: the config asks for what was not carried over.
    """
    del key
    critic_optimizer, actor_optimizer = starting_optimizers(config, optimizers(config), actor_critic, carried)
    return State(
        actor_critic=actor_critic,
        target_actor_params=jax.tree.map(jnp.copy, actor_critic.actor_params),
        critic_optimizer=critic_optimizer,
        actor_optimizer=actor_optimizer,
        step=jnp.zeros((), jnp.int32),
    )


def temporal_difference_target(
    config: DelayedConfig, state: State, batch: Transition, key: Key
) -> Float[Array, "batch"]:
    """``r + gamma (1 - terminal) Qbar(s', pibar(s') + clipped noise)``: target policy smoothing."""
    ac = state.actor_critic
    noise_key, subset_key = jax.random.split(key)
    noise = config.policy_noise * jax.random.normal(noise_key, batch.action.shape, batch.action.dtype)
    noise = jnp.clip(noise, -config.noise_clip, config.noise_clip)
    next_action = ac.actor.apply(state.target_actor_params, batch.next_observation).mode() + noise
    next_action = jnp.clip(next_action, -1.0, 1.0)
    value = target_value(ac, batch.next_observation, next_action, config.backup_aggregation, subset_key)
    return bootstrap(batch, config.discount, value)


def policy_value(
    config: DelayedConfig,
    ac: ActorCritic,
    observation: Float[Array, "batch observation"],
    action: Float[Array, "batch action"],
) -> Float[Array, "batch"]:
    """The value that the policy ascends: the first member's, or the ensemble's smallest or mean."""
    if config.policy_aggregation == "first":
        return ac.critic.apply(jax.tree.map(lambda x: x[0], ac.critic_params), observation, action)
    values = ensemble_values(ac.critic, ac.critic_params, observation, action)
    return aggregate(values, config.policy_aggregation, jax.random.key(0))


def policy_loss(
    config: DelayedConfig, ac: ActorCritic, actor_params: Params, batch: Transition
) -> tuple[Float[Array, ""], Metrics]:
    """``-mean Q(s, pi(s))``."""
    action = ac.actor.apply(actor_params, batch.observation).mode()
    loss = -policy_value(config, ac, batch.observation, action).mean()
    return loss, {"policy_loss": loss}


def critic_step(config: DelayedConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """One step on the critics' squared error; the targets wait for the policy's step."""
    ac = state.actor_critic
    target = temporal_difference_target(config, state, batch, key)
    gradient, metrics = jax.grad(partial(critic_loss, ac, batch=batch, target=target), has_aux=True)(ac.critic_params)
    critic_params, critic_optimizer = critic_optimizer_step(config, ac, gradient, state.critic_optimizer)
    return state.replace(
        actor_critic=ac.replace(critic_params=critic_params), critic_optimizer=critic_optimizer
    ), metrics


def policy_step(config: DelayedConfig, loss: PolicyLoss, batch: Transition, state: State) -> tuple[State, Metrics]:
    """One step of the policy, and a polyak step of all targets."""
    ac = state.actor_critic
    gradient, metrics = jax.grad(lambda params: loss(ac, params, batch), has_aux=True)(ac.actor_params)
    actor_params, actor_optimizer = step(optimizers(config)["actor"], gradient, state.actor_optimizer, ac.actor_params)
    state = state.replace(
        actor_critic=ac.replace(
            actor_params=actor_params,
            target_critic_params=polyak_average(ac.critic_params, ac.target_critic_params, config.polyak),
        ),
        target_actor_params=polyak_average(actor_params, state.target_actor_params, config.polyak),
        actor_optimizer=actor_optimizer,
    )
    return state, metrics


def update(config: DelayedConfig, loss: PolicyLoss, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """``utd`` critic steps; every ``policy_delay``-th call also :func:`policy_step`, with the given policy loss.

    Metrics of the policy are there :class:`~smac_jax.types.Sometimes`: in calls with a policy step.
    """
    batch = state.actor_critic.normalize_batch(batch)
    state, critic_metrics, rows = high_utd_update(config, partial(critic_step, config), state, batch, key)
    state = state.replace(step=state.step + 1)

    def take(state: State) -> tuple[State, Metrics]:
        state, metrics = policy_step(config, loss, rows, state)
        return state, {name: Sometimes(x, jnp.ones_like(x)) for name, x in metrics.items()}

    _, shapes = jax.eval_shape(take, state)

    def wait(state: State) -> tuple[State, Metrics]:
        return state, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    due = unbatched_max(state.step) % config.policy_delay == 0
    state, policy_metrics = jax.lax.cond(due, take, wait, state)
    return state, {**critic_metrics, **policy_metrics}


def act(config: TD3Config, state: State, observation: Float[Array, "observation"], key: Key) -> Float[Array, "action"]:
    """The policy's mode plus Gaussian noise, clipped to the box."""
    action = state.actor_critic.policy(observation).mode()
    return jnp.clip(action + config.exploration_noise * jax.random.normal(key, action.shape, action.dtype), -1.0, 1.0)


def online(name: str, config: TD3Config, loss: PolicyLoss) -> OnlineAlgorithm:
    """TD3's loop with a policy loss."""
    check_parts(config)
    return OnlineAlgorithm(
        name=name,
        config=config,
        init=partial(init, config),
        update=partial(update, config, loss),
        act=partial(act, config),
        actor_critic=lambda state: state.actor_critic,
        batch_size=config.batch_size,
    )


def td3(config: TD3Config) -> OnlineAlgorithm:
    """Builds TD3 from its config."""
    return online("td3", config, partial(policy_loss, config))
