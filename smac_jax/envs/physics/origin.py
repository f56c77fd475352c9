"""Steps in float32 that start at the origin of the plane, because far from it the displacement would be lost."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float

from smac_jax.envs.base import Model, Physics
from smac_jax.types import Array


def to_origin(model: Model, physics: Physics) -> tuple[Float[Array, " qpos"], Float[Array, " qvel"]]:
    """Returns the positions at the origin of ``Model.free_axes``, and the velocities within ``Model.speed_limit``."""
    limit = model.speed_limit
    qvel = physics.qvel if limit is None else jnp.clip(physics.qvel, -limit, limit)
    return physics.qpos.at[jnp.array(model.free_axes, int)].set(0.0), qvel


def from_origin(
    model: Model, physics: Physics, qpos: Float[Array, " qpos"], change: Float[Array, " qpos"]
) -> Float[Array, " qpos"]:
    """Returns the positions after a step.

    Args:
      model: the model, which has the free axes.
      physics: the physics before the step.
      qpos: the positions after the step that started at the origin.
      change: the displacement in this step.
    """
    axes = jnp.array(model.free_axes, int)
    return qpos.at[axes].set(physics.qpos[axes] + change[axes])


def if_finite(after: Physics, unmoved: Physics) -> Physics:
    """Returns ``after`` if all of its numbers are finite, and otherwise ``unmoved``."""
    finite = jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(after)]).all()
    return jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, unmoved)
