"""Relocate: the Adroit hand must pick up a ball and carry it to a target. Episodes end only at the time limit.

Source and versions: :mod:`smac_jax.envs.tasks.adroit`; ``relocate_v0`` of D4RL, ``AdroitHandRelocate-v1``.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from smac_jax.envs.base import Model, Physics, Start, Version
from smac_jax.envs.tasks import adroit
from smac_jax.types import Array, Key, Metrics

BALL_HEIGHT = 0.035  # m, the radius of the ball
NEAR = 0.1  # m


def model(version: Version) -> Model:
    """Returns the hand on an arm with six joints, a ball on a table, and a target. All versions share the model."""
    sensors = {"palm": ("site", "S_grasp"), "ball": ("body", "Object"), "target": ("site", "target")}
    return adroit.model(version, "adroit_relocate.xml", sensors, (("body_pos", "Object"), ("site_pos", "target")))


def reset(key: Key, init_qpos: Float[Array, " 36"], init_qvel: Float[Array, " 36"]) -> Start:
    """Returns a state at rest. The positions of the ball on the table and of the target above it are uniform."""
    low = jnp.array([-0.15, -0.15, -0.2, -0.2, 0.15], jnp.float32)
    high = jnp.array([0.15, 0.3, 0.2, 0.2, 0.35], jnp.float32)
    drawn = jax.random.uniform(key, (5,), jnp.float32, minval=low, maxval=high)
    return Start(init_qpos, init_qvel, jnp.insert(drawn, 2, BALL_HEIGHT))


def observation(physics: Physics, version: Version) -> Float[Array, " 39"]:
    """Returns the joints of the hand, and the vectors from ball to palm, target to palm and target to ball."""
    del version
    palm, ball, target = (physics.extras[name] for name in ("palm", "ball", "target"))
    return jnp.concatenate([physics.qpos[:-6], palm - ball, palm - target, ball - target])


def reward(
    physics: Physics, action: Float[Array, " 30"], dt: float, version: Version
) -> tuple[Float[Array, ""], Metrics]:
    """Returns the reward.

    It has a term for the distance from palm to ball. Once the ball is lifted, there are 1 more and terms for the
    distances of hand and ball to the target. There are bonuses of 10 and 20 when the ball is within 10 and 5 cm of the
    target.
    """
    del action, dt
    palm, ball, target = (physics.extras[name] for name in ("palm", "ball", "target"))
    distance = adroit.length(ball - target)
    reach = adroit.reach(adroit.length(palm - ball), version)
    lifted = jnp.where(ball[2] > 0.04, 1.0 - 0.5 * adroit.length(palm - target) - 0.5 * distance, 0.0)
    bonus = 10.0 * (distance < NEAR) + 20.0 * (distance < 0.05)
    metrics = {
        "reward_reach": reach,
        "reward_lift": lifted,
        "reward_bonus": bonus,
        "success": success(physics).astype(jnp.float32),
    }
    return reach + lifted + bonus, metrics


def success(physics: Physics) -> Bool[Array, ""]:
    """Returns whether the ball is within 10 cm of the target."""
    return adroit.length(physics.extras["ball"] - physics.extras["target"]) < NEAR


def termination(physics: Physics, version: Version) -> Bool[Array, ""]:
    """Returns false."""
    del physics, version
    return jnp.zeros((), bool)
