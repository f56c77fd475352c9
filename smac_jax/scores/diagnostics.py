"""Metrics that show how well the identity ``grad_a Q = alpha * score`` holds. A run logs them at every evaluation."""

from __future__ import annotations

from typing import TypeVar

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Float

from smac_jax.networks import Policy
from smac_jax.scores.base import Score
from smac_jax.scores.penalty import ActionValue, action_gradient
from smac_jax.types import Array, Key, Metrics, Params, Transition

S = TypeVar("S")


def identity_metrics(
    score: Score[S],
    state: S,
    q: ActionValue,
    critic_params: Params,
    policy: Policy,
    alpha: Float[Array, "batch"],
    batch: Transition,
    key: Key,
) -> Metrics:
    """Measures the identity at actions of the data, at actions of the policy, and at uniform actions.

    Args:
      score: the score that is matched.
      state: the state of the score.
      q: the action value of one member.
      critic_params: the parameters of the ensemble; every leaf is ``[member, ...]``.
      policy: ``pi(.|s)`` at the observations of the batch.
      alpha: alpha at the states of the batch, ``[batch]``.
      batch: normalized transitions, ``[batch, ...]``.
      key: the random key of the policy's and the uniform actions.

    Returns:
      For each of the three kinds of actions (``data``, ``policy``, ``uniform``) three means over members and batch: of
      ``|grad_a Q|`` (``action_gradient_NAME``), of the cosine between it and the score (``cosine_NAME``), and of the
      norm of the residual of the weighted identity (``residual_NAME``). Also the mean, the standard deviation and the
      share of negative values of alpha.
    """
    chex.assert_equal_shape([alpha, batch.reward])
    policy_key, uniform_key = jax.random.split(key)
    at_policy = policy.sample(policy_key)
    uniform = jax.random.uniform(uniform_key, batch.action.shape, jnp.float32, -1.0, 1.0)
    metrics = {"alpha_mean": alpha.mean(), "alpha_std": alpha.std(), "alpha_negative": (alpha < 0).mean()}
    for name, action in {"data": batch.action, "policy": at_policy, "uniform": uniform}.items():
        target, weight = score.evaluate(state, policy, batch.observation, action)
        gradient = jax.vmap(action_gradient, in_axes=(None, 0, None, None))(q, critic_params, batch.observation, action)
        size = jnp.linalg.norm(gradient, axis=-1)
        residual = weight * gradient - alpha[:, None] * target
        alignment = jnp.sum(weight * gradient * target, axis=-1) / (
            jnp.linalg.norm(weight * gradient, axis=-1) * jnp.linalg.norm(target, axis=-1) + 1e-8
        )
        metrics |= {
            f"action_gradient_{name}": size.mean(),
            f"cosine_{name}": alignment.mean(),
            f"residual_{name}": jnp.linalg.norm(residual, axis=-1).mean(),
        }
    return metrics
