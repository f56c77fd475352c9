"""Pen: turn a pen in the Adroit hand to a given direction. In D4RL's version the episode ends when it falls.

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
    """The hand without an arm, a pen in it, and beside it another pen that shows the direction."""
    sensors = {
        "pen": ("body", "Object"),
        "centre": ("site", "eps_ball"),
        "top": ("site", "object_top"),
        "bottom": ("site", "object_bottom"),
        "target_top": ("site", "target_top"),
        "target_bottom": ("site", "target_bottom"),
    }
    return adroit.model(version, "adroit_pen.xml", sensors, (("body_quat", "target"),))


def reset(key: Key, init_qpos: Float[Array, " 30"], init_qvel: Float[Array, " 30"]) -> Start:
    """At rest; the direction is turned by up to 1 rad about x and y."""
    x, y = jax.random.uniform(key, (2,), jnp.float32, minval=-1.0, maxval=1.0) / 2
    # the quaternion of the tasks' `euler2quat` for angles (2x, 2y, 0)
    target = jnp.array(
        [jnp.cos(y) * jnp.cos(x), jnp.cos(y) * jnp.sin(x), jnp.sin(y) * jnp.cos(x), jnp.zeros((), jnp.float32)]
    )
    target = target.at[3].set(jnp.sin(y) * jnp.sin(x))
    return Start(init_qpos, init_qvel, target)


def observation(physics: Physics, version: Version) -> Float[Array, " 45"]:
    """Joints of the hand, position, velocity and direction of the pen, the direction wanted, and what is amiss."""
    del version
    pen, centre = physics.extras["pen"], physics.extras["centre"]
    direction, wanted = _directions(physics)
    return jnp.concatenate(
        [physics.qpos[:-6], pen, physics.qvel[-6:], direction, wanted, pen - centre, direction - wanted]
    )


def reward(
    physics: Physics, action: Float[Array, " 24"], dt: float, version: Version
) -> tuple[Float[Array, ""], Metrics]:
    """Near the middle of the hand and in the right direction; 10 and 50 more when close, 5 less when fallen."""
    del action, dt, version
    away, alike = _away(physics), _alike(physics)
    bonus = 10.0 * ((away < NEAR) & (alike > 0.9)) + 50.0 * success(physics)
    fall = -5.0 * fallen(physics)
    metrics = {
        "reward_position": -away,
        "reward_direction": alike,
        "reward_bonus": bonus,
        "reward_fall": fall,
        "success": success(physics).astype(jnp.float32),
    }
    return -away + alike + bonus + fall, metrics


def success(physics: Physics) -> Bool[Array, ""]:
    """In the middle of the hand, and within 18 degrees of the direction."""
    return (_away(physics) < NEAR) & (_alike(physics) > 0.95)


def fallen(physics: Physics) -> Bool[Array, ""]:
    """Lower than 7.5 cm."""
    return physics.extras["pen"][2] < FALLEN


def termination(physics: Physics, version: Version) -> Bool[Array, ""]:
    """Fallen; never in gymnasium-robotics's version."""
    return jnp.zeros((), bool) if version == "v1" else fallen(physics)


def _directions(physics: Physics) -> tuple[Float[Array, " 3"], Float[Array, " 3"]]:
    read = physics.extras
    return (read["top"] - read["bottom"]) / PEN_LENGTH, (read["target_top"] - read["target_bottom"]) / PEN_LENGTH


def _away(physics: Physics) -> Float[Array, ""]:
    return adroit.length(physics.extras["pen"] - physics.extras["centre"])


def _alike(physics: Physics) -> Float[Array, ""]:
    direction, wanted = _directions(physics)
    return jnp.sum(direction * wanted)
