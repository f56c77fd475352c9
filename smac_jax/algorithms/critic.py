"""What every algorithm does with its critics: the optimizers, the bootstrapped target, the squared error, the step."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float

from smac_jax.algorithms.base import ActorCritic, LearningConfig, polyak_average
from smac_jax.networks import aggregate, ensemble_values, tie_heads
from smac_jax.optim import make_optimizer
from smac_jax.types import Array, Key, Metrics, Params, Transition


def optimizers(config: LearningConfig) -> dict[str, optax.GradientTransformation]:
    """One optimizer each for critic and actor."""
    return {
        name: make_optimizer(config.optimizer, rate, consistent_rms=config.muon_consistent_rms)
        for name, rate in (("critic", config.critic_learning_rate), ("actor", config.actor_learning_rate))
    }


def bootstrap(batch: Transition, discount: float, next_value: Float[Array, "batch"]) -> Float[Array, "batch"]:
    """``r + gamma (1 - terminal) V(s')``, without gradient. A time-out is no terminal, and bootstraps."""
    return jax.lax.stop_gradient(batch.reward + discount * (1.0 - batch.terminal) * next_value)


def target_value(
    ac: ActorCritic,
    observation: Float[Array, "*batch observation"],
    action: Float[Array, "*batch action"],
    how: str,
    key: Key,
) -> Float[Array, "*batch"]:
    """The target critics' value, aggregated (:func:`smac_jax.networks.aggregate`)."""
    return aggregate(ensemble_values(ac.critic, ac.target_critic_params, observation, action), how, key)


def squared_error(
    values: Float[Array, "member batch"], target: Float[Array, "batch"], reduction: str = "sum"
) -> tuple[Float[Array, ""], Metrics]:
    """``sum_i mean (Q_i(s, a) - target)^2``: each member learns as if it were alone; or the mean over the members."""
    mean = jnp.mean((values - target) ** 2)
    loss = mean if reduction == "mean" else jnp.sum(jnp.mean((values - target) ** 2, axis=-1))
    return loss, {"td_loss": mean, "q": values.mean(), "q_spread": values.std(axis=0).mean()}


def critic_loss(
    ac: ActorCritic, critic_params: Params, batch: Transition, target: Float[Array, "batch"], reduction: str = "sum"
) -> tuple[Float[Array, ""], Metrics]:
    """:func:`squared_error` at the batch's actions."""
    return squared_error(ensemble_values(ac.critic, critic_params, batch.observation, batch.action), target, reduction)


def step(
    optimizer: optax.GradientTransformation, gradient: Any, state: optax.OptState, params: Any
) -> tuple[Any, optax.OptState]:
    """One optimizer step: ``(new parameters, new optimizer state)``."""
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), state


def critic_optimizer_step(
    config: LearningConfig, ac: ActorCritic, gradient: Params, state: optax.OptState
) -> tuple[Params, optax.OptState]:
    """One optimizer step of the critics: ``(new parameters, new optimizer state)``."""
    return step(optimizers(config)["critic"], tie_heads(ac.critic, gradient), state, ac.critic_params)


def with_new_critics(ac: ActorCritic, critic_params: Params, polyak: float) -> ActorCritic:
    """New critics, and target critics a polyak step closer to them."""
    target = polyak_average(critic_params, ac.target_critic_params, polyak)
    return ac.replace(critic_params=critic_params, target_critic_params=target)
