"""PointMaze, D4RL's maze2d: a ball is pushed through a maze to a goal.

Source and versions: :mod:`smac_jax.envs.tasks.maze`; ``maze2d-*`` of D4RL (arXiv 2004.07219); ``PointMaze_*-v3`` of
gymnasium-robotics, whose model of the ball both versions use.

* ``"d4rl"``: 4 numbers, place and velocity. The goal is one cell of the map, always the same, and not in them. Places
  are counted in cells from the map's first; rows go in the direction of x.
* ``"robotics-v3"``: 8 numbers: place, goal, place and velocity.

The ball's speed is clipped to 5 in x and y before each step. Rewards are 1 at the goal and 0 elsewhere, or in the
tasks with ``-dense`` ``exp(-distance)``; an episode goes on at the goal, so that its return counts steps at the goal.
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
SPEED = 5.0
WALL_HEIGHT = 0.4
ORIGIN = 1.2
"""Where in its world D4RL puts the ball; its walls stand around whole numbers from 1 on."""


class PointMaze(Maze):
    """A maze with a ball in it.

    Args:
      kind: one of :data:`KINDS`.
      version: see the module.
      dense: pay ``exp(-distance)``.
      **options: :data:`smac_jax.mazes.MAZE_OPTIONS`.
    """

    name, scale = "maze2d", 1.0

    def __init__(self, kind: str, version: Version, dense: bool = False, **options: Any):
        lengths = EPISODE_LENGTHS if version == "d4rl" else ROBOTICS_EPISODE_LENGTHS
        super().__init__(kind, version, lengths[kind], dense, options)
        self._d4rl = version == "d4rl"
        if self._d4rl:
            # D4RL's list: free cells in the order of the map, the goal's last
            goal = np.array([BALL_GOALS[kind]])
            others = self.places.starts[(self.places.starts != goal).any(1)]
            self.places = self.places._replace(starts=np.concatenate([others, goal]), goals=goal)

    def at(self, cells: Cells) -> Float[np.ndarray, "cell 2"]:
        """Places of cells; in D4RL's version their row and column."""
        return cells.astype(float) if self._d4rl else super().at(cells)

    def model(self, version: Version) -> Model:
        """The ball and walls."""
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
            add_walls(spec, self.at(self.places.walls) + 1.0, (0.5, 0.5, 0.2), 0.0, conaffinity=1)
        else:
            half = (0.5 * self.scale, 0.5 * self.scale, 0.5 * WALL_HEIGHT)
            add_walls(spec, self.at(self.places.walls), half, 0.5 * WALL_HEIGHT, contype=1, conaffinity=1)

    def reset(self, key: Key, init_qpos: Float[Array, " 2"], init_qvel: Float[Array, " 2"]) -> Start:
        """In a start's cell; in D4RL's version any, the goal's too, with noise on place and velocity."""
        key_goal, key_start, key_memory = jax.random.split(key, 3)
        goal = self.sample_goal(key_goal)
        if self._d4rl:
            key_cell, key_qpos, key_qvel = jax.random.split(key_start, 3)
            starts = jnp.asarray(self.at(self.places.starts), jnp.float32)
            cell = starts[jax.random.randint(key_cell, (), 0, len(starts), jnp.int32)]
            qpos = cell + jax.random.uniform(key_qpos, (2,), jnp.float32, minval=-0.1, maxval=0.1)
            qvel = init_qvel + 0.1 * jax.random.normal(key_qvel, (2,), jnp.float32)
        else:
            qpos, qvel = self.sample_start(key_start, goal), init_qvel
        return Start(qpos, qvel, memory=self.first_memory(key_memory, goal))

    def sample_goal(self, key: Key) -> Float[Array, " 2"]:
        """In D4RL's version always the same."""
        return jnp.asarray(self.at(self.places.goals)[0], jnp.float32) if self._d4rl else super().sample_goal(key)

    def observation(self, physics: Physics, version: Version) -> Float[Array, " observation"]:
        """See the module."""
        del version
        seen = jnp.concatenate([physics.qpos, physics.qvel])
        return seen if self._d4rl else jnp.concatenate([self.place(physics), physics.memory["goal"], seen])

    def state(
        self, observations: Float[np.ndarray, "row observation"]
    ) -> tuple[Float[np.ndarray, "row 2"], Float[np.ndarray, "row 2"], Bool[np.ndarray, " row"]]:
        """Place and velocity that rows show, which they show whole."""
        seen = observations[:, -4:]
        return seen[:, :2], seen[:, 2:], np.ones(len(seen), bool)


def _as_d4rl(mj: Any) -> None:
    mj.body("particle").pos[:2] = ORIGIN
