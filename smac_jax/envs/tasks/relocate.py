"""Relocate: pick a ball up with the Adroit hand and carry it to a place. No episode ends before its time limit.

Source and versions: :mod:`smac_jax.envs.tasks.adroit`; ``relocate_v0`` of D4RL, ``AdroitHandRelocate-v1``.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from smac_jax.envs.base import Model, Physics, Start, Version
from smac_jax.envs.tasks import adroit
from smac_jax.types import Array, Key, Metrics

BALL_HEIGHT = 0.035  # m, its radius
NEAR = 0.1  # m


def model(version: Version) -> Model:
    """The hand on an arm of six joints, a ball on a table, and a place in the air; the versions share it."""
    sensors = {"palm": ("site", "S_grasp"), "ball": ("body", "Object"), "target": ("site", "target")}
    return adroit.model(version, "adroit_relocate.xml", sensors, (("body_pos", "Object"), ("site_pos", "target")))


def reset(key: Key, init_qpos: Float[Array, " 36"], init_qvel: Float[Array, " 36"]) -> Start:
    """At rest; the ball lies somewhere on the table, the target floats above it."""
    low = jnp.array([-0.15, -0.15, -0.2, -0.2, 0.15], jnp.float32)
    high = jnp.array([0.15, 0.3, 0.2, 0.2, 0.35], jnp.float32)
    drawn = jax.random.uniform(key, (5,), jnp.float32, minval=low, maxval=high)
    return Start(init_qpos, init_qvel, jnp.insert(drawn, 2, BALL_HEIGHT))


def observation(physics: Physics, version: Version) -> Float[Array, " 39"]:
    """Joints of the hand, and the ways from ball to palm, from target to palm and from target to ball."""
    del version
    palm, ball, target = (physics.extras[name] for name in ("palm", "ball", "target"))
    return jnp.concatenate([physics.qpos[:-6], palm - ball, palm - target, ball - target])


def reward(
    physics: Physics, action: Float[Array, " 30"], dt: float, version: Version
) -> tuple[Float[Array, ""], Metrics]:
    """To the ball; once lifted 1 more, hand and ball to the target; 10 and 20 more within 10 and 5 cm."""
    del action, dt
    palm, ball, target = (physics.extras[name] for name in ("palm", "ball", "target"))
    left = adroit.length(ball - target)
    reach = adroit.reach(adroit.length(palm - ball), version)
    lifted = jnp.where(ball[2] > 0.04, 1.0 - 0.5 * adroit.length(palm - target) - 0.5 * left, 0.0)
    bonus = 10.0 * (left < NEAR) + 20.0 * (left < 0.05)
    metrics = {
        "reward_reach": reach,
        "reward_lift": lifted,
        "reward_bonus": bonus,
        "success": success(physics).astype(jnp.float32),
    }
    return reach + lifted + bonus, metrics


def success(physics: Physics) -> Bool[Array, ""]:
    """The ball is within 10 cm of the target."""
    return adroit.length(physics.extras["ball"] - physics.extras["target"]) < NEAR


def termination(physics: Physics, version: Version) -> Bool[Array, ""]:
    """Never."""
    del physics, version
    return jnp.zeros((), bool)
