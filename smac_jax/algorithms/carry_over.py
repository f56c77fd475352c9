"""Optimizer states that an online algorithm takes over from offline pre-training.

Source: WSRL's code (Zhou et al. 2024, arXiv 2412.07762), which continues with the same training state. SMAC's paper
does not say whether optimizers continue.
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
    """The option whether the optimizers start again or continue."""

    optimizer_start: str = choice(
        "fresh", "carried", doc="'carried': the optimizers continue from their offline states (WSRL)"
    )


def carry_optimizers(config: CarryOverConfig, learner: L, training_state: TrainingState | None) -> L:
    """Returns a learner with the optimizer states of offline pre-training, if the config asks for them.

    Args:
      config: says whether to take them over.
      learner: a learner with new optimizer states.
      training_state: the training state of the offline algorithm.

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
    """Returns the offline state of one optimizer, after checking that the online optimizer can continue from it.

    Args:
      config: the config, whose class is named in error messages.
      network: the name of the network that the optimizer trains, for error messages.
      fresh: a new state of the online optimizer, which has the form that is needed.
      carried: the state after offline pre-training; None if there is none.

    Raises:
      ConfigError: there is no offline state, or it belongs to another optimizer.
    """
    if carried is None:
        raise ConfigError(
            f"{type(config).__name__}.optimizer_start = 'carried': there is no state of the {network}'s optimizer. "
            "Pass training_state=..., as pretrain(...) returns it, of an algorithm that has one."
        )
    if not alike(fresh, carried):
        raise ConfigError(
            f"{type(config).__name__}.optimizer_start = 'carried': the {network}'s optimizer online is another one "
            "than offline. Use the same optimizer in both."
        )
    return carried


def alike(a: Any, b: Any) -> bool:
    """Returns whether two trees have the same structure, and leaves of the same shapes and types."""
    shapes = [[(jnp.shape(x), jnp.result_type(x)) for x in jax.tree.leaves(tree)] for tree in (a, b)]
    return str(jax.tree.structure(a)) == str(jax.tree.structure(b)) and shapes[0] == shapes[1]
