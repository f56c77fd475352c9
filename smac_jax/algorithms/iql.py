"""IQL: implicit Q-learning, which evaluates the critics only at actions of the data.

    L_V  = mean L2_tau(Qbar(s, a) - V(s)) ,   L2_tau(u) = |tau - 1(u < 0)| u^2            (equation 5)
    L_Q  = sum_i mean (r + gamma (1 - terminal) V(s') - Q_i(s, a))^2                      (equation 6)
    L_pi = -mean min(exp(beta (Qbar(s, a) - V(s))), limit) log pi(a|s)                    (equation 7)

``Qbar`` is the smallest value of the target critics. As in the published code, an update first changes V, then the
policy with the new V, then the critics with the new V, and then the targets.

Source: Kostrikov et al. 2021 (arXiv 2110.06169); the settings of SMAC's comparison are in ``smac_jax.presets``. As
published, the policy is a Gaussian over the action box: its mean has a tanh, its samples have none, and its standard
deviation does not depend on the state.

Deviations, none of which is in the losses: the published cosine decay of the policy's learning rate is
``actor_decay_steps``, which is off by default because its length is that of the run. The published code multiplies
locomotion's rewards by 1000 / (highest - lowest return), on which the meaning of beta depends; this is
``return_span=1000``, which is off by default and on in the preset ``locomotion``. Observations are normalized
(published: not). Kernels are initialized as in :mod:`smac_jax.networks.mlp` (published: orthogonal). There is no
dropout (published: 0.1 in the kitchen).

Online it continues with the same update and acts by samples of the policy, as the published ``train_finetune.py``. That
program samples batches from the union of data and replay buffer; here each batch has a fixed share of both.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import ClassVar

import chex
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float

from smac_jax.algorithms import critic
from smac_jax.algorithms.actor_critic import ActorCritic, NetworkConfig
from smac_jax.algorithms.continuation import continuation, keep_optimizers
from smac_jax.algorithms.contracts import OfflineAlgorithm, Phase
from smac_jax.algorithms.learner import (
    Learner,
    LearningConfig,
    actor_critic_of,
    apply_actor_gradient,
    critic_optimizer,
    gradient_step,
    optimizer_states,
)
from smac_jax.algorithms.pretraining import PretrainingConfig, actor_critic_for
from smac_jax.config import number, sizes
from smac_jax.data.dataset import Dataset
from smac_jax.networks import MLP
from smac_jax.optim import make_optimizer
from smac_jax.short_repr import brief
from smac_jax.types import Array, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class IQLConfig(LearningConfig, PretrainingConfig):
    """The hyperparameters of IQL, as published for locomotion with the deviations in the module's docstring."""

    network: NetworkConfig = dataclasses.field(
        default_factory=partial(NetworkConfig, distribution="box_gaussian", state_dependent_std=False)
    )
    OF_STATE: ClassVar[tuple[str, ...]] = ("value_hidden",)
    value_hidden: tuple[int, ...] = sizes(256, 256)
    value_learning_rate: float = number(3e-4, 0.0, 1.0)
    actor_decay_steps: int = number(
        0, 0, doc="the number of steps in which the policy's learning rate decays to zero; 0 for a constant rate"
    )
    expectile: float = number(0.7, 0.5, 0.9999, doc="tau; 0.5 gives the mean, 1 the maximum")
    beta: float = number(3.0, 0.0, doc="the inverse temperature of the advantage")
    weight_limit: float = number(100.0, 0.0, doc="the largest weight exp(beta * advantage)")


class State(Learner):
    """A learner with a state-value network V.

    Attributes:
      value_params: the parameters of V.
      value_optimizer: the state of the optimizer of V.
    """

    value_params: Params
    value_optimizer: optax.OptState

    __repr__ = brief


def actor_optimizer(config: IQLConfig) -> optax.GradientTransformation:
    """Returns the optimizer of the actor, whose learning rate may decay."""
    rate, rms = config.actor_learning_rate, config.muon_consistent_rms
    return make_optimizer(config.optimizer, rate, config.actor_decay_steps, rms)


def value_optimizer(config: IQLConfig) -> optax.GradientTransformation:
    """Returns the optimizer of V."""
    return make_optimizer(config.optimizer, config.value_learning_rate, consistent_rms=config.muon_consistent_rms)


def value(config: IQLConfig, params: Params, observation: Float[Array, "batch observation"]) -> Float[Array, "batch"]:
    """Returns ``V(s) [batch]`` at normalized observations."""
    return MLP(config.value_hidden, "relu", output=1).apply(params, observation)[..., 0]


def init(config: IQLConfig, key: Key, dataset: Dataset) -> State:
    """Returns the initial state with randomly initialized networks."""
    network_key, value_key = jax.random.split(key)
    ac = actor_critic_for(config, network_key, dataset)
    return new_state(config, ac, MLP(config.value_hidden, "relu", output=1).init(value_key, ac.observation_mean))


def new_state(config: IQLConfig, ac: ActorCritic, value_params: Params) -> State:
    """Returns a state with the given networks, and with new optimizer states."""
    return State(
        actor_critic=ac,
        critic_optimizer=critic_optimizer(config).init(ac.critic_params),
        actor_optimizer=actor_optimizer(config).init(ac.actor_params),
        value_params=value_params,
        value_optimizer=value_optimizer(config).init(value_params),
    )


def expectile_loss(error: Float[Array, "batch"], expectile: float) -> Float[Array, ""]:
    """Returns ``mean L2_tau(u)`` with ``L2_tau(u) = |tau - 1(u < 0)| u^2`` (equation 5).

    Args:
      error: ``u [batch]``.
      expectile: ``tau``.
    """
    chex.assert_rank(error, 1)
    weight = jnp.where(error < 0.0, 1.0 - expectile, expectile)
    return jnp.mean(weight * error**2)


def value_loss(
    config: IQLConfig, value_params: Params, batch: Transition, q: Float[Array, "batch"]
) -> tuple[Float[Array, ""], Float[Array, "batch"]]:
    """Returns ``L_V`` of equation 5, and ``V(s) [batch]``.

    Args:
      config: has the expectile.
      value_params: the parameters of V, with respect to which the loss is differentiated.
      batch: has normalized observations ``[batch, observation]``.
      q: ``Qbar(s, a) [batch]``.
    """
    v = value(config, value_params, batch.observation)
    chex.assert_equal_shape([q, v])
    return expectile_loss(q - v, config.expectile), v


def policy_loss(
    config: IQLConfig, ac: ActorCritic, actor_params: Params, batch: Transition, advantage: Float[Array, "batch"]
) -> Float[Array, ""]:
    """Returns ``L_pi`` of equation 7, the weighted regression.

    Args:
      config: has beta and the limit of the weights.
      ac: has the module of the actor.
      actor_params: the parameters of the actor, with respect to which the loss is differentiated.
      batch: has normalized observations ``[batch, observation]`` and actions ``[batch, action]``.
      advantage: ``Qbar(s, a) - V(s) [batch]``.
    """
    log_prob = ac.actor.apply(actor_params, batch.observation).log_prob(batch.action)
    chex.assert_equal_shape([advantage, log_prob])
    weight = jnp.minimum(jnp.exp(config.beta * advantage), config.weight_limit)
    return -jnp.mean(weight * log_prob)


def update(config: IQLConfig, state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
    """Takes one step of V, of the policy and of the critics, and updates the target critics."""
    ac = state.actor_critic
    batch = ac.normalize_batch(batch)
    q = critic.target_value(ac, batch.observation, batch.action, "min", key)

    value_gradient = jax.value_and_grad(partial(value_loss, config, batch=batch, q=q), has_aux=True)
    (v_loss, v), gradient = value_gradient(state.value_params)
    value_params, optimizer = gradient_step(
        value_optimizer(config), gradient, state.value_optimizer, state.value_params
    )
    state = state.replace(value_params=value_params, value_optimizer=optimizer)

    advantage = q - value(config, value_params, batch.observation)
    policy_gradient = jax.value_and_grad(partial(policy_loss, config, ac, batch=batch, advantage=advantage))
    pi_loss, gradient = policy_gradient(ac.actor_params)
    state = apply_actor_gradient(actor_optimizer(config), state, gradient)

    target = critic.bootstrap(batch, config.discount, value(config, value_params, batch.next_observation))
    state, metrics = critic.critic_step(config, state, batch, target)
    state = critic.move_targets(config, state)
    return state, {**metrics, "value_loss": v_loss, "value": v.mean(), "policy_loss": pi_loss}


def iql(config: IQLConfig) -> OfflineAlgorithm[State]:
    """Builds IQL from its config."""
    return OfflineAlgorithm(
        name="iql",
        config=config,
        init=partial(init, config),
        phases=(Phase("offline", partial(update, config), config.batch_size),),
        actor_critic=actor_critic_of,
        training_state=optimizer_states,
        continue_online=continuation(
            State,
            lambda online: partial(update, online),
            lambda online, state: new_state(online, state.actor_critic, state.value_params),
            with_optimizers=keep_optimizers("value_optimizer"),
        ),
    )
