"""BC: behavior cloning by maximum likelihood, with critics that evaluate the cloned policy.

    L_pi = -mean log pi(a|s) ,   y = r + gamma (1 - terminal) min_i Qbar_i(s', a') ,   a' ~ pi(s')

Source: Pomerleau 1991 for the policy. Behavior cloning has no critics, but an online algorithm needs them. They are
trained by fitted policy evaluation (AWAC's critic step), which has no effect on the policy. Deviation: TD3+BC's paper
and CORL clone by the squared error of a deterministic policy. The likelihood has a learned standard deviation, and its
gradient with respect to the mean is that of the squared error divided by the variance. All data are cloned, not only
the best tenth.
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
    """The hyperparameters of behavior cloning."""

    network: NetworkConfig = dataclasses.field(
        default_factory=partial(NetworkConfig, distribution="box_gaussian", state_dependent_std=False)
    )


def init(config: BCConfig, key: Key, dataset: Dataset) -> Learner:
    """Returns the initial state, a :class:`~smac_jax.algorithms.learner.Learner` with randomly initialized networks."""
    return new_learner(config, actor_critic_for(config, key, dataset))


def update(config: BCConfig, learner: Learner, batch: Transition, key: Key) -> tuple[Learner, Metrics]:
    """Takes one step of the critics and one of the policy, which does not depend on the critics."""
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
