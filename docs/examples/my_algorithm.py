"""An offline algorithm: behavior cloning that counts a transition the more, the higher the return of its episode.

    smac-jax sweep --import=my_algorithm.py --offline=selective,iql --config.selective.sharpness=5

It borrows its critics, which an online algorithm needs, and the step of the policy from AWAC.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import jax

from smac_jax.algorithms import awac
from smac_jax.extend import (
    Dataset,
    Key,
    Learner,
    Metrics,
    OfflineAlgorithm,
    Phase,
    PretrainingConfig,
    Transition,
    actor_critic_for,
    actor_critic_of,
    new_learner,
    number,
    register_offline,
)


@dataclasses.dataclass(frozen=True)
class SelectiveConfig(awac.EvaluationConfig, PretrainingConfig):
    """Hyper-parameters; each with its range, which is checked."""

    sharpness: float = number(2.0, 0.0, doc="0 is behavior cloning; the higher, the more the best episodes count")


def init(config: SelectiveConfig, key: Key, dataset: Dataset) -> Learner:
    """Fresh networks and optimizers."""
    return new_learner(config, actor_critic_for(config, key, dataset))


def update(config: SelectiveConfig, learner: Learner, batch: Transition, key: Key) -> tuple[Learner, Metrics]:
    """One step of the critics, one of the policy."""
    batch = learner.actor_critic.normalize_batch(batch)
    learner, metrics = awac.critic_step(config, learner, batch, key)
    # batch.condition is the return of the transition's episode, in [0, 1] of the data's
    weight = jax.nn.softmax(config.sharpness * batch.condition) * batch.condition.shape[0]
    learner, loss = awac.policy_step(config, learner, batch, weight)
    return learner, {**metrics, "policy_loss": loss}


@register_offline("selective", SelectiveConfig)
def selective(config: SelectiveConfig) -> OfflineAlgorithm[Learner]:
    """Builds the algorithm from its config."""
    return OfflineAlgorithm(
        name="selective",
        config=config,
        init=partial(init, config),
        phases=(Phase("offline", partial(update, config), config.batch_size),),
        actor_critic=actor_critic_of,
    )
