"""SAC: soft actor-critic, the ordinary online algorithm that takes over from offline training.

Source: Haarnoja et al. 2018 (arXiv 1812.05905), equations 5-7 and 17-18; SMAC section 3.
Deviations: SMAC leaves the entropy bonus out of the backup (``entropy_backup=False``); the target of the temperature is
``target_entropy_scale`` times the number of actions (SMAC: -10; Haarnoja: -1); ensembles of any size, aggregated in the
backup and in the policy loss by ``min``, ``mean`` or ``random2``; ``utd > 1`` cuts the batch in that many critic
minibatches, with one policy step (:func:`smac_jax.algorithms.base.on_each_part`). The temperature starts at 0.1 (RLPD,
WSRL and CORL: 1), at which SMAC's policies are the critics' soft optimum. ``log sigma`` lies in [-5, 2] (RLPD and
CORL's CQL: [-20, 2]).
Beyond the sources: ``temperature_start="offline"`` starts the temperature where the offline algorithm's identity left
it (SMAC: the mean of alpha), so that the entropy term changes nothing at the hand-over.
"""

from __future__ import annotations

import dataclasses
from functools import partial

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
    PartsConfig,
    check_parts,
    on_each_part,
)
from smac_jax.algorithms.critic import bootstrap, critic_loss, step, target_value, with_new_critics
from smac_jax.config import choice, number, switch
from smac_jax.networks import aggregate, ensemble_values
from smac_jax.optim import make_optimizer
from smac_jax.types import Array, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class SACConfig(PartsConfig, LearningConfig):
    """Hyper-parameters of SAC; SMAC and CQL add their own to these."""

    actor_learning_rate: float = number(1e-4, 0.0, 1.0, doc="SMAC, tables 6-8; Haarnoja has 3e-4")
    temperature_learning_rate: float = number(3e-4, 0.0, 1.0)
    temperature_loss: str = choice(
        "temperature", "log_temperature", doc="what multiplies (entropy - target): Haarnoja's equation 18, or its log"
    )
    initial_temperature: float = number(0.1, 1e-8, 1e3)
    temperature_start: str = choice(
        "config", "offline", doc="'offline': where the offline algorithm left it, if it says"
    )
    target_entropy_scale: float = number(-1.0, -100.0, 100.0, doc="target entropy per action dimension")
    entropy_backup: bool = switch(False)
    backup_aggregation: str = choice("min", "mean", "random2")
    policy_aggregation: str = choice("min", "mean", "random2")


class State(struct.PyTreeNode):
    """Actor-critic, temperature, and the optimisers' states."""

    actor_critic: ActorCritic
    log_temperature: Float[Array, ""]
    critic_optimizer: optax.OptState
    actor_optimizer: optax.OptState
    temperature_optimizer: optax.OptState


def optimizers(config: SACConfig) -> dict[str, optax.GradientTransformation]:
    """One optimiser for each of critic, actor and temperature (a scalar, so always Adam)."""
    return {**critic.optimizers(config), "temperature": make_optimizer("adam", config.temperature_learning_rate)}


def init(config: SACConfig, key: Key, actor_critic: ActorCritic) -> State:
    """Takes an actor-critic as it is and puts fresh optimisers and the starting temperature beside it."""
    del key
    optimizer = optimizers(config)
    temperature = jnp.asarray(config.initial_temperature, jnp.float32)
    if config.temperature_start == "offline":
        known = jnp.isfinite(actor_critic.temperature) & (actor_critic.temperature > 0.0)
        temperature = jnp.where(known, actor_critic.temperature, temperature)
    log_temperature = jnp.log(temperature)
    return State(
        actor_critic=actor_critic,
        log_temperature=log_temperature,
        critic_optimizer=optimizer["critic"].init(actor_critic.critic_params),
        actor_optimizer=optimizer["actor"].init(actor_critic.actor_params),
        temperature_optimizer=optimizer["temperature"].init(log_temperature),
    )


def temporal_difference_target(config: SACConfig, state: State, batch: Transition, key: Key) -> Float[Array, "batch"]:
    """``r + gamma (1 - terminal) Qbar(s', a')``, ``a' ~ pi(s')``; minus the entropy term where it is in the backup."""
    ac = state.actor_critic
    action_key, subset_key = jax.random.split(key)
    next_action, log_prob = ac.actor.apply(ac.actor_params, batch.next_observation).sample_and_log_prob(action_key)
    value = target_value(ac, batch.next_observation, next_action, config.backup_aggregation, subset_key)
    if config.entropy_backup:
        value = value - jnp.exp(state.log_temperature) * log_prob
    return bootstrap(batch, config.discount, value)


def policy_loss(
    config: SACConfig, state: State, actor_params: Params, batch: Transition, key: Key
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """``mean (temperature log pi(a|s) - Q(s, a))``, ``a ~ pi(s)``; and the policy's entropy."""
    ac = state.actor_critic
    action_key, subset_key = jax.random.split(key)
    action, log_prob = ac.actor.apply(actor_params, batch.observation).sample_and_log_prob(action_key)
    values = ensemble_values(ac.critic, ac.critic_params, batch.observation, action)
    value = aggregate(values, config.policy_aggregation, subset_key)
    return jnp.mean(jnp.exp(state.log_temperature) * log_prob - value), -log_prob.mean()


def temperature_loss(
    config: SACConfig, log_temperature: Float[Array, ""], entropy: Float[Array, ""], action_size: int
) -> Float[Array, ""]:
    """``temperature * (entropy - target entropy)``: falls while the policy is more random than it need be."""
    weight = jnp.exp(log_temperature) if config.temperature_loss == "temperature" else log_temperature
    return weight * (entropy - config.target_entropy_scale * action_size)


def apply_critic_gradient(config: SACConfig, state: State, gradient: Params) -> State:
    """One optimiser step for the critics, and one polyak step for their targets."""
    ac = state.actor_critic
    critic_params, critic_optimizer = step(
        optimizers(config)["critic"], gradient, state.critic_optimizer, ac.critic_params
    )
    return state.replace(
        actor_critic=with_new_critics(ac, critic_params, config.polyak), critic_optimizer=critic_optimizer
    )


def critic_step(config: SACConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """One step on the critics' squared error."""
    target = temporal_difference_target(config, state, batch, key)
    loss = partial(critic_loss, state.actor_critic, batch=batch, target=target)
    gradient, metrics = jax.grad(loss, has_aux=True)(state.actor_critic.critic_params)
    return apply_critic_gradient(config, state, gradient), metrics


def policy_step(config: SACConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """One step on :func:`policy_loss`, then one on :func:`temperature_loss`."""
    ac, optimizer = state.actor_critic, optimizers(config)
    loss = partial(policy_loss, config, state, batch=batch, key=key)
    (value, entropy), gradient = jax.value_and_grad(loss, has_aux=True)(ac.actor_params)
    actor_params, actor_optimizer = step(optimizer["actor"], gradient, state.actor_optimizer, ac.actor_params)

    gradient = jax.grad(partial(temperature_loss, config))(state.log_temperature, entropy, batch.action.shape[-1])
    log_temperature, temperature_optimizer = step(
        optimizer["temperature"], gradient, state.temperature_optimizer, state.log_temperature
    )
    state = state.replace(
        actor_critic=ac.replace(actor_params=actor_params),
        actor_optimizer=actor_optimizer,
        log_temperature=log_temperature,
        temperature_optimizer=temperature_optimizer,
    )
    return state, {"policy_loss": value, "entropy": entropy, "temperature": jnp.exp(log_temperature)}


def update(config: SACConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """``utd`` critic steps on the parts of the batch, then one policy step."""
    batch = state.actor_critic.normalise_batch(batch)
    critic_key, policy_key = jax.random.split(key)
    state, critic_metrics, rows = on_each_part(config, partial(critic_step, config), state, batch, critic_key)
    state, policy_metrics = policy_step(config, state, rows, policy_key)
    return state, {**critic_metrics, **policy_metrics}


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
