"""TD3: twin delayed deep deterministic policy gradient, online.

    y    = r + gamma (1 - terminal) min_i Qbar_i(s', clip(pibar(s') + clip(noise)))                (algorithm 1)
    L_pi = -mean Q_1(s, pi(s))

Source: Fujimoto et al. 2018 (arXiv 1802.09477), algorithm 1.
Deviations: the actor is the pre-trained one, whatever it is; only its mean is trained, and its standard deviation is
not used: exploration is ``exploration_noise`` on the action, as published. The minimum of the backup runs over as many
members as the pre-trained ensemble has (published: two). ``utd > 1`` as in :mod:`smac_jax.algorithms.high_utd`. What to
do before the first update is the training loop's: the published code draws 25,000 uniform actions, SMAC's protocol
5,000 of the policy's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

import chex
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float

from smac_jax.algorithms import critic
from smac_jax.algorithms.actor_critic import ActorCritic
from smac_jax.algorithms.carry_over import CarryOverConfig, carry_optimizers
from smac_jax.algorithms.contracts import OnlineAlgorithm, TrainingState
from smac_jax.algorithms.high_utd import UTDConfig, check_utd, high_utd_update
from smac_jax.algorithms.learner import (
    Learner,
    actor_critic_of,
    actor_optimizer,
    apply_actor_gradient,
    new_learner,
)
from smac_jax.algorithms.unbatched_max import unbatched_max
from smac_jax.config import choice, number
from smac_jax.short_repr import brief
from smac_jax.types import Array, Key, Metrics, Params, Sometimes, Transition


@dataclasses.dataclass(frozen=True)
class DelayedConfig(UTDConfig):
    """What TD3 and TD3+BC share, as in TD3's code (the paper has a rate of 1e-3 and batches of 100)."""

    policy_noise: float = number(0.2, 0.0, doc="smoothing of the target policy")
    noise_clip: float = number(0.5, 0.0)
    policy_delay: int = number(2, 1, doc="critic updates per policy update")
    backup_aggregation: str = choice("min", "mean", "random2")


@dataclasses.dataclass(frozen=True)
class TD3Config(DelayedConfig, CarryOverConfig):
    """Hyper-parameters of TD3."""

    exploration_noise: float = number(0.1, 0.0)


class State(Learner):
    """A learner with a target policy.

    Attributes:
      target_actor_params: the slow copy of the policy.
      step: ``[]``, updates so far.
    """

    target_actor_params: Params
    step: Array

    __repr__ = brief


S = TypeVar("S", bound=State)


def new_state(config: DelayedConfig, actor_critic: ActorCritic) -> State:
    """An actor-critic as it is, and fresh optimizers; the target policy starts as a copy of the policy."""
    learner = new_learner(config, actor_critic)
    return State(
        actor_critic=actor_critic,
        critic_optimizer=learner.critic_optimizer,
        actor_optimizer=learner.actor_optimizer,
        target_actor_params=jax.tree.map(jnp.copy, actor_critic.actor_params),
        step=jnp.zeros((), jnp.int32),
    )


def init(config: TD3Config, key: Key, actor_critic: ActorCritic, training_state: TrainingState | None = None) -> State:
    """Starts from an actor-critic as it is, with the optimizers that the config asks for.

    Raises:
      ConfigError: the config asks for optimizers that are missing or do not fit.
    """
    del key
    return carry_optimizers(config, new_state(config, actor_critic), training_state)


def smoothed_action(config: DelayedConfig, state: State, batch: Transition, key: Key) -> Float[Array, "batch action"]:
    """``clip(pibar(s') + clip(noise)) [batch, action]``: target policy smoothing."""
    noise = config.policy_noise * jax.random.normal(key, batch.action.shape, batch.action.dtype)
    noise = jnp.clip(noise, -config.noise_clip, config.noise_clip)
    action = state.actor_critic.actor.apply(state.target_actor_params, batch.next_observation).mode() + noise
    return jnp.clip(action, -1.0, 1.0)


def temporal_difference_target(
    config: DelayedConfig, state: State, batch: Transition, key: Key
) -> Float[Array, "batch"]:
    """``y [batch] = r + gamma (1 - terminal) Qbar(s', a')`` at :func:`smoothed_action`."""
    ac = state.actor_critic
    noise_key, subset_key = jax.random.split(key)
    next_action = smoothed_action(config, state, batch, noise_key)
    value = critic.target_value(ac, batch.next_observation, next_action, config.backup_aggregation, subset_key)
    return critic.bootstrap(batch, config.discount, value)


def first_critic(
    ac: ActorCritic, observation: Float[Array, "batch observation"], action: Float[Array, "batch action"]
) -> Float[Array, "batch"]:
    """``Q_1(s, a) [batch]``: the value that the policy ascends."""
    return ac.critic.apply(jax.tree.map(lambda x: x[0], ac.critic_params), observation, action)


class PolicyLoss(Protocol):
    """What the policy descends."""

    def __call__(self, ac: ActorCritic, actor_params: Params, batch: Transition, /) -> tuple[Float[Array, ""], Metrics]:
        """The loss as a function of the actor's parameters, on a normalized batch; and its metrics."""


def policy_loss(ac: ActorCritic, actor_params: Params, batch: Transition) -> tuple[Float[Array, ""], Metrics]:
    """``L_pi = -mean Q_1(s, pi(s))``, as a function of the actor's parameters."""
    action = ac.actor.apply(actor_params, batch.observation).mode()
    chex.assert_equal_shape([action, batch.action])
    loss = -first_critic(ac, batch.observation, action).mean()
    return loss, {"policy_loss": loss}


def critic_step(config: DelayedConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """One step of the critics on their squared error; the targets wait for the policy's step."""
    target = temporal_difference_target(config, state, batch, key)
    return critic.critic_step(config, state, batch, target)


def policy_step(config: DelayedConfig, loss: PolicyLoss, batch: Transition, state: State) -> tuple[State, Metrics]:
    """One step of the policy, and one of all targets towards what they copy."""
    ac = state.actor_critic
    gradient, metrics = jax.grad(lambda params: loss(ac, params, batch), has_aux=True)(ac.actor_params)
    state = critic.move_targets(config, apply_actor_gradient(actor_optimizer(config), state, gradient))
    target = optax.incremental_update(state.actor_critic.actor_params, state.target_actor_params, config.polyak)
    return state.replace(target_actor_params=target), metrics


def is_due(config: DelayedConfig, step: Array) -> Array:
    """Whether a count of updates is a multiple of ``policy_delay``."""
    return unbatched_max(step) % config.policy_delay == 0


def take_if(due: Array, take: Callable[[S], tuple[S, Metrics]], state: S) -> tuple[S, dict[str, Sometimes]]:
    """A step that not every update takes; its metrics say whether it was taken.

    Args:
      due: ``[]``, whether to take it.
      take: the step.
      state: before it.
    """

    def taken(state: S) -> tuple[S, dict[str, Sometimes]]:
        state, metrics = take(state)
        return state, {name: Sometimes(x, jnp.ones_like(x)) for name, x in metrics.items()}

    _, shapes = jax.eval_shape(taken, state)

    def not_taken(state: S) -> tuple[S, dict[str, Sometimes]]:
        return state, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    return jax.lax.cond(due, taken, not_taken, state)


def update(config: DelayedConfig, loss: PolicyLoss, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """``utd`` critic steps on the parts of the batch; every ``policy_delay``-th call also a policy step on all of it.

    The metrics of the policy are :class:`~smac_jax.types.Sometimes`: they exist in calls with a policy step.
    """
    batch = state.actor_critic.normalize_batch(batch)
    state, critic_metrics = high_utd_update(config, partial(critic_step, config), state, batch, key)
    state = state.replace(step=state.step + 1)
    state, policy_metrics = take_if(is_due(config, state.step), partial(policy_step, config, loss, batch), state)
    return state, {**critic_metrics, **policy_metrics}


class Explores(Protocol):
    """A configuration with noise on the actions."""

    @property
    def exploration_noise(self) -> float: ...


def act(config: Explores, state: State, observation: Float[Array, "observation"], key: Key) -> Float[Array, "action"]:
    """The mode of the policy plus Gaussian noise, clipped to the box."""
    action = state.actor_critic.policy(observation).mode()
    return jnp.clip(action + config.exploration_noise * jax.random.normal(key, action.shape, action.dtype), -1.0, 1.0)


def online(name: str, config: TD3Config, loss: PolicyLoss) -> OnlineAlgorithm[State]:
    """TD3 with any policy loss.

    Raises:
      ConfigError: the batch cannot be cut in ``utd`` equal parts.
    """
    check_utd(config)
    return OnlineAlgorithm(
        name=name,
        config=config,
        init=partial(init, config),
        update=partial(update, config, loss),
        act=partial(act, config),
        actor_critic=actor_critic_of,
        batch_size=config.batch_size,
    )


def td3(config: TD3Config) -> OnlineAlgorithm[State]:
    """Builds TD3 from its config. Raises as :func:`online` does."""
    return online("td3", config, policy_loss)
