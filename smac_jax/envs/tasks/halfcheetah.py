"""HalfCheetah: a robot with two legs and six motors must run forward. Episodes end only at the time limit.

Source: ``gymnasium.envs.mujoco.half_cheetah_v4`` and ``half_cheetah_v5`` (P. Wawrzynski, "A Cat-Like Robot Real-Time
Learning to Run", 2009).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from smac_jax.envs.base import Model, Physics, Version
from smac_jax.types import Array, Key, Metrics


def model(version: Version) -> Model:
    """Returns Gymnasium's half cheetah. All versions share the model."""
    del version
    return Model(xml="half_cheetah.xml", frame_skip=5)


def reset(
    key: Key, init_qpos: Float[Array, " 9"], init_qvel: Float[Array, " 9"]
) -> tuple[Float[Array, " 9"], Float[Array, " 9"]]:
    """Adds uniform noise of 0.1 to positions, and normal noise of 0.1 to velocities."""
    key_qpos, key_qvel = jax.random.split(key)
    qpos = init_qpos + jax.random.uniform(key_qpos, init_qpos.shape, jnp.float32, minval=-0.1, maxval=0.1)
    qvel = init_qvel + 0.1 * jax.random.normal(key_qvel, init_qvel.shape, jnp.float32)
    return qpos, qvel


def observation(physics: Physics, version: Version) -> Float[Array, " 17"]:
    """Returns positions without x, and velocities."""
    del version
    return jnp.concatenate([physics.qpos[1:], physics.qvel])


def state(
    observations: Float[np.ndarray, "row observation"],
) -> tuple[Float[np.ndarray, "row 9"], Float[np.ndarray, "row 9"], Bool[np.ndarray, " row"]]:
    """Returns joint positions (x is 0) and velocities of each row, and which rows contain all of them."""
    qpos = np.pad(observations[:, :8], ((0, 0), (1, 0)))
    qvel = observations[:, 8:17]
    return qpos, qvel, np.ones(len(qvel), bool)


def reward(
    physics: Physics, action: Float[Array, " 6"], dt: float, version: Version
) -> tuple[Float[Array, ""], Metrics]:
    """Returns the speed minus a cost of torque."""
    del version
    forward = physics.qpos_change[0] / dt
    control = -0.1 * jnp.sum(jnp.square(action))
    metrics = {
        "reward_forward": forward,
        "reward_control": control,
        "x_position": physics.qpos[0],
        "x_velocity": forward,
    }
    return forward + control, metrics


def termination(physics: Physics, version: Version) -> Bool[Array, ""]:
    """Returns false."""
    del physics, version
    return jnp.zeros((), bool)
