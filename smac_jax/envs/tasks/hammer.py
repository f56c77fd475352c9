"""Hammer: the Adroit hand must pick up a hammer and drive in a nail. Episodes end only at the time limit.

Source and versions: :mod:`smac_jax.envs.tasks.adroit`; ``hammer_v0`` of D4RL, ``AdroitHandHammer-v1``.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from smac_jax.envs.base import Model, Physics, Start, Version
from smac_jax.envs.tasks import adroit
from smac_jax.types import Array, Key, Metrics

BOARD = (0.05, 0.0)  # x and y of the board; its height varies


def model(version: Version) -> Model:
    """Returns the hand on an arm with two joints, a hammer, and a nail in a board. All versions share the model."""
    sensors = {
        "palm": ("site", "S_grasp"),
        "hammer": ("body", "Object"),
        "hammer_orientation": ("orientation", "Object"),
        "head": ("site", "tool"),
        "nail": ("site", "S_target"),
        "goal": ("site", "nail_goal"),
        "impact": ("sensor", "S_nail"),
    }
    return adroit.model(version, "adroit_hammer.xml", sensors, (("body_pos", "nail_board"),))


def reset(key: Key, init_qpos: Float[Array, " 33"], init_qvel: Float[Array, " 33"]) -> Start:
    """Returns a state at rest. The height of the board is uniform between 10 and 25 cm."""
    height = jax.random.uniform(key, (), jnp.float32, minval=0.1, maxval=0.25)
    return Start(init_qpos, init_qvel, jnp.array([*BOARD, height], jnp.float32))


def observation(physics: Physics, version: Version) -> Float[Array, " 46"]:
    """Returns the observation.

    It has the joints of hand and nail, the velocity of the hammer (clipped to 1), the positions of palm and hammer, the
    angles of the hammer, the position of the nail, and the force on it (clipped to 1).
    """
    del version
    read = physics.extras
    return jnp.concatenate(
        [
            physics.qpos[:-6],
            jnp.clip(physics.qvel[-6:], -1.0, 1.0),
            read["palm"],
            read["hammer"],
            euler_angles(read["hammer_orientation"]),
            read["nail"],
            jnp.clip(read["impact"], -1.0, 1.0),
        ]
    )


def reward(
    physics: Physics, action: Float[Array, " 26"], dt: float, version: Version
) -> tuple[Float[Array, ""], Metrics]:
    """Returns the reward.

    It has terms for the distances from palm to hammer, from the hammer's head to the nail and from the nail to its
    goal, and for speed. There are bonuses of 2 for lifting the hammer, and of 25 and 75 when the nail is within 2 and
    1 cm of its goal.
    """
    del action, dt
    read = physics.extras
    left = adroit.length(read["nail"] - read["goal"])
    reach = adroit.reach(adroit.length(read["palm"] - read["hammer"]), version)
    aim = -adroit.length(read["head"] - read["nail"])
    speed = -1e-2 * jnp.sqrt(jnp.sum(jnp.square(physics.qvel)))
    lifted = (read["hammer"][2] > 0.04) & (read["head"][2] > 0.04)
    bonus = 2.0 * lifted + 25.0 * (left < 0.02) + 75.0 * (left < 0.01)
    metrics = {
        "reward_reach": reach,
        "reward_aim": aim,
        "reward_nail": -10.0 * left,
        "reward_speed": speed,
        "reward_bonus": bonus,
        "success": success(physics).astype(jnp.float32),
    }
    return reach + aim - 10.0 * left + speed + bonus, metrics


def success(physics: Physics) -> Bool[Array, ""]:
    """Returns whether the nail is within 1 cm of its goal."""
    return adroit.length(physics.extras["nail"] - physics.extras["goal"]) < 0.01


def termination(physics: Physics, version: Version) -> Bool[Array, ""]:
    """Returns false."""
    del physics, version
    return jnp.zeros((), bool)


def euler_angles(quaternion: Float[Array, " 4"]) -> Float[Array, " 3"]:
    """Returns the angles about x, y and z of a unit quaternion, as ``quat2euler`` of mujoco_worldgen computes them."""
    w, x, y, z = quaternion
    to_z = jnp.array([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)])  # third column
    cosine = jnp.hypot(to_z[2], to_z[1])
    first_row = 1 - 2 * (y * y + z * z), 2 * (x * y - w * z)
    second_row = 2 * (x * y + w * z), 1 - 2 * (x * x + z * z)
    locked = cosine <= 4 * jnp.finfo(jnp.float32).eps
    about_x = jnp.where(locked, 0.0, -jnp.arctan2(to_z[1], to_z[2]))
    about_y = jnp.arctan2(to_z[0], cosine)
    about_z = jnp.where(locked, jnp.arctan2(second_row[0], second_row[1]), -jnp.arctan2(first_row[1], first_row[0]))
    return jnp.stack([about_x, about_y, about_z])
