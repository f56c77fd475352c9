"""The score-matching penalty, which SMAC adds to the critics' loss of SAC.

    L_SM = mean over states and actions of  sum_i || grad_a Q_i(s, a) - target ||^2               (SMAC, section 3)

The simplest way to differentiate it is ``jax.grad`` of a loss that contains ``jax.grad``, which is reverse mode over
reverse mode. The gradient with respect to the parameters can be computed more directly. If the residual
``g = grad_a Q - target`` is held fixed,

    grad_theta ||grad_a Q - target||^2  =  2 grad_theta <grad_a Q, g>  =  2 d/de grad_theta Q(s, a + e g)   at e = 0,

which is the directional derivative of an ordinary backward pass: forward mode over reverse mode. The backward pass that
gives ``grad_a Q`` is also the one to be differentiated, so it is linearized only once. After compilation both ways need
the same matrix products, which double the cost of SAC's critics (``benchmarks/README.md``).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Float

from smac_jax.types import Array, Params


class ActionValue(Protocol):
    """The action value of one ensemble member as a function of its parameters."""

    def __call__(
        self, params: Params, observation: Float[Array, "batch observation"], action: Float[Array, "batch action"], /
    ) -> Float[Array, "batch"]:
        """Returns ``Q(s, a) [batch]``."""


class MatchingPoints(NamedTuple):
    """The points at which action-gradients are matched, and their targets.

    Attributes:
      observation: the states, ``[batch, observation]``.
      action: the actions, ``[batch, action]``.
      target: the target of ``weight * grad_a Q``, which is ``alpha * weight * score [batch, action]``.
      weight: a factor on each action dimension, ``[batch, action]``. Ones give the penalty as published.
    """

    observation: Float[Array, "batch observation"]
    action: Float[Array, "batch action"]
    target: Float[Array, "batch action"]
    weight: Float[Array, "batch action"]


def action_gradient(
    q: ActionValue,
    params: Params,
    observation: Float[Array, "batch observation"],
    action: Float[Array, "batch action"],
) -> Float[Array, "batch action"]:
    """Returns ``grad_a Q(s, a) [batch, action]`` of one member."""
    return jax.grad(lambda a: q(params, observation, a).sum())(action)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def member_penalty(q: ActionValue, params: Params, points: MatchingPoints) -> Float[Array, ""]:
    """Returns ``mean_batch || weight * grad_a Q - target ||^2`` of one member.

    Its gradients with respect to ``params`` and ``points.target`` (through which ``alpha_psi`` learns) are computed by
    forward mode over reverse mode. The gradients with respect to observations, actions and weights are zero.

    Args:
      q: the action value of the member.
      params: the parameters of the member.
      points: the points at which the gradient is matched.
    """
    residual = points.weight * action_gradient(q, params, points.observation, points.action) - points.target
    return jnp.mean(jnp.sum(residual**2, axis=-1))


def _forward(
    q: ActionValue, params: Params, points: MatchingPoints
) -> tuple[Float[Array, ""], tuple[Params, MatchingPoints]]:
    """Returns the penalty, and its gradients with respect to ``params`` and ``points``, which `_backward` scales."""

    def gradients(a: Array) -> tuple[Params, Array]:
        return jax.grad(lambda p, a: q(p, points.observation, a).sum(), argnums=(0, 1))(params, a)

    (_, gradient), derivative_along = jax.linearize(gradients, points.action)
    residual = points.weight * gradient - points.target
    params_gradient, _ = derivative_along(points.weight * residual)
    scale = 2.0 / points.action.shape[0]
    no_gradient = jax.tree.map(jnp.zeros_like, points)
    saved = jax.tree.map(lambda g: scale * g, params_gradient), no_gradient._replace(target=-scale * residual)
    return jnp.mean(jnp.sum(residual**2, axis=-1)), saved


def _backward(
    q: ActionValue, saved: tuple[Params, MatchingPoints], cotangent: Float[Array, ""]
) -> tuple[Params, MatchingPoints]:
    del q
    return jax.tree.map(lambda g: cotangent * g, saved)


member_penalty.defvjp(_forward, _backward)


def score_matching_penalty(q: ActionValue, params: Params, points: MatchingPoints) -> Float[Array, ""]:
    """Returns ``L_SM``, the sum of the penalties of all ensemble members.

    Args:
      q: the action value of one member.
      params: the parameters of the ensemble; every leaf is ``[member, ...]``.
      points: the points at which the gradient of every member is matched.
    """
    chex.assert_rank(points, 2)
    chex.assert_equal_shape([points.action, points.target, points.weight])
    return jax.vmap(partial(member_penalty, q), in_axes=(0, None))(params, points).sum()
