"""BC: behavior cloning by maximum likelihood, with critics that evaluate the clone.

    L_pi = -mean log pi(a|s) ,   y = r + gamma (1 - terminal) min_i Qbar_i(s', a') ,   a' ~ pi(s')

Source: Pomerleau 1991 for the policy. Cloning has no critics, and an online algorithm needs some: they are trained by
fitted policy evaluation (AWAC's critic step), which never steers the policy. Deviation from the cloning of TD3+BC's
paper and of CORL, the squared error of a deterministic policy: likelihood with a standard deviation that is learned,
whose gradient in the mean is that of the squared error, divided by the variance. All data are cloned, not the best
tenth.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import jax.numpy as jnp

from smac_jax.algorithms import awac
from smac_jax.algorithms.actor_critic import NetworkConfig
from smac_jax.algorithms.contracts import OfflineAlgorithm, Phase
from smac_jax.algorithms.learner import Learner, actor_critic_of, new_learner, optimizer_states
from smac_jax.algorithms.pretraining import PretrainingConfig, actor_critic_for
from smac_jax.data.dataset import Dataset
from smac_jax.types import Key, Metrics, Transition


@dataclasses.dataclass(frozen=True)
class BCConfig(awac.EvaluationConfig, PretrainingConfig):
    """Hyper-parameters of behavior cloning."""

    network: NetworkConfig = dataclasses.field(
        default_factory=partial(NetworkConfig, distribution="box_gaussian", state_dependent_std=False)
    )


def init(config: BCConfig, key: Key, dataset: Dataset) -> Learner:
    """Fresh networks; the state is a plain :class:`~smac_jax.algorithms.learner.Learner`."""
    return new_learner(config, actor_critic_for(config, key, dataset))


def update(config: BCConfig, learner: Learner, batch: Transition, key: Key) -> tuple[Learner, Metrics]:
    """One step of the critics and one of the policy; neither depends on the other's."""
    batch = learner.actor_critic.normalize_batch(batch)
    learner, metrics = awac.critic_step(config, learner, batch, key)
    learner, loss = awac.policy_step(config, learner, batch, jnp.ones_like(batch.reward))
    return learner, {**metrics, "policy_loss": loss}


def bc(config: BCConfig) -> OfflineAlgorithm[Learner]:
    """Builds behavior cloning from its config."""
    return OfflineAlgorithm(
        name="bc",
        config=config,
        init=partial(init, config),
        phases=(Phase("offline", partial(update, config), config.batch_size),),
        actor_critic=actor_critic_of,
        training_state=optimizer_states,
    )
