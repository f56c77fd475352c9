"""Pen: the Adroit hand must turn a pen to a given direction. In D4RL's version the episode ends when the pen falls.

Source and versions: :mod:`smac_jax.envs.tasks.adroit`; ``pen_v0`` of D4RL, ``AdroitHandPen-v1``.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from smac_jax.envs.base import Model, Physics, Start, Version
from smac_jax.envs.tasks import adroit
from smac_jax.types import Array, Key, Metrics

PEN_LENGTH = 0.13  # m, between the sites at its ends
NEAR = 0.075  # m
FALLEN = 0.075  # m


def model(version: Version) -> Model:
    """Returns the hand without an arm, with a pen in it, and beside it another pen that shows the target direction."""
    sensors = {
        "pen": ("body", "Object"),
        "center": ("site", "eps_ball"),
        "top": ("site", "object_top"),
        "bottom": ("site", "object_bottom"),
        "target_top": ("site", "target_top"),
        "target_bottom": ("site", "target_bottom"),
    }
    return adroit.model(version, "adroit_pen.xml", sensors, (("body_quat", "target"),))


def reset(key: Key, init_qpos: Float[Array, " 30"], init_qvel: Float[Array, " 30"]) -> Start:
    """Returns a state at rest. The target direction is turned by up to 1 rad about x and y."""
    x, y = jax.random.uniform(key, (2,), jnp.float32, minval=-1.0, maxval=1.0) / 2
    # the quaternion that `euler2quat` of the original tasks gives for the angles (2x, 2y, 0)
    target = jnp.array(
        [jnp.cos(y) * jnp.cos(x), jnp.cos(y) * jnp.sin(x), jnp.sin(y) * jnp.cos(x), jnp.zeros((), jnp.float32)]
    )
    target = target.at[3].set(jnp.sin(y) * jnp.sin(x))
    return Start(init_qpos, init_qvel, target)


def observation(physics: Physics, version: Version) -> Float[Array, " 45"]:
    """Returns the observation.

    It has the joints of the hand, the position, velocity and direction of the pen, the target direction, and the errors
    of position and direction.
    """
    del version
    pen, center = physics.extras["pen"], physics.extras["center"]
    direction, target = _directions(physics)
    return jnp.concatenate(
        [physics.qpos[:-6], pen, physics.qvel[-6:], direction, target, pen - center, direction - target]
    )


def reward(
    physics: Physics, action: Float[Array, " 24"], dt: float, version: Version
) -> tuple[Float[Array, ""], Metrics]:
    """Returns the reward.

    It has terms for the distance from the center of the hand and for the similarity of the directions. There are
    bonuses of 10 and 50 when both are close to the target, and a cost of 5 when the pen has fallen.
    """
    del action, dt, version
    distance, similarity = _distance(physics), _similarity(physics)
    bonus = 10.0 * ((distance < NEAR) & (similarity > 0.9)) + 50.0 * success(physics)
    fall = -5.0 * fallen(physics)
    metrics = {
        "reward_position": -distance,
        "reward_direction": similarity,
        "reward_bonus": bonus,
        "reward_fall": fall,
        "success": success(physics).astype(jnp.float32),
    }
    return -distance + similarity + bonus + fall, metrics


def success(physics: Physics) -> Bool[Array, ""]:
    """Returns whether the pen is near the center of the hand, and within 18 degrees of the target direction."""
    return (_distance(physics) < NEAR) & (_similarity(physics) > 0.95)


def fallen(physics: Physics) -> Bool[Array, ""]:
    """Returns whether the pen is lower than 7.5 cm."""
    return physics.extras["pen"][2] < FALLEN


def termination(physics: Physics, version: Version) -> Bool[Array, ""]:
    """Returns whether the pen has fallen. In gymnasium-robotics's version it is always false."""
    return jnp.zeros((), bool) if version == "v1" else fallen(physics)


def _directions(physics: Physics) -> tuple[Float[Array, " 3"], Float[Array, " 3"]]:
    read = physics.extras
    return (read["top"] - read["bottom"]) / PEN_LENGTH, (read["target_top"] - read["target_bottom"]) / PEN_LENGTH


def _distance(physics: Physics) -> Float[Array, ""]:
    return adroit.length(physics.extras["pen"] - physics.extras["center"])


def _similarity(physics: Physics) -> Float[Array, ""]:
    direction, target = _directions(physics)
    return jnp.sum(direction * target)
