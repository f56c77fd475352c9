"""Hopper: a robot with one leg and three motors must hop forward without falling.

Source: ``gymnasium.envs.mujoco.hopper_v4`` and ``hopper_v5`` (T. Erez, Y. Tassa and E. Todorov, "Infinite Horizon Model
Predictive Control for Nonlinear Periodic Tasks", 2011).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from smac_jax.envs.base import Model, Physics, Version
from smac_jax.types import Array, Key, Metrics

HEALTHY_STATE = 100.0
HEALTHY_HEIGHT = 0.7
HEALTHY_ANGLE = 0.2
VELOCITY_CLIP = 10.0


def model(version: Version) -> Model:
    """Returns Gymnasium's hopper. All versions share the model."""
    del version
    return Model(xml="hopper.xml", frame_skip=4)


def reset(
    key: Key, init_qpos: Float[Array, " qpos"], init_qvel: Float[Array, " qvel"]
) -> tuple[Float[Array, " qpos"], Float[Array, " qvel"]]:
    """Adds uniform noise of 5e-3 to positions and velocities."""
    key_qpos, key_qvel = jax.random.split(key)
    qpos = init_qpos + jax.random.uniform(key_qpos, init_qpos.shape, jnp.float32, minval=-5e-3, maxval=5e-3)
    qvel = init_qvel + jax.random.uniform(key_qvel, init_qvel.shape, jnp.float32, minval=-5e-3, maxval=5e-3)
    return qpos, qvel


def observation(physics: Physics, version: Version) -> Float[Array, " observation"]:
    """Returns positions without x, and velocities clipped to 10. These are 11 numbers for the hopper."""
    del version
    return jnp.concatenate([physics.qpos[1:], jnp.clip(physics.qvel, -VELOCITY_CLIP, VELOCITY_CLIP)])


def state(
    observations: Float[np.ndarray, "row observation"],
) -> tuple[Float[np.ndarray, "row qpos"], Float[np.ndarray, "row qvel"], Bool[np.ndarray, " row"]]:
    """Returns joint positions (x is 0) and velocities of each row, and which rows contain all of them."""
    positions = observations.shape[1] // 2  # the observation has one position less than velocities
    qpos = np.pad(observations[:, :positions], ((0, 0), (1, 0)))
    qvel = observations[:, positions:]
    return qpos, qvel, (np.abs(qvel) < VELOCITY_CLIP).all(-1)


def reward(
    physics: Physics, action: Float[Array, " 3"], dt: float, version: Version
) -> tuple[Float[Array, ""], Metrics]:
    """Returns the speed, plus 1 while the robot is healthy, minus a small cost of torque."""
    return forward_reward(physics, action, dt, version, termination(physics, version))


def forward_reward(
    physics: Physics, action: Float[Array, " action"], dt: float, version: Version, terminated: Bool[Array, ""]
) -> tuple[Float[Array, ""], Metrics]:
    """Returns the reward of the hopper and of walker2d, which differ only in their terminations."""
    forward = physics.qpos_change[0] / dt
    # v4 adds the bonus also in the step that ends the episode
    healthy = jnp.where(terminated, 0.0, 1.0) if version == "v5" else jnp.ones((), jnp.float32)
    control = -1e-3 * jnp.sum(jnp.square(action))
    metrics = {
        "reward_forward": forward,
        "reward_healthy": healthy,
        "reward_control": control,
        "x_position": physics.qpos[0],
        "x_velocity": forward,
    }
    return forward + healthy + control, metrics


def termination(physics: Physics, version: Version) -> Bool[Array, ""]:
    """Returns whether the robot has fallen or tilted, or a coordinate is out of range."""
    del version
    height, angle = physics.qpos[1], physics.qpos[2]
    state = jnp.concatenate([physics.qpos[2:], physics.qvel])
    healthy = jnp.all(jnp.abs(state) < HEALTHY_STATE) & (height > HEALTHY_HEIGHT) & (jnp.abs(angle) < HEALTHY_ANGLE)
    return ~healthy
