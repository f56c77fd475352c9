"""Data sets of the Farama Foundation's Minari, as its own package holds them, and the environments that they name.

For :mod:`smac_jax.data.readers.minari`, which reads their rows, and for the environment ``minari:ID``.
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
    """An environment as ``smac_jax.make_env`` makes it.

    Attributes:
      name: of it.
      version: of one of our tasks; None for others.
      options: for it.
      episode_length: its time limit in steps; None where it has its own.
    """

    name: str
    version: str | None
    options: dict[str, Any]
    episode_length: int | None


def import_minari() -> ModuleType:
    """The package ``minari``.

    Raises:
      DatasetError: it is not installed.
    """
    try:
        import minari
    except ImportError as error:
        raise DatasetError(
            f"Minari's data sets need its package: pip install 'smac_jax[data]', or 'minari[hdf5,hf]' ({error})."
        ) from error
    return minari


def load_minari(dataset_id: str) -> Any:
    """A ``minari.MinariDataset`` from this machine, or else from Minari's server.

    Raises:
      DatasetError: ``minari`` is not installed, there is no such data set, or no network.
    """
    minari, where = import_minari(), f"minari:{dataset_id}"
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


def task_of(spec: Any) -> str | None:
    """The task that a data set's ``spec`` names, a key of ``TASKS``.

    By its environment (``Hopper-v5``), or, of D4RL's sets and those that name no environment, by their own name
    (``D4RL/kitchen/mixed-v2``).
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
    """The environment that the ``spec`` of a data set names: one of our tasks, where it is the same, else Gymnasium's.

    The kitchen is ours as D4RL has it, because its data are read so.

    Raises:
      DatasetError: it names none, or one with wrappers, which are not known here.
    """
    named, where = spec.env_spec, f"minari:{spec.dataset_id}"
    if named is None:
        raise DatasetError(f"{where}: names no environment in its metadata. Name one with --env, or to make_env.")
    kw, limit, task = dict(named.kwargs), named.max_episode_steps, task_of(spec)
    if task is not None and TASKS[task].family == "kitchen":
        return NamedEnvironment(task, "d4rl", {}, limit)
    if named.additional_wrappers:
        wrappers = ", ".join(wrapper.name for wrapper in named.additional_wrappers)
        raise DatasetError(f"{where}: its environment {named.id} has wrappers ({wrappers}), which make_env has not.")
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
    # a map with starts and goals of its own is among the options
    with_map = "maze_map" in kw or "Diverse" not in maze[0]
    return task is not None and maze[2] in _MAZE_VERSIONS[maze[1]] and set(kw) <= _MAZE_OPTIONS and with_map
