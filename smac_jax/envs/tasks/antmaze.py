"""AntMaze: the ant must walk through a maze to a goal.

Source and versions: :mod:`smac_jax.envs.tasks.maze`; ``antmaze-*-v2`` of D4RL (arXiv 2004.07219);
``AntMaze_*-v4`` and ``-v5`` of gymnasium-robotics. The robot is Gymnasium's ant. In D4RL's version it has the steps of
D4RL's model (0.02 s), its motors (30 Nm, not 150 Nm) and its softer contacts.

* ``"d4rl"``: the observation has 29 numbers, which are joint positions (with x and y) and velocities. It does not show
  the goal: D4RL's agents learn to walk to the one cell in which all goals are. This is the environment of the -v2
  data, whose goal differs between episodes. (In -v0 it was drawn once, when the environment was made.)
* ``"robotics-v4"``: 31 numbers, which are the position, the goal, and the observation of Gymnasium's Ant-v4 without x
  and y (27). ``"robotics-v5"`` has 109 numbers, because it adds the contact forces of Ant-v5 (78).

The reward is 1 at the goal and 0 elsewhere. (IQL and other algorithms learn from ``reward - 1``; their field
``reward_bias`` sets this.) ``metrics["score"]`` is 1 in the step in which an episode first reaches the goal, and 0 in
all other steps, so the score of an episode is 1 if it succeeded.
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
# of D4RL's model
TIMESTEP, TORQUE, SOLIMP = 0.02, 30.0, (0.8, 0.8, 0.01)


class AntMaze(Maze):
    """A maze with an ant.

    Args:
      kind: one of :data:`KINDS`.
      version: one of the versions that this module describes.
      **options: any of :data:`smac_jax.mazes.MAZE_OPTIONS`.
    """

    name, scale = "antmaze", 4.0

    def __init__(self, kind: str, version: Version, **options: Any):
        super().__init__(kind, version, EPISODE_LENGTHS[kind], False, options)
        self._d4rl = version == "d4rl"
        if self._d4rl:
            self.ends_at_goal = True
            self.cells = self.cells._replace(starts=np.array([ANT_START]), goals=np.array([ANT_GOALS[kind]]))

    def centers(self, cells: Cells) -> Float[np.ndarray, "cell 2"]:
        """Returns x and y of the centers of cells, in meters.

        In D4RL's version the origin is the center of the cell in which the ant starts, and y grows with the row.
        """
        if not self._d4rl:
            return super().centers(cells)
        return self.scale * (cells[:, ::-1] - np.array(ANT_START)[::-1]).astype(float)

    def model(self, version: Version) -> Model:
        """Returns Gymnasium's ant between walls."""
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
        add_walls(spec, self.centers(self.cells.walls), half, 0.5 * WALL_HEIGHT, contype=1, conaffinity=1)

    def reset(self, key: Key, init_qpos: Float[Array, " 15"], init_qvel: Float[Array, " 14"]) -> Start:
        """Returns a random first state in a start cell.

        In D4RL's version it has the noise of Gymnasium's ant. In the others the ant is upright and at rest.
        """
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
        """Returns the goal of an episode. In D4RL's version, x and y are up to 1.5 m above the center of its cell."""
        if not self._d4rl:
            return super().sample_goal(key)
        first, second = jax.random.uniform(key, (2, 2), jnp.float32)
        # D4RL adds noise twice: up to a quarter of a cell, and up to an eighth
        noise = 0.25 * self.scale * (first + 0.5 * second)
        return jnp.asarray(self.centers(self.cells.goals)[0], jnp.float32) + noise

    def observation(self, physics: Physics, version: Version) -> Float[Array, " observation"]:
        """Returns the observation, which the module describes for each version."""
        del version
        if self._d4rl:
            return jnp.concatenate([physics.qpos, physics.qvel])
        parts = [self.position(physics), physics.memory["goal"], physics.qpos[2:], physics.qvel]
        if self.version == "robotics-v5":
            parts.append(jnp.clip(physics.extras["cfrc_ext"], -CONTACT_FORCE_CLIP, CONTACT_FORCE_CLIP)[1:].ravel())
        return jnp.concatenate(parts)

    def state(
        self, observations: Float[np.ndarray, "row observation"]
    ) -> tuple[Float[np.ndarray, "row 15"], Float[np.ndarray, "row 14"], Bool[np.ndarray, " row"]]:
        """Returns joint positions and velocities of each row, and which rows contain all of them (every row does)."""
        joints = observations if self._d4rl else np.concatenate([observations[:, :2], observations[:, 4:31]], 1)
        return joints[:, :15], joints[:, 15:29], np.ones(len(joints), bool)

    def reward(
        self, physics: Physics, action: Float[Array, " 8"], dt: float, version: Version
    ) -> tuple[Float[Array, ""], Metrics]:
        """Returns 1 at the goal and 0 elsewhere. The metric ``score`` is 1 when the goal is first reached."""
        reward, metrics = super().reward(physics, action, dt, version)
        return reward, metrics | {"score": physics.memory["first"].astype(jnp.float32)}


def _as_d4rl(mj: Any) -> None:
    """Changes Gymnasium's ant to that of D4RL's ``locomotion/assets/ant.xml``. All other numbers are equal."""
    mj.opt.timestep = TIMESTEP
    mj.geom_solimp[:, :3] = SOLIMP
    mj.actuator_gear[:, 0] = TORQUE
