"""TD3+BC: TD3 with a behavior-cloning term, as an offline algorithm and as an online algorithm.

    L_pi = -lambda mean Q_1(s, pi(s)) + mean (pi(s) - a)^2 ,   lambda = alpha / mean |Q_1(s, pi(s))|, no gradient

Source: Fujimoto and Gu 2021 (arXiv 2106.06860), equations 3-5; everything else is :mod:`smac_jax.algorithms.td3`.

Deviations: lambda is computed at the policy's actions, as in the published code; equation 5 has the data's actions.
Observations are divided by ``max(std, 1e-3)``, not by ``std + 1e-3``. The actor is a tanh-Gaussian, so that every
online algorithm can continue with it. Only its mean is trained, and its standard deviation stays at
``network.initial_std`` (before the tanh), with which an online algorithm begins to explore. Online, the cloning term
includes all actions of a batch, also those from the replay buffer (SMAC, tables 6-8: alpha is 5 for locomotion).
"""

from __future__ import annotations

import dataclasses
from functools import partial

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Float

from smac_jax.algorithms import td3
from smac_jax.algorithms.actor_critic import ActorCritic, NetworkConfig
from smac_jax.algorithms.continuation import continuation
from smac_jax.algorithms.contracts import OfflineAlgorithm, OnlineAlgorithm, Phase, Update
from smac_jax.algorithms.high_utd import check_utd
from smac_jax.algorithms.learner import actor_critic_of, optimizer_states
from smac_jax.algorithms.pretraining import PretrainingConfig, actor_critic_for
from smac_jax.config import number
from smac_jax.data.dataset import Dataset
from smac_jax.types import Array, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class CloningConfig:
    """The weight of Q."""

    alpha: float = number(2.5, 0.0, doc="the weight of Q relative to behavior cloning")


@dataclasses.dataclass(frozen=True)
class OnlineTD3BCConfig(td3.TD3Config, CloningConfig):
    """The hyperparameters of TD3+BC online."""


@dataclasses.dataclass(frozen=True)
class TD3BCConfig(td3.DelayedConfig, CloningConfig, PretrainingConfig):
    """The hyperparameters of TD3+BC, as published."""

    network: NetworkConfig = dataclasses.field(default_factory=partial(NetworkConfig, initial_std=0.1))


def init(config: TD3BCConfig, key: Key, dataset: Dataset) -> td3.State:
    """Returns the initial state, which is that of TD3, with randomly initialized networks."""
    return td3.new_state(config, actor_critic_for(config, key, dataset))


def policy_loss(
    config: CloningConfig, ac: ActorCritic, actor_params: Params, batch: Transition
) -> tuple[Float[Array, ""], Metrics]:
    """Returns ``L_pi = -lambda mean Q_1(s, pi(s)) + mean (pi(s) - a)^2`` and its metrics.

    Args:
      config: has alpha.
      ac: the networks.
      actor_params: the parameters of the actor, with respect to which the loss is differentiated.
      batch: has normalized observations ``[batch, observation]`` and actions ``[batch, action]``.
    """
    action = ac.actor.apply(actor_params, batch.observation).mode()
    chex.assert_equal_shape([action, batch.action])
    value = td3.first_critic(ac, batch.observation, action)
    # the maximum avoids a division by zero if all values are zero
    weight = config.alpha / jnp.maximum(jax.lax.stop_gradient(jnp.abs(value).mean()), 1e-8)
    cloning = jnp.mean((action - batch.action) ** 2)
    loss = -weight * value.mean() + cloning
    return loss, {"policy_loss": loss, "cloning_loss": cloning}


def td3_bc(config: TD3BCConfig) -> OfflineAlgorithm[td3.State]:
    """Builds TD3+BC from its config.

    Raises:
      ConfigError: the batch cannot be split into ``utd`` equal parts.
    """
    check_utd(config)

    def update(config: TD3BCConfig) -> Update[td3.State]:
        return partial(td3.update, config, partial(policy_loss, config))

    return OfflineAlgorithm(
        name="td3_bc",
        config=config,
        init=partial(init, config),
        phases=(Phase("offline", update(config), config.batch_size),),
        actor_critic=actor_critic_of,
        training_state=optimizer_states,
        continue_online=continuation(
            td3.State,
            update,
            lambda online, state: td3.new_state(online, state.actor_critic),
            check=check_utd,
            act=partial(td3.act, td3.TD3Config()),  # offline training has no exploration noise, so this is TD3's
        ),
    )


def online_td3_bc(config: OnlineTD3BCConfig) -> OnlineAlgorithm[td3.State]:
    """Builds TD3+BC as an online algorithm. Raises as :func:`smac_jax.algorithms.td3.online` does."""
    return td3.online("td3_bc", config, partial(policy_loss, config))
