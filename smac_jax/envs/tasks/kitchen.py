"""Kitchen: a Franka arm must bring objects of a kitchen to their goals. Four of seven subtasks count in each data set.

Source: A. Gupta et al., "Relay Policy Learning", 2019; D4RL (arXiv 2004.07219), ``kitchen_envs.py``, for "d4rl";
gymnasium-robotics's ``FrankaKitchen-v1`` for "v1". ``kitchen-complete`` and ``kitchen-partial`` are the same
environment; their data differ.

Actions are joint velocities (2 rad/s at 1). The robot turns them into target positions: the *observed* position, with
its noise, plus velocity times 0.08 s. A subtask is complete when the joints of its object are within 0.3 of the goal.
The versions differ in the following:

* Observation. "d4rl" has 60 numbers: the joints of the robot (9) and of the objects (21), and the goal (30, with zeros
  for objects without a goal). "v1" has 59: joints and velocities of the robot (9 + 9), then those of the objects
  (21 + 20).
* Noise of the observation, in multiples of a size for each joint. "d4rl" has 0.1. "v1" has 0.01 for the robot and
  0.0005 for the objects.
* Completion of a subtask. "d4rl" uses the observed joints, "v1" the true ones.
* Reward of a step. "d4rl" gives the number of subtasks that are complete now, 0 to 4, as in D4RL's *files*. "v1" gives
  the number of subtasks that are completed for the first time, as also in D4RL's *environment*.

The reward in D4RL's files is not that of its environment: the files were made with ``REMOVE_TASKS_WHEN_COMPLETE`` off,
so each step is rewarded for all subtasks that are complete. Agents are pre-trained on these rewards, so the online
rewards of "d4rl" are the same (SMAC, section 5, subtracts 4 in training). The *reported* number, ``metrics["score"]``,
is that of the environment in both versions: each subtask counts once, so the score of an episode is the number of
completed subtasks. The episode ends when all four subtasks have been completed, not necessarily at the same time.

The first state is always the same. Both versions run on gymnasium-robotics's model of the kitchen, which was made from
D4RL's model for newer releases of MuJoCo. The two models differ in some numbers.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from smac_jax.envs.base import Model, Physics, Start, Velocities, Version
from smac_jax.kitchen import GOALS, ROBOT, THRESHOLD
from smac_jax.types import Array, Key, Metrics

SUBTASKS = {
    "complete": ("microwave", "kettle", "light switch", "slide cabinet"),
    "partial": ("microwave", "kettle", "light switch", "slide cabinet"),
    "mixed": ("microwave", "kettle", "bottom burner", "light switch"),
}
POSITIONS = np.array(
    [(-2.9, 2.9), (-1.8, 1.8), (-2.9, 2.9), (-3.1, 0.0), (-2.9, 2.9), (0.0, 3.8), (-2.9, 2.9), (0.0, 0.04), (0.0, 0.04)]
)
# The size of the noise on each of 30 numbers, from the configuration of the robot (``franka_config.xml``). It lists
# other joints than the kitchen has, but both versions read it by index.
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
    """The task with the subtasks of one of D4RL's data sets.

    Args:
      kind: a key of :data:`SUBTASKS`.
      noise: whether observations are noisy. False is for comparisons with other code, step by step.
    """

    def __init__(self, kind: str, noise: bool = True):
        self._subtasks, self._noise = SUBTASKS[kind], noise
        self._goal = np.zeros(30, np.float32)
        for name in self._subtasks:
            for joint, position in GOALS[name].items():
                self._goal[joint] = position

    def model(self, version: Version) -> Model:
        """Returns the kitchen. All versions share the model."""
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
        """Returns the first state, which is always the same. No subtask is complete."""
        memory = {
            "seed": jax.random.bits(key, dtype=jnp.uint32),
            "steps": jnp.zeros((), jnp.int32),
            "complete": jnp.zeros(len(self._subtasks), bool),
            "solved": jnp.zeros(len(self._subtasks), bool),
            "first": jnp.zeros(len(self._subtasks), bool),
        }
        return Start(init_qpos, init_qvel, memory=memory)

    def command(self, physics: Physics, action: Float[Array, " 9"], version: Version) -> Float[Array, " 18"]:
        """Returns the action, and the noise with which the robot observes its own joints."""
        return jnp.concatenate([action, self._observed(physics, version)[1][:ROBOT]])

    def remember(self, physics: Physics, version: Version) -> dict[str, Array]:
        """Returns which subtasks are complete, have been completed, and were completed first in this step."""
        memory = physics.memory | {"steps": physics.memory["steps"] + 1}
        physics = physics._replace(memory=memory)
        joints = self._observed(physics, version)[0] if version == "d4rl" else physics.qpos
        complete = jnp.stack([self._is_complete(joints, name) for name in self._subtasks])
        return memory | {
            "complete": complete,
            "solved": memory["solved"] | complete,
            "first": complete & ~memory["solved"],
        }

    def observation(self, physics: Physics, version: Version) -> Float[Array, " observation"]:
        """Returns the observation of the version; the documentation of the module describes it."""
        joints, _, velocities = self._observed(physics, version)
        if version == "d4rl":
            return jnp.concatenate([joints, jnp.asarray(self._goal, jnp.float32)])
        return jnp.concatenate([joints[:ROBOT], velocities[:ROBOT], joints[ROBOT:], velocities[ROBOT:]])

    def reward(
        self, physics: Physics, action: Float[Array, " 9"], dt: float, version: Version
    ) -> tuple[Float[Array, ""], Metrics]:
        """Returns the number of subtasks that are complete ("v1": that are completed for the first time)."""
        del action, dt
        memory = physics.memory
        complete, first, solved = (jnp.sum(memory[name], dtype=jnp.float32) for name in ("complete", "first", "solved"))
        return first if version == "v1" else complete, {"score": first, "solved": solved, "complete": complete}

    def termination(self, physics: Physics, version: Version) -> Bool[Array, ""]:
        """Returns whether all subtasks have been completed."""
        del version
        return jnp.all(physics.memory["solved"])

    def _is_complete(self, joints: Float[Array, " 30"], name: str) -> Bool[Array, ""]:
        goal = GOALS[name]
        difference = joints[np.array(list(goal))] - np.array(list(goal.values()), np.float32)
        return jnp.sqrt(jnp.sum(jnp.square(difference))) < THRESHOLD

    def _observed(
        self, physics: Physics, version: Version
    ) -> tuple[Float[Array, " 30"], Float[Array, " 30"], Float[Array, " 29"]]:
        """Returns observed joints, their noise, and observed velocities. In one state they are always the same."""
        if not self._noise:
            return physics.qpos, jnp.zeros_like(physics.qpos), physics.qvel
        key = jax.random.fold_in(jax.random.key(physics.memory["seed"]), physics.memory["steps"])
        positions, velocities = jax.random.split(key)
        uniform = jax.random.uniform(positions, (30,), jnp.float32, minval=-1.0, maxval=1.0)
        if version == "d4rl":
            noise = uniform * (0.1 * POSITION_NOISE)
            return physics.qpos + noise, noise, physics.qvel  # the velocities are not in the observation
        ratio = np.where(np.arange(30) < ROBOT, 0.01, 0.0005).astype(np.float32)
        # the slices are those of gymnasium-robotics, which are off by one for the positions of the objects
        noise = uniform * (ratio * np.concatenate([POSITION_NOISE[:ROBOT], POSITION_NOISE[8:29]]))
        uniform = jax.random.uniform(velocities, (29,), jnp.float32, minval=-1.0, maxval=1.0)
        return physics.qpos + noise, noise, physics.qvel + uniform * (ratio[:29] * VELOCITY_NOISE[:29])
