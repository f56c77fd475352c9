"""OGBench's data sets with one task (``singletask``), from the files that its package keeps.

A file (``.npz``) holds ``observations``, ``actions``, ``terminals`` and the states of the simulator (``qpos``, and
``button_states``) of whole trajectories. ``terminals`` marks the last row of each, which is where its last action led
to: a next observation, and no transition. What the task pays is in no file; the package computes it from the states
(``ogbench.relabel_utils``), and so it does here: a row is paid for the state *before* its action (in the environment of
one task, too), 0 where it is solved and -1 elsewhere, or minus how many objects are not where they should be. Rows
in which it is solved are terminals, and the log goes on after them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from smac_jax.data.dataset import Dataset
from smac_jax.data.readers.download import download
from smac_jax.errors import DatasetError
from smac_jax.files import local_path
from smac_jax.ogbench_sets import OGBenchName, import_ogbench, parse_ogbench

STATES = ("qpos", "button_states")
REQUIRED = ("observations", "actions", "terminals", "qpos")


def read_ogbench(name: str) -> Dataset:
    """Reads one of OGBench's data sets from ``~/.ogbench/data``, or fetches it to there.

    Its validation set (``-val.npz``) is not needed, and not fetched.

    Args:
      name: such as ``antmaze-large-navigate-singletask-v0``.

    Raises:
      DatasetError: the package is not installed; the name is none of its sets with one task of vectors; the file is not
        there and cannot be fetched, is damaged, or its sizes do not fit together or the environment.
    """
    parsed = parse_ogbench(name, DatasetError)
    package = import_ogbench(name, DatasetError)
    import gymnasium
    from ogbench.relabel_utils import relabel_dataset

    if parsed.env not in gymnasium.registry:
        raise DatasetError(f"ogbench:{name}: OGBench has no environment {parsed.env}.")
    path = _file(parsed, package)
    columns = _load(path)
    rows = transitions(columns["terminals"], str(path))
    env: Any = gymnasium.make(parsed.env, disable_env_checker=True)
    try:
        _check_sizes(columns, env, path)
        states = {key: columns[key][rows] for key in STATES if key in columns}
        relabel_dataset(parsed.env, env, states)  # adds `rewards` and `masks`
    except DatasetError:
        raise
    except Exception as error:  # any: the package looks for the things of its task in the states
        raise DatasetError(
            f"{path}: the package cannot compute the rewards of {parsed.env} ({type(error).__name__}: {error})."
        ) from error
    finally:
        env.close()
    solved = states["masks"] < 0.5
    return Dataset.from_arrays(
        observations=columns["observations"][rows],
        actions=columns["actions"][rows],
        rewards=states["rewards"],
        next_observations=columns["observations"][rows + 1],
        terminals=solved,
        timeouts=columns["terminals"][rows + 1] & ~solved,
        name=f"ogbench:{name}",
        metadata={"source": f"OGBench, {path.name}", "env": f"ogbench:{name}"},
    )


def transitions(last: Bool[np.ndarray, " row"], where: str) -> np.ndarray:
    """The rows of a file that are transitions: all but the last of each trajectory.

    Raises:
      DatasetError: the file ends inside a trajectory, or has nothing but last rows.
    """
    if not len(last) or not last[-1]:
        raise DatasetError(f"{where}: ends inside a trajectory (its last terminal is 0): it is cut short.")
    if last.all():
        raise DatasetError(f"{where}: every row is the last of its trajectory, so no transition is left.")
    return np.flatnonzero(~last)


def _file(parsed: OGBenchName, package: Any) -> Path:
    path = local_path(package.utils.DEFAULT_DATASET_DIR) / f"{parsed.dataset}.npz"
    if not path.is_file():
        # neither size nor checksum is known; a file that is cut short is no zip archive
        download(f"{package.utils.DATASET_URL}/{path.name}", path, size=None, sha256=None)
    return path


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            if missing := [key for key in REQUIRED if key not in file]:
                raise DatasetError(f"{path}: no {', '.join(missing)}; it has {', '.join(file) or 'nothing'}.")
            columns = {key: file[key] for key in (*REQUIRED, *STATES[1:]) if key in file}
    except DatasetError:
        raise
    except Exception as error:  # any: what NumPy raises for a damaged archive depends on where the damage is
        raise DatasetError(
            f"{path}: is no .npz file, or is damaged; remove it, and it is fetched ({error})."
        ) from error
    rows = len(columns["observations"])
    for key, column in columns.items():
        rank = 1 if key == "terminals" else 2
        if column.ndim != rank or len(column) != rows or column.dtype.kind not in "fiub":
            raise DatasetError(
                f"{path}: {key} holds {column.dtype} of shape {column.shape}, expected numbers, {rank} axes and {rows} "
                "rows, as observations have."
            )
    columns["terminals"] = columns["terminals"] > 0.5
    return columns


def _check_sizes(columns: dict[str, np.ndarray], env: Any, path: Path) -> None:
    spaces = {"observations": env.observation_space, "actions": env.action_space}
    for key, space in spaces.items():
        if columns[key].shape[1:] != space.shape:
            raise DatasetError(
                f"{path}: {key} have {columns[key].shape[1]} numbers a row, the environment {env.spec.id} has "
                f"{space.shape[0]}: the file is not of it."
            )
