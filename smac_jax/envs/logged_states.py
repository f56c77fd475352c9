"""The states of the physics that a log holds beside its observations, as :mod:`smac_jax.envs.agreement` needs them.

D4RL's files log the state in which each row's action was taken as ``infos/qpos`` and ``infos/qvel``. Whether a file
does so is not believed but looked at: the state must show the row's own observation.

What stands elsewhere in every episode of the hand (door, board, ball, target) is ``Model.scene``. A file may hold it
row by row as ``infos/scene``, or by D4RL's names. Without these it follows from the first row of each episode, in which
nothing has moved yet: what the task observes of door, board, ball or target says where it is.

Files whose numbers were rounded to save space are compared less strictly (:func:`tolerance_of`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from smac_jax.envs import TASKS as SIMULATED
from smac_jax.envs import make_env
from smac_jax.envs.agreement import TOLERANCE, Agreement, States, one_step_agreement, states_shown
from smac_jax.errors import ConfigError
from smac_jax.tasks import TASKS, binary_of, dense_of

if TYPE_CHECKING:
    from smac_jax.envs.task_env import TaskEnv

INFOS = ("infos/qpos", "infos/qvel", "infos/scene", "infos/door_body_pos", "infos/board_pos", "infos/desired_orien")
"""Columns of a D4RL file that say where things were."""


class _LoggedScene(NamedTuple):
    """Where the scene of an episode is found.

    Attributes:
      column: D4RL's name of what our scene holds; empty where it has none.
      shifts: which numbers of an observation shift with which numbers of the scene, and in which direction.
      turns: the direction in an observation that turns with the scene, which is then a rotation.
    """

    column: str = ""
    shifts: tuple[tuple[slice, slice, float], ...] = ()
    turns: slice | None = None


_SCENES = {
    "door": _LoggedScene("infos/door_body_pos", ((slice(32, 35), slice(0, 3), 1.0),)),  # handle; door
    "hammer": _LoggedScene("infos/board_pos", ((slice(42, 45), slice(0, 3), 1.0),)),  # nail; board
    "pen": _LoggedScene("infos/desired_orien", turns=slice(36, 39)),  # the direction wanted of the pen
    # palm - ball, palm - target; D4RL's `obj_pos` is where the ball is, not where it began
    "relocate": _LoggedScene(shifts=((slice(30, 33), slice(0, 3), -1.0), (slice(33, 36), slice(3, 6), -1.0))),
}
_LOOKED_AT = 1000  # rows, to see whether states show observations
_SHARE_SHOWN = 0.99


class Checked(NamedTuple):
    """What became of a comparison with the simulator.

    Attributes:
      agreement: None where the rows could not be compared.
      note: which states and which simulator it was, or why it could not be.
    """

    agreement: Agreement | None
    note: str


def compare_with_simulator(
    name: str,
    task: str | None,
    columns: Mapping[str, Any],
    *,
    version: str | None = None,
    physics: str = "auto",
    margins: str = "max",
    most_rows: int = 20_000,
) -> Checked:
    """Steps once from each logged state and compares, if the log says which states those were.

    Args:
      name: of the data set.
      task: it was logged in.
      columns: ``observations``, ``actions``, ``rewards``, ``terminals``, ``timeouts``, perhaps ``next_observations``,
        and those of :data:`INFOS` that there are.
      version: of the environment; None: the one whose observations have that size.
      physics, margins: as in ``make_env``.
      most_rows: as many are compared, evenly spread.

    Raises:
      DatasetError: rows of other sizes than the environment's, or none that can be compared.
      UnknownNameError: no such engine or version.
    """
    robot = dense_of(task)
    if robot is not None and robot in TASKS and TASKS[robot].noisy_observations:
        return Checked(None, f"observations of {robot} are noisy, so that no step gives the same one")
    if robot is None or robot not in SIMULATED:
        return Checked(None, f"there is no simulator of {task} here" if task else "the task is not known; see --env")
    binary = binary_of(robot) if bool(np.isin(columns["rewards"], (-1.0, 0.0)).all()) else None
    version = version or fitting_version(name, robot, np.shape(columns["observations"])[-1])
    try:
        env: Any = make_env(binary or robot, physics, version, margins=margins)
    except ConfigError as error:  # the hand's models are a package of their own
        return Checked(None, str(error))
    states, note = find_states(env, robot, columns)
    if states is None:
        return Checked(None, note)
    chosen = np.zeros_like(states.known)
    chosen[_spread_evenly(np.flatnonzero(states.known & _followed(columns)), most_rows)] = True
    given = {key: value for key, value in columns.items() if not key.startswith("infos/")}
    tolerance = tolerance_of(np.asarray(columns["observations"], np.float32))
    found = one_step_agreement(env, states._replace(known=chosen), given, tolerance=tolerance)
    notes = [f"states from {note}", f"simulator: {robot} {version}, {env.backend}, margins {margins}"]
    if tolerance > TOLERANCE:
        notes.append(f"rounded numbers, tolerance {tolerance:.2g}")
    if TASKS[robot].unlogged:
        notes.append(TASKS[robot].unlogged)
    return Checked(found, "; ".join(notes))


def tolerance_of(observations: Float[np.ndarray, "row observation"]) -> float:
    """The tolerance that the precision of float32 observations allows.

    A step through a contact was seen to stretch an error of the state a hundredfold. Hopper's rows that were rounded to
    10 bits after the leading one come out within 100 roundings in 99.5 of 100 cases.
    """
    used = np.bitwise_or.reduce(np.ascontiguousarray(observations).reshape(-1).view(np.uint32), keepdims=True).item()
    bits = next((bits for bits in range(1, 23) if not used & ((1 << (23 - bits)) - 1)), 23)
    return max(TOLERANCE, 100 * 2.0 ** -(bits + 1))


def fitting_version(name: str, robot: str, observation_size: int) -> str:
    """The version of an environment that a data set was logged in, by its size or its name."""
    by_size = dict(TASKS[robot].version_by_size).get(observation_size)
    if by_size is not None:
        return by_size
    if TASKS[robot].family == "adroit":
        return "d4rl"
    return "v5" if name.startswith("minari:mujoco/") else "v4"


def find_states(env: TaskEnv, robot: str, columns: Mapping[str, Any]) -> tuple[States | None, str]:
    """States of the physics in which the rows' actions were taken, and where they were found, or why they were not."""
    observations = np.asarray(columns["observations"], np.float64)
    shown = states_shown(env, observations)
    if not {"infos/qpos", "infos/qvel"} <= set(columns):
        if shown is None:
            return None, f"observations of {robot} do not show the whole state, and there are no infos/qpos, infos/qvel"
        return shown, "observations"
    qpos, qvel = (np.asarray(columns[key], np.float64) for key in ("infos/qpos", "infos/qvel"))
    where = "infos/qpos and infos/qvel"
    try:
        scene, of_scene = _scene(env, robot, columns, observations, qpos, qvel)
        states = States(qpos, qvel, np.isfinite(np.concatenate([qpos, qvel], axis=1)).all(axis=1), scene)
        share = share_shown(env, states, observations)
    except (ConfigError, IndexError) as error:
        share, why = 0.0, f"{where} do not fit the model: {str(error).splitlines()[0][:120]}"
    else:
        why = f"{where} show the observation of their own row in {share:.0%} of the rows alone"
    if share >= _SHARE_SHOWN:
        return states, where + of_scene
    return (None, why) if shown is None else (shown, f"observations ({why})")


def share_shown(env: TaskEnv, states: States, observations: Float[np.ndarray, "row observation"]) -> float:
    """The share of rows whose state shows their observation.

    It does where at least half of the numbers are the same: the joints. What the hand observes of its sites lags the
    joints by one physics step in a log, which it does not after a reset.
    """
    rows = _spread_evenly(np.flatnonzero(states.known), _LOOKED_AT)
    if not len(rows):
        return 0.0
    scene = None if states.scene is None else states.scene[rows]
    seen = np.asarray(env.reset_to(states.qpos[rows], states.qvel[rows], scene).obs)
    expected = observations[rows]
    return float(np.mean(np.median(np.abs(seen - expected) / (1 + 0.1 * np.abs(expected)), axis=1) <= TOLERANCE))


def _scene(
    env: TaskEnv,
    robot: str,
    columns: Mapping[str, Any],
    observations: Float[np.ndarray, "row observation"],
    qpos: Float[np.ndarray, "row qpos"],
    qvel: Float[np.ndarray, "row qvel"],
) -> tuple[Float[np.ndarray, "row scene"] | None, str]:
    """Scenes of all rows, and where they were found; None for a task that has none."""
    logged = _SCENES.get(robot)
    if logged is None:
        return None, ""
    for key in ("infos/scene", logged.column):
        if key in columns:
            return np.asarray(columns[key], np.float64), f", scene from {key}"
    first, episode = _episodes(columns)
    start = observations[first]
    seen = np.asarray(env.reset_to(qpos[first], qvel[first]).obs, np.float64)
    if logged.turns is not None:
        scene = _rotations(seen[:, logged.turns], start[:, logged.turns])
    else:
        scene = np.tile(env.init_scene, (len(first), 1))
        for of_observation, of_scene, sign in logged.shifts:
            scene[:, of_scene] += sign * (start - seen)[:, of_observation]
    return scene[episode], ", scene from each episode's first observation"


def _followed(columns: Mapping[str, Any]) -> Bool[np.ndarray, " row"]:
    """Rows whose next observation was logged; where a terminal has none, a data set repeats its own observation."""
    if "next_observations" not in columns:
        return np.ones(len(columns["observations"]), bool)
    same = (np.asarray(columns["next_observations"]) == np.asarray(columns["observations"])).all(axis=1)
    return ~(same & (np.reshape(columns["terminals"], -1) > 0.5))


def _spread_evenly(rows: np.ndarray, most: int) -> np.ndarray:
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows)), dtype=int)]


def _episodes(columns: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The first row of each episode, and each row's episode."""
    ends: Bool[np.ndarray, " row"] = np.any(
        [np.reshape(columns[k], -1) > 0.5 for k in ("terminals", "timeouts")], axis=0
    )
    episode = np.cumsum(ends) - ends
    return np.flatnonzero(np.diff(episode, prepend=-1)), episode


def _rotations(
    of: Float[np.ndarray, "episode 3"], to: Float[np.ndarray, "episode 3"]
) -> Float[np.ndarray, "episode 4"]:
    """Quaternions of the shortest rotations between directions that are not opposite."""
    real = 1.0 + np.sum(of * to, axis=1, keepdims=True)
    quaternion = np.concatenate([real, np.cross(of, to)], axis=1)
    return quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True)
