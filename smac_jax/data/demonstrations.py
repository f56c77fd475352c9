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

from smac_jax.data.dataset import Dataset
from smac_jax.data.safe_pickle import load_pickle, settled
from smac_jax.data.tasks import TASKS
from smac_jax.errors import DatasetError, UnknownNameError

SUFFIXES = (".npy", ".pickle", ".pkl")


def read_demonstrations(path: str | os.PathLike, *, task: str | None = None) -> Dataset:
    """Reads a ``.pickle`` of DAPG's or an ``.npy`` of AWAC's; nothing that the file asks for is run.

    An episode's last row is a time-out unless it is a terminal. Where there are no next observations, a row that is not
    its episode's last takes the next row's, and the last row of an episode that was cut is dropped.

    Args:
      path: the file.
      task: what it was logged in; default: what the file's name begins with (``door2_sparse.npy``: door), or None.

    Raises:
      DatasetError: no such file, a damaged one, one that asks for more than numbers and containers, or episodes that
        ``Dataset.from_arrays`` refuses.
      UnknownNameError: a ``task`` that is not in ``TASKS``.
    """
    path = Path(path).expanduser()
    if task is not None and task not in TASKS:
        raise UnknownNameError("task", task, tuple(TASKS))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}).") from error
    held = settled(load_pickle(_pickle_of_npy(content, path) if path.suffix == ".npy" else content, str(path)))
    episodes = list(np.ravel(held)) if isinstance(held, np.ndarray) and held.dtype == object else held
    if not isinstance(episodes, list | tuple) or not episodes or not all(isinstance(e, dict) for e in episodes):
        raise DatasetError(f"{path}: holds {type(held).__name__}, expected a list of episodes, each a dict of arrays.")
    parts = [_episode(episode, f"{path}: episode {number}") for number, episode in enumerate(episodes)]
    with_next = ["next_observations" in part for part in parts]
    if any(with_next) and not all(with_next):
        raise DatasetError(f"{path}: episode {with_next.index(False)} has no next_observations, others have.")
    widths = {key: {part[key].shape[1:] for part in parts} for key in parts[0]}
    if differing := [key for key, shapes in widths.items() if len(shapes) > 1]:
        raise DatasetError(f"{path}: {differing[0]} differ in width between episodes: {sorted(widths[differing[0]])}.")
    if task is None:
        word = re.match("[a-z]*(2d)?", path.stem.lower())
        task = word[0] if word and word[0] in TASKS else None
    arrays: dict[str, Any] = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return Dataset.from_arrays(**arrays, name=path.stem, task=task, metadata={"source": f"demonstrations, {path.name}"})


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


def _episode(episode: dict[Any, Any], where: str) -> dict[str, Any]:
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
    rows = [_row(row) for row in value] if isinstance(value, list | tuple) or _is_objects(value) else value
    try:
        array = np.asarray(rows)
    except ValueError as error:
        raise DatasetError(f"{where} is not an array: {error}") from error
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        raise DatasetError(f"{where} holds {array.dtype} of shape {array.shape}, expected rows of numbers.")
    return array


def _row(row: Any) -> Any:
    if isinstance(row, dict):
        row = row.get("state_observation", row.get("observation"))
    return settled(row)


def _is_objects(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == object
