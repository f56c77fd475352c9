"""Releases of demonstrations for Adroit: a pickled list of episodes, each a dict of arrays.

Sources: DAPG (Rajeswaran et al. 2018), ``*_demos.pickle``: arrays ``observations``, ``actions``, ``rewards``, no end
marked. AWAC (Nair et al. 2020) and Cal-QL (Nakamoto et al. 2023), ``.npy`` arrays of such dicts: each observation may
be a dict with ``state_observation``; there are ``next_observations`` and ``terminals``, and one action and reward more
than observations.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from smac_jax.data.dataset import Dataset, is_binary
from smac_jax.data.readers.binary import cut_after_last_success, to_binary
from smac_jax.data.readers.safe_pickle import load_pickle, settled
from smac_jax.errors import DatasetError, UnknownNameError
from smac_jax.files import local_path, readable
from smac_jax.tasks import TASKS, binary_of, reward_rule

SUFFIXES = (".npy", ".pickle", ".pkl")


MOST_NUMBERS = 1_000_000_000
"""In a file of demonstrations: a small file may name one array a million times."""


def read_demonstrations(path: str | os.PathLike, *, task: str | None = None) -> Dataset:
    """Reads a ``.pickle`` of DAPG's or an ``.npy`` of AWAC's; nothing that the file asks for is run.

    An episode's last row is a time-out unless it is a terminal. Where there are no next observations, a row that is not
    its episode's last takes the next row's, and the last row of an episode that was cut is dropped. Episodes of the
    hand whose rewards are 0 and -1 are of its binary task (:func:`binary_episodes`).

    Args:
      path: the file.
      task: what it was logged in; default: what the file's name begins with (``door2_sparse.npy``: door), or None.

    Raises:
      DatasetError: no such file, a damaged one, one that asks for more than numbers and containers, or episodes that
        ``Dataset.from_arrays`` refuses.
      UnknownNameError: a ``task`` that is not in ``TASKS``.
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
    """Episodes of a binary task cut after their last success, and a note for the metadata.

    Rewards of 0 and -1 are believed, whatever the file says of ends, and episodes without a success are left out, as
    Cal-QL's code does (``get_hand_dataset_with_mc_calculation``), which WSRL takes over. Of others
    :func:`smac_jax.data.readers.binary.to_binary` makes binary ones.

    Raises:
      DatasetError: no success, or observations that are not the task's.
    """
    if not is_binary(arrays["rewards"]):
        return to_binary(task, arrays, where), {}
    cut = cut_after_last_success(arrays | {"terminals": np.zeros(len(arrays["rewards"]), bool)}, failures=False)
    if not len(cut["rewards"]):
        raise DatasetError(f"{where}: no episode succeeds (no reward is 0).")
    episodes, kept = int(np.sum(arrays["timeouts"])), int(np.sum(cut["terminals"]))
    return cut, {"without_success": f"{episodes - kept} of {episodes} episodes without success left out"}


def read_episodes(*paths: Path) -> dict[str, Any]:
    """The columns that ``Dataset.from_arrays`` takes, of releases' episodes one after the other.

    Raises:
      DatasetError: as :func:`read_demonstrations`.
    """
    columns = {}
    for path in paths:
        for number, episode in enumerate(_episodes(path)):
            where = f"{path}: episode {number}"
            columns[where] = _columns(episode, where)
    lone = [where for where, part in columns.items() if "next_observations" not in part]
    if lone and len(lone) < len(columns):
        raise DatasetError(f"{lone[0]} has no next_observations, others have.")
    first = next(iter(columns.values()))
    for key in first:
        widths = {part[key].shape[1:] for part in columns.values()}
        if len(widths) > 1:
            raise DatasetError(f"{paths[0]}: {key} differ in width between episodes: {sorted(widths)}.")
    if sum(array.size for part in columns.values() for array in part.values()) > MOST_NUMBERS:
        raise DatasetError(f"{paths[0]}: holds more than {MOST_NUMBERS:,} numbers. It was not read.")
    return {key: np.concatenate([part[key] for part in columns.values()]) for key in first}


def _episodes(path: Path) -> list[dict[Any, Any]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}).") from error
    held = settled(load_pickle(_pickle_of_npy(content, path) if path.suffix == ".npy" else content, str(path)))
    episodes = list(np.ravel(held)) if isinstance(held, np.ndarray) and held.dtype == object else held
    if not isinstance(episodes, list | tuple) or not episodes or not all(isinstance(e, dict) for e in episodes):
        raise DatasetError(f"{path}: holds {type(held).__name__}, expected a list of episodes, each a dict of arrays.")
    return list(episodes)


def _pickle_of_npy(content: bytes, path: Path) -> bytes:
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        _, _, dtype = reader(file)
    except Exception as error:  # any: a header is text that anybody may have written
        raise DatasetError(f"{path}: is not an .npy file, or is damaged ({error}).") from error
    if dtype != np.dtype(object):
        raise DatasetError(f"{path}: holds an array of {dtype}, expected episodes (an array of dicts).")
    return file.read()


def _columns(episode: dict[Any, Any], where: str) -> dict[str, Any]:
    if missing := [key for key in ("observations", "actions", "rewards") if key not in episode]:
        raise DatasetError(f"{where}: no {', '.join(map(repr, missing))}; it has {', '.join(map(str, episode))}.")
    keys = [key for key in ("observations", "next_observations", "actions", "rewards", "terminals") if key in episode]
    arrays = {key: _numbers(episode[key], f"{where}: {key}") for key in keys}
    arrays = {k: a[:, 0] if k in ("rewards", "terminals") and a.shape[1:] == (1,) else a for k, a in arrays.items()}
    rows = len(arrays["observations"])
    for key, array in arrays.items():
        if len(array) not in (rows, rows + 1) or rows == 0:
            raise DatasetError(f"{where}: {key} has {len(array)} rows, observations {rows}; one more is the most.")
    arrays = {key: array[:rows] for key, array in arrays.items()}
    arrays.setdefault("terminals", np.zeros(rows, bool))
    arrays["timeouts"] = np.arange(rows) == rows - 1
    return arrays


def _numbers(value: Any, where: str) -> np.ndarray:
    """An array of a list of rows, each numbers or a dict that holds them as ``state_observation``."""
    value = settled(value)
    rows = [_row(row, where) for row in value] if isinstance(value, list | tuple) or _is_objects(value) else value
    if isinstance(rows, list) and sum(np.size(row) for row in rows) > MOST_NUMBERS:
        raise DatasetError(f"{where} holds more than {MOST_NUMBERS:,} numbers. It was not read.")
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
    row = settled(row)
    # a nest of lists, each of which holds the next twice, is small in the file and without end here
    if isinstance(row, list | tuple) and any(isinstance(item, list | tuple | dict) for item in row):
        raise DatasetError(f"{where} holds lists of lists in a row, expected rows of numbers.")
    return row


def _is_objects(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == object
