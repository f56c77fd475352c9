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

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Float

from smac_jax.types import Array, Params

ActionValue = Callable[[Params, Array, Array], Array]
"""One member's ``Q(params, observation[batch, :], action[batch, :]) -> [batch]``."""


def action_gradient(
    q: ActionValue,
    params: Params,
    observation: Float[Array, "batch observation"],
    action: Float[Array, "batch action"],
) -> Float[Array, "batch action"]:
    """``grad_a Q(s, a)`` of one member."""
    return jax.grad(lambda a: q(params, observation, a).sum())(action)


def member_penalty_reverse_over_reverse(
    q: ActionValue,
    params: Params,
    observation: Float[Array, "batch observation"],
    action: Float[Array, "batch action"],
    target: Float[Array, "batch action"],
    weight: Float[Array, "batch action"],
) -> tuple[Float[Array, ""], Float[Array, "batch action"]]:
    """The penalty as it is written; what :func:`member_penalty` must equal. See there for arguments and result."""
    gradient = action_gradient(q, params, observation, jax.lax.stop_gradient(action))
    residual = weight * gradient - target
    return jnp.mean(jnp.sum(residual**2, axis=-1)), jax.lax.stop_gradient(gradient)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def member_penalty(
    q: ActionValue,
    params: Params,
    observation: Float[Array, "batch observation"],
    action: Float[Array, "batch action"],
    target: Float[Array, "batch action"],
    weight: Float[Array, "batch action"],
) -> tuple[Float[Array, ""], Float[Array, "batch action"]]:
    """``mean_batch || weight * grad_a Q - target ||^2`` of one member, trained by forward over reverse.

    Differentiable in ``params`` and in ``target`` (through which ``alpha_psi`` learns); the observation, the action and
    the weight carry no gradient, and neither does the second output.

    Args:
      q: the member's action value.
      params: its parameters.
      observation: states.
      action: the actions at which the gradient is matched.
      target: what ``weight * grad_a Q`` should be: ``alpha * score``, times ``weight``.
      weight: factor on each action dimension; ones for the penalty as published.

    Returns:
      The penalty, and ``grad_a Q`` for the diagnostics.
    """
    return member_penalty_reverse_over_reverse(q, params, observation, action, target, weight)


def _forward(q, params, observation, action, target, weight):
    def gradients(a: Array) -> tuple[Params, Array]:
        return jax.grad(lambda p, a: q(p, observation, a).sum(), argnums=(0, 1))(params, a)

    (_, gradient), derivative_along = jax.linearize(gradients, action)
    residual = weight * gradient - target
    params_gradient, _ = derivative_along(weight * residual)
    scale = 2.0 / action.shape[0]
    saved = (jax.tree.map(lambda g: scale * g, params_gradient), -scale * residual, observation, action, weight)
    return (jnp.mean(jnp.sum(residual**2, axis=-1)), gradient), saved


def _backward(q, saved, cotangents):
    params_gradient, target_gradient, *without_gradient = saved
    loss_cotangent, _ = cotangents
    scaled = jax.tree.map(lambda g: loss_cotangent * g, (params_gradient, target_gradient))
    observation, action, weight = (jnp.zeros_like(x) for x in without_gradient)
    return scaled[0], observation, action, scaled[1], weight


member_penalty.defvjp(_forward, _backward)

FORMS: dict[str, Callable[..., tuple[Array, Array]]] = {
    "forward_over_reverse": member_penalty,
    "reverse_over_reverse": member_penalty_reverse_over_reverse,
}


def score_matching_penalty(
    q: ActionValue,
    params: Params,
    observation: Float[Array, "batch observation"],
    action: Float[Array, "batch action"],
    target: Float[Array, "batch action"],
    weight: Float[Array, "batch action"] | None = None,
    form: str = "forward_over_reverse",
) -> tuple[Float[Array, ""], Float[Array, "member batch action"]]:
    """``L_SM``: the sum over the ensemble's members of their own, independent penalties.

    Args:
      q: one member's action value.
      params: the ensemble's parameters, leaves ``[member, ...]``.
      observation, action, target, weight: as in :func:`member_penalty`, shared by the members.
      form: a key of ``FORMS``; both give the same gradient, the first in less time.

    Returns:
      The penalty, and ``grad_a Q_i`` of every member, without gradient.
    """
    weight = jnp.ones_like(action) if weight is None else weight
    each = jax.vmap(partial(FORMS[form], q), in_axes=(0, None, None, None, None))
    penalties, gradients = each(params, observation, action, target, weight)
    return penalties.sum(), gradients
