"""SAC: soft actor-critic, the standard online algorithm after offline pre-training.

    y    = r + gamma (1 - terminal) Qbar(s', a') ,   a' ~ pi(s')                                  (equations 3 and 5)
    L_pi = mean (alpha log pi(a|s) - Q(s, a)) ,   a ~ pi(s)                                       (equation 7)

Source: Haarnoja et al. 2018 (arXiv 1812.05905), sections 4 and 5; SMAC, section 3.

Deviations: as in SMAC, targets do not include the entropy (``entropy_backup=False``). Ensembles have any size; in the
targets and in the policy loss their values are aggregated by ``min``, ``mean`` or ``random2``. ``utd > 1`` splits the
batch into that many critic minibatches, with one policy step (:mod:`smac_jax.algorithms.high_utd`). The temperature is
0.1 at first (RLPD, WSRL and CORL: 1), because the policies of SMAC are the soft optimum of the critics at 0.1. ``log
sigma`` is in [-5, 2] (RLPD and CORL's CQL: [-20, 2]).

WSRL's code (Zhou et al. 2024, arXiv 2412.07762) is probably the base of SMAC's experiments. Its differences have
fields: the temperature (:mod:`smac_jax.algorithms.temperature`); random pairs of critics in the targets, which are
sampled independently; the mean of the squared errors over the critics, which share their last layer
(``network.critic_shared_head``); policy steps with the critics from before the update; optimizers that take steps by
their momentum while other networks are updated; and temperature and optimizers that continue from offline pre-training
(``temperature_start="carried"``, ``optimizer_start="carried"``). The preset ``wsrl_base`` sets all of them.

An option that is in none of the sources is ``temperature_start="offline"``: the first temperature is that of the
offline algorithm's identity (SMAC: the mean of alpha), so that the entropy term changes nothing at the transfer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import chex
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float

from smac_jax.algorithms import critic
from smac_jax.algorithms.actor_critic import ActorCritic
from smac_jax.algorithms.carry_over import CarryOverConfig, carried_optimizer, carry_optimizers
from smac_jax.algorithms.contracts import OnlineAlgorithm, TrainingState
from smac_jax.algorithms.high_utd import UTDConfig, check_utd, high_utd_update
from smac_jax.algorithms.learner import (
    Learner,
    LearningConfig,
    actor_critic_of,
    actor_optimizer,
    apply_actor_gradient,
    apply_critic_gradient,
    critic_optimizer,
    draw_action,
    gradient_step,
    new_learner,
)
from smac_jax.algorithms.temperature import (
    OnlineTemperatureConfig,
    TemperatureConfig,
    TemperatureLoss,
    parameter_of,
    starting_temperature,
    temperature_loss,
    temperature_of,
    temperature_optimizer,
)
from smac_jax.config import choice, number, switch
from smac_jax.networks import aggregate, ensemble_values
from smac_jax.short_repr import brief
from smac_jax.types import Array, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class SoftConfig(TemperatureConfig, LearningConfig):
    """The fields that SAC shares with the offline algorithms that are built on it (SMAC, CQL, Cal-QL)."""

    actor_learning_rate: float = number(1e-4, 0.0, 1.0, doc="as in SMAC, tables 6-8 (Haarnoja: 3e-4)")
    entropy_backup: bool = switch(False)
    backup_aggregation: str = choice("min", "mean", "random2", "random2_independent")
    policy_aggregation: str = choice("min", "mean", "random2")


@dataclasses.dataclass(frozen=True)
class UpdateConfig:
    """The fields about the updates of SAC and SMAC."""

    td_reduction: str = choice("sum", "mean", doc="the reduction of the squared errors over the critics (WSRL: mean)")
    policy_critics: str = choice(
        "updated", "previous", doc="whether the policy step uses the critics after their step or before it"
    )


@dataclasses.dataclass(frozen=True)
class SACConfig(SoftConfig, UpdateConfig, OnlineTemperatureConfig, UTDConfig, CarryOverConfig):
    """The hyperparameters of SAC."""

    waiting_optimizers: str = choice(
        "stop",
        "coast",
        doc="what optimizers do with utd above 1 while other networks are updated: 'coast' takes their steps with a "
        "gradient of zero, so that momentum changes the parameters (WSRL's code)",
    )


class State(Learner):
    """A learner with a temperature.

    Attributes:
      temperature_parameter: the trained number of which the temperature is a function, ``[]``.
      temperature_optimizer: the state of the optimizer of this number.
    """

    temperature_parameter: Float[Array, ""]
    temperature_optimizer: optax.OptState

    __repr__ = brief


def new_state(config: SoftConfig, actor_critic: ActorCritic, temperature: float | Float[Array, ""]) -> State:
    """Returns a state with the given networks and temperature, and with new optimizer states."""
    learner = new_learner(config, actor_critic)
    parameter = parameter_of(config, jnp.asarray(temperature, jnp.float32))
    return State(
        actor_critic=actor_critic,
        critic_optimizer=learner.critic_optimizer,
        actor_optimizer=learner.actor_optimizer,
        temperature_parameter=parameter,
        temperature_optimizer=temperature_optimizer(config).init(parameter),
    )


def init(config: SACConfig, key: Key, actor_critic: ActorCritic, training_state: TrainingState | None = None) -> State:
    """Returns the initial state: the given networks, with the temperature and the optimizers that the config asks for.

    Raises:
      ConfigError: the config asks for a part of ``training_state`` that is missing or has another form.
    """
    del key
    state = new_state(config, actor_critic, starting_temperature(config, actor_critic, training_state))
    state = carry_optimizers(config, state, training_state)
    if config.temperature_start == "carried" and config.optimizer_start == "carried":
        carried = training_state and training_state.temperature_optimizer
        optimizer = carried_optimizer(config, "temperature", state.temperature_optimizer, carried)
        state = state.replace(temperature_optimizer=optimizer)
    return state


def training_state(config: SoftConfig, state: State) -> TrainingState:
    """Returns the states of optimizers and temperature, for an online algorithm that asks for them."""
    return TrainingState(
        critic_optimizer=state.critic_optimizer,
        actor_optimizer=state.actor_optimizer,
        temperature=temperature_of(config, state.temperature_parameter),
        temperature_optimizer=state.temperature_optimizer,
    )


def temporal_difference_target(config: SoftConfig, state: State, batch: Transition, key: Key) -> Float[Array, "batch"]:
    """Returns the bootstrapped target ``y [batch]`` of equation 5, with one action ``a' ~ pi(s')`` for each transition.

    The value of ``s'`` is ``Qbar(s', a')``, or with ``entropy_backup``, ``Qbar(s', a') - alpha log pi(a'|s')``
    (equation 3).
    """
    ac = state.actor_critic
    action_key, subset_key = jax.random.split(key)
    next_action, log_prob = ac.actor.apply(ac.actor_params, batch.next_observation).sample_and_log_prob(action_key)
    value = critic.target_value(ac, batch.next_observation, next_action, config.backup_aggregation, subset_key)
    if config.entropy_backup:
        value = value - temperature_of(config, state.temperature_parameter) * log_prob
    return critic.bootstrap(batch, config.discount, value)


def policy_loss(
    config: SoftConfig, state: State, actor_params: Params, batch: Transition, key: Key
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Returns ``L_pi = mean (alpha log pi(a|s) - Q(s, a))`` with ``a ~ pi(s)`` (equation 7), and the policy's entropy.

    Args:
      config: says how the values of the ensemble are aggregated.
      state: has the critics and the temperature.
      actor_params: the parameters of the actor, with respect to which the loss is differentiated.
      batch: has normalized observations ``[batch, observation]``.
      key: the random key of the actions.
    """
    ac = state.actor_critic
    action_key, subset_key = jax.random.split(key)
    action, log_prob = ac.actor.apply(actor_params, batch.observation).sample_and_log_prob(action_key)
    values = ensemble_values(ac.critic, ac.critic_params, batch.observation, action)
    value = aggregate(values, config.policy_aggregation, subset_key)
    chex.assert_equal_shape([log_prob, value, batch.reward])
    return jnp.mean(temperature_of(config, state.temperature_parameter) * log_prob - value), -log_prob.mean()


def critic_step(config: SACConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """Takes one gradient step of the critics on their squared error, and updates the target critics."""
    target = temporal_difference_target(config, state, batch, key)
    state, metrics = critic.critic_step(config, state, batch, target, config.td_reduction)
    return critic.move_targets(config, state), metrics


def policy_step(
    config: SoftConfig,
    state: State,
    batch: Transition,
    key: Key,
    critic_params: Params | None = None,
    temperature_loss: TemperatureLoss = temperature_loss,
) -> tuple[State, Metrics]:
    """Takes one gradient step of the policy on :func:`policy_loss`, and one of the temperature on its own loss.

    Args:
      config: the configuration of the algorithm.
      state: the state before the step.
      batch: a normalized batch.
      key: the random key of the actions.
      critic_params: the critics in the policy loss; None for those of the state.
      temperature_loss: the loss of the temperature.
    """
    ac = state.actor_critic
    with_critics = (
        state if critic_params is None else state.replace(actor_critic=ac.replace(critic_params=critic_params))
    )
    loss = partial(policy_loss, config, with_critics, batch=batch, key=key)
    (value, entropy), actor_gradient = jax.value_and_grad(loss, has_aux=True)(ac.actor_params)
    tuned_entropy = entropy
    if config.entropy_observations == "next":
        policy = ac.actor.apply(ac.actor_params, batch.next_observation)
        _, log_prob = policy.sample_and_log_prob(jax.random.fold_in(key, 1))
        tuned_entropy = -log_prob.mean()
    temperature_gradient = jax.grad(partial(temperature_loss, config))(
        state.temperature_parameter, tuned_entropy, batch.action.shape[-1]
    )
    state = apply_policy_gradients(config, state, actor_gradient, temperature_gradient)
    temperature = temperature_of(config, state.temperature_parameter)
    return state, {"policy_loss": value, "entropy": entropy, "temperature": temperature}


def apply_policy_gradients(
    config: SoftConfig, state: State, actor_gradient: Params, temperature_gradient: Float[Array, ""]
) -> State:
    """Takes one optimizer step of the policy, and one of the temperature."""
    state = apply_actor_gradient(actor_optimizer(config), state, actor_gradient)
    parameter, optimizer = gradient_step(
        temperature_optimizer(config), temperature_gradient, state.temperature_optimizer, state.temperature_parameter
    )
    return state.replace(temperature_parameter=parameter, temperature_optimizer=optimizer)


def critics_for_policy(config: UpdateConfig, before: ActorCritic, after: ActorCritic) -> Params:
    """Returns the critics for the policy step: those before or after the critic step, as ``policy_critics`` says."""
    return (before if config.policy_critics == "previous" else after).critic_params


def update(
    config: SACConfig,
    state: State,
    batch: Transition,
    key: Key,
    policy_rows: Callable[[Transition], Transition] = lambda batch: batch,
) -> tuple[State, Metrics]:
    """Takes ``utd`` critic steps on the parts of the batch, then one policy step on ``policy_rows(batch)``."""
    before = state.actor_critic
    batch = before.normalize_batch(batch)
    critic_key, policy_key = jax.random.split(key)
    coasts = config.waiting_optimizers == "coast" and config.utd > 1

    def learn(state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
        state, metrics = critic_step(config, state, batch, key)
        return (coast_policy(config, state) if coasts else state), metrics

    state, critic_metrics = high_utd_update(config, learn, state, batch, critic_key)
    critic_params = critics_for_policy(config, before, state.actor_critic)
    state, policy_metrics = policy_step(config, state, policy_rows(batch), policy_key, critic_params)
    return (coast_critics(config, state) if coasts else state), {**critic_metrics, **policy_metrics}


def coast_policy(config: SoftConfig, state: State) -> State:
    """Takes a step of the optimizers of policy and temperature with gradients of zero, in which only momentum acts."""
    zeros = jax.tree.map(jnp.zeros_like, (state.actor_critic.actor_params, state.temperature_parameter))
    return apply_policy_gradients(config, state, *zeros)


def coast_critics(config: SoftConfig, state: State) -> State:
    """Takes such a step of the optimizer of the critics. The target critics do not change."""
    zeros = jax.tree.map(jnp.zeros_like, state.actor_critic.critic_params)
    return apply_critic_gradient(critic_optimizer(config), state, zeros)


def sac(config: SACConfig) -> OnlineAlgorithm[State]:
    """Builds SAC from its config.

    Raises:
      ConfigError: the batch cannot be split into ``utd`` equal parts.
    """
    check_utd(config)
    return OnlineAlgorithm(
        name="sac",
        config=config,
        init=partial(init, config),
        update=partial(update, config),
        act=draw_action,
        actor_critic=actor_critic_of,
        batch_size=config.batch_size,
        needs_density=True,
    )
