"""AntMaze: the ant walks through a maze to a goal.

Source and versions: :mod:`smac_jax.envs.tasks.maze`; ``antmaze-*-v2`` of D4RL (arXiv 2004.07219);
``AntMaze_*-v4`` and ``-v5`` of gymnasium-robotics. The robot is Gymnasium's ant, in D4RL's version with what D4RL's
model has else: steps of 0.02 s, motors of 30 rather than 150 Nm, softer contacts.

* ``"d4rl"``: 29 numbers, joint positions (x and y among them) and velocities. The goal is not in them: D4RL's agents
  are to walk to the one place where all goals are. It is the environment of the -v2 data, whose goal differs from
  episode to episode (in -v0 it was one for each environment that was made).
* ``"robotics-v4"``: 31 numbers, place, goal, and Gymnasium's Ant-v4 without x and y (27); ``"robotics-v5"``: 109, with
  the contact forces of Ant-v5 (78).

Rewards are 1 at the goal and 0 elsewhere. (IQL and others learn from ``reward - 1``, which is a setting of
theirs, ``reward_bias``.) ``metrics["score"]`` is 1 in the first step of an episode that reaches the goal, so that an
episode's score is whether it succeeded.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from smac_jax.envs.base import Model, Physics, Start, Version
from smac_jax.envs.tasks.ant import CONTACT_FORCE_CLIP
from smac_jax.envs.tasks.maze import Cells, Maze, add_walls
from smac_jax.mazes import ANT_GOALS, ANT_START
from smac_jax.types import Array, Key, Metrics

KINDS = ("umaze", "medium", "large")
EPISODE_LENGTHS = {"umaze": 700, "medium": 1000, "large": 1000}
WALL_HEIGHT = 2.0  # m
# D4RL's
TIMESTEP, TORQUE, SOLIMP = 0.02, 30.0, (0.8, 0.8, 0.01)


class AntMaze(Maze):
    """A maze with an ant in it.

    Args:
      kind: one of :data:`KINDS`.
      version: see the module.
      **options: :data:`smac_jax.mazes.MAZE_OPTIONS`.
    """

    name, scale = "antmaze", 4.0

    def __init__(self, kind: str, version: Version, **options: Any):
        super().__init__(kind, version, EPISODE_LENGTHS[kind], False, options)
        self._d4rl = version == "d4rl"
        if self._d4rl:
            self.ends_at_goal = True
            self.places = self.places._replace(starts=np.array([ANT_START]), goals=np.array([ANT_GOALS[kind]]))

    def at(self, cells: Cells) -> Float[np.ndarray, "cell 2"]:
        """Middles of cells; in D4RL's version the start's is the origin, and rows go up."""
        if not self._d4rl:
            return super().at(cells)
        return self.scale * (cells[:, ::-1] - np.array(ANT_START)[::-1]).astype(float)

    def model(self, version: Version) -> Model:
        """Gymnasium's ant and walls."""
        del version
        return Model(
            xml="ant.xml",
            frame_skip=5,
            free_axes=(),
            contact_forces=self.version == "robotics-v5",
            build=self._build,
            adjust=_as_d4rl if self._d4rl else None,
        )

    def _build(self, spec: Any) -> None:
        half = (0.5 * self.scale, 0.5 * self.scale, 0.5 * WALL_HEIGHT)
        add_walls(spec, self.at(self.places.walls), half, 0.5 * WALL_HEIGHT, contype=1, conaffinity=1)

    def reset(self, key: Key, init_qpos: Float[Array, " 15"], init_qvel: Float[Array, " 14"]) -> Start:
        """In a start's cell; in D4RL's version with the noise of Gymnasium's ant, else at rest and upright."""
        key_goal, key_start, key_memory = jax.random.split(key, 3)
        goal = self.sample_goal(key_goal)
        if self._d4rl:
            key_qpos, key_qvel = jax.random.split(key_start)
            qpos = init_qpos + jax.random.uniform(key_qpos, init_qpos.shape, jnp.float32, minval=-0.1, maxval=0.1)
            qvel = init_qvel + 0.1 * jax.random.normal(key_qvel, init_qvel.shape, jnp.float32)
        else:
            qpos, qvel = init_qpos.at[:2].set(self.sample_start(key_start, goal)), init_qvel
        return Start(qpos, qvel, memory=self.first_memory(key_memory, goal))

    def sample_goal(self, key: Key) -> Float[Array, " 2"]:
        """In D4RL's version up to 1 + 0.5 m beyond the middle of its cell, in x and in y."""
        if not self._d4rl:
            return super().sample_goal(key)
        first, second = jax.random.uniform(key, (2, 2), jnp.float32)
        # D4RL draws twice: a noise of a quarter of a cell, and half as much again
        noise = 0.25 * self.scale * (first + 0.5 * second)
        return jnp.asarray(self.at(self.places.goals)[0], jnp.float32) + noise

    def observation(self, physics: Physics, version: Version) -> Float[Array, " observation"]:
        """See the module."""
        del version
        if self._d4rl:
            return jnp.concatenate([physics.qpos, physics.qvel])
        parts = [self.place(physics), physics.memory["goal"], physics.qpos[2:], physics.qvel]
        if self.version == "robotics-v5":
            parts.append(jnp.clip(physics.extras["cfrc_ext"], -CONTACT_FORCE_CLIP, CONTACT_FORCE_CLIP)[1:].ravel())
        return jnp.concatenate(parts)

    def state(
        self, observations: Float[np.ndarray, "row observation"]
    ) -> tuple[Float[np.ndarray, "row 15"], Float[np.ndarray, "row 14"], Bool[np.ndarray, " row"]]:
        """Joint positions and velocities that rows show, which they show whole."""
        joints = observations if self._d4rl else np.concatenate([observations[:, :2], observations[:, 4:31]], 1)
        return joints[:, :15], joints[:, 15:29], np.ones(len(joints), bool)

    def reward(
        self, physics: Physics, action: Float[Array, " 8"], dt: float, version: Version
    ) -> tuple[Float[Array, ""], Metrics]:
        """1 at the goal; the score is 1 when it is reached for the first time."""
        reward, metrics = super().reward(physics, action, dt, version)
        return reward, metrics | {"score": physics.memory["first"].astype(jnp.float32)}


def _as_d4rl(mj: Any) -> None:
    """Gymnasium's ant as D4RL's ``locomotion/assets/ant.xml`` has it; in all else the two are the same."""
    mj.opt.timestep = TIMESTEP
    mj.geom_solimp[:, :3] = SOLIMP
    mj.actuator_gear[:, 0] = TORQUE
