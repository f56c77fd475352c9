"""Reads OGBench's data sets with a single task (``singletask``) from the files of its package.

A file (``.npz``) has ``observations``, ``actions``, ``terminals`` and the states of the simulator (``qpos``, and
``button_states``) of complete trajectories. ``terminals`` marks the last row of each trajectory, which holds the
observation after its last action; it is a next observation and not a transition. The files have no rewards. As in
OGBench's own code (``ogbench.relabel_utils``), the rewards are computed from the states: the reward of a row depends on
the state *before* its action, as in the environment. It is 0 if the task is solved and -1 otherwise, or minus the
number of objects that are not at their goals. Rows in which the task is solved are terminals, and the log continues
after them.
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
    """Reads a data set of OGBench from ``~/.ogbench/data``, to which it is downloaded if necessary.

    Its validation set (``-val.npz``) is not needed and not downloaded.

    Args:
      name: such as ``antmaze-large-navigate-singletask-v0``.

    Raises:
      DatasetError: the package is not installed; the name is not one of its data sets with a single task and vector
        observations; the file cannot be downloaded or is damaged; or its sizes do not fit the environment.
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
    except Exception as error:  # any: the package expects the objects of its task in the states
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
    """Returns the rows of a file that are transitions: all but the last row of each trajectory.

    Raises:
      DatasetError: the file ends inside a trajectory, or has only last rows.
    """
    if not len(last) or not last[-1]:
        raise DatasetError(f"{where}: the file is incomplete: it ends inside a trajectory (its last terminal is 0).")
    if last.all():
        raise DatasetError(f"{where}: every row is the last of its trajectory, so no transition is left.")
    return np.flatnonzero(~last)


def _file(parsed: OGBenchName, package: Any) -> Path:
    path = local_path(package.utils.DEFAULT_DATASET_DIR) / f"{parsed.dataset}.npz"
    if not path.is_file():
        # neither size nor checksum is known; an incomplete file is not a valid zip archive
        download(f"{package.utils.DATASET_URL}/{path.name}", path, size=None, sha256=None)
    return path


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            if missing := [key for key in REQUIRED if key not in file]:
                raise DatasetError(f"{path} has no {', '.join(missing)}; it has {', '.join(file) or 'nothing'}.")
            columns = {key: file[key] for key in (*REQUIRED, *STATES[1:]) if key in file}
    except DatasetError:
        raise
    except Exception as error:  # any: the errors of NumPy depend on the damage
        raise DatasetError(
            f"{path} is not an .npz file, or is damaged ({error}). Remove it to download it again."
        ) from error
    rows = len(columns["observations"])
    for key, column in columns.items():
        rank = 1 if key == "terminals" else 2
        if column.ndim != rank or len(column) != rows or column.dtype.kind not in "fiub":
            raise DatasetError(
                f"{path}: {key} holds {column.dtype} of shape {column.shape}, expected numbers with {rank} axes and "
                f"{rows} rows, like the observations."
            )
    columns["terminals"] = columns["terminals"] > 0.5
    return columns


def _check_sizes(columns: dict[str, np.ndarray], env: Any, path: Path) -> None:
    spaces = {"observations": env.observation_space, "actions": env.action_space}
    for key, space in spaces.items():
        if columns[key].shape[1:] != space.shape:
            raise DatasetError(
                f"{path}: {key} have {columns[key].shape[1]} numbers per row, but the environment {env.spec.id} has "
                f"{space.shape[0]}: the file is not from this environment."
            )
