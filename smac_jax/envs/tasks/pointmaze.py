"""PointMaze, which D4RL calls maze2d: a ball must be pushed through a maze to a goal.

Source and versions: :mod:`smac_jax.envs.tasks.maze`; ``maze2d-*`` of D4RL (arXiv 2004.07219); ``PointMaze_*-v3`` of
gymnasium-robotics, whose model of the ball both versions use.

* ``"d4rl"``: the observation has 4 numbers, which are position and velocity. The goal is always in the same cell, and
  the observation does not show it. Positions are relative to the first cell of the map, and x grows with the row.
* ``"robotics-v3"``: 8 numbers, which are position, goal, position again, and velocity.

Before each step the velocity of the ball is clipped to 5 m/s in x and y. The reward is 1 at the goal and 0 elsewhere;
in the tasks with ``-dense`` in their names it is ``exp(-distance)``. An episode continues after the ball has reached
the goal, so its return is the number of steps at the goal.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from smac_jax.envs.base import Model, Physics, Start, Version
from smac_jax.envs.tasks.maze import Cells, Maze, add_walls
from smac_jax.mazes import BALL_GOALS
from smac_jax.types import Array, Key

KINDS = ("open", "umaze", "medium", "large")
EPISODE_LENGTHS = {"open": 150, "umaze": 300, "medium": 600, "large": 800}
ROBOTICS_EPISODE_LENGTHS = EPISODE_LENGTHS | {"open": 300}
SPEED = 5.0  # m/s
WALL_HEIGHT = 0.4  # m
ORIGIN = 1.2
"""x and y of the ball in D4RL's model at ``qpos`` = 0. The centers of the walls are at whole numbers, from 1 on."""


class PointMaze(Maze):
    """A maze with a ball.

    Args:
      kind: one of :data:`KINDS`.
      version: one of the versions that this module describes.
      dense: whether the reward is ``exp(-distance)``.
      **options: any of :data:`smac_jax.mazes.MAZE_OPTIONS`.
    """

    name, scale = "maze2d", 1.0

    def __init__(self, kind: str, version: Version, dense: bool = False, **options: Any):
        lengths = EPISODE_LENGTHS if version == "d4rl" else ROBOTICS_EPISODE_LENGTHS
        super().__init__(kind, version, lengths[kind], dense, options)
        self._d4rl = version == "d4rl"
        if self._d4rl:
            # In D4RL's list, the free cells are in the order of the map, and the goal is the last one.
            goal = np.array([BALL_GOALS[kind]])
            others = self.cells.starts[(self.cells.starts != goal).any(1)]
            self.cells = self.cells._replace(starts=np.concatenate([others, goal]), goals=goal)

    def centers(self, cells: Cells) -> Float[np.ndarray, "cell 2"]:
        """Returns x and y of the centers of cells. In D4RL's version they are the row and the column."""
        return cells.astype(float) if self._d4rl else super().centers(cells)

    def model(self, version: Version) -> Model:
        """Returns the ball between walls."""
        del version
        return Model(
            xml="point/point.xml",
            frame_skip=1,
            free_axes=(),
            package="gymnasium_robotics",
            build=self._build,
            adjust=_as_d4rl if self._d4rl else None,
            speed_limit=SPEED,
        )

    def _build(self, spec: Any) -> None:
        if self._d4rl:
            add_walls(spec, self.centers(self.cells.walls) + 1.0, (0.5, 0.5, 0.2), 0.0, conaffinity=1)
        else:
            half = (0.5 * self.scale, 0.5 * self.scale, 0.5 * WALL_HEIGHT)
            add_walls(spec, self.centers(self.cells.walls), half, 0.5 * WALL_HEIGHT, contype=1, conaffinity=1)

    def reset(self, key: Key, init_qpos: Float[Array, " 2"], init_qvel: Float[Array, " 2"]) -> Start:
        """Returns a random first state in a start cell.

        In D4RL's version that is any free cell, also the goal's, and there is noise on position and velocity.
        """
        key_goal, key_start, key_memory = jax.random.split(key, 3)
        goal = self.sample_goal(key_goal)
        if self._d4rl:
            key_cell, key_qpos, key_qvel = jax.random.split(key_start, 3)
            starts = jnp.asarray(self.centers(self.cells.starts), jnp.float32)
            cell = starts[jax.random.randint(key_cell, (), 0, len(starts), jnp.int32)]
            qpos = cell + jax.random.uniform(key_qpos, (2,), jnp.float32, minval=-0.1, maxval=0.1)
            qvel = init_qvel + 0.1 * jax.random.normal(key_qvel, (2,), jnp.float32)
        else:
            qpos, qvel = self.sample_start(key_start, goal), init_qvel
        return Start(qpos, qvel, memory=self.first_memory(key_memory, goal))

    def sample_goal(self, key: Key) -> Float[Array, " 2"]:
        """Returns the goal of an episode. In D4RL's version it is always the same."""
        return jnp.asarray(self.centers(self.cells.goals)[0], jnp.float32) if self._d4rl else super().sample_goal(key)

    def observation(self, physics: Physics, version: Version) -> Float[Array, " observation"]:
        """Returns the observation, which the module describes for each version."""
        del version
        joints = jnp.concatenate([physics.qpos, physics.qvel])
        return joints if self._d4rl else jnp.concatenate([self.position(physics), physics.memory["goal"], joints])

    def state(
        self, observations: Float[np.ndarray, "row observation"]
    ) -> tuple[Float[np.ndarray, "row 2"], Float[np.ndarray, "row 2"], Bool[np.ndarray, " row"]]:
        """Returns position and velocity of each row, and which rows contain both (every row does)."""
        joints = observations[:, -4:]
        return joints[:, :2], joints[:, 2:], np.ones(len(joints), bool)


def _as_d4rl(mj: Any) -> None:
    """Moves the ball to where D4RL's model has it."""
    mj.body("particle").pos[:2] = ORIGIN
