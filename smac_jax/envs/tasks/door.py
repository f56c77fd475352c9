"""Door: the Adroit hand must unlatch a door and pull it open. Episodes end only at the time limit.

Source and versions: :mod:`smac_jax.envs.tasks.adroit`; ``door_v0`` of D4RL, ``AdroitHandDoor-v1``.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from smac_jax.envs.base import Model, Physics, Start, Version
from smac_jax.envs.tasks import adroit
from smac_jax.types import Array, Key, Metrics

HINGE = 28
OPEN = 1.35  # rad


def model(version: Version) -> Model:
    """Returns the hand on an arm with four joints in front of a door. All versions share the model."""
    sensors = {"palm": ("site", "S_grasp"), "handle": ("site", "S_handle")}
    return adroit.model(version, "adroit_door.xml", sensors, (("body_pos", "frame"),))


def reset(key: Key, init_qpos: Float[Array, " 30"], init_qvel: Float[Array, " 30"]) -> Start:
    """Returns a state at rest. The position of the door is uniform in a box of 10 cm."""
    low, high = jnp.array([[-0.3, 0.25, 0.252], [-0.2, 0.35, 0.35]], jnp.float32)
    return Start(init_qpos, init_qvel, jax.random.uniform(key, (3,), jnp.float32, minval=low, maxval=high))


def observation(physics: Physics, version: Version) -> Float[Array, " 39"]:
    """Returns joints without the first, latch, hinge, palm, handle, their difference, and whether the door is open."""
    del version
    qpos, palm, handle = physics.qpos, physics.extras["palm"], physics.extras["handle"]
    is_open = jnp.where(qpos[HINGE] > 1.0, 1.0, -1.0)
    return jnp.concatenate([qpos[1:-2], qpos[-1:], qpos[HINGE, None], palm, handle, palm - handle, is_open[None]])


def reward(
    physics: Physics, action: Float[Array, " 28"], dt: float, version: Version
) -> tuple[Float[Array, ""], Metrics]:
    """Returns the reward.

    It has terms for the distance to the handle, for the difference of the hinge from 90 degrees, and for speed. At
    hinge angles of 0.2, 1.0 and 1.35 rad there are bonuses of 2, 8 and 10.
    """
    del action, dt
    angle = physics.qpos[HINGE]
    reach = adroit.reach(adroit.length(physics.extras["palm"] - physics.extras["handle"]), version)
    hinge = -0.1 * jnp.square(angle - 1.57)
    speed = -1e-5 * jnp.sum(jnp.square(physics.qvel))
    bonus = 2.0 * (angle > 0.2) + 8.0 * (angle > 1.0) + 10.0 * (angle > OPEN)
    metrics = {
        "reward_reach": reach,
        "reward_hinge": hinge,
        "reward_speed": speed,
        "reward_bonus": bonus,
        "success": success(physics).astype(jnp.float32),
    }
    return reach + hinge + speed + bonus, metrics


def success(physics: Physics) -> Bool[Array, ""]:
    """Returns whether the door is open by 1.35 rad."""
    return physics.qpos[HINGE] >= OPEN


def termination(physics: Physics, version: Version) -> Bool[Array, ""]:
    """Returns false."""
    del physics, version
    return jnp.zeros((), bool)
