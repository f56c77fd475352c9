"""Ant: four legs, eight motors, walk forward without turning over.

Source: ``gymnasium.envs.mujoco.ant_v4`` and ``ant_v5`` (J. Schulman et al., "High-Dimensional Continuous Control Using
Generalized Advantage Estimation", 2015).

Three versions of the observation exist: 27 numbers in v4; 105 in v5, which appends the contact forces on its 13 bodies;
111 in D4RL's data, which appends those on 14 (the world is one), all zero: its MuJoCo did not compute them.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from smac_jax.envs.base import Model, Physics, Version
from smac_jax.types import Array, Key, Metrics

HEALTHY_HEIGHT = (0.2, 1.0)
CONTACT_FORCE_CLIP = 1.0


def model(version: Version) -> Model:
    """Gymnasium's ant; only v5 reads contact forces."""
    # The reward goes by the torso's body frame, which after a Runge-Kutta step lags the joint coordinates.
    return Model(xml="ant.xml", frame_skip=5, free_axes=(0, 1), tracked_body="torso", contact_forces=version == "v5")


def reset(
    key: Key, init_qpos: Float[Array, " 15"], init_qvel: Float[Array, " 14"]
) -> tuple[Float[Array, " 15"], Float[Array, " 14"]]:
    """Uniform noise of 0.1 on positions (the quaternion too), normal noise of 0.1 on velocities."""
    key_qpos, key_qvel = jax.random.split(key)
    qpos = init_qpos + jax.random.uniform(key_qpos, init_qpos.shape, jnp.float32, minval=-0.1, maxval=0.1)
    qvel = init_qvel + 0.1 * jax.random.normal(key_qvel, init_qvel.shape, jnp.float32)
    return qpos, qvel


def observation(physics: Physics, version: Version) -> Float[Array, " observation"]:
    """Positions without x and y, velocities, and the version's contact forces."""
    parts = [physics.qpos[2:], physics.qvel]
    if version == "v5":
        parts.append(_contact_forces(physics)[1:].ravel())
    elif version == "d4rl":
        parts.append(jnp.zeros(14 * 6, jnp.float32))
    return jnp.concatenate(parts)


def state(
    observations: Float[np.ndarray, "row observation"],
) -> tuple[Float[np.ndarray, "row 15"], Float[np.ndarray, "row 14"], Bool[np.ndarray, " row"]]:
    """Joint positions and velocities that rows show (x and y as 0), and which rows show them whole."""
    qpos = np.pad(observations[:, :13], ((0, 0), (2, 0)))
    qvel = observations[:, 13:27]
    return qpos, qvel, np.ones(len(qvel), bool)


def reward(
    physics: Physics, action: Float[Array, " 8"], dt: float, version: Version
) -> tuple[Float[Array, ""], Metrics]:
    """Speed, plus 1 for staying up, minus a price for torque and (v5) for contact forces."""
    x_velocity, y_velocity = physics.extras["body_change"][0] / dt, physics.extras["body_change"][1] / dt
    # v4 pays the bonus on the step that ends the episode too.
    healthy = jnp.where(termination(physics, version), 0.0, 1.0) if version == "v5" else jnp.ones((), jnp.float32)
    control = -0.5 * jnp.sum(jnp.square(action))
    contact = -5e-4 * jnp.sum(jnp.square(_contact_forces(physics))) if version == "v5" else jnp.zeros((), jnp.float32)
    metrics = {
        "reward_forward": x_velocity,
        "reward_healthy": healthy,
        "reward_control": control,
        "reward_contact": contact,
        "x_position": physics.qpos[0],
        "y_position": physics.qpos[1],
        "x_velocity": x_velocity,
        "y_velocity": y_velocity,
    }
    return x_velocity + healthy + control + contact, metrics


def termination(physics: Physics, version: Version) -> Bool[Array, ""]:
    """Too low, too high, or not finite."""
    del version
    height = physics.qpos[2]
    finite = jnp.all(jnp.isfinite(physics.qpos)) & jnp.all(jnp.isfinite(physics.qvel))
    healthy = finite & (height >= HEALTHY_HEIGHT[0]) & (height <= HEALTHY_HEIGHT[1])
    return ~healthy


def _contact_forces(physics: Physics) -> Float[Array, "bodies 6"]:
    return jnp.clip(physics.extras["cfrc_ext"], -CONTACT_FORCE_CLIP, CONTACT_FORCE_CLIP)
