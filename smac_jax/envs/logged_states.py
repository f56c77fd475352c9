"""Finds the physics states of logged rows, for the comparison in :mod:`smac_jax.envs.agreement`.

D4RL's files log the state in which each row's action was taken as ``infos/qpos`` and ``infos/qvel``. They are used only
after a check: the observation of the state must be that of the row.

The objects whose position differs between episodes of the hand (door, board, ball, target) are in ``Model.scene``. A
file may hold the scene of each row as ``infos/scene``, or under D4RL's names. Otherwise it is computed from the first
observation of each episode, before anything has moved.

Files whose numbers were rounded to save space are compared less strictly (:func:`tolerance_of`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from smac_jax.envs import TASKS as SIMULATED
from smac_jax.envs import make_env
from smac_jax.envs.agreement import (
    TOLERANCE,
    Agreement,
    States,
    check_sizes,
    one_step_agreement,
    states_from_observations,
)
from smac_jax.errors import ConfigError
from smac_jax.tasks import TASKS, binary_of, dense_of

if TYPE_CHECKING:
    from smac_jax.envs.task_env import TaskEnv

INFOS = ("infos/qpos", "infos/qvel", "infos/scene", "infos/door_body_pos", "infos/board_pos", "infos/desired_orien")
"""The columns of a D4RL file that contain physics states and scenes."""


class _LoggedScene(NamedTuple):
    """How the scene of an episode is found in a log.

    Attributes:
      column: D4RL's column for the scene; empty if it has none.
      shifts: numbers of the observation that move with numbers of the scene, and the sign of the movement.
      turns: the numbers of the observation that are a direction which turns with the scene. The scene is a rotation.
    """

    column: str = ""
    shifts: tuple[tuple[slice, slice, float], ...] = ()
    turns: slice | None = None


_SCENES = {
    "door": _LoggedScene("infos/door_body_pos", ((slice(32, 35), slice(0, 3), 1.0),)),  # handle; door
    "hammer": _LoggedScene("infos/board_pos", ((slice(42, 45), slice(0, 3), 1.0),)),  # nail; board
    "pen": _LoggedScene("infos/desired_orien", turns=slice(36, 39)),  # the target direction of the pen
    # palm - ball, palm - target; D4RL's `obj_pos` is the present position of the ball, not the first one
    "relocate": _LoggedScene(shifts=((slice(30, 33), slice(0, 3), -1.0), (slice(33, 36), slice(3, 6), -1.0))),
}
_SAMPLED_ROWS = 1000  # for the check that states and observations match
_MIN_MATCHING_SHARE = 0.99


class Comparison(NamedTuple):
    """The result of a comparison with the simulator.

    Attributes:
      agreement: None if the rows could not be compared.
      note: the states and the simulator of the comparison, or the reason why there was none.
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
) -> Comparison:
    """Steps once from each logged state and compares the result with the log, if the log contains the states.

    Args:
      name: the name of the data set.
      task: the task in which it was logged.
      columns: ``observations``, ``actions``, ``rewards``, ``terminals``, ``timeouts``, optionally
        ``next_observations``, and the available columns of :data:`INFOS`.
      version: the version of the environment; None chooses the one whose observations have the size of the rows.
      physics, margins: as in ``make_env``.
      most_rows: at most so many rows are compared, at even distances.

    Raises:
      DatasetError: the rows have other sizes than the environment, or no row can be compared.
      UnknownNameError: the engine or the version is not known.
    """
    robot = dense_of(task)
    if robot is not None and robot in TASKS and TASKS[robot].noisy_observations:
        return Comparison(None, f"observations of {robot} are noisy, so a step does not reproduce them")
    if robot is None or robot not in SIMULATED:
        return Comparison(None, f"there is no simulator of {task}" if task else "the task is not known; see --env")
    binary = binary_of(robot) if bool(np.isin(columns["rewards"], (-1.0, 0.0)).all()) else None
    version = version or fitting_version(name, robot, np.shape(columns["observations"])[-1])
    try:
        env: Any = make_env(binary or robot, physics, version, margins=margins)
    except ConfigError as error:  # the package with the models of the hand is not installed
        return Comparison(None, str(error))
    check_sizes(env, columns)
    states, note = find_states(env, robot, columns)
    if states is None:
        return Comparison(None, note)
    chosen = np.zeros_like(states.known)
    chosen[_evenly_spaced(np.flatnonzero(states.known & _has_next_observation(columns)), most_rows)] = True
    arrays = {key: value for key, value in columns.items() if not key.startswith("infos/")}
    tolerance = tolerance_of(np.asarray(columns["observations"], np.float32))
    agreement = one_step_agreement(env, states._replace(known=chosen), arrays, tolerance=tolerance)
    notes = [f"states from {note}", f"simulator: {robot} {version}, {env.backend}, margins {margins}"]
    if tolerance > TOLERANCE:
        notes.append(f"the numbers are rounded, tolerance {tolerance:.2g}")
    if TASKS[robot].unlogged:
        notes.append(TASKS[robot].unlogged)
    return Comparison(agreement, "; ".join(notes))


def tolerance_of(observations: Float[np.ndarray, "row observation"]) -> float:
    """Returns the tolerance that the precision of float32 observations allows.

    A step with a contact can enlarge an error of the state by a factor of 100. If hopper's rows are rounded to 10 bits
    after the leading one, 99.5 of 100 rows are reproduced within 100 times the rounding error.
    """
    used = np.bitwise_or.reduce(np.ascontiguousarray(observations).reshape(-1).view(np.uint32), keepdims=True).item()
    bits = next((bits for bits in range(1, 23) if not used & ((1 << (23 - bits)) - 1)), 23)
    return max(TOLERANCE, 100 * 2.0 ** -(bits + 1))


def fitting_version(name: str, robot: str, observation_size: int) -> str:
    """Returns the version of the environment in which a data set was logged.

    Args:
      name: the name of the data set.
      robot: its task with dense rewards.
      observation_size: the size of its observations, which decides if the versions differ in it.
    """
    by_size = dict(TASKS[robot].version_by_size).get(observation_size)
    if by_size is not None:
        return by_size
    if TASKS[robot].family == "adroit":
        return "d4rl"
    return "v5" if name.startswith("minari:mujoco/") else "v4"


def find_states(env: TaskEnv, robot: str, columns: Mapping[str, Any]) -> tuple[States | None, str]:
    """Finds the physics states in which the actions of the rows were taken.

    Returns:
      The states, and the columns that they come from; or None, and the reason why they were not found.
    """
    observations = np.asarray(columns["observations"], np.float64)
    observed = states_from_observations(env, observations)
    if not {"infos/qpos", "infos/qvel"} <= set(columns):
        if observed is None:
            return (
                None,
                f"observations of {robot} do not contain the whole state, and infos/qpos, infos/qvel are missing",
            )
        return observed, "observations"
    qpos, qvel = (np.asarray(columns[key], np.float64) for key in ("infos/qpos", "infos/qvel"))
    where = "infos/qpos and infos/qvel"
    try:
        scene, scene_note = _scene(env, robot, columns, observations, qpos, qvel)
        states = States(qpos, qvel, np.isfinite(np.concatenate([qpos, qvel], axis=1)).all(axis=1), scene)
        share = matching_share(env, states, observations)
    except (ConfigError, IndexError) as error:
        share, reason = 0.0, f"{where} do not fit the model: {str(error).splitlines()[0][:120]}"
    else:
        reason = f"{where} match the observation of their row in only {share:.0%} of the rows"
    if share >= _MIN_MATCHING_SHARE:
        return states, where + scene_note
    return (None, reason) if observed is None else (observed, f"observations ({reason})")


def matching_share(env: TaskEnv, states: States, observations: Float[np.ndarray, "row observation"]) -> float:
    """Returns the share of rows whose state matches their observation.

    A row matches if at least half of the numbers, those of the joints, are equal. In a log of the hand, the observed
    sites lag the joints by one physics step, but after a reset they do not.
    """
    rows = _evenly_spaced(np.flatnonzero(states.known), _SAMPLED_ROWS)
    if not len(rows):
        return 0.0
    scene = None if states.scene is None else states.scene[rows]
    actual = np.asarray(env.reset_to(states.qpos[rows], states.qvel[rows], scene).obs)
    expected = observations[rows]
    return float(np.mean(np.median(np.abs(actual - expected) / (1 + 0.1 * np.abs(expected)), axis=1) <= TOLERANCE))


def _scene(
    env: TaskEnv,
    robot: str,
    columns: Mapping[str, Any],
    observations: Float[np.ndarray, "row observation"],
    qpos: Float[np.ndarray, "row qpos"],
    qvel: Float[np.ndarray, "row qvel"],
) -> tuple[Float[np.ndarray, "row scene"] | None, str]:
    """Returns the scenes of all rows (None for a task without a scene), and a note that says how they were found."""
    logged = _SCENES.get(robot)
    if logged is None:
        return None, ""
    for key in ("infos/scene", logged.column):
        if key in columns:
            return np.asarray(columns[key], np.float64), f", scene from {key}"
    first, episode = _episodes(columns)
    start = observations[first]
    default = np.asarray(env.reset_to(qpos[first], qvel[first]).obs, np.float64)  # with the scene of the model
    if logged.turns is not None:
        scene = _rotations(default[:, logged.turns], start[:, logged.turns])
    else:
        scene = np.tile(env.init_scene, (len(first), 1))
        for of_observation, of_scene, sign in logged.shifts:
            scene[:, of_scene] += sign * (start - default)[:, of_observation]
    return scene[episode], ", scene from each episode's first observation"


def _has_next_observation(columns: Mapping[str, Any]) -> Bool[np.ndarray, " row"]:
    """Returns the rows whose next observation was logged. At terminals without one, the own observation is repeated."""
    if "next_observations" not in columns:
        return np.ones(len(columns["observations"]), bool)
    same = (np.asarray(columns["next_observations"]) == np.asarray(columns["observations"])).all(axis=1)
    return ~(same & (np.reshape(columns["terminals"], -1) > 0.5))


def _evenly_spaced(rows: np.ndarray, most: int) -> np.ndarray:
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows)), dtype=int)]


def _episodes(columns: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first row of each episode, and the episode of each row."""
    ends: Bool[np.ndarray, " row"] = np.any(
        [np.reshape(columns[k], -1) > 0.5 for k in ("terminals", "timeouts")], axis=0
    )
    episode = np.cumsum(ends) - ends
    return np.flatnonzero(np.diff(episode, prepend=-1)), episode


def _rotations(
    of: Float[np.ndarray, "episode 3"], to: Float[np.ndarray, "episode 3"]
) -> Float[np.ndarray, "episode 4"]:
    """Returns the quaternions of the shortest rotations between two directions, which must not be opposite."""
    real = 1.0 + np.sum(of * to, axis=1, keepdims=True)
    quaternion = np.concatenate([real, np.cross(of, to)], axis=1)
    return quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True)
