"""SAC: soft actor-critic, the ordinary online algorithm that takes over from offline training.

Source: Haarnoja et al. 2018 (arXiv 1812.05905), equations 5-7 and 17-18; SMAC section 3.
Deviations: SMAC leaves the entropy bonus out of the backup (``entropy_backup=False``); the target of the temperature is
``target_entropy_scale`` times the number of actions (SMAC: -10; Haarnoja: -1); ensembles of any size, aggregated in the
backup and in the policy loss by ``min``, ``mean`` or ``random2``; ``utd > 1`` cuts the batch in that many critic
minibatches, with one policy step (:func:`smac_jax.algorithms.base.high_utd_update`). The temperature starts at 0.1
(RLPD, WSRL and CORL: 1), at which SMAC's policies are the critics' soft optimum. ``log sigma`` lies in [-5, 2] (RLPD
and CORL's CQL: [-20, 2]).
WSRL's code (Zhou et al. 2024, arXiv 2412.07762), which SMAC's protocol points to, differs in what each has a field of
its own: a temperature of 1 at the start, the softplus of what is trained, by the entropy at the *next* observations;
random pairs in the backup, drawn independently; the mean over the critics, which share their last layer
(``network.critic_shared_head``); policy steps on the critics as they were before the update; optimizers that go on by
their momentum while other networks learn; and temperature and optimizers that are carried over from offline training
(``temperature_start="carried"``, ``optimizer_start="carried"``). ``wsrl_base`` sets them all.
Beyond the sources: ``temperature_start="offline"`` starts the temperature where the offline algorithm's identity left
it (SMAC: the mean of alpha), so that the entropy term changes nothing at the hand-over.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Float

from smac_jax.algorithms import critic
from smac_jax.algorithms.base import (
    ActorCritic,
    LearningConfig,
    OnlineAlgorithm,
    StartConfig,
    TrainingState,
    UTDConfig,
    check_parts,
    high_utd_update,
    start_optimizer,
)
from smac_jax.algorithms.critic import (
    bootstrap,
    critic_loss,
    critic_optimizer_step,
    step,
    target_value,
    with_new_critics,
)
from smac_jax.config import choice, number, switch
from smac_jax.errors import ConfigError
from smac_jax.networks import aggregate, ensemble_values
from smac_jax.optim import make_optimizer
from smac_jax.short_repr import brief
from smac_jax.types import Array, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class SoftConfig(LearningConfig):
    """What SAC and the offline algorithms that are built on it share: SMAC and CQL add their own to these."""

    actor_learning_rate: float = number(1e-4, 0.0, 1.0, doc="SMAC, tables 6-8; Haarnoja has 3e-4")
    temperature_learning_rate: float = number(3e-4, 0.0, 1.0)
    temperature_loss: str = choice(
        "temperature", "log_temperature", doc="what multiplies (entropy - target): Haarnoja's equation 18, or its log"
    )
    initial_temperature: float = number(0.1, 1e-8, 1e3)
    temperature_parameterization: str = choice(
        "exp", "softplus", doc="of the temperature by the number that is trained (WSRL: softplus)"
    )
    entropy_observations: str = choice(
        "current", "next", doc="where the entropy is measured that the temperature is tuned by (WSRL: next)"
    )
    target_entropy_scale: float = number(-1.0, -100.0, 100.0, doc="target entropy per action dimension")
    entropy_backup: bool = switch(False)
    backup_aggregation: str = choice("min", "mean", "random2", "random2_independent")
    policy_aggregation: str = choice("min", "mean", "random2")


@dataclasses.dataclass(frozen=True)
class UpdateConfig:
    """How SAC's and SMAC's updates are put together."""

    td_reduction: str = choice("sum", "mean", doc="of the squared errors over the critics (WSRL: mean)")
    policy_critics: str = choice(
        "updated", "previous", doc="what an update's policy step ascends: the critics after or before their own step"
    )


@dataclasses.dataclass(frozen=True)
class SACConfig(SoftConfig, UpdateConfig, UTDConfig, StartConfig):
    """Hyper-parameters of SAC."""

    waiting_optimizers: str = choice(
        "stop",
        "coast",
        doc="with utd above 1, of the networks whose turn it is not: 'coast' takes their optimizers' steps on a "
        "gradient of zero, which momentum makes a step (WSRL's code)",
    )
    temperature_start: str = choice(
        "config",
        "offline",
        "carried",
        doc="'offline': the temperature that the offline policy is soft-optimal at, if known (SMAC: alpha); 'carried': "
        "the one that was trained offline",
    )


class State(struct.PyTreeNode):
    """Actor-critic, the number that the temperature is a function of, and the optimizers' states."""

    actor_critic: ActorCritic
    temperature_parameter: Float[Array, ""]
    critic_optimizer: optax.OptState
    actor_optimizer: optax.OptState
    temperature_optimizer: optax.OptState

    __repr__ = brief


def temperature_of(config: SoftConfig, parameter: Float[Array, ""]) -> Float[Array, ""]:
    """The temperature, as a function of the number that is trained."""
    return jnp.exp(parameter) if config.temperature_parameterization == "exp" else jax.nn.softplus(parameter)


def parameter_of(config: SoftConfig, temperature: Float[Array, ""]) -> Float[Array, ""]:
    """The inverse of :func:`temperature_of`."""
    if config.temperature_parameterization == "exp":
        return jnp.log(temperature)
    return temperature + jnp.log(-jnp.expm1(-temperature))


def optimizers(config: SoftConfig) -> dict[str, optax.GradientTransformation]:
    """One optimizer for each of critic, actor and temperature (a scalar, so always Adam)."""
    return {**critic.optimizers(config), "temperature": make_optimizer("adam", config.temperature_learning_rate)}


def init(config: SoftConfig, key: Key, actor_critic: ActorCritic, carried: TrainingState | None = None) -> State:
    """Takes an actor-critic as it is and puts optimizers and the starting temperature beside it.

    Raises:
      ConfigError: the config asks for what was not carried over.
    """
    del key
    optimizer = optimizers(config)
    parameter = parameter_of(config, _first_temperature(config, actor_critic, carried))

    def start(name: str, params: Any) -> optax.OptState:
        return start_optimizer(config, optimizer[name], params, getattr(carried, f"{name}_optimizer", None), name)

    return State(
        actor_critic=actor_critic,
        temperature_parameter=parameter,
        critic_optimizer=start("critic", actor_critic.critic_params),
        actor_optimizer=start("actor", actor_critic.actor_params),
        temperature_optimizer=(
            start("temperature", parameter)
            if starts_at(config) == "carried"
            else optimizer["temperature"].init(parameter)
        ),
    )


def starts_at(config: SoftConfig) -> str:
    """Where the temperature starts: of an algorithm that trains offline, where its config says."""
    return getattr(config, "temperature_start", "config")


def _first_temperature(
    config: SoftConfig, actor_critic: ActorCritic, carried: TrainingState | None
) -> Float[Array, ""]:
    temperature = jnp.asarray(config.initial_temperature, jnp.float32)
    start = starts_at(config)
    if start == "offline" and actor_critic.temperature is not None:
        # alpha can be negative where it was left free
        known = jnp.isfinite(actor_critic.temperature) & (actor_critic.temperature > 0.0)
        return jnp.where(known, actor_critic.temperature, temperature)
    if start == "carried":
        if carried is None or carried.temperature is None:
            raise ConfigError(
                f"{type(config).__name__}.temperature_start = 'carried': no temperature was trained offline. Pass "
                "training_state=..., as pretrain(...) returns it, of SMAC, CQL or Cal-QL."
            )
        return carried.temperature
    return temperature


def training_state(config: SoftConfig, state: State) -> TrainingState:
    """What an online algorithm may go on from."""
    return TrainingState(
        critic_optimizer=state.critic_optimizer,
        actor_optimizer=state.actor_optimizer,
        temperature=temperature_of(config, state.temperature_parameter),
        temperature_optimizer=state.temperature_optimizer,
    )


def temporal_difference_target(config: SoftConfig, state: State, batch: Transition, key: Key) -> Float[Array, "batch"]:
    """``r + gamma (1 - terminal) Qbar(s', a')``, ``a' ~ pi(s')``; minus the entropy term where it is in the backup."""
    ac = state.actor_critic
    action_key, subset_key = jax.random.split(key)
    next_action, log_prob = ac.actor.apply(ac.actor_params, batch.next_observation).sample_and_log_prob(action_key)
    value = target_value(ac, batch.next_observation, next_action, config.backup_aggregation, subset_key)
    if config.entropy_backup:
        value = value - temperature_of(config, state.temperature_parameter) * log_prob
    return bootstrap(batch, config.discount, value)


def policy_loss(
    config: SoftConfig, state: State, actor_params: Params, batch: Transition, key: Key
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """``mean (temperature log pi(a|s) - Q(s, a))``, ``a ~ pi(s)``; and the policy's entropy."""
    ac = state.actor_critic
    action_key, subset_key = jax.random.split(key)
    action, log_prob = ac.actor.apply(actor_params, batch.observation).sample_and_log_prob(action_key)
    values = ensemble_values(ac.critic, ac.critic_params, batch.observation, action)
    value = aggregate(values, config.policy_aggregation, subset_key)
    return jnp.mean(temperature_of(config, state.temperature_parameter) * log_prob - value), -log_prob.mean()


def temperature_loss(
    config: SoftConfig, parameter: Float[Array, ""], entropy: Float[Array, ""], action_size: int
) -> Float[Array, ""]:
    """``temperature * (entropy - target entropy)``: falls while the policy is more random than it need be."""
    weight = temperature_of(config, parameter)
    if config.temperature_loss == "log_temperature":
        weight = parameter if config.temperature_parameterization == "exp" else jnp.log(weight)
    return weight * (entropy - config.target_entropy_scale * action_size)


def apply_critic_gradient(config: SoftConfig, state: State, gradient: Params) -> State:
    """One optimizer step for the critics, and one polyak step for their targets."""
    ac = state.actor_critic
    critic_params, critic_optimizer = critic_optimizer_step(config, ac, gradient, state.critic_optimizer)
    return state.replace(
        actor_critic=with_new_critics(ac, critic_params, config.polyak), critic_optimizer=critic_optimizer
    )


def critic_step(config: SACConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """One step on the critics' squared error."""
    target = temporal_difference_target(config, state, batch, key)
    loss = partial(critic_loss, state.actor_critic, batch=batch, target=target, reduction=config.td_reduction)
    gradient, metrics = jax.grad(loss, has_aux=True)(state.actor_critic.critic_params)
    return apply_critic_gradient(config, state, gradient), metrics


def policy_step(
    config: SoftConfig, state: State, batch: Transition, key: Key, critics: ActorCritic | None = None
) -> tuple[State, Metrics]:
    """One step on :func:`policy_loss`, then one on :func:`temperature_loss`.

    Args:
      config, state, batch, key: as everywhere here.
      critics: an actor-critic whose critics the policy ascends; None for the state's own.
    """
    ac, optimizer = state.actor_critic, optimizers(config)
    before = state if critics is None else state.replace(actor_critic=ac.replace(critic_params=critics.critic_params))
    loss = partial(policy_loss, config, before, batch=batch, key=key)
    (value, entropy), gradient = jax.value_and_grad(loss, has_aux=True)(ac.actor_params)
    actor_params, actor_optimizer = step(optimizer["actor"], gradient, state.actor_optimizer, ac.actor_params)

    measured = entropy
    if config.entropy_observations == "next":
        _, log_prob = ac.actor.apply(ac.actor_params, batch.next_observation).sample_and_log_prob(
            jax.random.fold_in(key, 1)
        )
        measured = -log_prob.mean()
    gradient = jax.grad(partial(temperature_loss, config))(
        state.temperature_parameter, measured, batch.action.shape[-1]
    )
    parameter, temperature_optimizer = step(
        optimizer["temperature"], gradient, state.temperature_optimizer, state.temperature_parameter
    )
    state = state.replace(
        actor_critic=ac.replace(actor_params=actor_params),
        actor_optimizer=actor_optimizer,
        temperature_parameter=parameter,
        temperature_optimizer=temperature_optimizer,
    )
    return state, {"policy_loss": value, "entropy": entropy, "temperature": temperature_of(config, parameter)}


def policy_critics(config: UpdateConfig, before: ActorCritic) -> ActorCritic | None:
    """What :func:`policy_step` takes as ``critics``, given the actor-critic before the update."""
    return before if config.policy_critics == "previous" else None


def update(config: SACConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """``utd`` critic steps on the parts of the batch, then one policy step."""
    batch = state.actor_critic.normalize_batch(batch)
    critic_key, policy_key = jax.random.split(key)
    critics = policy_critics(config, state.actor_critic)
    coasts = config.waiting_optimizers == "coast" and config.utd > 1

    def part(state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
        state, metrics = critic_step(config, state, batch, key)
        return (coast_policy(config, state) if coasts else state), metrics

    state, critic_metrics, rows = high_utd_update(config, part, state, batch, critic_key)
    state, policy_metrics = policy_step(config, state, rows, policy_key, critics)
    if coasts:
        ac = state.actor_critic
        zero = jax.tree.map(jnp.zeros_like, ac.critic_params)
        critic_params, critic_optimizer = critic_optimizer_step(config, ac, zero, state.critic_optimizer)
        state = state.replace(actor_critic=ac.replace(critic_params=critic_params), critic_optimizer=critic_optimizer)
    return state, {**critic_metrics, **policy_metrics}


def coast_policy(config: SoftConfig, state: State) -> State:
    """A step of the policy's and the temperature's optimizer on gradients of zero."""
    ac, optimizer = state.actor_critic, optimizers(config)
    zero = jax.tree.map(jnp.zeros_like, ac.actor_params)
    actor_params, actor_optimizer = step(optimizer["actor"], zero, state.actor_optimizer, ac.actor_params)
    parameter, temperature_optimizer = step(
        optimizer["temperature"], jnp.zeros((), jnp.float32), state.temperature_optimizer, state.temperature_parameter
    )
    return state.replace(
        actor_critic=ac.replace(actor_params=actor_params),
        actor_optimizer=actor_optimizer,
        temperature_parameter=parameter,
        temperature_optimizer=temperature_optimizer,
    )


def act(state: State, observation: Float[Array, "observation"], key: Key) -> Float[Array, "action"]:
    """An action drawn from the policy."""
    return state.actor_critic.policy(observation).sample(key)


def sac(config: SACConfig) -> OnlineAlgorithm:
    """Builds SAC from its config."""
    check_parts(config)
    return OnlineAlgorithm(
        name="sac",
        config=config,
        init=partial(init, config),
        update=partial(update, config),
        act=act,
        actor_critic=lambda state: state.actor_critic,
        batch_size=config.batch_size,
    )
