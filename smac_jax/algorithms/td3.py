"""TD3: twin delayed deep deterministic policy gradient, online.

    y    = r + gamma (1 - terminal) min_i Qbar_i(s', clip(pibar(s') + clip(noise)))                (algorithm 1)
    L_pi = -mean Q_1(s, pi(s))

Source: Fujimoto et al. 2018 (arXiv 1802.09477), algorithm 1.

Deviations: the actor is that of offline pre-training, with any distribution. Only its mean is trained. Its standard
deviation is not used, because exploration is noise on the action (``exploration_noise``), as published. The minimum in
the target is over all members of the pre-trained ensemble (published: two). ``utd > 1`` is explained in
:mod:`smac_jax.algorithms.high_utd`. The training loop collects the transitions before the first update: 5,000 actions
of the policy, as in SMAC's protocol (published: 25,000 uniform actions).
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
    """The fields that TD3, TD3+BC and ReBRAC share, with the values of TD3's code.

    The paper has a learning rate of 1e-3 and batches of 100.
    """

    policy_noise: float = number(0.2, 0.0, doc="the standard deviation of the noise on the target policy's actions")
    noise_clip: float = number(0.5, 0.0, doc="the largest absolute value of this noise")
    policy_delay: int = number(2, 1, doc="the number of updates for each update of the policy")
    backup_aggregation: str = choice("min", "mean", "random2")


@dataclasses.dataclass(frozen=True)
class TD3Config(DelayedConfig, CarryOverConfig):
    """The hyperparameters of TD3."""

    exploration_noise: float = number(0.1, 0.0, doc="the standard deviation of the noise on actions")


class State(Learner):
    """A learner with a target policy.

    Attributes:
      target_actor_params: the parameters of the target policy, a moving average of those of the policy.
      step: the number of updates so far, ``[]``.
    """

    target_actor_params: Params
    step: Array

    __repr__ = brief


S = TypeVar("S", bound=State)


def new_state(config: DelayedConfig, actor_critic: ActorCritic) -> State:
    """Returns a state with the given networks, new optimizer states, and a copy of the policy as the target policy."""
    learner = new_learner(config, actor_critic)
    return State(
        actor_critic=actor_critic,
        critic_optimizer=learner.critic_optimizer,
        actor_optimizer=learner.actor_optimizer,
        target_actor_params=jax.tree.map(jnp.copy, actor_critic.actor_params),
        step=jnp.zeros((), jnp.int32),
    )


def init(config: TD3Config, key: Key, actor_critic: ActorCritic, training_state: TrainingState | None = None) -> State:
    """Returns the initial state: the given networks, with the optimizers that the config asks for.

    Raises:
      ConfigError: the config asks for optimizers that are missing or have another form.
    """
    del key
    return carry_optimizers(config, new_state(config, actor_critic), training_state)


def smoothed_action(config: DelayedConfig, state: State, batch: Transition, key: Key) -> Float[Array, "batch action"]:
    """Returns ``clip(pibar(s') + clip(noise)) [batch, action]``, the smoothed actions of the target policy."""
    noise = config.policy_noise * jax.random.normal(key, batch.action.shape, batch.action.dtype)
    noise = jnp.clip(noise, -config.noise_clip, config.noise_clip)
    action = state.actor_critic.actor.apply(state.target_actor_params, batch.next_observation).mode() + noise
    return jnp.clip(action, -1.0, 1.0)


def temporal_difference_target(
    config: DelayedConfig, state: State, batch: Transition, key: Key
) -> Float[Array, "batch"]:
    """Returns ``y [batch] = r + gamma (1 - terminal) Qbar(s', a')``, where ``a'`` is the :func:`smoothed_action`."""
    ac = state.actor_critic
    noise_key, subset_key = jax.random.split(key)
    next_action = smoothed_action(config, state, batch, noise_key)
    value = critic.target_value(ac, batch.next_observation, next_action, config.backup_aggregation, subset_key)
    return critic.bootstrap(batch, config.discount, value)


def first_critic(
    ac: ActorCritic, observation: Float[Array, "batch observation"], action: Float[Array, "batch action"]
) -> Float[Array, "batch"]:
    """Returns ``Q_1(s, a) [batch]``, the value that the policy maximizes."""
    return ac.critic.apply(jax.tree.map(lambda x: x[0], ac.critic_params), observation, action)


class PolicyLoss(Protocol):
    """The loss of the policy."""

    def __call__(self, ac: ActorCritic, actor_params: Params, batch: Transition, /) -> tuple[Float[Array, ""], Metrics]:
        """Returns the loss at the parameters of the actor on a normalized batch, and its metrics."""


def policy_loss(ac: ActorCritic, actor_params: Params, batch: Transition) -> tuple[Float[Array, ""], Metrics]:
    """Returns ``L_pi = -mean Q_1(s, pi(s))`` at the parameters of the actor, and its metrics."""
    action = ac.actor.apply(actor_params, batch.observation).mode()
    chex.assert_equal_shape([action, batch.action])
    loss = -first_critic(ac, batch.observation, action).mean()
    return loss, {"policy_loss": loss}


def critic_step(config: DelayedConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """Takes one gradient step of the critics on their squared error. The policy step updates the targets."""
    target = temporal_difference_target(config, state, batch, key)
    return critic.critic_step(config, state, batch, target)


def policy_step(config: DelayedConfig, loss: PolicyLoss, batch: Transition, state: State) -> tuple[State, Metrics]:
    """Takes one gradient step of the policy, and updates the target policy and the target critics."""
    ac = state.actor_critic
    gradient, metrics = jax.grad(lambda params: loss(ac, params, batch), has_aux=True)(ac.actor_params)
    state = critic.move_targets(config, apply_actor_gradient(actor_optimizer(config), state, gradient))
    target = optax.incremental_update(state.actor_critic.actor_params, state.target_actor_params, config.polyak)
    return state.replace(target_actor_params=target), metrics


def is_due(config: DelayedConfig, step: Array) -> Array:
    """Returns whether a number of updates is a multiple of ``policy_delay``."""
    return unbatched_max(step) % config.policy_delay == 0


def take_if(due: Array, take: Callable[[S], tuple[S, Metrics]], state: S) -> tuple[S, dict[str, Sometimes]]:
    """Takes a step if it is due. The metrics of the step say whether it was taken.

    Args:
      due: whether the step is due, ``[]``.
      take: a function that takes the step.
      state: the state before the step.
    """

    def taken(state: S) -> tuple[S, dict[str, Sometimes]]:
        state, metrics = take(state)
        return state, {name: Sometimes(x, jnp.ones_like(x)) for name, x in metrics.items()}

    _, shapes = jax.eval_shape(taken, state)

    def not_taken(state: S) -> tuple[S, dict[str, Sometimes]]:
        return state, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    return jax.lax.cond(due, taken, not_taken, state)


def update(config: DelayedConfig, loss: PolicyLoss, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """Takes ``utd`` critic steps on the parts of the batch, and in every ``policy_delay``-th call a policy step on all.

    The metrics of the policy are :class:`~smac_jax.types.Sometimes`, because they exist only in calls with a policy
    step.
    """
    batch = state.actor_critic.normalize_batch(batch)
    state, critic_metrics = high_utd_update(config, partial(critic_step, config), state, batch, key)
    state = state.replace(step=state.step + 1)
    state, policy_metrics = take_if(is_due(config, state.step), partial(policy_step, config, loss, batch), state)
    return state, {**critic_metrics, **policy_metrics}


class ExplorationConfig(Protocol):
    """A configuration with noise on the actions."""

    @property
    def exploration_noise(self) -> float: ...


def act(
    config: ExplorationConfig, state: State, observation: Float[Array, "observation"], key: Key
) -> Float[Array, "action"]:
    """Returns the mode of the policy plus Gaussian noise, clipped to the action box."""
    action = state.actor_critic.policy(observation).mode()
    return jnp.clip(action + config.exploration_noise * jax.random.normal(key, action.shape, action.dtype), -1.0, 1.0)


def online(name: str, config: TD3Config, loss: PolicyLoss) -> OnlineAlgorithm[State]:
    """Builds TD3 with any policy loss.

    Raises:
      ConfigError: the batch cannot be split into ``utd`` equal parts.
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
