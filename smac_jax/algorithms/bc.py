"""BC: behavior cloning by maximum likelihood, with critics that evaluate the clone.

    L_pi = -mean log pi(a|s) ,   y = r + gamma (1 - terminal) min_i Qbar_i(s', a') ,   a' ~ pi(s')

Source: Pomerleau 1991 for the policy. Cloning has no critics, and an online algorithm needs some: they are trained by
fitted policy evaluation (AWAC's critic step), which never steers the policy. Deviation from the cloning of TD3+BC's
paper and of CORL, the squared error of a deterministic policy: likelihood with a standard deviation that is learned,
whose gradient in the mean is the squared error's, divided by the variance. Of all data, not of the best tenth.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp

from smac_jax.algorithms import awac
from smac_jax.algorithms.base import (
    NetworkConfig,
    OfflineAlgorithm,
    Phase,
    PretrainingConfig,
    actor_critic_for,
    optimizer_states,
)
from smac_jax.algorithms.critic import optimizers, step
from smac_jax.types import Key, Metrics, Transition


@dataclasses.dataclass(frozen=True)
class BCConfig(awac.EvaluationConfig, PretrainingConfig):
    """Hyper-parameters of behavior cloning."""

    network: NetworkConfig = dataclasses.field(
        default_factory=partial(NetworkConfig, policy="box_gaussian", state_dependent_std=False)
    )


def update(config: BCConfig, state: awac.State, batch: Transition, key: Key) -> tuple[awac.State, Metrics]:
    """One step of the critics and one of the policy, which do not depend on each other's."""
    batch = state.actor_critic.normalize_batch(batch)
    state, metrics = awac.critic_step(config, state, batch, key)
    ac = state.actor_critic
    loss = partial(awac.policy_loss, config, ac, batch=batch, weight=jnp.ones_like(batch.reward))
    value, gradient = jax.value_and_grad(loss)(ac.actor_params)
    actor_params, actor_optimizer = step(optimizers(config)["actor"], gradient, state.actor_optimizer, ac.actor_params)
    state = state.replace(actor_critic=ac.replace(actor_params=actor_params), actor_optimizer=actor_optimizer)
    return state, {**metrics, "policy_loss": value}


def bc(config: BCConfig) -> OfflineAlgorithm:
    """Builds behavior cloning from its config."""
    return OfflineAlgorithm(
        name="bc",
        config=config,
        init=lambda key, dataset: awac.init(config, key, actor_critic_for(config, key, dataset)),
        phases=(Phase("offline", partial(update, config), config.batch_size),),
        actor_critic=lambda state: state.actor_critic,
        training_state=optimizer_states,
    )
