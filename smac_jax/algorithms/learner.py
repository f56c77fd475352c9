"""The state that all algorithms share (an actor-critic and two optimizers), and its gradient steps.

The state of an algorithm is a :class:`Learner`, or a subclass with further fields.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import optax
from flax import struct
from jaxtyping import Float

from smac_jax.algorithms.actor_critic import ActorCritic
from smac_jax.algorithms.contracts import TrainingState
from smac_jax.config import choice, number
from smac_jax.networks import tie_heads
from smac_jax.optim import make_optimizer
from smac_jax.short_repr import brief
from smac_jax.types import Array, Key, Params


@dataclasses.dataclass(frozen=True)
class LearningConfig:
    """The hyperparameters of every actor-critic algorithm."""

    batch_size: int = number(256, 1)
    discount: float = number(0.99, 0.0, 1.0)
    polyak: float = number(0.005, 0.0, 1.0)
    critic_learning_rate: float = number(3e-4, 0.0, 1.0)
    actor_learning_rate: float = number(3e-4, 0.0, 1.0)
    optimizer: str = choice("adam", "muon")
    muon_consistent_rms: float = number(
        0.0, 0.0, 1.0, doc="above 0: the RMS of Muon's steps in layers of any width (0.2 is that of Adam)"
    )


class Learner(struct.PyTreeNode):
    """An actor-critic in training.

    Attributes:
      actor_critic: the networks.
      critic_optimizer, actor_optimizer: the states of the optimizers.
    """

    actor_critic: ActorCritic
    critic_optimizer: optax.OptState
    actor_optimizer: optax.OptState

    __repr__ = brief


L = TypeVar("L", bound=Learner)


def critic_optimizer(config: LearningConfig) -> optax.GradientTransformation:
    """Returns the optimizer of the critics."""
    return make_optimizer(config.optimizer, config.critic_learning_rate, consistent_rms=config.muon_consistent_rms)


def actor_optimizer(config: LearningConfig) -> optax.GradientTransformation:
    """Returns the optimizer of the actor."""
    return make_optimizer(config.optimizer, config.actor_learning_rate, consistent_rms=config.muon_consistent_rms)


def new_learner(config: LearningConfig, actor_critic: ActorCritic) -> Learner:
    """Returns a learner with the given networks, and with new optimizer states."""
    return Learner(
        actor_critic=actor_critic,
        critic_optimizer=critic_optimizer(config).init(actor_critic.critic_params),
        actor_optimizer=actor_optimizer(config).init(actor_critic.actor_params),
    )


def gradient_step(
    optimizer: optax.GradientTransformation, gradient: Any, state: optax.OptState, params: Any
) -> tuple[Any, optax.OptState]:
    """Takes one step of an optimizer, and returns the new parameters and the new state of the optimizer."""
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), state


def apply_critic_gradient(optimizer: optax.GradientTransformation, learner: L, gradient: Params) -> L:
    """Takes one step of the critics. The target critics do not change.

    Args:
      optimizer: :func:`critic_optimizer`.
      learner: the state before the step.
      gradient: the gradient with respect to the critics' parameters; every leaf is ``[member, ...]``.
    """
    ac = learner.actor_critic
    gradient = tie_heads(ac.critic, gradient)
    params, state = gradient_step(optimizer, gradient, learner.critic_optimizer, ac.critic_params)
    return learner.replace(actor_critic=ac.replace(critic_params=params), critic_optimizer=state)


def apply_actor_gradient(optimizer: optax.GradientTransformation, learner: L, gradient: Params) -> L:
    """Takes one step of the actor.

    Args:
      optimizer: :func:`actor_optimizer`, or another optimizer of the algorithm.
      learner: the state before the step.
      gradient: the gradient with respect to the actor's parameters.
    """
    ac = learner.actor_critic
    params, state = gradient_step(optimizer, gradient, learner.actor_optimizer, ac.actor_params)
    return learner.replace(actor_critic=ac.replace(actor_params=params), actor_optimizer=state)


def draw_action(learner: Learner, observation: Float[Array, "observation"], key: Key) -> Float[Array, "action"]:
    """Returns a sample of the policy at an observation in the environment's units. Most algorithms explore with it."""
    return learner.actor_critic.policy(observation).sample(key)


def actor_critic_of(learner: Learner) -> ActorCritic:
    """Returns the networks of a learner."""
    return learner.actor_critic


def optimizer_states(learner: Learner) -> TrainingState:
    """Returns the training state of an algorithm without a temperature."""
    return TrainingState(learner.critic_optimizer, learner.actor_optimizer)
