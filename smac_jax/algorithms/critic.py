"""Temporal-difference learning of the critics: the bootstrapped target, the squared error and the gradient step.

    y = r + gamma (1 - terminal) V(s') ,   L_TD = sum_i mean_batch (Q_i(s, a) - y)^2

Each algorithm defines its own ``V(s')``.
"""

from __future__ import annotations

from functools import partial

import chex
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float

from smac_jax.algorithms.actor_critic import ActorCritic
from smac_jax.algorithms.learner import L, LearningConfig, apply_critic_gradient, critic_optimizer
from smac_jax.networks import aggregate, ensemble_values
from smac_jax.types import Array, Key, Metrics, Params, Transition


def target_value(
    ac: ActorCritic,
    observation: Float[Array, "*batch observation"],
    action: Float[Array, "*batch action"],
    how: str,
    key: Key,
) -> Float[Array, "*batch"]:
    """Returns ``Qbar(s, a) [*batch]``, the aggregated value of the target critics.

    Args:
      ac: the networks.
      observation: normalized observations, ``[*batch, observation]``.
      action: ``[*batch, action]``.
      how: the aggregation, see :func:`smac_jax.networks.aggregate`.
      key: the random key of the members, if ``how`` samples members.
    """
    return aggregate(ensemble_values(ac.critic, ac.target_critic_params, observation, action), how, key)


def bootstrap(batch: Transition, discount: float, next_value: Float[Array, "batch"]) -> Float[Array, "batch"]:
    """Returns ``y = r + gamma (1 - terminal) V(s') [batch]`` without a gradient.

    A time limit is not a terminal, so such a transition bootstraps.

    Args:
      batch: has rewards and terminals ``[batch]``.
      discount: ``gamma``.
      next_value: ``V(s') [batch]``.
    """
    chex.assert_equal_shape([batch.reward, batch.terminal, next_value])
    return jax.lax.stop_gradient(batch.reward + discount * (1.0 - batch.terminal) * next_value)


def squared_error(
    values: Float[Array, "member batch"], target: Float[Array, "batch"], reduction: str = "sum"
) -> tuple[Float[Array, ""], Metrics]:
    """Returns ``sum_i mean_batch (Q_i(s, a) - y)^2``, in which the members are independent of each other.

    Args:
      values: ``Q_i(s, a) [member, batch]``.
      target: ``y [batch]``.
      reduction: the reduction over the members, "sum" or "mean" (WSRL's code).

    Returns:
      The loss, and as metrics the mean squared error, the mean value, and the standard deviation over the members.
    """
    chex.assert_rank([values, target], [2, 1])
    chex.assert_equal_shape_suffix([values, target], 1)
    mean = jnp.mean((values - target) ** 2)
    loss = mean if reduction == "mean" else jnp.sum(jnp.mean((values - target) ** 2, axis=-1))
    return loss, {"td_loss": mean, "q": values.mean(), "q_spread": values.std(axis=0).mean()}


def critic_loss(
    ac: ActorCritic, critic_params: Params, batch: Transition, target: Float[Array, "batch"], reduction: str = "sum"
) -> tuple[Float[Array, ""], Metrics]:
    """Returns ``L_TD`` of ``critic_params`` at the actions of a normalized batch; see :func:`squared_error`."""
    return squared_error(ensemble_values(ac.critic, critic_params, batch.observation, batch.action), target, reduction)


def critic_step(
    config: LearningConfig, learner: L, batch: Transition, target: Float[Array, "batch"], reduction: str = "sum"
) -> tuple[L, Metrics]:
    """Takes one gradient step of the critics on :func:`critic_loss`. The target critics do not change."""
    ac = learner.actor_critic
    loss = partial(critic_loss, ac, batch=batch, target=target, reduction=reduction)
    gradient, metrics = jax.grad(loss, has_aux=True)(ac.critic_params)
    return apply_critic_gradient(critic_optimizer(config), learner, gradient), metrics


def move_targets(config: LearningConfig, learner: L) -> L:
    """Updates the target critics: ``target <- polyak * critic + (1 - polyak) * target``."""
    ac = learner.actor_critic
    target = optax.incremental_update(ac.critic_params, ac.target_critic_params, config.polyak)
    return learner.replace(actor_critic=ac.replace(target_critic_params=target))
