"""Releases of demonstrations for Adroit, which are pickled lists of episodes. Each episode is a dict of arrays.

Sources:

* DAPG (Rajeswaran et al. 2018), ``*_demos.pickle``. The arrays are ``observations``, ``actions`` and ``rewards``; the
  ends of episodes are not marked.
* AWAC (Nair et al. 2020) and Cal-QL (Nakamoto et al. 2023), ``.npy`` arrays of such dicts. An observation may be a dict
  with ``state_observation``. There are ``next_observations`` and ``terminals``, and one more action and reward than
  observations.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from smac_jax.data.dataset import Dataset
from smac_jax.data.readers.binary import cut_after_last_success, to_binary
from smac_jax.data.readers.safe_pickle import load_pickle, unwrap
from smac_jax.data.validation import is_binary
from smac_jax.errors import DatasetError, UnknownNameError
from smac_jax.files import local_path, readable
from smac_jax.tasks import TASKS, binary_of, reward_rule

SUFFIXES = (".npy", ".pickle", ".pkl")

MAX_NUMBERS = 1_000_000_000
"""The largest number of numbers that a file may hold. A small pickle can refer to one array a million times."""


def read_demonstrations(path: str | os.PathLike, *, task: str | None = None) -> Dataset:
    """Reads a ``.pickle`` file of DAPG's release or an ``.npy`` file of AWAC's. No code in the file is executed.

    The last row of an episode is a time-out unless it is a terminal. Without next observations, each row takes the next
    row's observation, and the last row of an episode that was cut is dropped. Episodes of Adroit whose rewards are 0
    and -1 belong to the binary task (:func:`binary_episodes`).

    Args:
      path: the file.
      task: the task in which it was logged. By default the name of the file begins with it (``door2_sparse.npy``:
        door); else the task is None.

    Raises:
      DatasetError: the file does not exist, is damaged, contains more than numbers and containers, or holds episodes
        that :meth:`Dataset.from_arrays` refuses.
      UnknownNameError: ``task`` is not in ``TASKS``.
    """
    path = local_path(path)
    if task is not None and task not in TASKS:
        raise UnknownNameError("task", task, tuple(TASKS))
    arrays = read_episodes(path)
    if task is None:
        word = re.match("[a-z]*(2d)?", path.stem.lower())
        task = word[0] if word and word[0] in TASKS else None
    metadata = {"source": f"demonstrations, {readable(path.name)}"}
    if is_binary(arrays["rewards"]):
        task = binary_of(task) or task
    if task is not None and reward_rule(task).only_success:
        arrays, notes = binary_episodes(task, arrays, str(path))
        metadata |= notes
    return Dataset.from_arrays(**arrays, name=readable(path.stem), task=task, metadata=metadata)


def binary_episodes(task: str, arrays: dict[str, Any], where: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Cuts the episodes of a binary task after their last success.

    If the rewards are 0 and -1, they alone define success, the terminals in the file are ignored, and episodes without
    a success are left out. Cal-QL's code does the same (``get_hand_dataset_with_mc_calculation``), and WSRL uses that
    code. Other rewards are converted by :func:`smac_jax.data.readers.binary.to_binary`.

    Args:
      task: one of :func:`smac_jax.tasks.binary_tasks`.
      arrays: the columns that :func:`read_episodes` returns.
      where: the name of the data in error messages.

    Returns:
      The columns, and a note for the metadata.

    Raises:
      DatasetError: no episode succeeds, or the observations are not those of the task.
    """
    if not is_binary(arrays["rewards"]):
        return to_binary(task, arrays, where), {}
    cut = cut_after_last_success(arrays | {"terminals": np.zeros(len(arrays["rewards"]), bool)}, failures=False)
    if not len(cut["rewards"]):
        raise DatasetError(f"{where}: no episode succeeds (no reward is 0).")
    episodes, kept = int(np.sum(arrays["timeouts"])), int(np.sum(cut["terminals"]))
    return cut, {"without_success": f"{episodes - kept} of {episodes} episodes without success left out"}


def read_episodes(*paths: Path) -> dict[str, Any]:
    """Reads the episodes of several files, one after the other, as columns for :meth:`Dataset.from_arrays`.

    Raises:
      DatasetError: as in :func:`read_demonstrations`.
    """
    columns = {}
    for path in paths:
        for number, episode in enumerate(_episodes(path)):
            where = f"{path}: episode {number}"
            columns[where] = _columns(episode, where)
    without = [where for where, part in columns.items() if "next_observations" not in part]
    if without and len(without) < len(columns):
        raise DatasetError(f"{without[0]} has no next_observations, but other episodes have them.")
    first = next(iter(columns.values()))
    for key in first:
        widths = {part[key].shape[1:] for part in columns.values()}
        if len(widths) > 1:
            raise DatasetError(f"{paths[0]}: {key} differ in width between episodes: {sorted(widths)}.")
    if sum(array.size for part in columns.values() for array in part.values()) > MAX_NUMBERS:
        raise DatasetError(f"{paths[0]} holds more than {MAX_NUMBERS:,} numbers. It was not read.")
    return {key: np.concatenate([part[key] for part in columns.values()]) for key in first}


def _episodes(path: Path) -> list[dict[Any, Any]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}).") from error
    loaded = unwrap(load_pickle(_pickle_of_npy(content, path) if path.suffix == ".npy" else content, str(path)))
    episodes = list(np.ravel(loaded)) if isinstance(loaded, np.ndarray) and loaded.dtype == object else loaded
    if not isinstance(episodes, list | tuple) or not episodes or not all(isinstance(e, dict) for e in episodes):
        raise DatasetError(f"{path} holds {type(loaded).__name__}, expected a list of episodes, each a dict of arrays.")
    return list(episodes)


def _pickle_of_npy(content: bytes, path: Path) -> bytes:
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        _, _, dtype = reader(file)
    except Exception as error:  # any exception: the header is arbitrary text
        raise DatasetError(f"{path} is not an .npy file, or it is damaged ({error}).") from error
    if dtype != np.dtype(object):
        raise DatasetError(f"{path} holds an array of {dtype}, expected episodes (an array of dicts).")
    return file.read()


def _columns(episode: dict[Any, Any], where: str) -> dict[str, Any]:
    if missing := [key for key in ("observations", "actions", "rewards") if key not in episode]:
        raise DatasetError(f"{where} has no {', '.join(map(repr, missing))}; it has {', '.join(map(str, episode))}.")
    keys = [key for key in ("observations", "next_observations", "actions", "rewards", "terminals") if key in episode]
    arrays = {key: _numbers(episode[key], f"{where}: {key}") for key in keys}
    arrays = {k: a[:, 0] if k in ("rewards", "terminals") and a.shape[1:] == (1,) else a for k, a in arrays.items()}
    rows = len(arrays["observations"])
    for key, array in arrays.items():
        if len(array) not in (rows, rows + 1) or rows == 0:
            raise DatasetError(
                f"{where}: {key} has {len(array)} rows, observations has {rows}; they must be equal, or {key} must "
                "have one more."
            )
    arrays = {key: array[:rows] for key, array in arrays.items()}
    arrays.setdefault("terminals", np.zeros(rows, bool))
    arrays["timeouts"] = np.arange(rows) == rows - 1
    return arrays


def _numbers(value: Any, where: str) -> np.ndarray:
    """Converts a list of rows to an array. Each row is numbers, or a dict that holds them as ``state_observation``."""
    value = unwrap(value)
    rows = [_row(row, where) for row in value] if isinstance(value, list | tuple) or _is_objects(value) else value
    if isinstance(rows, list) and sum(np.size(row) for row in rows) > MAX_NUMBERS:
        raise DatasetError(f"{where} holds more than {MAX_NUMBERS:,} numbers. It was not read.")
    try:
        array = np.asarray(rows)
    except (ValueError, MemoryError) as error:
        raise DatasetError(f"{where} is not an array: {error}") from error
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        raise DatasetError(f"{where} holds {array.dtype} of shape {array.shape}, expected rows of numbers.")
    return array


def _row(row: Any, where: str) -> Any:
    if isinstance(row, dict):
        row = row.get("state_observation", row.get("observation"))
    row = unwrap(row)
    # nested lists, each of which refers to the next one twice, are small in the file and grow exponentially here
    if isinstance(row, list | tuple) and any(isinstance(item, list | tuple | dict) for item in row):
        raise DatasetError(f"{where} holds lists of lists in a row, expected rows of numbers.")
    return row


def _is_objects(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == object
