"""Data sets of the Farama Foundation's Minari, read and written through its own package.

Source: https://minari.farama.org; episodes hold one observation more than steps, ``terminations`` and ``truncations``.
Observations are vectors, or dictionaries of vectors, which are flattened as Gymnasium does (mazes: place, goal, and the
robot's own observation); but for the kitchen's (:func:`kitchen_columns`).
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
from smac_jax.data.dataset import Dataset, followed
from smac_jax.errors import DatasetError
from smac_jax.kitchen import GOALS, ROBOT, THRESHOLD
from smac_jax.minari_sets import import_minari, load_minari, task_of
from smac_jax.tasks import TASKS


def read_minari(dataset_id: str) -> Dataset:
    """Reads a Minari data set from this machine, or else from Minari's server.

    Every row's next observation is the one that was logged, the last row's too. A termination is a terminal; the last
    row of an episode that was not terminated is a time-out, whether it is marked as truncated or not. Actions are
    rescaled from the action space's bounds to ``[-1, 1]``.

    Where its metadata name an environment, so do the data set's (``env``): it is ``minari:ID`` for ``make_env``.

    Args:
      dataset_id: such as ``D4RL/pen/human-v2``.

    Raises:
      DatasetError: ``minari`` is not installed, there is no such data set or no network, its observations or actions
        are neither vectors nor dictionaries of them, or ``Dataset.from_arrays`` refuses it.
    """
    where, held = f"minari:{dataset_id}", load_minari(dataset_id)
    task, seen = task_of(held.spec), held.spec.observation_space
    in_kitchen = task is not None and TASKS[task].family == "kitchen" and _is_goal_space(seen)
    low, high = _bounds(held.spec, where, in_kitchen)
    parts: dict[str, list[np.ndarray]] = {}
    for episode in held.iterate_episodes():
        rows, rewards = len(episode.rewards), episode.rewards
        if in_kitchen:
            observations, rewards = kitchen_columns(episode.observations, f"{where}: episode {episode.id}")
        else:
            observations = _flat(seen, episode.observations)
        if len(observations) != rows + 1:
            raise DatasetError(
                f"{where}: episode {episode.id} has {len(observations)} observations and {rows} steps, expected "
                f"{rows + 1} observations, the last of them what the last step led to."
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
        raise DatasetError(f"{where}: has no episodes.")
    arrays: dict[str, Any] = {key: np.concatenate(columns) for key, columns in parts.items()}
    # returns are not compared: nobody printed them of Minari's
    warn_of_differences(where, Counts(len(arrays["rewards"]), len(parts["rewards"]), None, None, None, None))
    if not (np.all(low == -1.0) and np.all(high == 1.0)):
        width = high - low  # of a motor that cannot move, zero
        scaled = 2.0 * (arrays["actions"].astype(np.float64) - low) / np.where(width > 0, width, 1.0) - 1.0
        arrays["actions"] = np.where(width > 0, scaled, 0.0)
    notes = {"source": f"Minari, {dataset_id}"}
    if held.spec.env_spec is not None and not in_kitchen:
        notes["env"] = where
    return Dataset.from_arrays(**arrays, name=where, task=task, metadata=notes)


def _flat(space: Any, observations: Any) -> np.ndarray:
    """Observations of an episode in a row each, in the order of ``gymnasium.spaces.flatten``."""
    if type(space).__name__ != "Dict":
        return np.asarray(observations)
    return np.concatenate([_flat(inner, observations[name]) for name, inner in space.spaces.items()], axis=1)


def _is_vectors(space: Any) -> bool:
    if type(space).__name__ == "Dict":
        return bool(space.spaces) and all(_is_vectors(inner) for inner in space.spaces.values())
    return type(space).__name__ == "Box" and len(space.shape) == 1


def kitchen_columns(
    observations: Mapping[str, Any], where: str
) -> tuple[Float[np.ndarray, "observed 60"], Float[np.ndarray, "step"]]:
    """An episode of gymnasium-robotics's kitchen as D4RL's files have it: 60 numbers, and a count of what is right.

    Of ``observation``, 59 numbers, the joints of robot (9) and things (21) are kept, their velocities are not; the goal
    (30) is what ``desired_goal`` names, zero elsewhere. The reward of a step is how many of those things are within 0.3
    of their goal after it, as in D4RL's files and in our environment, whatever was
    logged: Minari's environment may pay each thing once.

    Args:
      observations: ``observation`` and ``desired_goal``, of all steps and the end.
      where: what errors name the episode by.

    Raises:
      DatasetError: other shapes, or a thing that the kitchen does not have.
    """
    joints_and_velocities = np.asarray(observations["observation"], np.float64)
    if joints_and_velocities.ndim != 2 or joints_and_velocities.shape[1] != 59:
        raise DatasetError(f"{where}: observations of shape {joints_and_velocities.shape}, expected 59 numbers a step.")
    things = joints_and_velocities[:, 2 * ROBOT : 2 * ROBOT + 21]
    joints = np.concatenate([joints_and_velocities[:, :ROBOT], things], axis=1)
    goal, right = np.zeros(30), np.zeros(len(joints))
    for thing, wanted in observations["desired_goal"].items():
        if thing not in GOALS:
            raise DatasetError(f"{where}: asks for {thing!r}; the kitchen has {', '.join(GOALS)}.")
        places = list(GOALS[thing])
        goal[places] = np.asarray(wanted)[0]
        right += np.linalg.norm(joints[:, places] - goal[places], axis=1) < THRESHOLD
    return np.concatenate([joints, np.broadcast_to(goal, (len(joints), 30))], axis=1), right[1:]


def _is_goal_space(space: Any) -> bool:
    return type(space).__name__ == "Dict" and {"observation", "desired_goal"} <= set(space.spaces)


def _bounds(spec: Any, where: str, in_kitchen: bool) -> tuple[np.ndarray, np.ndarray]:
    wrong = {} if in_kitchen or _is_vectors(spec.observation_space) else {"observation": spec.observation_space}
    if type(spec.action_space).__name__ != "Box" or len(spec.action_space.shape) != 1:
        wrong["action"] = spec.action_space
    for kind, space in wrong.items():
        dictionary = " or a dictionary of such" if kind == "observation" else ""
        raise DatasetError(
            f"{where}: its {kind} space is {type(space).__name__}, expected a Box of one axis{dictionary}. Flatten it "
            "(gymnasium.spaces.flatten), and give the arrays to smac_jax.Dataset.from_arrays."
        )
    low, high = (np.asarray(b, np.float64) for b in (spec.action_space.low, spec.action_space.high))
    if not (np.isfinite(low) & np.isfinite(high) & (low < high)).all():
        raise DatasetError(
            f"{where}: actions have no finite bounds ({low.min():g} to {high.max():g}), so they cannot be rescaled to "
            "[-1, 1]. Rescale them, and give the arrays to smac_jax.Dataset.from_arrays."
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
    """Writes a data set as one of Minari's, on this machine, which Minari itself loads by its name.

    An episode ends where a trajectory of the data set does; but where a log goes on after a terminal (D4RL's AntMaze),
    it is one episode with terminations in it. :func:`read_minari` gives the same rows again. What a data set knows of
    rows that it dropped on reading, their rewards, has no place in Minari's.

    Args:
      data: with observations as they are, and actions in ``[-1, 1]``.
      dataset_id: ``[NAMESPACE/]NAME-vNUMBER``, such as ``mine/hopper/medium-v0``.
      env: the Gymnasium environment that the data are of (an id, a spec or an environment), for Minari's metadata:
        ``"Hopper-v4"`` and its like for what ``smac-jax make-dataset`` makes of the four robots. None: none is named.
      algorithm, author, author_email, code_permalink: for the metadata.
      description: for them, too; default: what the data set says of itself.

    Raises:
      DatasetError: ``minari`` is not installed, there is a data set of that name, the name is not of that form, the
        rows are not in the order of steps, or ``env`` cannot be made or has other sizes.
    """
    minari, where = import_minari(), f"minari:{dataset_id}"
    notes = dict(data.metadata)
    if "not_in_order" in notes:
        raise DatasetError(f"{where}: {data.name} has no episodes to be written ({notes['not_in_order']}).")
    from gymnasium import spaces
    from minari.data_collector.episode_buffer import EpisodeBuffer
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.storage.datasets_root_dir import get_dataset_path

    columns = {
        key: np.asarray(getattr(data, key)) for key in ("observations", "next_observations", "actions", "rewards")
    }
    terminal, timeout = np.asarray(data.terminals) > 0.5, np.asarray(data.timeouts) > 0.5
    follows, _ = followed(columns["observations"], columns["next_observations"])
    last = timeout | (terminal & ~follows)
    last[-1] = True
    ends = np.flatnonzero(last) + 1
    episodes = [
        EpisodeBuffer(
            id=number,
            observations=np.append(columns["observations"][a:b], columns["next_observations"][b - 1 : b], axis=0),
            actions=columns["actions"][a:b],
            rewards=columns["rewards"][a:b],
            terminations=terminal[a:b],
            truncations=(np.arange(a, b) == b - 1) & ~terminal[a:b],
            infos={},
        )
        for number, (a, b) in enumerate(zip([0, *ends[:-1]], ends, strict=True))
    ]
    sizes = columns["observations"].shape[1], columns["actions"].shape[1]
    described = description or "; ".join([data.name, *(f"{key}: {value}" for key, value in notes.items())])
    try:
        parse_dataset_id(dataset_id)
        folder = str(get_dataset_path(dataset_id))
        there = os.path.exists(folder)
    except Exception as error:  # any: what Minari raises for a name depends on what is wrong with it
        raise DatasetError(f"{where}: {error} A name is [NAMESPACE/]NAME-vNUMBER.") from error
    if there:
        raise DatasetError(f"{where}: is there already, in {folder}. Choose another name or version.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about each of the metadata that is not given
            made = minari.create_dataset_from_buffers(
                dataset_id,
                episodes,
                env=env,
                algorithm_name=algorithm,
                author=author,
                author_email=author_email,
                code_permalink=code_permalink,
                description=described,
                observation_space=spaces.Box(-np.inf, np.inf, sizes[:1], np.float32),
                action_space=spaces.Box(-1.0, 1.0, sizes[1:], np.float32),
            )
        named = made.spec.env_spec
        if named is not None:
            _check_sizes(named, sizes, where)
    except BaseException as error:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
        if isinstance(error, DatasetError) or not isinstance(error, Exception):
            raise
        raise DatasetError(f"{where}: cannot be written ({type(error).__name__}: {error}).") from error


def _check_sizes(env_spec: Any, sizes: tuple[int, int], where: str) -> None:
    import gymnasium

    env = gymnasium.make(env_spec)
    theirs = gymnasium.spaces.flatdim(env.observation_space), gymnasium.spaces.flatdim(env.action_space)
    env.close()
    if theirs != sizes:
        raise DatasetError(
            f"{where}: {env_spec.id} has {theirs[0]} observations and {theirs[1]} actions, the data set {sizes[0]} and "
            f"{sizes[1]}: it is not of that environment."
        )
