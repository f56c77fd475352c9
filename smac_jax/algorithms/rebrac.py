"""ReBRAC: TD3 that stays near the data in the policy's loss and in the critics' target alike, offline.

    y    = r + gamma (1 - terminal) (min_i Qbar_i(s', a') - beta_Q |a' - a'_data|^2) ,   a' = clip(pibar(s') + noise)
    L_pi = mean (beta_pi |pi(s) - a|^2 - lambda min_i Q_i(s, pi(s)))
    lambda = 1 / mean |min_i Q_i(s, pi(s))| , no gradient

``|.|^2`` is the sum over the dimensions of the action, and ``a'_data`` is the data's action at ``s'``.

Source: Tarasov et al. 2023 (arXiv 2305.09836), section 3, and the authors' code (``src/algorithms/rebrac.py`` of
DT6A/ReBRAC; the same in CORL), which this file follows to rounding: the policy's step comes with the first update and
every ``policy_delay``-th after it, behind the critics' step; the target policy moves towards the policy *before* that
step, the target critics towards the critics after theirs; layer norms, in the critics alone, stand after the
activations; parameters start as EDAC's. Observations are not normalized. Each data set has its own ``actor_bc_coef``
and ``critic_bc_coef``: ``--config=rebrac:DATA``.
Online it continues as ``src/algorithms/rebrac_finetune.py`` does: the distance in the target is left out, ``beta_pi``
falls linearly to zero, and the noise of exploration has a standard deviation of 0.03.
Deviations: the actor is the tanh-Gaussian that every algorithm here may transfer; only its mean is trained, and its
standard deviation stays at ``network.initial_std`` (before the tanh), with which an online algorithm starts exploring.
Transitions whose next action is not in the data set are left out (:meth:`smac_jax.data.Dataset.with_next_actions`).
``utd > 1`` as in :mod:`smac_jax.algorithms.high_utd`. A lower bound on the target by Monte-Carlo returns, which DT6A's
code got after the paper, is left out, as in CORL.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, cast

import chex
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float

from smac_jax.algorithms import critic, td3
from smac_jax.algorithms.actor_critic import ActorCritic, NetworkConfig
from smac_jax.algorithms.continuation import continuation
from smac_jax.algorithms.contracts import OfflineAlgorithm, OnlineAlgorithm, Phase
from smac_jax.algorithms.high_utd import check_utd, high_utd_update
from smac_jax.algorithms.learner import actor_critic_of, actor_optimizer, apply_actor_gradient, optimizer_states
from smac_jax.algorithms.pretraining import PretrainingConfig, actor_critic_for
from smac_jax.config import number, switch
from smac_jax.data.dataset import Dataset
from smac_jax.errors import ConfigError
from smac_jax.networks import ensemble_values
from smac_jax.short_repr import brief
from smac_jax.types import Array, Key, Metrics, Params, Transition

WITHOUT = {"critic_bc_coef": 0.0}
"""What differs online, unless it is given."""


@dataclasses.dataclass(frozen=True)
class ReBRACConfig(td3.DelayedConfig, PretrainingConfig):
    """Hyper-parameters of ReBRAC, as in its code for D4RL's locomotion."""

    batch_size: int = number(1024, 1)
    critic_learning_rate: float = number(1e-3, 0.0, 1.0)
    actor_learning_rate: float = number(1e-3, 0.0, 1.0)
    actor_bc_coef: float = number(1.0, 0.0, doc="beta_pi, the weight of behavior cloning in the policy's loss")
    critic_bc_coef: float = number(1.0, 0.0, doc="beta_Q, the weight of the distance to the data in the target")
    normalize_q: bool = switch(True, doc="False: lambda is 1")
    online_decay_steps: int = number(
        1_000_000, 1, doc="online: beta_pi falls linearly over so many updates (published: over all of them)"
    )
    online_decay_floor: float = number(0.0, 0.0, 1.0, doc="online: to this share of it")
    exploration_noise: float = number(0.03, 0.0, doc="online: standard deviation of the noise on actions")
    normalize_observations: bool = switch(False, doc="see (observation - mean) / std of the data set")
    network: NetworkConfig = dataclasses.field(
        default_factory=partial(
            NetworkConfig,
            actor_hidden=(256, 256, 256),
            critic_hidden=(256, 256, 256),
            critic_layer_norm=True,
            layer_norm_position="after_activation",
            initializer="edac",
            initial_std=0.1,
        )
    )


class State(td3.State):
    """TD3's state, and whether training is offline.

    Attributes:
      since_transfer: ``[]``, updates since online training began; -1 before.
    """

    since_transfer: Array

    __repr__ = brief


def new_state(config: ReBRACConfig, ac: ActorCritic, since_transfer: int) -> State:
    """Networks as they are, fresh optimizers, and targets that start as copies."""
    fresh = td3.new_state(config, ac)
    fields = {field.name: getattr(fresh, field.name) for field in dataclasses.fields(fresh)}
    return State(**fields, since_transfer=jnp.full((), since_transfer, jnp.int32))


def init(config: ReBRACConfig, key: Key, dataset: Dataset) -> State:
    """Fresh networks."""
    return new_state(config, actor_critic_for(config, key, dataset), -1)


def prepare(config: ReBRACConfig, dataset: Dataset) -> Dataset:
    """The transitions whose next action is known, where the target needs it."""
    return dataset.with_next_actions() if config.critic_bc_coef > 0.0 else dataset


def squared_distance(
    action: Float[Array, "batch action"], other: Float[Array, "batch action"]
) -> Float[Array, "batch"]:
    """``|a - b|^2 [batch]``, summed over the dimensions of the action."""
    chex.assert_equal_shape([action, other])
    return jnp.sum((action - other) ** 2, axis=-1)


def temporal_difference_target(
    config: ReBRACConfig, state: State, batch: Transition, key: Key
) -> Float[Array, "batch"]:
    """``y [batch]``: TD3's target, less the distance of the next action from the data's."""
    noise_key, subset_key = jax.random.split(key)
    next_action = td3.smoothed_action(config, state, batch, noise_key)
    value = critic.target_value(
        state.actor_critic, batch.next_observation, next_action, config.backup_aggregation, subset_key
    )
    if config.critic_bc_coef > 0.0:
        assert batch.next_action is not None, "prepare adds it"
        value = value - config.critic_bc_coef * squared_distance(next_action, batch.next_action)
    return critic.bootstrap(batch, config.discount, value)


def cloning_weight(config: ReBRACConfig, state: State) -> Float[Array, ""]:
    """``beta_pi``: constant offline; online it falls linearly to ``online_decay_floor`` of itself."""
    done = jnp.maximum(state.since_transfer, 0).astype(jnp.float32) / config.online_decay_steps
    return config.actor_bc_coef * jnp.maximum(1.0 - done, config.online_decay_floor)


def policy_loss(
    config: ReBRACConfig, ac: ActorCritic, actor_params: Params, batch: Transition, bc_coef: Float[Array, ""]
) -> tuple[Float[Array, ""], Metrics]:
    """``L_pi`` as a function of the actor's parameters.

    Args:
      config: whether Q is divided by its size.
      ac: the networks.
      actor_params: of the policy.
      batch: normalized observations ``[batch, observation]`` and actions ``[batch, action]``.
      bc_coef: ``beta_pi``, from :func:`cloning_weight`.
    """
    action = ac.actor.apply(actor_params, batch.observation).mode()
    cloning = squared_distance(action, batch.action)
    values = ensemble_values(ac.critic, ac.critic_params, batch.observation, action)
    value = values.min(axis=0)
    weight = jnp.ones((), jnp.float32)
    if config.normalize_q:
        # critics that say zero of everything have no size to divide by
        weight = 1.0 / jnp.maximum(jax.lax.stop_gradient(jnp.abs(value).mean()), 1e-8)
    loss = jnp.mean(bc_coef * cloning - weight * value)
    return loss, {"policy_loss": loss, "cloning_loss": cloning.mean()}


def critic_step(config: ReBRACConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """One step of the critics on their squared error; the targets wait for the policy's step."""
    target = temporal_difference_target(config, state, batch, key)
    return critic.critic_step(config, state, batch, target)


def policy_step(config: ReBRACConfig, batch: Transition, state: State) -> tuple[State, Metrics]:
    """One step of the policy, and one of all targets: the target policy's towards the policy before its step."""
    ac = state.actor_critic
    loss = partial(policy_loss, config, ac, batch=batch, bc_coef=cloning_weight(config, state))
    gradient, metrics = jax.grad(loss, has_aux=True)(ac.actor_params)
    target = optax.incremental_update(ac.actor_params, state.target_actor_params, config.polyak)
    state = critic.move_targets(config, apply_actor_gradient(actor_optimizer(config), state, gradient))
    return state.replace(target_actor_params=target), metrics


def update(config: ReBRACConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """``utd`` critic steps on the parts of the batch; in the first call and every ``policy_delay``-th after it also a
    policy step on all of it.

    The metrics of the policy are :class:`~smac_jax.types.Sometimes`: they exist in calls with a policy step.
    """
    batch = state.actor_critic.normalize_batch(batch)
    due = td3.is_due(config, state.step)
    state, critic_metrics = high_utd_update(config, partial(critic_step, config), state, batch, key)
    state, policy_metrics = td3.take_if(due, partial(policy_step, config, batch), state)
    since_transfer = jnp.where(state.since_transfer < 0, -1, state.since_transfer + 1)
    state = state.replace(step=state.step + 1, since_transfer=since_transfer)
    return state, {**critic_metrics, **policy_metrics}


_continue = continuation(
    State,
    lambda online: partial(update, online),
    lambda online, state: new_state(online, state.actor_critic, 0),
    adapt=lambda offline, online, state: state.replace(since_transfer=jnp.zeros((), jnp.int32)),
    check=check_utd,
)


def continue_online(
    offline: OfflineAlgorithm[State], changes: Any = None, carry: str = "all"
) -> OnlineAlgorithm[State]:
    """ReBRAC online: the same update with ``critic_bc_coef = 0``, a falling ``beta_pi``, and noise on the actions.

    Raises:
      ConfigError: ``critic_bc_coef`` is not 0: the replay buffer does not hold next actions.
    """
    online = _continue(offline, changes if isinstance(changes, ReBRACConfig) else WITHOUT | dict(changes or {}), carry)
    config = cast(ReBRACConfig, online.config)
    if config.critic_bc_coef > 0.0:
        raise ConfigError(
            f"ReBRACConfig.critic_bc_coef = {config.critic_bc_coef:g} online: must be 0, as in the published "
            "code. The replay buffer does not hold the next actions that it needs."
        )
    return online._replace(act=partial(td3.act, config))


def rebrac(config: ReBRACConfig) -> OfflineAlgorithm[State]:
    """Builds ReBRAC from its config.

    Raises:
      ConfigError: the batch cannot be cut in ``utd`` equal parts.
    """
    check_utd(config)
    return OfflineAlgorithm(
        name="rebrac",
        config=config,
        init=partial(init, config),
        phases=(Phase("offline", partial(update, config), config.batch_size),),
        actor_critic=actor_critic_of,
        prepare=partial(prepare, config),
        training_state=optimizer_states,
        continue_online=continue_online,
    )
