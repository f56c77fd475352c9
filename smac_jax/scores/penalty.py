"""The score-matching penalty: where SMAC differs from SAC.

    L_SM = mean over states and actions of  sum_i || grad_a Q_i(s, a) - target ||^2               (SMAC, section 3)

The obvious way to train on it is ``jax.grad`` of a loss that holds ``jax.grad``: reverse mode over reverse mode. The
parameter gradient needs less. With the residual ``g = grad_a Q - target`` held fixed,

    grad_theta ||grad_a Q - target||^2  =  2 grad_theta <grad_a Q, g>  =  2 d/de grad_theta Q(s, a + e g)   at e = 0,

the directional derivative of an ordinary backward pass: forward over reverse. And the backward pass that gives
``grad_a Q`` is the very one to be differentiated, so linearizing it once serves both. Compiled, both ways come to the
same matrix products, as many again as SAC's own critics take (``benchmarks/README.md``).
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
    """One member's action value as a function of its parameters."""

    def __call__(
        self, params: Params, observation: Float[Array, "batch observation"], action: Float[Array, "batch action"], /
    ) -> Float[Array, "batch"]:
        """``Q(s, a) [batch]``."""


class MatchingPoints(NamedTuple):
    """Where an action-gradient is matched, and to what.

    Attributes:
      observation: states ``[batch, observation]``.
      action: ``[batch, action]``, the actions at which the gradient is taken.
      target: ``[batch, action]``, what ``weight * grad_a Q`` should be: ``alpha * weight * score``.
      weight: ``[batch, action]``, a factor on each action dimension; ones for the penalty as published.
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
    """``grad_a Q(s, a) [batch, action]`` of one member."""
    return jax.grad(lambda a: q(params, observation, a).sum())(action)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def member_penalty(q: ActionValue, params: Params, points: MatchingPoints) -> Float[Array, ""]:
    """``mean_batch || weight * grad_a Q - target ||^2`` of one member, trained by forward over reverse.

    It is differentiable in ``params`` and in ``points.target``, through which ``alpha_psi`` learns. The observations,
    the actions and the weights carry no gradient.

    Args:
      q: the member's action value.
      params: its parameters.
      points: where the gradient is matched.
    """
    residual = points.weight * action_gradient(q, params, points.observation, points.action) - points.target
    return jnp.mean(jnp.sum(residual**2, axis=-1))


def _forward(
    q: ActionValue, params: Params, points: MatchingPoints
) -> tuple[Float[Array, ""], tuple[Params, MatchingPoints]]:
    """The penalty, and its gradients in ``params`` and ``points``, which the backward pass only has to scale."""

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
    """``L_SM``: the sum over the members of the ensemble of their own, independent penalties.

    Args:
      q: one member's action value.
      params: the parameters of the ensemble, leaves ``[member, ...]``.
      points: where the gradient is matched; the members share them.
    """
    chex.assert_rank(points, 2)
    chex.assert_equal_shape([points.action, points.target, points.weight])
    return jax.vmap(partial(member_penalty, q), in_axes=(0, None))(params, points).sum()
