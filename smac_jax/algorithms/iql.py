"""IQL: implicit Q-learning, which never asks the critics about an action that is not in the data.

    L_V  = mean L2_tau(Qbar(s, a) - V(s)) ,   L2_tau(u) = |tau - 1(u < 0)| u^2            (equation 5)
    L_Q  = sum_i mean (r + gamma (1 - terminal) V(s') - Q_i(s, a))^2                      (equation 6)
    L_pi = -mean min(exp(beta (Qbar(s, a) - V(s))), limit) log pi(a|s)                    (equation 7)

``Qbar`` is the smallest of the target critics. Within an update: V, then the policy with the new V, then the critics
with the new V, then the targets, as in the published code.

Source: Kostrikov et al. 2021 (arXiv 2110.06169); the settings of SMAC's comparison are in ``experiments/configs``.
Deviations: none in the losses. The policy is, as published, a Gaussian over the action box: its mean passes a tanh, its
draws do not ("no tanh"), and no state changes its standard deviation. Around the losses: the published cosine decay of
the policy's learning rate is ``actor_decay_steps``, off by default because its length is that of the run. The
published code rescales locomotion's rewards by 1000 / (highest - lowest return), ``return_span=1000``, without which
beta means another thing; off by default, on in ``locomotion``. Observations are normalized
(published: not). Kernels start as in :mod:`smac_jax.networks.mlp` (published: orthogonal). No dropout (published: 0.1
in the kitchen).
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
    LearningConfig,
    NetworkConfig,
    OfflineAlgorithm,
    Phase,
    PretrainingConfig,
    actor_critic_for,
    optimizer_states,
)
from smac_jax.algorithms.critic import (
    bootstrap,
    critic_loss,
    critic_optimizer_step,
    step,
    target_value,
    with_new_critics,
)
from smac_jax.config import number, sizes
from smac_jax.data.dataset import Dataset
from smac_jax.networks import MLP
from smac_jax.optim import make_optimizer
from smac_jax.short_repr import brief
from smac_jax.types import Array, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class IQLConfig(LearningConfig, PretrainingConfig):
    """Hyper-parameters of IQL, as published for locomotion but for what the module's docstring lists."""

    network: NetworkConfig = dataclasses.field(
        default_factory=partial(NetworkConfig, policy="box_gaussian", state_dependent_std=False)
    )
    value_hidden: tuple[int, ...] = sizes(256, 256)
    value_learning_rate: float = number(3e-4, 0.0, 1.0)
    actor_decay_steps: int = number(0, 0, doc="the policy's learning rate falls to zero over so many steps; 0: never")
    expectile: float = number(0.7, 0.5, 0.9999, doc="tau; 0.5 is the mean, 1 the maximum")
    beta: float = number(3.0, 0.0, doc="inverse temperature of the advantage")
    weight_limit: float = number(100.0, 0.0, doc="largest exp(beta * advantage)")


class State(struct.PyTreeNode):
    """Actor-critic, the value of states, and the optimizers' states."""

    actor_critic: ActorCritic
    value_params: Params
    critic_optimizer: optax.OptState
    actor_optimizer: optax.OptState
    value_optimizer: optax.OptState

    __repr__ = brief


def optimizers(config: IQLConfig) -> dict[str, optax.GradientTransformation]:
    """One optimizer each for critic, actor and value."""
    rms = config.muon_consistent_rms
    return {
        "critic": make_optimizer(config.optimizer, config.critic_learning_rate, 0, rms),
        "actor": make_optimizer(config.optimizer, config.actor_learning_rate, config.actor_decay_steps, rms),
        "value": make_optimizer(config.optimizer, config.value_learning_rate, 0, rms),
    }


def value(config: IQLConfig, params: Params, observation: Float[Array, "batch observation"]) -> Float[Array, "batch"]:
    """``V(s)``."""
    return MLP(config.value_hidden, "relu", output=1).apply(params, observation)[..., 0]


def init(config: IQLConfig, key: Key, dataset: Dataset) -> State:
    """Fresh networks."""
    network_key, value_key = jax.random.split(key)
    ac = actor_critic_for(config, network_key, dataset)
    value_params = MLP(config.value_hidden, "relu", output=1).init(value_key, ac.observation_mean)
    optimizer = optimizers(config)
    return State(
        actor_critic=ac,
        value_params=value_params,
        critic_optimizer=optimizer["critic"].init(ac.critic_params),
        actor_optimizer=optimizer["actor"].init(ac.actor_params),
        value_optimizer=optimizer["value"].init(value_params),
    )


def value_loss(
    config: IQLConfig, value_params: Params, batch: Transition, q: Float[Array, "batch"]
) -> tuple[Float[Array, ""], Float[Array, "batch"]]:
    """The expectile regression of equation 5, and ``V(s)``."""
    v = value(config, value_params, batch.observation)
    error = q - v
    weight = jnp.where(error < 0.0, 1.0 - config.expectile, config.expectile)
    return jnp.mean(weight * error**2), v


def policy_loss(
    config: IQLConfig, ac: ActorCritic, actor_params: Params, batch: Transition, advantage: Float[Array, "batch"]
) -> Float[Array, ""]:
    """The weighted regression of equation 7."""
    weight = jnp.minimum(jnp.exp(config.beta * advantage), config.weight_limit)
    return -jnp.mean(weight * ac.actor.apply(actor_params, batch.observation).log_prob(batch.action))


def update(config: IQLConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """One step each of V, policy and critics, and a polyak step of the targets."""
    ac, optimizer = state.actor_critic, optimizers(config)
    batch = ac.normalize_batch(batch)
    q = target_value(ac, batch.observation, batch.action, "min", key)

    value_gradient = jax.value_and_grad(partial(value_loss, config, batch=batch, q=q), has_aux=True)
    (v_loss, v), gradient = value_gradient(state.value_params)
    value_params, value_optimizer = step(optimizer["value"], gradient, state.value_optimizer, state.value_params)

    advantage = q - value(config, value_params, batch.observation)
    policy_gradient = jax.value_and_grad(partial(policy_loss, config, ac, batch=batch, advantage=advantage))
    pi_loss, gradient = policy_gradient(ac.actor_params)
    actor_params, actor_optimizer = step(optimizer["actor"], gradient, state.actor_optimizer, ac.actor_params)

    target = bootstrap(batch, config.discount, value(config, value_params, batch.next_observation))
    critic_gradient = jax.grad(partial(critic_loss, ac, batch=batch, target=target), has_aux=True)
    gradient, metrics = critic_gradient(ac.critic_params)
    critic_params, critic_optimizer = critic_optimizer_step(config, ac, gradient, state.critic_optimizer)

    state = State(
        actor_critic=with_new_critics(ac, critic_params, config.polyak).replace(actor_params=actor_params),
        value_params=value_params,
        critic_optimizer=critic_optimizer,
        actor_optimizer=actor_optimizer,
        value_optimizer=value_optimizer,
    )
    return state, {**metrics, "value_loss": v_loss, "value": v.mean(), "policy_loss": pi_loss}


def iql(config: IQLConfig) -> OfflineAlgorithm:
    """Builds IQL from its config."""
    return OfflineAlgorithm(
        name="iql",
        config=config,
        init=partial(init, config),
        phases=(Phase("offline", partial(update, config), config.batch_size),),
        actor_critic=lambda state: state.actor_critic,
        training_state=optimizer_states,
    )
