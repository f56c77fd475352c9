"""SAC: soft actor-critic, the ordinary online algorithm that takes over from offline training.

Source: Haarnoja et al. 2018 (arXiv 1812.05905), equations 5-7 and 17-18; SMAC section 3.
Deviations: SMAC leaves the entropy bonus out of the backup (``entropy_backup=False``); the target of the temperature is
``target_entropy_scale`` times the number of actions (SMAC: -10; Haarnoja: -1); ensembles of any size, aggregated in the
backup and in the policy loss by ``min``, ``mean`` or ``random2``; ``utd > 1`` cuts the batch in that many critic
minibatches and takes one policy step on the last (RLPD, Ball et al. 2023, arXiv 2302.02948, algorithm 1).
"""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Float

from smac_jax.algorithms.base import ActorCritic, OnlineAlgorithm, polyak_average
from smac_jax.config import choice, number, switch
from smac_jax.errors import ConfigError
from smac_jax.networks import aggregate, ensemble_values
from smac_jax.optim import make_optimizer
from smac_jax.types import Array, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class SACConfig:
    """Hyper-parameters of SAC; SMAC adds its own to these."""

    batch_size: int = number(256, 1)
    discount: float = number(0.99, 0.0, 1.0)
    polyak: float = number(0.005, 0.0, 1.0)
    critic_learning_rate: float = number(3e-4, 0.0, 1.0)
    actor_learning_rate: float = number(1e-4, 0.0, 1.0, doc="SMAC, tables 6-8; Haarnoja has 3e-4")
    temperature_learning_rate: float = number(3e-4, 0.0, 1.0)
    optimizer: str = choice("adam", "muon")
    initial_temperature: float = number(0.1, 1e-8, 1e3)
    target_entropy_scale: float = number(-1.0, -100.0, 100.0, doc="target entropy per action dimension")
    entropy_backup: bool = switch(False)
    backup_aggregation: str = choice("min", "mean", "random2")
    policy_aggregation: str = choice("min", "mean", "random2")
    utd: int = number(1, 1, 1000, doc="critic minibatches per update")


class State(struct.PyTreeNode):
    """Actor-critic, temperature, and the optimisers' states."""

    actor_critic: ActorCritic
    log_temperature: Float[Array, ""]
    critic_optimizer: optax.OptState
    actor_optimizer: optax.OptState
    temperature_optimizer: optax.OptState


def optimizers(config: SACConfig) -> dict[str, optax.GradientTransformation]:
    """One optimiser for each of critic, actor and temperature (a scalar, so always Adam)."""
    return {
        "critic": make_optimizer(config.optimizer, config.critic_learning_rate),
        "actor": make_optimizer(config.optimizer, config.actor_learning_rate),
        "temperature": make_optimizer("adam", config.temperature_learning_rate),
    }


def init(config: SACConfig, key: Key, actor_critic: ActorCritic) -> State:
    """Takes an actor-critic as it is and puts fresh optimisers and the starting temperature beside it."""
    del key
    optimizer = optimizers(config)
    log_temperature = jnp.log(jnp.asarray(config.initial_temperature, jnp.float32))
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
    policy = ac.actor.apply(ac.actor_params, batch.next_observation)
    next_action, log_prob = policy.sample_and_log_prob(action_key)
    values = ensemble_values(ac.critic, ac.target_critic_params, batch.next_observation, next_action)
    value = aggregate(values, config.backup_aggregation, subset_key)
    if config.entropy_backup:
        value = value - jnp.exp(state.log_temperature) * log_prob
    return batch.reward + config.discount * (1.0 - batch.terminal) * value


def critic_loss(
    ac: ActorCritic, critic_params: Params, batch: Transition, target: Float[Array, "batch"]
) -> tuple[Float[Array, ""], Metrics]:
    """``sum_i mean (Q_i(s, a) - target)^2``."""
    values = ensemble_values(ac.critic, critic_params, batch.observation, batch.action)
    loss = jnp.sum(jnp.mean((values - target) ** 2, axis=-1))
    return loss, {"td_loss": loss / values.shape[0], "q": values.mean(), "q_spread": values.std(axis=0).mean()}


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
    return jnp.exp(log_temperature) * (entropy - config.target_entropy_scale * action_size)


def apply_critic_gradient(config: SACConfig, state: State, gradient: Params) -> State:
    """One optimiser step for the critics, and one polyak step for their targets."""
    ac = state.actor_critic
    updates, critic_optimizer = optimizers(config)["critic"].update(gradient, state.critic_optimizer, ac.critic_params)
    critic_params = optax.apply_updates(ac.critic_params, updates)
    target = polyak_average(critic_params, ac.target_critic_params, config.polyak)
    ac = ac.replace(critic_params=critic_params, target_critic_params=target)
    return state.replace(actor_critic=ac, critic_optimizer=critic_optimizer)


def critic_step(config: SACConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """One step on :func:`critic_loss`."""
    target = temporal_difference_target(config, state, batch, key)
    loss = partial(critic_loss, state.actor_critic, batch=batch, target=target)
    gradient, metrics = jax.grad(loss, has_aux=True)(state.actor_critic.critic_params)
    return apply_critic_gradient(config, state, gradient), metrics


def policy_step(config: SACConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """One step on :func:`policy_loss`, then one on :func:`temperature_loss`."""
    ac, optimizer = state.actor_critic, optimizers(config)
    loss = partial(policy_loss, config, state, batch=batch, key=key)
    (value, entropy), gradient = jax.value_and_grad(loss, has_aux=True)(ac.actor_params)
    updates, actor_optimizer = optimizer["actor"].update(gradient, state.actor_optimizer, ac.actor_params)
    actor_params = optax.apply_updates(ac.actor_params, updates)

    gradient = jax.grad(partial(temperature_loss, config))(state.log_temperature, entropy, batch.action.shape[-1])
    updates, temperature_optimizer = optimizer["temperature"].update(gradient, state.temperature_optimizer)
    state = state.replace(
        actor_critic=ac.replace(actor_params=actor_params),
        actor_optimizer=actor_optimizer,
        log_temperature=optax.apply_updates(state.log_temperature, updates),
        temperature_optimizer=temperature_optimizer,
    )
    return state, {"policy_loss": value, "entropy": entropy, "temperature": jnp.exp(state.log_temperature)}


def update(config: SACConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """``utd`` critic steps on the parts of the batch, then one policy step."""
    batch = state.actor_critic.normalise_batch(batch)
    critic_key, policy_key = jax.random.split(key)
    parts = jax.tree.map(lambda x: x.reshape(config.utd, -1, *x.shape[1:]), batch)
    keys = jax.random.split(critic_key, config.utd)
    state, critic_metrics = jax.lax.scan(lambda s, x: critic_step(config, s, *x), state, (parts, keys))
    last = jax.tree.map(lambda x: x[-1], parts)
    state, policy_metrics = policy_step(config, state, last, policy_key)
    return state, {**jax.tree.map(jnp.mean, critic_metrics), **policy_metrics}


def act(state: State, observation: Float[Array, "observation"], key: Key) -> Float[Array, "action"]:
    """An action drawn from the policy."""
    return jnp.tanh(state.actor_critic.policy(observation).sample_pre_tanh(key))


def sac(config: SACConfig) -> OnlineAlgorithm:
    """Builds SAC from its config."""
    if config.batch_size % config.utd:
        raise ConfigError(f"SACConfig.batch_size = {config.batch_size}: must be a multiple of utd = {config.utd}.")
    return OnlineAlgorithm(
        name="sac",
        config=config,
        init=partial(init, config),
        update=partial(update, config),
        act=act,
        actor_critic=lambda state: state.actor_critic,
        batch_size=config.batch_size,
    )
