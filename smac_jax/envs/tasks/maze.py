"""What mazes have in common: where walls, starts and goals are, and what reaching a goal earns.

Source: D4RL (arXiv 2004.07219), ``locomotion/maze_env.py`` and ``pointmaze/maze_model.py``; gymnasium-robotics,
``envs/maze/maze_v4.py``. The tasks: :mod:`smac_jax.envs.tasks.antmaze`, :mod:`smac_jax.envs.tasks.pointmaze`.

Each exists in D4RL's version and in gymnasium-robotics's, which are different tasks:

========================  ======================================  ==============================================
..                        ``"d4rl"``                              ``"robotics-v3"``, ``"-v4"``, ``"-v5"``
========================  ======================================  ==============================================
observation               the robot's state; the goal is not in   the dictionary, flattened as Gymnasium does:
                          it                                      place (2), goal (2), the robot's observation
origin                    ant: the start's cell; ball: the map's  the middle of the map
                          first cell
start                     ant: one cell; ball: any free cell      any cell that the map allows, but the goal's
goal                      one cell; the ant's differs by up to    any cell that the map allows, with noise
                          1.5 m in x and y from episode to
                          episode
reached                   within 0.5                              within 0.45
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
"""Cells of a map, as gymnasium-robotics writes them: a wall, and where episodes may start, have their goal, or both."""

MazeMap = Sequence[Sequence[int | str]]

ROBOTICS_RADIUS = 0.45
NOISE = 0.25
"""Of gymnasium-robotics's starts and goals, in cells."""

Cells = Int[np.ndarray, "cell 2"]


class Places(NamedTuple):
    """The cells of a map by use, as ``(row, column)``, in the order of gymnasium-robotics's lists."""

    walls: Cells
    starts: Cells
    goals: Cells
    shape: tuple[int, int]


def places_of(maze_map: MazeMap, where: str) -> Places:
    """Where a map has walls, starts and goals.

    A map with neither starts nor goals allows every free cell for both; one that lacks one of them, for that one.

    Args:
      maze_map: rows of cells: 1 for a wall, 0 for a free one, ``"r"`` for a start, ``"g"`` for a goal, ``"c"`` for
        both.
      where: what errors name it by.

    Raises:
      ConfigError: no rectangle of such cells, or a goal that has no other cell to start from.
    """
    rows = [list(row) for row in maze_map] if not isinstance(maze_map, str) else []
    cells = [cell for row in rows for cell in row]
    if (
        not cells
        or len({len(row) for row in rows}) > 1
        or any(cell not in (0, WALL, START, GOAL, BOTH) for cell in cells)
    ):
        raise ConfigError(
            f"{where}: maze_map must be rows of equal length of 1 (a wall), 0, 'r' (start), 'g' (goal) and 'c' (both); "
            f"got {maze_map!r:.200}."
        )

    def found(*kinds: int | str) -> Cells:
        held = [[(i, j) for i, row in enumerate(rows) for j, cell in enumerate(row) if cell == kind] for kind in kinds]
        return np.array([place for places in held for place in places], int).reshape(-1, 2)

    walls, free, both = found(WALL), found(0), found(BOTH)
    starts, goals = found(START, BOTH), found(GOAL, BOTH)
    if not len(starts) and not len(goals):
        starts = goals = free
    elif not len(both):
        starts, goals = (starts if len(starts) else free), (goals if len(goals) else free)
    alone = [tuple(goal) for goal in goals.tolist() if not (starts != goal).any(1).any()]
    if not len(goals) or alone:
        raise ConfigError(f"{where}: maze_map has no cell to start from for a goal in {alone or 'any cell'}.")
    return Places(walls, starts, goals, (len(rows), len(rows[0])))


class Maze:
    """A maze without a robot: goals, rewards, and when an episode is over.

    ``metrics["success"]`` is 1 in each step that ends at the goal.

    Args:
      kind: the map's name in :data:`smac_jax.mazes.MAPS`.
      version: see the module's table.
      episode_length: the time limit, in steps.
      dense: pay ``exp(-distance)`` in place of 1 at the goal.
      options: of :data:`smac_jax.mazes.MAZE_OPTIONS`, for gymnasium-robotics's versions: another ``maze_map``;
        ``reward_type``, ``"sparse"`` or ``"dense"``; ``continuing_task``, whether an episode goes on at its goal
        (default: yes); ``reset_target``, whether there is a new goal then (default: no); and another time limit
        ``episode_length``.

    Raises:
      UnknownNameError: no such reward.
      ConfigError: a map that is none, another option's value, or an option for D4RL's version.
    """

    name: str
    scale: float

    def __init__(self, kind: str, version: Version, episode_length: int, dense: bool, options: dict[str, Any]):
        self.version = version
        self.where = f"{self.name}-{kind} ({version})"
        if version == "d4rl" and options:
            raise ConfigError(f"{self.where}: {', '.join(options)} are options of gymnasium-robotics's versions alone.")
        reward_type = options.get("reward_type", "dense" if dense else "sparse")
        if reward_type not in ("sparse", "dense"):
            raise UnknownNameError(f"reward_type of {self.where}", reward_type, ("sparse", "dense"))
        self.dense = reward_type == "dense"
        self.ends_at_goal = not true_or_false(f"{self.where}: continuing_task", options.get("continuing_task", True))
        self.moves_goal = true_or_false(f"{self.where}: reset_target", options.get("reset_target", False))
        limit = options.get("episode_length", episode_length)
        self._episode_length = whole_number(f"{self.where}: episode_length", limit, 1)
        self.radius = D4RL_RADIUS if version == "d4rl" else ROBOTICS_RADIUS
        self.places = places_of(options.get("maze_map", MAPS[kind]), self.where)

    def episode_length(self, version: Version) -> int:
        """The time limit, in steps."""
        del version
        return self._episode_length

    def at(self, cells: Cells) -> Float[np.ndarray, "cell 2"]:
        """Middles of cells, as gymnasium-robotics places them: the map's middle is the origin, rows go down."""
        rows, columns = self.places.shape
        x = (cells[:, 1] + 0.5) * self.scale - columns / 2 * self.scale
        y = rows / 2 * self.scale - (cells[:, 0] + 0.5) * self.scale
        return np.stack([x, y], 1)

    def place(self, physics: Physics) -> Float[Array, " 2"]:
        """Where the robot is."""
        return physics.qpos[:2]

    def sample_goal(self, key: Key) -> Float[Array, " 2"]:
        """The goal of an episode: a cell's middle, and noise."""
        key_cell, key_noise = jax.random.split(key)
        goals = jnp.asarray(self.at(self.places.goals), jnp.float32)
        cell = goals[jax.random.randint(key_cell, (), 0, len(goals), jnp.int32)]
        return cell + self._noise(key_noise)

    def sample_start(self, key: Key, goal: Float[Array, " 2"]) -> Float[Array, " 2"]:
        """Where the robot starts: any of the starts' cells that is not within half a cell of the goal, and noise."""
        key_cell, key_noise = jax.random.split(key)
        starts = jnp.asarray(self.at(self.places.starts), jnp.float32)
        far = jnp.linalg.norm(starts - goal, axis=1) > 0.5 * self.scale
        cell = starts[jax.random.categorical(key_cell, jnp.where(far, 0.0, -jnp.inf))]
        return cell + self._noise(key_noise)

    def _noise(self, key: Key) -> Float[Array, " 2"]:
        return self.scale * jax.random.uniform(key, (2,), jnp.float32, minval=-NOISE, maxval=NOISE)

    def first_memory(self, key: Key, goal: Float[Array, " 2"]) -> dict[str, Array]:
        """What an episode starts with: its goal, and that it was never reached.

        ``goal`` is the one that a step is rewarded by, and that it shows; ``next_goal`` the next step's.
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
        """Whether the goal has been reached, and for the first time; and the next goal, where it moves."""
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
        """The goal as it is, or drawn anew until it is out of reach, where the map has more than one."""
        if self.ends_at_goal or len(self.places.goals) < 2:
            return memory["goal"]
        key = jax.random.fold_in(jax.random.key(memory["seed"]), memory["steps"])
        place = self.place(physics)

        def too_near(drawn: tuple[Array, Array]) -> Bool[Array, ""]:
            return jnp.linalg.norm(place - drawn[1]) <= self.radius

        def draw(drawn: tuple[Array, Array]) -> tuple[Array, Array]:
            return drawn[0] + 1, self.sample_goal(jax.random.fold_in(key, drawn[0]))

        return jax.lax.while_loop(too_near, draw, (jnp.zeros((), jnp.int32), memory["goal"]))[1]

    def distance(self, physics: Physics) -> Float[Array, ""]:
        """From the robot to the goal."""
        return jnp.linalg.norm(self.place(physics) - physics.memory["goal"])

    def reached(self, physics: Physics) -> Bool[Array, ""]:
        """At the goal."""
        return self.distance(physics) <= self.radius

    def reward(
        self, physics: Physics, action: Float[Array, " action"], dt: float, version: Version
    ) -> tuple[Float[Array, ""], Metrics]:
        """1 at the goal and 0 elsewhere; or ``exp(-distance)``."""
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
        """At the goal, where the task does not go on."""
        del version
        return self.reached(physics) if self.ends_at_goal else jnp.zeros((), bool)


def add_walls(
    spec: Any, centres: Float[np.ndarray, "wall 2"], half: tuple[float, float, float], height: float, **geom: Any
) -> None:
    """Adds boxes to a model's specification, as gymnasium-robotics and D4RL do by its XML.

    Args:
      spec: a ``mujoco.MjSpec``.
      centres: x and y of each.
      half: half their size.
      height: z of their centres.
      **geom: what differs from the model's defaults.
    """
    import mujoco

    for x, y in centres:
        spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, pos=[x, y, height], size=half, **geom)
