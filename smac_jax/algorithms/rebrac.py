"""ReBRAC: TD3 on a data set, with the distance to the data's actions in the policy loss and in the critics' target.

    y    = r + gamma (1 - terminal) (min_i Qbar_i(s', a') - beta_Q |a' - a'_data|^2) ,   a' = clip(pibar(s') + noise)
    L_pi = mean (beta_pi |pi(s) - a|^2 - lambda min_i Q_i(s, pi(s)))
    lambda = 1 / mean |min_i Q_i(s, pi(s))|, no gradient

``|.|^2`` is the sum over the dimensions of the action, and ``a'_data`` is the data's action at ``s'``.

Source: Tarasov et al. 2023 (arXiv 2305.09836), section 3, and the authors' code (``src/algorithms/rebrac.py`` of
DT6A/ReBRAC, which is the same in CORL). This file equals that code up to rounding: there is a policy step in the first
update and in every ``policy_delay``-th update after it, and it follows the critics' step. The target policy is updated
with the policy *before* that step, the target critics with the critics after theirs. Only the critics have layer norms,
after the activations. Parameters have EDAC's initializers, and observations are not normalized. Each data set has its
own ``actor_bc_coef`` and ``critic_bc_coef``, which are in the preset ``--config=rebrac:DATA``.

Online it continues as in ``src/algorithms/rebrac_finetune.py``: the distance is left out of the target, ``beta_pi``
decreases linearly to zero, and the exploration noise has a standard deviation of 0.03.

Deviations: the actor is a tanh-Gaussian, so that every online algorithm can continue with it. Only its mean is trained,
and its standard deviation stays at ``network.initial_std`` (before the tanh), with which an online algorithm begins to
explore. Transitions whose next action is not in the data set are left out
(:meth:`smac_jax.data.Dataset.with_next_actions`). ``utd > 1`` is explained in :mod:`smac_jax.algorithms.high_utd`. As
in CORL, there is no lower bound of the target by Monte-Carlo returns, which was added to DT6A's code after the paper.
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

ONLINE_DEFAULTS = {"critic_bc_coef": 0.0}
"""The fields that have another default online."""


@dataclasses.dataclass(frozen=True)
class ReBRACConfig(td3.DelayedConfig, PretrainingConfig):
    """The hyperparameters of ReBRAC, as in its code for D4RL's locomotion."""

    batch_size: int = number(1024, 1)
    critic_learning_rate: float = number(1e-3, 0.0, 1.0)
    actor_learning_rate: float = number(1e-3, 0.0, 1.0)
    actor_bc_coef: float = number(1.0, 0.0, doc="beta_pi, the weight of behavior cloning in the policy's loss")
    critic_bc_coef: float = number(1.0, 0.0, doc="beta_Q, the weight of the distance to the data in the target")
    normalize_q: bool = switch(True, doc="whether lambda is 1 / mean |Q|; otherwise it is 1")
    online_decay_steps: int = number(
        1_000_000, 1, doc="online: the number of updates in which beta_pi decreases linearly (published: all updates)"
    )
    online_decay_floor: float = number(0.0, 0.0, 1.0, doc="online: the share of beta_pi that remains after that")
    exploration_noise: float = number(0.03, 0.0, doc="online: the standard deviation of the noise on actions")
    normalize_observations: bool = switch(
        False, doc="whether the networks get (observation - mean) / std, with the statistics of the data set"
    )
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
    """The state of TD3, with the number of online updates.

    Attributes:
      since_transfer: the number of updates since the start of online training, ``[]``; -1 before.
    """

    since_transfer: Array

    __repr__ = brief


def new_state(config: ReBRACConfig, ac: ActorCritic, since_transfer: int) -> State:
    """Returns a state with the given networks, new optimizer states, and a copy of the policy as the target policy."""
    fresh = td3.new_state(config, ac)
    fields = {field.name: getattr(fresh, field.name) for field in dataclasses.fields(fresh)}
    return State(**fields, since_transfer=jnp.full((), since_transfer, jnp.int32))


def init(config: ReBRACConfig, key: Key, dataset: Dataset) -> State:
    """Returns the initial state with randomly initialized networks."""
    return new_state(config, actor_critic_for(config, key, dataset), -1)


def prepare(config: ReBRACConfig, dataset: Dataset) -> Dataset:
    """Returns the transitions whose next action is known, if the target needs it; otherwise all transitions."""
    return dataset.with_next_actions() if config.critic_bc_coef > 0.0 else dataset


def squared_distance(
    action: Float[Array, "batch action"], other: Float[Array, "batch action"]
) -> Float[Array, "batch"]:
    """Returns ``|a - b|^2 [batch]``, the sum over the dimensions of the action."""
    chex.assert_equal_shape([action, other])
    return jnp.sum((action - other) ** 2, axis=-1)


def temporal_difference_target(
    config: ReBRACConfig, state: State, batch: Transition, key: Key
) -> Float[Array, "batch"]:
    """Returns ``y [batch]``, which is TD3's target minus the weighted distance of the next action to the data's."""
    noise_key, subset_key = jax.random.split(key)
    next_action = td3.smoothed_action(config, state, batch, noise_key)
    value = critic.target_value(
        state.actor_critic, batch.next_observation, next_action, config.backup_aggregation, subset_key
    )
    if config.critic_bc_coef > 0.0:
        assert batch.next_action is not None, "prepare adds the next actions"
        value = value - config.critic_bc_coef * squared_distance(next_action, batch.next_action)
    return critic.bootstrap(batch, config.discount, value)


def cloning_weight(config: ReBRACConfig, state: State) -> Float[Array, ""]:
    """Returns ``beta_pi``, which is constant offline, and decreases linearly online to the share that remains."""
    done = jnp.maximum(state.since_transfer, 0).astype(jnp.float32) / config.online_decay_steps
    return config.actor_bc_coef * jnp.maximum(1.0 - done, config.online_decay_floor)


def policy_loss(
    config: ReBRACConfig, ac: ActorCritic, actor_params: Params, batch: Transition, bc_coef: Float[Array, ""]
) -> tuple[Float[Array, ""], Metrics]:
    """Returns ``L_pi`` and its metrics.

    Args:
      config: says whether Q is divided by its mean absolute value.
      ac: the networks.
      actor_params: the parameters of the actor, with respect to which the loss is differentiated.
      batch: has normalized observations ``[batch, observation]`` and actions ``[batch, action]``.
      bc_coef: ``beta_pi``, from :func:`cloning_weight`.
    """
    action = ac.actor.apply(actor_params, batch.observation).mode()
    cloning = squared_distance(action, batch.action)
    values = ensemble_values(ac.critic, ac.critic_params, batch.observation, action)
    value = values.min(axis=0)
    weight = jnp.ones((), jnp.float32)
    if config.normalize_q:
        # the maximum avoids a division by zero if all values are zero
        weight = 1.0 / jnp.maximum(jax.lax.stop_gradient(jnp.abs(value).mean()), 1e-8)
    loss = jnp.mean(bc_coef * cloning - weight * value)
    return loss, {"policy_loss": loss, "cloning_loss": cloning.mean()}


def critic_step(config: ReBRACConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """Takes one gradient step of the critics on their squared error. The policy step updates the targets."""
    target = temporal_difference_target(config, state, batch, key)
    return critic.critic_step(config, state, batch, target)


def policy_step(config: ReBRACConfig, batch: Transition, state: State) -> tuple[State, Metrics]:
    """Takes one step of the policy, and updates all targets, the target policy with the policy before its step."""
    ac = state.actor_critic
    loss = partial(policy_loss, config, ac, batch=batch, bc_coef=cloning_weight(config, state))
    gradient, metrics = jax.grad(loss, has_aux=True)(ac.actor_params)
    target = optax.incremental_update(ac.actor_params, state.target_actor_params, config.polyak)
    state = critic.move_targets(config, apply_actor_gradient(actor_optimizer(config), state, gradient))
    return state.replace(target_actor_params=target), metrics


def update(config: ReBRACConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """Takes ``utd`` critic steps on the parts of the batch, and if one is due, a policy step on all of it.

    A policy step is due in the first call and in every ``policy_delay``-th call after it. The metrics of the policy are
    :class:`~smac_jax.types.Sometimes`, because they exist only in these calls.
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
    """Builds ReBRAC as its own continuation: the same update with ``critic_bc_coef = 0`` and a decreasing ``beta_pi``.

    Exploration is noise on the actions of the policy.

    Raises:
      ConfigError: ``critic_bc_coef`` is not 0, although the replay buffer has no next actions.
    """
    if not isinstance(changes, ReBRACConfig):
        changes = ONLINE_DEFAULTS | dict(changes or {})
    online = _continue(offline, changes, carry)
    config = cast(ReBRACConfig, online.config)
    if config.critic_bc_coef > 0.0:
        raise ConfigError(
            f"ReBRACConfig.critic_bc_coef = {config.critic_bc_coef:g} online: must be 0, as in the published "
            "code, because the replay buffer does not have the next actions that it needs."
        )
    return online._replace(act=partial(td3.act, config))


def rebrac(config: ReBRACConfig) -> OfflineAlgorithm[State]:
    """Builds ReBRAC from its config.

    Raises:
      ConfigError: the batch cannot be split into ``utd`` equal parts.
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
