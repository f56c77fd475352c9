"""Data sets of the Farama Foundation's Minari, through its own package.

Source: https://minari.farama.org; episodes hold one observation more than steps, ``terminations`` and ``truncations``.
Observations are plain vectors, but for the kitchen's (:func:`kitchen_columns`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float

from smac_jax.data.d4rl_statistics import Counts, warn_of_differences
from smac_jax.data.dataset import Dataset
from smac_jax.errors import DatasetError, UnknownNameError
from smac_jax.kitchen import GOALS, ROBOT, THRESHOLD
from smac_jax.tasks import TASKS, parse_name


def read_minari(dataset_id: str) -> Dataset:
    """Reads a Minari data set from this machine, or else from Minari's server.

    Every row's next observation is the one that was logged, the last row's too. A termination is a terminal; the last
    row of an episode that was not terminated is a time-out, whether it is marked as truncated or not. Actions are
    rescaled from the action space's bounds to ``[-1, 1]``.

    Args:
      dataset_id: such as ``D4RL/pen/human-v2``.

    Raises:
      DatasetError: ``minari`` is not installed, there is no such data set or no network, its observations or actions
        are no plain vectors (nor the kitchen's), or ``Dataset.from_arrays`` refuses it.
    """
    minari, where = _minari(), f"minari:{dataset_id}"
    held = _load(minari, dataset_id, where)
    task = _task(held.spec)
    in_kitchen = task is not None and TASKS[task].family == "kitchen" and _is_goal_space(held.spec.observation_space)
    low, high = _bounds(held.spec, where, in_kitchen)
    parts: dict[str, list[np.ndarray]] = {}
    for episode in held.iterate_episodes():
        rows, rewards = len(episode.rewards), episode.rewards
        if in_kitchen:
            observations, rewards = kitchen_columns(episode.observations, f"{where}: episode {episode.id}")
        else:
            observations = np.asarray(episode.observations)
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
    return Dataset.from_arrays(**arrays, name=where, task=task, metadata={"source": f"Minari, {dataset_id}"})


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


def _minari() -> ModuleType:
    try:
        import minari
    except ImportError as error:
        raise DatasetError(
            f"Minari's data sets need its package: pip install 'smac_jax[data]', or 'minari[hdf5,hf]' ({error})."
        ) from error
    return minari


def _load(minari: ModuleType, dataset_id: str, where: str) -> Any:
    try:
        return minari.load_dataset(dataset_id)
    except FileNotFoundError:
        pass
    except Exception as error:  # any: identifiers and damaged files fail in whatever Minari reads them with
        raise DatasetError(f"{where}: cannot be loaded ({type(error).__name__}: {error}).") from error
    try:
        return minari.load_dataset(dataset_id, download=True)
    except Exception as error:  # any: each of Minari's stores has errors of its own
        raise DatasetError(
            f"{where}: is not on this machine, and could not be fetched ({type(error).__name__}: {error}). Where there "
            f"is a network, `minari download {dataset_id}` puts it into ~/.minari/datasets (or $MINARI_DATASETS_PATH)."
        ) from error


def _bounds(spec: Any, where: str, in_kitchen: bool) -> tuple[np.ndarray, np.ndarray]:
    for kind in ("action",) if in_kitchen else ("observation", "action"):
        space = getattr(spec, f"{kind}_space")
        if type(space).__name__ != "Box" or len(space.shape) != 1:
            raise DatasetError(
                f"{where}: its {kind} space is {type(space).__name__}, expected a Box of one axis. Flatten it "
                "(gymnasium.spaces.flatten), and give the arrays to smac_jax.Dataset.from_arrays."
            )
    low, high = (np.asarray(b, np.float64) for b in (spec.action_space.low, spec.action_space.high))
    if not (np.isfinite(low) & np.isfinite(high) & (low < high)).all():
        raise DatasetError(
            f"{where}: actions have no finite bounds ({low.min():g} to {high.max():g}), so they cannot be rescaled to "
            "[-1, 1]. Rescale them, and give the arrays to smac_jax.Dataset.from_arrays."
        )
    return low, high


def _task(spec: Any) -> str | None:
    """By the environment (``Hopper-v5``), or, of D4RL's sets, by their name (``D4RL/kitchen/mixed-v2``)."""
    words = [spec.env_spec.id] if spec.env_spec is not None else []
    if (spec.namespace or "").startswith("D4RL/"):
        words.append(f"{spec.namespace.split('/')[1]}-{spec.dataset_name}")
    for word in words:
        try:
            return parse_name(word).task
        except UnknownNameError:
            continue
    return None
