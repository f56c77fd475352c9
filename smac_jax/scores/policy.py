"""The score of the policy: ``grad_a log pi(a|s)`` of a tanh-Gaussian in closed form.

With ``u = atanh(a)``:  ``grad_a log pi = (2a - (u - mu) / sigma^2) / (1 - a^2)``, unbounded as ``|a| -> 1``.
Source: SMAC's summary form, ``grad_a Q = alpha grad_a log pi``; the damped form is ours (see
:func:`damped_policy_score`).
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Float

from smac_jax.networks.actor import TanhGaussian
from smac_jax.types import Array


def damped_policy_score(
    policy: TanhGaussian, action: Float[Array, "*batch action"], limit: float = 0.99999
) -> tuple[Float[Array, "*batch action"], Float[Array, "*batch action"]]:
    """``(1 - a^2) grad_a log pi`` and the factor ``1 - a^2``.

    Both sides of the identity ``grad_a Q = alpha grad_a log pi`` times ``1 - a^2 = da/du``: the same identity stated
    for the gradient with respect to the pre-tanh action. What blew up at the edge of the action box is now as bounded
    as ``(u - mu) / sigma^2``.

    Args:
      policy: ``mu`` and ``log sigma``.
      action: where to evaluate, clipped to ``|a| <= limit``.
      limit: largest magnitude of an action; smaller is safer, 0.99999 is the field's custom.
    """
    action = jnp.clip(action, -limit, limit)
    precision = jnp.exp(-2.0 * policy.log_std)
    return 2.0 * action - (jnp.arctanh(action) - policy.mean) * precision, 1.0 - action**2


def policy_score(
    policy: TanhGaussian, action: Float[Array, "*batch action"], limit: float = 0.99999
) -> Float[Array, "*batch action"]:
    """``grad_a log pi(a|s)``. See :func:`damped_policy_score` for the arguments."""
    damped, factor = damped_policy_score(policy, action, limit)
    return damped / factor
