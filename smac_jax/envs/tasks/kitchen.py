"""Kitchen: a Franka arm in a kitchen with seven things to set right, four of which count.

Source: A. Gupta et al., "Relay Policy Learning", 2019; D4RL (arXiv 2004.07219), ``kitchen_envs.py``, for "d4rl";
gymnasium-robotics's ``FrankaKitchen-v1`` for "v1". ``kitchen-complete`` and ``kitchen-partial`` are the same
environment; their data differ.

Actions are joint velocities (2 rad/s at 1), turned by the robot into positions to hold: the *observed* position, its
noise included, plus velocity times 0.08 s. What differs between the versions:

* Observation. "d4rl": 60 numbers, the joints of robot (9) and things (21), and the goal (30, zero where nothing is
  wanted). "v1": 59, joints and velocities of the robot (9 + 9), then those of the things (21 + 20).
* Noise, in multiples of each joint's own size. "d4rl": 0.1. "v1": 0.01 on the robot, 0.0005 on the things.
* A thing is right when its joints are within 0.3 of the goal. "d4rl": the observed ones; "v1": the true ones.
* Reward of a step. "d4rl": how many things are right now, 0 to 4, as in D4RL's *files*. "v1": how many were set right
  in it for the first time, as in D4RL's *environment* too.

Files and environment of D4RL do not agree on the reward: the files were made with ``REMOVE_TASKS_WHEN_COMPLETE`` off,
and pay in every step for all that is right. Since agents learn from these, online steps are paid alike (SMAC, section
5: less 4 in training). What is *reported* in both versions, ``metrics["score"]``, is the environment's: each thing
counts once, so that an episode's score is the number of things solved. The episode ends when all four have been right,
not necessarily at once.

The first state is always the same. Both versions run on gymnasium-robotics's model of the kitchen, which was remade
from D4RL's for newer MuJoCo, and is not its equal in every number.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from smac_jax.envs.base import Model, Physics, Start, Velocities, Version
from smac_jax.kitchen import GOALS, ROBOT, THRESHOLD
from smac_jax.types import Array, Key, Metrics

WANTED = {
    "complete": ("microwave", "kettle", "light switch", "slide cabinet"),
    "partial": ("microwave", "kettle", "light switch", "slide cabinet"),
    "mixed": ("microwave", "kettle", "bottom burner", "light switch"),
}
POSITIONS = np.array(
    [(-2.9, 2.9), (-1.8, 1.8), (-2.9, 2.9), (-3.1, 0.0), (-2.9, 2.9), (0.0, 3.8), (-2.9, 2.9), (0.0, 0.04), (0.0, 0.04)]
)
# Size of the noise on each of 30 numbers, from the robot's configuration (``franka_config.xml``), which counts other
# joints than the kitchen has; both versions read it by index.
POSITION_NOISE = np.array(
    [0.1] * 9 + [0.005] * 2 + [0.0005] * 6 + [0.005] * 3 + [0.1] * 3 + [0.005] * 3 + [0.1] * 3 + [0.005], np.float32
)
VELOCITY_NOISE = np.array([0.1] * 9 + [0.005] * 11 + [0.1] * 3 + [0.005] * 3 + [0.1] * 3 + [0.005], np.float32)
INIT_QPOS = (
    *(1.48388023e-01, -1.76848573e00, 1.84390296e00, -2.47685760e00, 2.60252026e-01, 7.12533105e-01),
    *(1.59515394e00, 4.79267505e-02, 3.71350919e-02, -2.66279850e-04, -5.18043486e-05, 3.12877220e-05),
    *(-4.51199853e-05, -3.90842156e-06, -4.22629655e-05, 6.28065475e-05, 4.04984708e-05, 4.62730939e-04),
    *(-2.26906415e-04, -4.65501369e-04, -6.44129196e-03, -1.77048263e-03, 1.08009684e-03, -2.69397440e-01),
    *(3.50383255e-01, 1.61944683e00, 1.00618764e00, 4.06395120e-03, -6.62095997e-03, -2.68278933e-04),
)


class Kitchen:
    """The task with the things of one of D4RL's data sets.

    Args:
      kind: a key of :data:`WANTED`.
      noise: of the observations; False for comparisons with other code, step by step.
    """

    def __init__(self, kind: str, noise: bool = True):
        self._wanted, self._noise = WANTED[kind], noise
        self._goal = np.zeros(30, np.float32)
        for thing in self._wanted:
            for joint, position in GOALS[thing].items():
                self._goal[joint] = position

    def model(self, version: Version) -> Model:
        """The kitchen; the versions share it."""
        velocities = np.tile([-10.0, 10.0], (ROBOT, 1))
        return Model(
            xml="kitchen_franka/kitchen_assets/kitchen_env_model.xml",
            frame_skip=40,
            free_axes=(),
            package="gymnasium_robotics",
            control=Velocities(2.0, velocities, POSITIONS),
            init_qpos=INIT_QPOS,
            native_ccd=version == "v1",
        )

    def reset(self, key: Key, init_qpos: Float[Array, " 30"], init_qvel: Float[Array, " 29"]) -> Start:
        """Always the same state; nothing is right yet."""
        memory = {
            "seed": jax.random.bits(key, dtype=jnp.uint32),
            "steps": jnp.zeros((), jnp.int32),
            "right": jnp.zeros(len(self._wanted), bool),
            "solved": jnp.zeros(len(self._wanted), bool),
            "first": jnp.zeros(len(self._wanted), bool),
        }
        return Start(init_qpos, init_qvel, memory=memory)

    def command(self, physics: Physics, action: Float[Array, " 9"], version: Version) -> Float[Array, " 18"]:
        """The action, and the noise that the robot sees its own joints with."""
        return jnp.concatenate([action, self._observed(physics, version)[1][:ROBOT]])

    def remember(self, physics: Physics, version: Version) -> dict[str, Array]:
        """Which things are right, have been right, and have been so for the first time in this step."""
        memory = physics.memory | {"steps": physics.memory["steps"] + 1}
        physics = physics._replace(memory=memory)
        joints = self._observed(physics, version)[0] if version == "d4rl" else physics.qpos
        right = jnp.stack([self._is_right(joints, thing) for thing in self._wanted])
        return memory | {"right": right, "solved": memory["solved"] | right, "first": right & ~memory["solved"]}

    def observation(self, physics: Physics, version: Version) -> Float[Array, " observation"]:
        """See the module's table."""
        joints, _, velocities = self._observed(physics, version)
        if version == "d4rl":
            return jnp.concatenate([joints, jnp.asarray(self._goal, jnp.float32)])
        return jnp.concatenate([joints[:ROBOT], velocities[:ROBOT], joints[ROBOT:], velocities[ROBOT:]])

    def reward(
        self, physics: Physics, action: Float[Array, " 9"], dt: float, version: Version
    ) -> tuple[Float[Array, ""], Metrics]:
        """How many things are right ("v1": were set right for the first time)."""
        del action, dt
        memory = physics.memory
        right, first, solved = (jnp.sum(memory[name], dtype=jnp.float32) for name in ("right", "first", "solved"))
        return first if version == "v1" else right, {"score": first, "solved": solved, "right": right}

    def termination(self, physics: Physics, version: Version) -> Bool[Array, ""]:
        """Everything has been right."""
        del version
        return jnp.all(physics.memory["solved"])

    def _is_right(self, joints: Float[Array, " 30"], thing: str) -> Bool[Array, ""]:
        goal = GOALS[thing]
        away = joints[np.array(list(goal))] - np.array(list(goal.values()), np.float32)
        return jnp.sqrt(jnp.sum(jnp.square(away))) < THRESHOLD

    def _observed(
        self, physics: Physics, version: Version
    ) -> tuple[Float[Array, " 30"], Float[Array, " 30"], Float[Array, " 29"]]:
        """Joints as observed, their noise, and velocities as observed; the same however often it is asked."""
        if not self._noise:
            return physics.qpos, jnp.zeros_like(physics.qpos), physics.qvel
        key = jax.random.fold_in(jax.random.key(physics.memory["seed"]), physics.memory["steps"])
        positions, velocities = jax.random.split(key)
        uniform = jax.random.uniform(positions, (30,), jnp.float32, minval=-1.0, maxval=1.0)
        if version == "d4rl":
            noise = uniform * (0.1 * POSITION_NOISE)
            return physics.qpos + noise, noise, physics.qvel  # the velocities are not in the observation
        ratio = np.where(np.arange(30) < ROBOT, 0.01, 0.0005).astype(np.float32)
        # gymnasium-robotics's slices, off by one for the positions of the things
        noise = uniform * (ratio * np.concatenate([POSITION_NOISE[:ROBOT], POSITION_NOISE[8:29]]))
        uniform = jax.random.uniform(velocities, (29,), jnp.float32, minval=-1.0, maxval=1.0)
        return physics.qpos + noise, noise, physics.qvel + uniform * (ratio[:29] * VELOCITY_NOISE[:29])
