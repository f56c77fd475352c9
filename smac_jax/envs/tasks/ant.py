"""Ant: a robot with four legs and eight motors must walk forward without turning over.

Source: ``gymnasium.envs.mujoco.ant_v4`` and ``ant_v5`` (J. Schulman et al., "High-Dimensional Continuous Control Using
Generalized Advantage Estimation", 2015).

There are three versions of the observation. v4 has 27 numbers. v5 has 105, because it appends the contact forces on 13
bodies. D4RL's data have 111, because they append the contact forces on 14 bodies (including the world), which are all
zero since its MuJoCo did not compute them.
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
    """Returns Gymnasium's ant. Only v5 reads contact forces."""
    # The reward depends on the frame of the torso, which lags the joint coordinates after a Runge-Kutta step.
    return Model(xml="ant.xml", frame_skip=5, free_axes=(0, 1), tracked_body="torso", contact_forces=version == "v5")


def reset(
    key: Key, init_qpos: Float[Array, " 15"], init_qvel: Float[Array, " 14"]
) -> tuple[Float[Array, " 15"], Float[Array, " 14"]]:
    """Adds uniform noise of 0.1 to positions (including the quaternion), and normal noise of 0.1 to velocities."""
    key_qpos, key_qvel = jax.random.split(key)
    qpos = init_qpos + jax.random.uniform(key_qpos, init_qpos.shape, jnp.float32, minval=-0.1, maxval=0.1)
    qvel = init_qvel + 0.1 * jax.random.normal(key_qvel, init_qvel.shape, jnp.float32)
    return qpos, qvel


def observation(physics: Physics, version: Version) -> Float[Array, " observation"]:
    """Returns positions without x and y, velocities, and the contact forces of the version."""
    parts = [physics.qpos[2:], physics.qvel]
    if version == "v5":
        parts.append(_contact_forces(physics)[1:].ravel())
    elif version == "d4rl":
        parts.append(jnp.zeros(14 * 6, jnp.float32))
    return jnp.concatenate(parts)


def state(
    observations: Float[np.ndarray, "row observation"],
) -> tuple[Float[np.ndarray, "row 15"], Float[np.ndarray, "row 14"], Bool[np.ndarray, " row"]]:
    """Returns joint positions (x and y are 0) and velocities of each row, and which rows contain all of them."""
    qpos = np.pad(observations[:, :13], ((0, 0), (2, 0)))
    qvel = observations[:, 13:27]
    return qpos, qvel, np.ones(len(qvel), bool)


def reward(
    physics: Physics, action: Float[Array, " 8"], dt: float, version: Version
) -> tuple[Float[Array, ""], Metrics]:
    """Returns the speed, plus 1 while the ant is healthy, minus costs of torque and (v5) of contact forces."""
    x_velocity, y_velocity = physics.extras["body_change"][0] / dt, physics.extras["body_change"][1] / dt
    # v4 adds the bonus also in the step that ends the episode
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
    """Returns whether the torso is too low or too high, or the state is not finite."""
    del version
    height = physics.qpos[2]
    finite = jnp.all(jnp.isfinite(physics.qpos)) & jnp.all(jnp.isfinite(physics.qvel))
    healthy = finite & (height >= HEALTHY_HEIGHT[0]) & (height <= HEALTHY_HEIGHT[1])
    return ~healthy


def _contact_forces(physics: Physics) -> Float[Array, "bodies 6"]:
    return jnp.clip(physics.extras["cfrc_ext"], -CONTACT_FORCE_CLIP, CONTACT_FORCE_CLIP)
