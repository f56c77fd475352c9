"""Reads and writes data sets of the Farama Foundation's Minari through its own package.

Source: https://minari.farama.org. An episode holds one more observation than steps, ``terminations`` and
``truncations``. Observations are vectors, or dictionaries of vectors, which are flattened as in Gymnasium (in mazes:
position, goal, and the robot's own observation). The kitchen's observations are converted by :func:`kitchen_columns`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from smac_jax.data.d4rl_statistics import Counts, warn_of_differences
from smac_jax.data.dataset import Dataset
from smac_jax.data.trajectories import compare_next_observations
from smac_jax.errors import DatasetError
from smac_jax.kitchen import GOALS, ROBOT, THRESHOLD
from smac_jax.minari_sets import import_minari, load_minari, task_of
from smac_jax.tasks import TASKS


def read_minari(dataset_id: str) -> Dataset:
    """Reads a Minari data set from this machine, or else from Minari's server.

    Every row has the next observation that was logged, including the last row of an episode. A termination is a
    terminal. The last row of an episode without a termination is a time-out, whether or not it is marked as truncated.
    Actions are rescaled from the bounds of the action space to ``[-1, 1]``.

    If the metadata in Minari name an environment, those of the data set do, too: ``env`` is ``minari:ID``, which
    ``make_env`` accepts.

    Args:
      dataset_id: such as ``D4RL/pen/human-v2``.

    Raises:
      DatasetError: ``minari`` is not installed, the data set does not exist, there is no network, the observations or
        actions are neither vectors nor dictionaries of vectors, or :meth:`Dataset.from_arrays` refuses the arrays.
    """
    where, dataset = f"minari:{dataset_id}", load_minari(dataset_id)
    task, observation_space = task_of(dataset.spec), dataset.spec.observation_space
    in_kitchen = task is not None and TASKS[task].family == "kitchen" and _is_goal_space(observation_space)
    low, high = _action_bounds(dataset.spec, where, in_kitchen)
    parts: dict[str, list[np.ndarray]] = {}
    for episode in dataset.iterate_episodes():
        rows, rewards = len(episode.rewards), episode.rewards
        if in_kitchen:
            observations, rewards = kitchen_columns(episode.observations, f"{where}: episode {episode.id}")
        else:
            observations = _flatten(observation_space, episode.observations)
        if len(observations) != rows + 1:
            raise DatasetError(
                f"{where}: episode {episode.id} has {len(observations)} observations and {rows} steps, expected "
                f"{rows + 1} observations, of which the last one follows the last step."
            )
        terminations = np.asarray(episode.terminations, bool)
        columns = {
            "observations": observations[:-1],
            "next_observations": observations[1:],
            "actions": episode.actions,
            "rewards": rewards,
            "terminals": terminations,
            "timeouts": (np.arange(rows) == rows - 1) & ~terminations,
        }
        for key, column in columns.items():
            parts.setdefault(key, []).append(np.asarray(column))
    if not parts:
        raise DatasetError(f"{where} has no episodes.")
    arrays: dict[str, Any] = {key: np.concatenate(columns) for key, columns in parts.items()}
    # returns are not compared, because no source gives them for Minari's data
    warn_of_differences(where, Counts(len(arrays["rewards"]), len(parts["rewards"]), None, None, None, None))
    if not (np.all(low == -1.0) and np.all(high == 1.0)):
        width = high - low  # zero for a motor that cannot move
        scaled = 2.0 * (arrays["actions"].astype(np.float64) - low) / np.where(width > 0, width, 1.0) - 1.0
        arrays["actions"] = np.where(width > 0, scaled, 0.0)
    notes = {"source": f"Minari, {dataset_id}"}
    if dataset.spec.env_spec is not None and not in_kitchen:
        notes["env"] = where
    return Dataset.from_arrays(**arrays, name=where, task=task, metadata=notes)


def _flatten(space: Any, observations: Any) -> np.ndarray:
    """Returns the observations of an episode as rows, in the order of ``gymnasium.spaces.flatten``."""
    if type(space).__name__ != "Dict":
        return np.asarray(observations)
    return np.concatenate([_flatten(inner, observations[name]) for name, inner in space.spaces.items()], axis=1)


def _is_vectors(space: Any) -> bool:
    if type(space).__name__ == "Dict":
        return bool(space.spaces) and all(_is_vectors(inner) for inner in space.spaces.values())
    return type(space).__name__ == "Box" and len(space.shape) == 1


def kitchen_columns(
    observations: Mapping[str, Any], where: str
) -> tuple[Float[np.ndarray, "observed 60"], Float[np.ndarray, "step"]]:
    """Converts an episode of gymnasium-robotics's kitchen to the observations and rewards of D4RL's files.

    ``observation`` has 59 numbers. The joints of the robot (9) and of the objects (21) are kept, and their velocities
    are not. The goal (30 numbers) holds the positions in ``desired_goal``, and zeros elsewhere. The reward of a step is
    the number of these objects that are within 0.3 of their goal after it, as in D4RL's files and in this package's
    environment. The logged rewards are not used, because Minari's environment may reward each object only once.

    Args:
      observations: ``observation`` and ``desired_goal`` before every step and at the end of the episode.
      where: the name of the episode in error messages.

    Returns:
      The observations (60 numbers each), and the reward of each step.

    Raises:
      DatasetError: the observations have another shape, or the goal names an object that the kitchen does not have.
    """
    joints_and_velocities = np.asarray(observations["observation"], np.float64)
    if joints_and_velocities.ndim != 2 or joints_and_velocities.shape[1] != 59:
        raise DatasetError(
            f"{where}: observations have shape {joints_and_velocities.shape}, expected 59 numbers per step."
        )
    objects = joints_and_velocities[:, 2 * ROBOT : 2 * ROBOT + 21]
    joints = np.concatenate([joints_and_velocities[:, :ROBOT], objects], axis=1)
    goal, completed = np.zeros(30), np.zeros(len(joints))
    for name, positions in observations["desired_goal"].items():
        if name not in GOALS:
            raise DatasetError(f"{where}: the goal names {name!r}; the kitchen has {', '.join(GOALS)}.")
        places = list(GOALS[name])
        goal[places] = np.asarray(positions)[0]
        completed += np.linalg.norm(joints[:, places] - goal[places], axis=1) < THRESHOLD
    return np.concatenate([joints, np.broadcast_to(goal, (len(joints), 30))], axis=1), completed[1:]


def _is_goal_space(space: Any) -> bool:
    return type(space).__name__ == "Dict" and {"observation", "desired_goal"} <= set(space.spaces)


def _action_bounds(spec: Any, where: str, in_kitchen: bool) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bounds of the actions, after checking that observations and actions are vectors."""
    wrong = {} if in_kitchen or _is_vectors(spec.observation_space) else {"observation": spec.observation_space}
    if type(spec.action_space).__name__ != "Box" or len(spec.action_space.shape) != 1:
        wrong["action"] = spec.action_space
    for kind, space in wrong.items():
        dictionary = " or a dictionary of such boxes" if kind == "observation" else ""
        raise DatasetError(
            f"{where}: its {kind} space is {type(space).__name__}, expected a Box with one axis{dictionary}. Flatten "
            f"the {kind}s (gymnasium.spaces.flatten), and pass the arrays to smac_jax.Dataset.from_arrays."
        )
    low, high = (np.asarray(b, np.float64) for b in (spec.action_space.low, spec.action_space.high))
    if not (np.isfinite(low) & np.isfinite(high) & (low < high)).all():
        raise DatasetError(
            f"{where}: actions have no finite bounds ({low.min():g} to {high.max():g}), so they cannot be rescaled to "
            "[-1, 1]. Rescale them, and pass the arrays to smac_jax.Dataset.from_arrays."
        )
    return low, high


def write_minari(
    data: Dataset,
    dataset_id: str,
    *,
    env: Any = None,
    algorithm: str | None = None,
    author: str | None = None,
    author_email: str | None = None,
    code_permalink: str | None = None,
    description: str | None = None,
) -> None:
    """Writes a data set to this machine in Minari's format. Minari itself can load it by its name.

    Each trajectory of the data set becomes an episode. If the log went on after a terminal (D4RL's AntMaze), the
    trajectories before and after it are one episode, which contains terminations. :func:`read_minari` returns the same
    rows; rescaled actions are equal up to rounding. The rewards of rows that the data set dropped on reading cannot be
    written.

    Args:
      data: the data set. Its observations are written unchanged. Its actions, which are in ``[-1, 1]``, are rescaled to
        the bounds of the environment's action space, so that the environment can replay them. If there is no
        environment, or its actions have no bounds, they are written unchanged.
      dataset_id: ``[NAMESPACE/]NAME-vNUMBER``, such as ``mine/hopper/medium-v0``.
      env: the Gymnasium environment of the data (an id, a spec or an environment) for Minari's metadata. It is
        ``"Hopper-v4"`` and the like for data of the four robots that ``smac-jax make-dataset`` makes. With None the
        metadata name no environment.
      algorithm, author, author_email, code_permalink: further metadata.
      description: further metadata; by default the name and the metadata of the data set.

    Raises:
      DatasetError: ``minari`` is not installed, a data set of that name exists, the name has another form, the rows are
        not in the order of steps, or ``env`` cannot be made or has other sizes.
    """
    minari, where = import_minari(), f"minari:{dataset_id}"
    notes = dict(data.metadata)
    if "not_in_order" in notes:
        raise DatasetError(f"{where}: the episodes of {data.name} are unknown ({notes['not_in_order']}).")
    from gymnasium import spaces
    from minari.data_collector.episode_buffer import EpisodeBuffer
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.storage.datasets_root_dir import get_dataset_path

    columns = {
        key: np.asarray(getattr(data, key)) for key in ("observations", "next_observations", "actions", "rewards")
    }
    terminal, timeout = np.asarray(data.terminals) > 0.5, np.asarray(data.timeouts) > 0.5
    follows, _ = compare_next_observations(columns["observations"], columns["next_observations"])
    last = timeout | (terminal & ~follows)
    last[-1] = True
    ends = np.flatnonzero(last) + 1
    sizes = columns["observations"].shape[1], columns["actions"].shape[1]
    described = description or "; ".join([data.name, *(f"{key}: {value}" for key, value in notes.items())])
    try:
        parse_dataset_id(dataset_id)
        folder = str(get_dataset_path(dataset_id))
        exists = os.path.exists(folder)
    except Exception as error:  # any exception: it depends on what is wrong with the name
        raise DatasetError(f"{where}: {error} A name has the form [NAMESPACE/]NAME-vNUMBER.") from error
    if exists:
        raise DatasetError(f"{where} exists already, in {folder}. Choose another name or version.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Minari warns about all metadata that are not given
            low, high = _bounds_of(env, sizes, where)
            actions = _rescaled(columns["actions"], low, high)
            episodes = [
                EpisodeBuffer(
                    id=number,
                    observations=np.append(
                        columns["observations"][a:b], columns["next_observations"][b - 1 : b], axis=0
                    ),
                    actions=actions[a:b],
                    rewards=columns["rewards"][a:b],
                    terminations=terminal[a:b],
                    truncations=(np.arange(a, b) == b - 1) & ~terminal[a:b],
                    infos={},
                )
                for number, (a, b) in enumerate(zip([0, *ends[:-1]], ends, strict=True))
            ]
            minari.create_dataset_from_buffers(
                dataset_id,
                episodes,
                env=env,
                algorithm_name=algorithm,
                author=author,
                author_email=author_email,
                code_permalink=code_permalink,
                description=described,
                observation_space=spaces.Box(-np.inf, np.inf, sizes[:1], np.float32),
                action_space=spaces.Box(low, high, sizes[1:], np.float32),
            )
    except BaseException as error:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
        if isinstance(error, DatasetError) or not isinstance(error, Exception):
            raise
        raise DatasetError(f"{where} cannot be written ({type(error).__name__}: {error}).") from error


def _rescaled(actions: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Returns actions in ``[-1, 1]`` in the given bounds."""
    if np.all(low == -1.0) and np.all(high == 1.0):
        return actions
    inside = low + 0.5 * (actions.astype(np.float64) + 1.0) * (high.astype(np.float64) - low)
    return np.clip(inside.astype(np.float32), low, high)


def _bounds_of(env: Any, sizes: tuple[int, int], where: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bounds of the actions of a Gymnasium environment; -1 and 1 if there is none, or it has no bounds.

    Args:
      env: an id, a spec or an environment; or None.
      sizes: the numbers of observations and actions that it must have.
      where: the name of the data set in error messages.
    """
    import gymnasium

    unit = -np.ones(sizes[1:], np.float32), np.ones(sizes[1:], np.float32)
    if env is None:
        return unit
    made = env if isinstance(env, gymnasium.Env) else gymnasium.make(env)
    try:
        space, name = made.action_space, env if isinstance(env, str) else made.spec.id if made.spec else str(env)
        env_sizes = gymnasium.spaces.flatdim(made.observation_space), gymnasium.spaces.flatdim(space)
    finally:
        if made is not env:
            made.close()
    if env_sizes != sizes:
        raise DatasetError(
            f"{where}: {name} has {env_sizes[0]} observations and {env_sizes[1]} actions, but the data set has "
            f"{sizes[0]} and {sizes[1]}, so it is not from that environment."
        )
    if isinstance(space, gymnasium.spaces.Box) and space.shape == sizes[1:] and space.is_bounded("both"):
        return np.asarray(space.low, np.float32), np.asarray(space.high, np.float32)
    return unit
