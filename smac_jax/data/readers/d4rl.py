"""Reads and writes D4RL's HDF5 layout.

Source: Fu et al. 2020 (arXiv 2004.07219). A file holds ``observations``, ``actions``, ``rewards``, ``terminals``,
``timeouts`` and ``next_observations`` as rows, and ``metadata/*`` as scalars. Replay files hold float64 numbers; on the
device all numbers are float32. ``infos/*`` and the arrays below ``metadata`` (policy weights, initial states) are not
read into a data set, because no algorithm needs them; :func:`read_columns` reads ``infos/*`` for checks. One column
is this package's own: ``infos/trajectory_returns`` is written for a data set with dropped rows, whose rewards still
count in the returns of their episodes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from smac_jax.config import whole_number
from smac_jax.data.dataset import Dataset
from smac_jax.data.readers.binary import cut_after_last_success, to_binary
from smac_jax.data.readers.mazes import antmaze_columns, note_rewards_of_maze2d
from smac_jax.data.trajectories import mark_breaks
from smac_jax.data.validation import check_action_range, check_arrays, is_binary
from smac_jax.errors import DatasetError, UnknownNameError
from smac_jax.files import local_path, readable
from smac_jax.tasks import TASKS, parse_name, reward_rule

REQUIRED = ("observations", "actions", "rewards", "terminals")
OPTIONAL = ("timeouts", "next_observations")
RETURNS = "trajectory_returns"
"""The column below ``infos`` that holds the returns of episodes with dropped rows."""


def read_d4rl(
    path: str | os.PathLike,
    *,
    task: str | None = None,
    max_episode_steps: int | None = None,
    clip_actions: bool | None = None,
) -> Dataset:
    """Reads a D4RL file.

    ``terminals`` and ``timeouts`` may be missing if the file has ``next_observations``, which show where episodes
    begin.

    Args:
      path: the file.
      task: the task in which it was logged. By default it follows from ``metadata/task``, or else from the name of the
        file. For a binary task of Adroit (``"door-binary"``), dense rewards in the file are converted to binary ones
        (:func:`~smac_jax.data.readers.binary.to_binary`).
      max_episode_steps: the time limit, for files without ``timeouts`` (v0): an episode that has lasted so many steps
        without a terminal was cut there. By default it is the task's time limit, as in D4RL. If the file has
        ``next_observations``, the breaks that they show end episodes, too.
      clip_actions: as in :meth:`Dataset.from_arrays`.

    Raises:
      DatasetError: the file does not exist, is not HDF5, is truncated, lacks an array, or holds arrays that
        :meth:`Dataset.from_arrays` refuses.
      UnknownNameError: ``task`` is not in ``TASKS``.
      ConfigError: ``max_episode_steps`` is below one.
    """
    path = local_path(path)
    if task is not None and task not in TASKS:
        raise UnknownNameError("task", task, tuple(TASKS))
    arrays, metadata = _load(path)
    task = task or _task_by(metadata.get("task", path.stem))
    family = TASKS[task].family if task else None
    if family in ("antmaze", "maze2d") and "next_observations" not in arrays:
        if family == "antmaze":
            goals = read_columns(path, ["infos/goal"]).get("infos/goal")
            arrays = antmaze_columns(arrays, goals, metadata, str(path))
        else:
            note_rewards_of_maze2d(arrays, str(task), metadata)
    if "timeouts" not in arrays:
        limit = TASKS[task].episode_length if max_episode_steps is None and task else max_episode_steps
        if limit is None and "next_observations" not in arrays:
            raise DatasetError(
                f"{path}: the file has no 'timeouts', no 'next_observations' that would show where episodes begin, and "
                "no task in its name, so it is unknown where episodes were cut. Begin the name of the file with its "
                "task (hopper-...), whose time limit then applies; or read it with "
                "smac_jax.data.readers.d4rl.read_d4rl and max_episode_steps=..., and write the result with write_d4rl."
            )
        arrays = check_arrays(arrays, str(path))
        marked = mark_breaks(arrays, metadata)
        ends = marked.get("timeouts", arrays["terminals"]) + arrays["terminals"] > 0.5
        cut = infer_timeouts(ends, limit) if limit is not None else np.zeros_like(ends)
        arrays["timeouts"] = (cut | ends) & (arrays["terminals"] < 0.5)
    if task is not None and reward_rule(task).only_success:
        arrays = mark_breaks(check_arrays(arrays, str(path)), metadata)
        if is_binary(arrays["rewards"]):
            arrays = cut_after_last_success(arrays)
        else:
            arrays.pop(RETURNS, None)
            arrays = to_binary(task, arrays, str(path))
    # its name is the path while it is checked, so that error messages name the file
    dataset = Dataset.from_arrays(**arrays, name=str(path), task=task, metadata=metadata, clip_actions=clip_actions)
    return dataclasses.replace(dataset, name=readable(path.stem))


def read_columns(path: str | os.PathLike, keys: Iterable[str]) -> dict[str, np.ndarray]:
    """Reads columns of a D4RL file as they were logged, with all rows. Keys that the file does not have are skipped.

    Args:
      path: the file.
      keys: names of columns, such as ``"rewards"`` or ``"infos/qpos"``.

    Raises:
      DatasetError: the file does not exist, is not HDF5 or is damaged, or a column is not an array of numbers that is
        stored in this file.
    """
    path = local_path(path)
    if not path.is_file():
        raise DatasetError(f"{path}: the file does not exist.")
    with _reading(path) as file:
        return {key: _read_array(file, key, path) for key in keys if _holds(file, key, path)}


def _holds(file: h5py.File, key: str, path: Path) -> bool:
    group, _, _ = key.rpartition("/")
    if group and isinstance(file.get(group, getlink=True), h5py.ExternalLink):
        raise DatasetError(f"{path}: {group!r} is a link to another file. The link was not followed.")
    return key in file


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[h5py.File]:
    """Opens the file. Any error that reading it raises becomes a DatasetError."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except DatasetError:
        raise
    except PermissionError as error:
        raise DatasetError(f"{path}: the permission to read it is missing ({error}).") from error
    except Exception as error:  # any exception: what h5py raises for a damaged file depends on where the damage is
        if h5py.is_hdf5(path):
            raise DatasetError(f"{path} is truncated or damaged; download or make it again ({error}).") from error
        raise DatasetError(f"{path} is not an HDF5 file ({path.stat().st_size:,} bytes; {error}).") from error


def _load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    if not path.exists():
        raise DatasetError(f"{path}: the file does not exist.")
    if path.is_dir():
        raise DatasetError(f"{path} is a folder, expected an .hdf5 file.")
    with _reading(path) as file:
        missing = [key for key in REQUIRED if key not in file]
        if missing and (missing != ["terminals"] or "next_observations" not in file):
            raise DatasetError(
                f"{path} has no {', '.join(map(repr, missing))}. D4RL files have {', '.join(REQUIRED)}; this one has "
                f"{', '.join(map(str, file)) or 'nothing'}."
            )
        arrays = {key: _read_array(file, key, path) for key in (*REQUIRED, *OPTIONAL) if key in file}
        metadata = _read_metadata(file, path)
        if missing:
            arrays["terminals"] = np.zeros(arrays["rewards"].shape, bool)
            metadata["no_terminals"] = "the file has no terminals, so every end of an episode counts as a time-out"
        if "dropped_rows" in metadata and _holds(file, f"infos/{RETURNS}", path):
            arrays[RETURNS] = _read_array(file, f"infos/{RETURNS}", path)
        return arrays, metadata


def _read_array(file: h5py.File, key: str, path: Path) -> np.ndarray:
    if isinstance(file.get(key, getlink=True), h5py.ExternalLink):
        raise DatasetError(f"{path}: {key!r} is a link to another file. The link was not followed.")
    node = file[key]
    if not isinstance(node, h5py.Dataset):
        raise DatasetError(f"{path}: {key!r} is a group, expected an array.")
    if node.is_virtual or node.external:
        raise DatasetError(f"{path}: {key!r} is stored in other files. It was not read; copy it into this file.")
    if node.dtype.kind not in "fiub" or node.shape is None:  # objects are refused before anything decodes them
        raise DatasetError(
            f"{path}: {key} holds {node.dtype} of shape {node.shape}, expected numbers. It was not read."
        )
    return node[()]


def _read_metadata(file: h5py.File, path: Path) -> dict[str, str]:
    group = file.get("metadata")
    if not isinstance(group, h5py.Group):
        return {}
    scalars = {key: node for key, node in group.items() if isinstance(node, h5py.Dataset) and node.shape == ()}
    return {key: _as_text(node, f"{path}: metadata/{key}") for key, node in scalars.items()}


def _as_text(node: h5py.Dataset, where: str) -> str:
    is_text = h5py.check_string_dtype(node.dtype) is not None
    if not is_text and node.dtype.kind not in "fiub":
        raise DatasetError(
            f"{where} holds {node.dtype}, which is neither text nor a number. Write it as text, or remove it."
        )
    value = node[()]
    try:
        return value.decode("utf-8") if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{where} is not UTF-8 text ({error}). Write it again, or remove it.") from error


def _task_by(name: str) -> str | None:
    try:
        return parse_name(name).task
    except UnknownNameError:
        return None


def infer_timeouts(terminals: np.ndarray, max_episode_steps: int) -> np.ndarray:
    """Returns the rows at which an episode has lasted ``max_episode_steps`` without a terminal.

    Args:
      terminals: ``[row]``, boolean.
      max_episode_steps: the time limit in steps.

    Raises:
      ConfigError: ``max_episode_steps`` is below one.
    """
    max_episode_steps = whole_number("max_episode_steps", max_episode_steps, 1)
    rows = np.arange(len(terminals))
    # for each row, the first row of its episode if only terminals end episodes
    first = np.maximum.accumulate(np.where(np.append(True, terminals[:-1]), rows, 0)) if len(rows) else rows
    return ((rows - first) % max_episode_steps == max_episode_steps - 1) & ~terminals


def write_d4rl(
    path: str | os.PathLike,
    data: Dataset | Mapping[str, Any],
    *,
    metadata: Mapping[str, Any] | None = None,
    infos: Mapping[str, Any] | None = None,
    next_observations: bool = True,
    compression: int = 9,
) -> None:
    """Writes a D4RL file.

    The same arrays give the same bytes. If writing fails, no incomplete file is left behind.

    Args:
      path: the file. Its folder must exist.
      data: a mapping with ``observations``, ``actions``, ``rewards``, ``terminals``, and optionally ``timeouts`` and
        ``next_observations``; or a data set. Of a data set the task and the metadata are written, too. The rows that it
        dropped on reading are not written, but the returns of their episodes are (``infos/trajectory_returns``).
      metadata: numbers or texts for ``metadata/*``. They take precedence over those of the data set.
      infos: further numbers of each row for ``infos/*``, such as ``qpos``, written in their own precision.
      next_observations: whether to write the next observations. Without them the file is half as large; reading it then
        drops the last row of each episode that was cut, and counts its reward in the return of the episode. Breaks that
        only the next observations show are marked as time-outs.
      compression: the level of gzip, 0 to 9.

    Raises:
      DatasetError: :func:`read_d4rl` would refuse the arrays, D4RL's layout does not have one of them, or the folder
        does not exist.
      ConfigError: ``compression`` is outside 0 to 9.
    """
    path = local_path(path)
    compression = whole_number("compression", compression, 0, 9)
    if not path.parent.is_dir():
        raise DatasetError(f"{path}: the folder {path.parent} does not exist. Make it first.")
    arrays, notes = _arrays_and_metadata(data)
    returns = {key: arrays.pop(key) for key in (RETURNS,) if isinstance(data, Dataset) and key in arrays}
    checked = _check_layout(arrays, path) | returns
    if not next_observations:
        checked = mark_breaks(checked, notes)
        checked.pop("next_observations", None)
    extra = _check_infos(infos or {}, len(checked["rewards"]), path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _write(temporary, checked | extra, notes | dict(metadata or {}), compression)
        os.replace(temporary, path)
    except (TypeError, ValueError) as error:  # h5py raises these for metadata that HDF5 cannot hold
        raise DatasetError(f"{path}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _arrays_and_metadata(data: Dataset | Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    if not isinstance(data, Dataset):
        return dict(data), {}
    arrays = {key: np.asarray(getattr(data, key)) for key in (*REQUIRED, *OPTIONAL)}
    if "dropped_rows" in dict(data.metadata):
        arrays[RETURNS] = np.asarray(data.trajectory_returns)
    return arrays, ({"task": data.task} if data.task else {}) | dict(data.metadata)


def _check_layout(arrays: Mapping[str, Any], path: Path) -> dict[str, np.ndarray]:
    if not set(REQUIRED) <= set(arrays) <= {*REQUIRED, *OPTIONAL}:
        raise DatasetError(
            f"{path}: expected the arrays {', '.join(REQUIRED)} and optionally {', '.join(OPTIONAL)}; "
            f"got {', '.join(arrays)}."
        )
    checked = check_arrays(arrays, str(path))
    checked["actions"], _ = check_action_range(checked["actions"], str(path))
    # always written, because a reader would otherwise have to guess where episodes were cut
    checked.setdefault("timeouts", np.zeros_like(checked["terminals"]))
    return checked


def _check_infos(infos: Mapping[str, Any], rows: int, path: Path) -> dict[str, np.ndarray]:
    checked = {f"infos/{key}": np.asarray(value) for key, value in infos.items()}
    for key, array in checked.items():
        if array.dtype.kind not in "fiub":
            raise DatasetError(f"{path}: {key} holds {array.dtype}, expected numbers.")
        if array.ndim == 0 or len(array) != rows:
            raise DatasetError(f"{path}: {key} has shape {array.shape}, rewards has {rows} rows; they must be equal.")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DatasetError(f"{path}: {key} holds {np.sum(~np.isfinite(array))} numbers that are not finite.")
    return checked


def _write(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any], compression: int) -> None:
    with h5py.File(path, "w") as file:
        for key in sorted(arrays):
            values = arrays[key].astype(bool) if key in ("terminals", "timeouts") else arrays[key]
            where = f"infos/{key}" if key == RETURNS else key
            # without time stamps, so that the bytes depend on the contents only
            file.create_dataset(
                where, data=values, compression="gzip", compression_opts=compression, shuffle=True, track_times=False
            )
        for key, value in sorted(metadata.items()):
            file.create_dataset(f"metadata/{key}", data=_fixed_text(value), track_times=False)


def _fixed_text(value: Any) -> Any:
    """Encodes text as an array of fixed length.

    HDF5 stores text of variable length in a heap, and reading a file with a damaged heap can loop forever.
    """
    if not isinstance(value, str):
        return value
    encoded = value.encode("utf-8")
    return np.array(encoded, h5py.string_dtype("utf-8", max(1, len(encoded))))
