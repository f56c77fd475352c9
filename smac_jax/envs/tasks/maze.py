"""What both mazes share: the cells of walls, starts and goals, the reward at a goal, and the end of an episode.

Source: D4RL (arXiv 2004.07219), ``locomotion/maze_env.py`` and ``pointmaze/maze_model.py``; gymnasium-robotics,
``envs/maze/maze_v4.py``. The tasks are :mod:`smac_jax.envs.tasks.antmaze` and :mod:`smac_jax.envs.tasks.pointmaze`.

Each exists in D4RL's version and in gymnasium-robotics's, which are different tasks:

========================  ======================================  ==============================================
..                        ``"d4rl"``                              ``"robotics-v3"``, ``"-v4"``, ``"-v5"``
========================  ======================================  ==============================================
observation               the state of the robot, without the     the dictionary, flattened as by Gymnasium:
                          goal                                    position (2), goal (2), the robot's observation
origin                    ant: the start cell; ball: the first    the center of the map
                          cell of the map
start                     ant: one cell; ball: any free cell      any start cell of the map except the goal's
goal                      one cell; for the ant with noise of up  any goal cell of the map, with noise
                          to 1.5 m in x and y in each episode
radius of the goal        0.5 m                                   0.45 m
an episode ends           ant: at the goal; ball: never           never, unless ``continuing_task=False``
========================  ======================================  ==============================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from smac_jax.config import true_or_false, whole_number
from smac_jax.envs.base import Physics, Version
from smac_jax.errors import ConfigError, UnknownNameError
from smac_jax.mazes import D4RL_RADIUS, MAPS
from smac_jax.types import Array, Key, Metrics

WALL, START, GOAL, BOTH = 1, "r", "g", "c"
"""The cells of a map, as gymnasium-robotics writes them: a wall, and cells for starts, for goals, or for both."""

MazeMap = Sequence[Sequence[int | str]]

ROBOTICS_RADIUS = 0.45
NOISE = 0.25
"""The largest noise on gymnasium-robotics's starts and goals, in units of a cell."""

Cells = Int[np.ndarray, "cell 2"]


class MazeCells(NamedTuple):
    """The cells of a map by use, as ``(row, column)``, in the order of gymnasium-robotics's lists.

    Attributes:
      walls: the cells with a wall.
      starts: the cells in which episodes may start.
      goals: the cells in which goals may be.
      shape: the numbers of rows and columns of the map.
    """

    walls: Cells
    starts: Cells
    goals: Cells
    shape: tuple[int, int]


def find_cells(maze_map: MazeMap, where: str) -> MazeCells:
    """Returns the walls, starts and goals of a map.

    If the map marks no starts, every free cell is a start, and if it marks no goals, every free cell is a goal.

    Args:
      maze_map: rows of cells: 1 is a wall, 0 a free cell, ``"r"`` a start, ``"g"`` a goal, and ``"c"`` both.
      where: the name of the task in error messages.

    Raises:
      ConfigError: the map is not a rectangle of such cells, or there is a goal for which no other cell is a start.
    """
    rows = [list(row) for row in maze_map] if not isinstance(maze_map, str) else []
    cells = [cell for row in rows for cell in row]
    if (
        not cells
        or len({len(row) for row in rows}) > 1
        or any(cell not in (0, WALL, START, GOAL, BOTH) for cell in cells)
    ):
        raise ConfigError(
            f"{where}: maze_map must have rows of equal length whose cells are 1 (a wall), 0 (free), 'r' (a start), "
            f"'g' (a goal) or 'c' (both); got {maze_map!r:.200}."
        )

    def found(*kinds: int | str) -> Cells:
        lists = [[(i, j) for i, row in enumerate(rows) for j, cell in enumerate(row) if cell == kind] for kind in kinds]
        return np.array([place for places in lists for place in places], int).reshape(-1, 2)

    walls, free, both = found(WALL), found(0), found(BOTH)
    starts, goals = found(START, BOTH), found(GOAL, BOTH)
    if not len(starts) and not len(goals):
        starts = goals = free
    elif not len(both):
        starts, goals = (starts if len(starts) else free), (goals if len(goals) else free)
    without_start = [tuple(goal) for goal in goals.tolist() if not (starts != goal).any(1).any()]
    if not len(goals) or without_start:
        raise ConfigError(f"{where}: maze_map has no start cell for a goal in {without_start or 'any cell'}.")
    return MazeCells(walls, starts, goals, (len(rows), len(rows[0])))


class Maze:
    """A maze without a robot: its goals, rewards and terminations.

    ``metrics["success"]`` is 1 in each step that ends at the goal.

    Args:
      kind: the map's name in :data:`smac_jax.mazes.MAPS`.
      version: a version in the module's table.
      episode_length: the time limit, in steps.
      dense: whether the reward is ``exp(-distance)``. Otherwise it is 1 at the goal and 0 elsewhere.
      options: any of :data:`smac_jax.mazes.MAZE_OPTIONS`, for gymnasium-robotics's versions only:

        * ``maze_map``: another map, in the form that :func:`find_cells` takes;
        * ``reward_type``: ``"sparse"`` or ``"dense"``;
        * ``continuing_task``: whether an episode continues after it has reached its goal (default: True);
        * ``reset_target``: whether there is a new goal in that case (default: False);
        * ``episode_length``: another time limit.

    Raises:
      UnknownNameError: ``reward_type`` is not known.
      ConfigError: the map or the value of another option is not valid, or an option was given for D4RL's version.
    """

    name: str
    scale: float

    def __init__(self, kind: str, version: Version, episode_length: int, dense: bool, options: dict[str, Any]):
        self.version = version
        self.where = f"{self.name}-{kind} ({version})"
        if version == "d4rl" and options:
            raise ConfigError(
                f"{self.where}: D4RL's version has no options, but was given {', '.join(options)}. The versions of "
                "gymnasium-robotics have them."
            )
        reward_type = options.get("reward_type", "dense" if dense else "sparse")
        if reward_type not in ("sparse", "dense"):
            raise UnknownNameError(f"reward_type of {self.where}", reward_type, ("sparse", "dense"))
        self.dense = reward_type == "dense"
        self.ends_at_goal = not true_or_false(f"{self.where}: continuing_task", options.get("continuing_task", True))
        self.moves_goal = true_or_false(f"{self.where}: reset_target", options.get("reset_target", False))
        limit = options.get("episode_length", episode_length)
        self._episode_length = whole_number(f"{self.where}: episode_length", limit, 1)
        self.radius = D4RL_RADIUS if version == "d4rl" else ROBOTICS_RADIUS
        self.cells = find_cells(options.get("maze_map", MAPS[kind]), self.where)

    def episode_length(self, version: Version) -> int:
        """Returns the time limit, in steps."""
        del version
        return self._episode_length

    def centers(self, cells: Cells) -> Float[np.ndarray, "cell 2"]:
        """Returns x and y of the centers of cells, in meters.

        As in gymnasium-robotics, the center of the map is the origin, and y decreases with the row.
        """
        rows, columns = self.cells.shape
        x = (cells[:, 1] + 0.5) * self.scale - columns / 2 * self.scale
        y = rows / 2 * self.scale - (cells[:, 0] + 0.5) * self.scale
        return np.stack([x, y], 1)

    def position(self, physics: Physics) -> Float[Array, " 2"]:
        """Returns x and y of the robot."""
        return physics.qpos[:2]

    def sample_goal(self, key: Key) -> Float[Array, " 2"]:
        """Returns the goal of an episode, which is the center of a random goal cell plus noise."""
        key_cell, key_noise = jax.random.split(key)
        goals = jnp.asarray(self.centers(self.cells.goals), jnp.float32)
        cell = goals[jax.random.randint(key_cell, (), 0, len(goals), jnp.int32)]
        return cell + self._noise(key_noise)

    def sample_start(self, key: Key, goal: Float[Array, " 2"]) -> Float[Array, " 2"]:
        """Returns the start of the robot: the center of a random start cell plus noise.

        The cell is more than half a cell away from the goal.
        """
        key_cell, key_noise = jax.random.split(key)
        starts = jnp.asarray(self.centers(self.cells.starts), jnp.float32)
        far = jnp.linalg.norm(starts - goal, axis=1) > 0.5 * self.scale
        cell = starts[jax.random.categorical(key_cell, jnp.where(far, 0.0, -jnp.inf))]
        return cell + self._noise(key_noise)

    def _noise(self, key: Key) -> Float[Array, " 2"]:
        return self.scale * jax.random.uniform(key, (2,), jnp.float32, minval=-NOISE, maxval=NOISE)

    def first_memory(self, key: Key, goal: Float[Array, " 2"]) -> dict[str, Array]:
        """Returns the memory at the start of an episode: its goal, which has not been reached.

        The reward and the observation of a step use ``goal``. Those of the next step will use ``next_goal``.
        """
        memory = {"goal": goal, "solved": jnp.zeros((), bool), "first": jnp.zeros((), bool)}
        if self.moves_goal:
            memory |= {
                "next_goal": goal,
                "seed": jax.random.bits(key, dtype=jnp.uint32),
                "steps": jnp.zeros((), jnp.int32),
            }
        return memory

    def remember(self, physics: Physics, version: Version) -> dict[str, Array]:
        """Returns the memory after a step.

        ``solved`` says whether the goal has been reached in this episode, ``first`` whether this step was the first to
        reach it. If goals move, the next goal is drawn.
        """
        del version
        memory = dict(physics.memory)
        if self.moves_goal:
            memory["goal"] = memory["next_goal"]
        reached = self.reached(physics._replace(memory=memory))
        memory |= {"solved": memory["solved"] | reached, "first": reached & ~physics.memory["solved"]}
        if self.moves_goal:
            memory |= {"steps": memory["steps"] + 1, "next_goal": self._next_goal(physics, memory)}
        return memory

    def _next_goal(self, physics: Physics, memory: dict[str, Array]) -> Float[Array, " 2"]:
        """Returns the goal if it is not reached, and otherwise a random goal that is not reached.

        If the map has only one goal cell, the goal stays.
        """
        if self.ends_at_goal or len(self.cells.goals) < 2:
            return memory["goal"]
        key = jax.random.fold_in(jax.random.key(memory["seed"]), memory["steps"])
        position = self.position(physics)

        def too_near(drawn: tuple[Array, Array]) -> Bool[Array, ""]:
            return jnp.linalg.norm(position - drawn[1]) <= self.radius

        def draw(drawn: tuple[Array, Array]) -> tuple[Array, Array]:
            return drawn[0] + 1, self.sample_goal(jax.random.fold_in(key, drawn[0]))

        return jax.lax.while_loop(too_near, draw, (jnp.zeros((), jnp.int32), memory["goal"]))[1]

    def distance(self, physics: Physics) -> Float[Array, ""]:
        """Returns the distance from the robot to the goal, in meters."""
        return jnp.linalg.norm(self.position(physics) - physics.memory["goal"])

    def reached(self, physics: Physics) -> Bool[Array, ""]:
        """Returns whether the robot is at the goal."""
        return self.distance(physics) <= self.radius

    def reward(
        self, physics: Physics, action: Float[Array, " action"], dt: float, version: Version
    ) -> tuple[Float[Array, ""], Metrics]:
        """Returns 1 at the goal and 0 elsewhere, or, with dense rewards, ``exp(-distance)``."""
        del action, dt, version
        distance = self.distance(physics)
        success = (distance <= self.radius).astype(jnp.float32)
        metrics = {
            "success": success,
            "goal_distance": distance,
            "x_position": physics.qpos[0],
            "y_position": physics.qpos[1],
        }
        return jnp.exp(-distance) if self.dense else success, metrics

    def termination(self, physics: Physics, version: Version) -> Bool[Array, ""]:
        """Returns whether the goal has been reached, if that ends the episode; otherwise false."""
        del version
        return self.reached(physics) if self.ends_at_goal else jnp.zeros((), bool)


def add_walls(
    spec: Any, centers: Float[np.ndarray, "wall 2"], half: tuple[float, float, float], height: float, **geom: Any
) -> None:
    """Adds boxes to the specification of a model. Gymnasium-robotics and D4RL add them to its XML.

    Args:
      spec: a ``mujoco.MjSpec``.
      centers: x and y of the center of each box, in meters.
      half: half the size of a box along x, y and z.
      height: z of the centers.
      **geom: attributes of the boxes that differ from the defaults of the model.
    """
    import mujoco

    for x, y in centers:
        spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, pos=[x, y, height], size=half, **geom)
