"""Walker2d: a robot with two legs and six motors must walk forward without falling.

Source: ``gymnasium.envs.mujoco.walker2d_v4`` and ``walker2d_v5``, built on the hopper (T. Erez, Y. Tassa, E. Todorov,
"Infinite Horizon Model Predictive Control for Nonlinear Periodic Tasks", 2011). Resets, observations (17 numbers) and
rewards are computed as for the hopper.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Bool, Float

from smac_jax.envs.base import Model, Physics, Version
from smac_jax.envs.tasks import hopper
from smac_jax.types import Array, Metrics

HEALTHY_HEIGHT = (0.8, 2.0)
HEALTHY_ANGLE = 1.0


def model(version: Version) -> Model:
    """Returns Gymnasium's walker. In v5 the right foot has the friction of the left one (1.9); in v4 it has 0.9."""
    return Model(xml="walker2d_v5.xml" if version == "v5" else "walker2d.xml", frame_skip=4)


reset = hopper.reset
observation = hopper.observation
state = hopper.state


def reward(
    physics: Physics, action: Float[Array, " 6"], dt: float, version: Version
) -> tuple[Float[Array, ""], Metrics]:
    """Returns the speed, plus 1 while the robot is healthy, minus a small cost of torque."""
    return hopper.forward_reward(physics, action, dt, version, termination(physics, version))


def termination(physics: Physics, version: Version) -> Bool[Array, ""]:
    """Returns whether the robot has fallen, jumped too high, or tilted."""
    del version
    height, angle = physics.qpos[1], physics.qpos[2]
    healthy = (height > HEALTHY_HEIGHT[0]) & (height < HEALTHY_HEIGHT[1]) & (jnp.abs(angle) < HEALTHY_ANGLE)
    return ~healthy
