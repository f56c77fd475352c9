"""Loads data sets of the Farama Foundation's Minari with its own package, and finds the environments that they name.

The reader of their rows (:mod:`smac_jax.data.readers.minari`) and the environment ``minari:ID`` share this module.
"""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any, NamedTuple

from smac_jax.errors import DatasetError, UnknownNameError
from smac_jax.tasks import TASKS, parse_name

_ROBOTS = re.compile(r"(Hopper|Walker2d|HalfCheetah|Ant)-(v4|v5)")
_HANDS = re.compile(r"AdroitHand(Door|Hammer|Pen|Relocate)-v1")
_MAZES = re.compile(r"(AntMaze|PointMaze)_\w+-(v\d+)")
_MAZE_VERSIONS = {"AntMaze": ("v4", "v5"), "PointMaze": ("v3",)}
_MAZE_OPTIONS = {"maze_map", "reward_type", "continuing_task", "reset_target"}


class NamedEnvironment(NamedTuple):
    """The arguments of ``smac_jax.make_env`` for an environment.

    Attributes:
      name: the name of the environment.
      version: the version of one of this package's tasks; None for other environments.
      options: the options of the environment.
      episode_length: the time limit in steps; None to use that of the environment.
    """

    name: str
    version: str | None
    options: dict[str, Any]
    episode_length: int | None


def import_minari() -> ModuleType:
    """Imports the package ``minari``.

    Raises:
      DatasetError: the package is not installed.
    """
    try:
        import minari
    except ImportError as error:
        raise DatasetError(
            f"Minari's data sets need its package: pip install 'smac_jax[data]', or 'minari[hdf5,hf]' ({error})."
        ) from error
    return minari


def load_minari(dataset_id: str) -> Any:
    """Returns a ``minari.MinariDataset`` from this machine, or else from Minari's server.

    Raises:
      DatasetError: ``minari`` is not installed, the data set does not exist, or there is no network.
    """
    minari, where = import_minari(), f"minari:{dataset_id}"
    try:
        return minari.load_dataset(dataset_id)
    except FileNotFoundError:
        pass
    except Exception as error:  # any exception: it depends on what is wrong with the name or the files
        raise DatasetError(f"{where} cannot be loaded ({type(error).__name__}: {error}).") from error
    try:
        return minari.load_dataset(dataset_id, download=True)
    except Exception as error:  # any exception: each of Minari's servers raises others
        raise DatasetError(
            f"{where} is not on this machine and could not be downloaded ({type(error).__name__}: {error}). With a "
            f"network, `minari download {dataset_id}` stores it in ~/.minari/datasets (or $MINARI_DATASETS_PATH)."
        ) from error


def task_of(spec: Any) -> str | None:
    """Returns the task of a data set by its ``spec``, as a key of ``TASKS``; None if it is not known.

    The task is that of the environment in the spec (``Hopper-v5``). For D4RL's data sets, and if the spec has no
    environment, it may also be that of the name of the data set (``D4RL/kitchen/mixed-v2``).
    """
    names = [spec.env_spec.id] if spec.env_spec is not None else []
    if spec.env_spec is None or (spec.namespace or "").startswith("D4RL/"):
        names.append(spec.dataset_id)
    for name in names:
        try:
            return parse_name(name).task
        except UnknownNameError:
            continue
    return None


def environment_of(spec: Any) -> NamedEnvironment:
    """Returns the environment in the ``spec`` of a data set.

    It is a task of this package if that is equal, and otherwise Gymnasium's environment. For the kitchen it is always
    this package's task in D4RL's version, because the data of the kitchen are converted to that version.

    Raises:
      DatasetError: the spec has no environment, or one with wrappers, which ``make_env`` cannot make.
    """
    named, where = spec.env_spec, f"minari:{spec.dataset_id}"
    if named is None:
        raise DatasetError(f"{where}: its metadata name no environment. Give one with --env, or to make_env.")
    kw, limit, task = dict(named.kwargs), named.max_episode_steps, task_of(spec)
    if task is not None and TASKS[task].family == "kitchen":
        return NamedEnvironment(task, "d4rl", {}, limit)
    if named.additional_wrappers:
        wrappers = ", ".join(wrapper.name for wrapper in named.additional_wrappers)
        raise DatasetError(
            f"{where}: its environment {named.id} has wrappers ({wrappers}), which make_env cannot make."
        )
    if (robot := _ROBOTS.fullmatch(named.id)) and not kw:
        return NamedEnvironment(robot[1].lower(), robot[2], {}, limit)
    if (
        (hand := _HANDS.fullmatch(named.id))
        and kw.get("reward_type", "dense") == "dense"
        and set(kw) <= {"reward_type"}
    ):
        return NamedEnvironment(hand[1].lower(), "v1", {}, limit)
    if (maze := _MAZES.fullmatch(named.id)) and _is_ours(maze, task, kw):
        return NamedEnvironment(str(task), f"robotics-{maze[2]}", kw, limit)
    package = str(named.entry_point).partition(".")[0].partition(":")[0]
    registered_by = "" if package == "gymnasium" else f"{package}:"
    return NamedEnvironment(f"gymnasium:{registered_by}{named.id}", None, kw, limit)


def _is_ours(maze: re.Match[str], task: str | None, kw: dict[str, Any]) -> bool:
    """Returns whether this package has a task that equals a maze of gymnasium-robotics with these options."""
    # The maps of "Diverse" mazes mark starts and goals, so they must be in the options.
    with_map = "maze_map" in kw or "Diverse" not in maze[0]
    return task is not None and maze[2] in _MAZE_VERSIONS[maze[1]] and set(kw) <= _MAZE_OPTIONS and with_map
