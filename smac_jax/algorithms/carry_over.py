"""What an online algorithm continues with from offline pre-training, beside the networks: the optimizers.

Source: WSRL's code (Zhou et al. 2024, arXiv 2412.07762), which goes on with one training state. SMAC's paper does not
say.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from smac_jax.algorithms.contracts import TrainingState
from smac_jax.algorithms.learner import L
from smac_jax.config import choice
from smac_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class CarryOverConfig:
    """Whether the optimizers start fresh or continue."""

    optimizer_start: str = choice(
        "fresh", "carried", doc="'carried': the optimizers continue from their offline states (WSRL)"
    )


def carry_optimizers(config: CarryOverConfig, learner: L, training_state: TrainingState | None) -> L:
    """A learner whose two optimizers are as fresh as they are, or continue from offline pre-training.

    Args:
      config: whether.
      learner: with fresh optimizers.
      training_state: of the offline algorithm.

    Raises:
      ConfigError: as in :func:`carried_optimizer`.
    """
    if config.optimizer_start == "fresh":
        return learner
    return learner.replace(
        critic_optimizer=carried_optimizer(
            config, "critic", learner.critic_optimizer, training_state and training_state.critic_optimizer
        ),
        actor_optimizer=carried_optimizer(
            config, "actor", learner.actor_optimizer, training_state and training_state.actor_optimizer
        ),
    )


def carried_optimizer(
    config: CarryOverConfig, network: str, fresh: optax.OptState, carried: optax.OptState | None
) -> optax.OptState:
    """The state of one optimizer to continue from.

    Args:
      config: named in the errors.
      network: the one that the optimizer trains, named in the errors.
      fresh: what the online optimizer would start from; decides what fits.
      carried: the state after offline pre-training, if there is one.

    Raises:
      ConfigError: there is no such state, or it is that of another optimizer.
    """
    if carried is None:
        raise ConfigError(
            f"{type(config).__name__}.optimizer_start = 'carried': there is no state of the {network}'s optimizer. "
            "Pass training_state=..., as pretrain(...) returns it, of an algorithm that has one."
        )
    if not alike(fresh, carried):
        raise ConfigError(
            f"{type(config).__name__}.optimizer_start = 'carried': the {network}'s optimizer is another one online "
            "than offline. Give both sides the same optimizer."
        )
    return carried


def alike(a: Any, b: Any) -> bool:
    """Whether two trees have the same structure, and leaves of the same shapes and types."""
    shapes = [[(jnp.shape(x), jnp.result_type(x)) for x in jax.tree.leaves(tree)] for tree in (a, b)]
    return str(jax.tree.structure(a)) == str(jax.tree.structure(b)) and shapes[0] == shapes[1]
