"""An offline algorithm: behavior cloning that counts a transition the more, the higher the return of its episode.

    smac-jax sweep --import=my_algorithm.py --offline=selective,iql --config.selective.sharpness=5

It borrows its critics, which an online algorithm needs, from AWAC.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import jax

from smac_jax.algorithms import awac
from smac_jax.algorithms.critic import optimizers, step
from smac_jax.extend import (
    Key,
    Metrics,
    OfflineAlgorithm,
    Phase,
    PretrainingConfig,
    Transition,
    actor_critic_for,
    number,
    register_offline,
)


@dataclasses.dataclass(frozen=True)
class SelectiveConfig(awac.AdvantageWeightedConfig, PretrainingConfig):
    """Hyper-parameters; each with its range, which is checked."""

    sharpness: float = number(2.0, 0.0, doc="0 is behavior cloning; the higher, the more the best episodes count")


def update(config: SelectiveConfig, state: awac.State, batch: Transition, key: Key) -> tuple[awac.State, Metrics]:
    """One step of the critics, one of the policy."""
    batch = state.actor_critic.normalize_batch(batch)
    state, metrics = awac.critic_step(config, state, batch, key)
    ac = state.actor_critic
    # batch.condition is the return of the transition's episode, in [0, 1] of the data's
    weight = jax.nn.softmax(config.sharpness * batch.condition) * batch.condition.shape[0]
    loss = partial(awac.policy_loss, config, ac, batch=batch, weight=weight)
    value, gradient = jax.value_and_grad(loss)(ac.actor_params)
    params, optimizer = step(optimizers(config)["actor"], gradient, state.actor_optimizer, ac.actor_params)
    state = state.replace(actor_critic=ac.replace(actor_params=params), actor_optimizer=optimizer)
    return state, {**metrics, "policy_loss": value}


@register_offline("selective", SelectiveConfig)
def selective(config: SelectiveConfig) -> OfflineAlgorithm:
    """Builds the algorithm from its config."""
    return OfflineAlgorithm(
        name="selective",
        config=config,
        init=lambda key, dataset: awac.init(config, key, actor_critic_for(config, key, dataset)),
        phases=(Phase("offline", partial(update, config), config.batch_size),),
        actor_critic=lambda state: state.actor_critic,
    )
