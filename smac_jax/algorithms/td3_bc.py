"""TD3+BC: TD3 with a behaviour-cloning term, the plain offline baseline.

    L_pi = -lambda mean Q(s, pi(s)) + mean (pi(s) - a)^2 ,   lambda = alpha / mean |Q(s, pi(s))|

Source: Fujimoto and Gu 2021 (arXiv 2106.06860), equations 3-5; Fujimoto et al. 2018 (arXiv 1802.09477), algorithm 1.
Deviations: the actor is the tanh-Gaussian that every algorithm here hands over; only its mean is trained, and its
standard deviation stays at ``network.initial_std`` (before the tanh), with which an online algorithm starts exploring.
The policy ascends the mean of the ensemble's first member, as published.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Float

from smac_jax.algorithms.base import (
    ActorCritic,
    NetworkConfig,
    OfflineAlgorithm,
    Phase,
    new_actor_critic,
    polyak_average,
)
from smac_jax.config import choice, number
from smac_jax.data.dataset import Dataset
from smac_jax.networks import ensemble_values
from smac_jax.optim import make_optimizer
from smac_jax.types import Array, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class TD3BCConfig:
    """Hyper-parameters of TD3+BC, as published."""

    network: NetworkConfig = dataclasses.field(default_factory=partial(NetworkConfig, initial_std=0.1))
    batch_size: int = number(256, 1)
    discount: float = number(0.99, 0.0, 1.0)
    polyak: float = number(0.005, 0.0, 1.0)
    critic_learning_rate: float = number(3e-4, 0.0, 1.0)
    actor_learning_rate: float = number(3e-4, 0.0, 1.0)
    optimizer: str = choice("adam", "muon")
    alpha: float = number(2.5, 0.0, doc="weight of Q against behaviour cloning")
    policy_noise: float = number(0.2, 0.0)
    noise_clip: float = number(0.5, 0.0)
    policy_delay: int = number(2, 1)


class State(struct.PyTreeNode):
    """Actor-critic, the target policy, and the optimisers' states."""

    actor_critic: ActorCritic
    target_actor_params: Params
    critic_optimizer: optax.OptState
    actor_optimizer: optax.OptState
    step: Array


def optimizers(config: TD3BCConfig) -> dict[str, optax.GradientTransformation]:
    """One optimiser each for critic and actor."""
    return {
        "critic": make_optimizer(config.optimizer, config.critic_learning_rate),
        "actor": make_optimizer(config.optimizer, config.actor_learning_rate),
    }


def init(config: TD3BCConfig, key: Key, dataset: Dataset) -> State:
    """Fresh networks that see the data set's normalised observations."""
    mean, std = dataset.observation_statistics()
    ac = new_actor_critic(config.network, key, mean, std, dataset.actions.shape[-1])
    optimizer = optimizers(config)
    return State(
        actor_critic=ac,
        target_actor_params=jax.tree.map(jnp.copy, ac.actor_params),
        critic_optimizer=optimizer["critic"].init(ac.critic_params),
        actor_optimizer=optimizer["actor"].init(ac.actor_params),
        step=jnp.zeros((), jnp.int32),
    )


def temporal_difference_target(config: TD3BCConfig, state: State, batch: Transition, key: Key) -> Float[Array, "batch"]:
    """``r + gamma (1 - terminal) min_i Qbar_i(s', pibar(s') + clipped noise)``: target policy smoothing."""
    ac = state.actor_critic
    noise = config.policy_noise * jax.random.normal(key, batch.action.shape)
    noise = jnp.clip(noise, -config.noise_clip, config.noise_clip)
    next_action = ac.actor.apply(state.target_actor_params, batch.next_observation).mode() + noise
    next_action = jnp.clip(next_action, -1.0, 1.0)
    values = ensemble_values(ac.critic, ac.target_critic_params, batch.next_observation, next_action)
    return batch.reward + config.discount * (1.0 - batch.terminal) * values.min(axis=0)


def critic_loss(
    ac: ActorCritic, critic_params: Params, batch: Transition, target: Float[Array, "batch"]
) -> tuple[Float[Array, ""], Metrics]:
    """``sum_i mean (Q_i(s, a) - target)^2``."""
    values = ensemble_values(ac.critic, critic_params, batch.observation, batch.action)
    loss = jnp.sum(jnp.mean((values - target) ** 2, axis=-1))
    return loss, {"td_loss": loss / values.shape[0], "q": values.mean(), "q_spread": values.std(axis=0).mean()}


def policy_loss(
    config: TD3BCConfig, ac: ActorCritic, actor_params: Params, batch: Transition
) -> tuple[Float[Array, ""], Metrics]:
    """``-lambda mean Q_1(s, pi(s)) + mean (pi(s) - a)^2``."""
    action = ac.actor.apply(actor_params, batch.observation).mode()
    first_member = jax.tree.map(lambda x: x[0], ac.critic_params)
    value = ac.critic.apply(first_member, batch.observation, action)
    weight = config.alpha / jax.lax.stop_gradient(jnp.abs(value).mean())
    cloning = jnp.mean((action - batch.action) ** 2)
    loss = -weight * value.mean() + cloning
    return loss, {"policy_loss": loss, "cloning_loss": cloning}


def update(config: TD3BCConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """One critic step; every ``policy_delay``-th call also a policy step and a polyak step of all targets."""
    ac, optimizer = state.actor_critic, optimizers(config)
    batch = ac.normalise_batch(batch)
    target = temporal_difference_target(config, state, batch, key)
    loss = partial(critic_loss, ac, batch=batch, target=target)
    gradient, critic_metrics = jax.grad(loss, has_aux=True)(ac.critic_params)
    updates, critic_optimizer = optimizer["critic"].update(gradient, state.critic_optimizer, ac.critic_params)
    ac = ac.replace(critic_params=optax.apply_updates(ac.critic_params, updates))

    gradient, policy_metrics = jax.grad(partial(policy_loss, config, ac, batch=batch), has_aux=True)(ac.actor_params)
    updates, actor_optimizer = optimizer["actor"].update(gradient, state.actor_optimizer, ac.actor_params)
    actor_params = optax.apply_updates(ac.actor_params, updates)
    step = state.step + 1
    before = state.replace(actor_critic=ac, critic_optimizer=critic_optimizer, step=step)
    after = before.replace(
        actor_critic=ac.replace(
            actor_params=actor_params,
            target_critic_params=polyak_average(ac.critic_params, ac.target_critic_params, config.polyak),
        ),
        target_actor_params=polyak_average(actor_params, state.target_actor_params, config.polyak),
        actor_optimizer=actor_optimizer,
    )
    # A choice between results, not a branch: under the seed axis' vmap a branch would compute both sides anyway.
    is_policy_step = step % config.policy_delay == 0
    state = jax.tree.map(partial(jnp.where, is_policy_step), after, before)
    return state, {**critic_metrics, **policy_metrics}


def td3_bc(config: TD3BCConfig) -> OfflineAlgorithm:
    """Builds TD3+BC from its config."""
    return OfflineAlgorithm(
        name="td3_bc",
        config=config,
        init=partial(init, config),
        phases=(Phase("offline", partial(update, config), config.batch_size),),
        actor_critic=lambda state: state.actor_critic,
    )
