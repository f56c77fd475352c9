"""HalfCheetah: two legs and a back, six motors, run forward. It cannot fall, so no episode ends before its time limit.

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
    """Gymnasium's half cheetah; the versions share it."""
    del version
    return Model(xml="half_cheetah.xml", frame_skip=5)


def reset(
    key: Key, init_qpos: Float[Array, " 9"], init_qvel: Float[Array, " 9"]
) -> tuple[Float[Array, " 9"], Float[Array, " 9"]]:
    """Uniform noise of 0.1 on positions, normal noise of 0.1 on velocities."""
    key_qpos, key_qvel = jax.random.split(key)
    qpos = init_qpos + jax.random.uniform(key_qpos, init_qpos.shape, jnp.float32, minval=-0.1, maxval=0.1)
    qvel = init_qvel + 0.1 * jax.random.normal(key_qvel, init_qvel.shape, jnp.float32)
    return qpos, qvel


def observation(physics: Physics, version: Version) -> Float[Array, " 17"]:
    """Positions without x, and velocities."""
    del version
    return jnp.concatenate([physics.qpos[1:], physics.qvel])


def state(
    observations: Float[np.ndarray, "row observation"],
) -> tuple[Float[np.ndarray, "row 9"], Float[np.ndarray, "row 9"], Bool[np.ndarray, " row"]]:
    """Joint positions and velocities that rows show (x as 0), and which rows show them whole."""
    qpos = np.pad(observations[:, :8], ((0, 0), (1, 0)))
    qvel = observations[:, 8:17]
    return qpos, qvel, np.ones(len(qvel), bool)


def reward(
    physics: Physics, action: Float[Array, " 6"], dt: float, version: Version
) -> tuple[Float[Array, ""], Metrics]:
    """Speed minus a price for torque."""
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
    """Never."""
    del physics, version
    return jnp.zeros((), bool)
