"""D4RL's HDF5 layout, read and written.

Source: Fu et al. 2020 (arXiv 2004.07219): ``observations``, ``actions``, ``rewards``, ``terminals``, ``timeouts``,
``next_observations`` as rows, ``metadata/*`` as scalars. Replay files hold float64; everything is float32 on the device.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from smac_jax.data.dataset import Dataset, check_arrays
from smac_jax.data.tasks import TASKS, task_of
from smac_jax.errors import DatasetError

REQUIRED = ("observations", "actions", "rewards", "terminals")
OPTIONAL = ("timeouts", "next_observations")


def read_d4rl(path: str | os.PathLike, *, task: str | None = None, max_episode_steps: int | None = None) -> Dataset:
    """Reads a D4RL file.

    Args:
      path: the file.
      task: what it was logged in; default: what ``metadata/task`` says, or else what the file's name says.
      max_episode_steps: for v0 files, which have no ``timeouts``: mark a time-out after so many steps without a terminal.

    Raises:
      DatasetError: no such file, not HDF5, cut short, a key missing, or contents that ``Dataset.from_arrays`` refuses.
    """
    path = Path(path)
    if not path.exists():
        raise DatasetError(f"{path}: no such file.")
    if path.is_dir():
        raise DatasetError(f"{path}: is a folder, expected an .hdf5 file.")
    try:
        with h5py.File(path, "r") as file:
            missing = [key for key in REQUIRED if key not in file]
            if missing:
                raise DatasetError(
                    f"{path}: no {missing[0]!r}. D4RL files have {', '.join(REQUIRED)}; this one has {', '.join(file) or 'nothing'}."
                )
            arrays = {key: _read(file, key, path) for key in (*REQUIRED, *OPTIONAL) if key in file}
            metadata = _read_metadata(file)
    except OSError as error:
        what = "is cut short or damaged; fetch it again" if h5py.is_hdf5(path) else "is not an HDF5 file, or is cut short"
        raise DatasetError(f"{path}: {what} ({error}).") from error
    if "timeouts" not in arrays and max_episode_steps is not None:
        terminals = check_arrays({key: arrays[key] for key in REQUIRED}, str(path))["terminals"]
        arrays["timeouts"] = infer_timeouts(terminals, max_episode_steps)
    known = dict(metadata)
    return Dataset.from_arrays(
        **arrays,
        name=path.stem,
        task=task or (known["task"] if known.get("task") in TASKS else task_of(path.stem)),
        metadata=metadata,
    )


def _read(file: h5py.File, key: str, path: Path) -> np.ndarray:
    node = file[key]
    if not isinstance(node, h5py.Dataset):
        raise DatasetError(f"{path}: {key!r} is a group, expected an array.")
    if node.dtype.kind not in "fiub":  # never decode objects
        raise DatasetError(f"{path}: {key} holds {node.dtype}, which is not numbers. It is not read any further.")
    return node[()]


def _read_metadata(file: h5py.File) -> tuple[tuple[str, str], ...]:
    group = file.get("metadata")
    if not isinstance(group, h5py.Group):
        return ()
    found = []
    for key, node in group.items():
        if isinstance(node, h5py.Dataset) and node.shape == ():
            value = node[()]
            found.append((key, value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)))
    return tuple(sorted(found))


def infer_timeouts(terminals: np.ndarray, max_episode_steps: int) -> np.ndarray:
    """Marks the row after which an episode has lasted ``max_episode_steps`` without a terminal."""
    timeouts, length = np.zeros(len(terminals), bool), 0
    for row, terminal in enumerate(terminals > 0.5):
        length += 1
        if terminal or length == max_episode_steps:
            timeouts[row], length = not terminal, 0
    return timeouts


def write_d4rl(
    path: str | os.PathLike,
    arrays: Mapping[str, Any],
    *,
    metadata: Mapping[str, Any] | None = None,
    next_observations: bool = True,
) -> None:
    """Writes a D4RL file: the same arrays give the same bytes, and a file is there whole or not at all.

    Args:
      path: the file; its folder must be there.
      arrays: ``observations``, ``actions``, ``rewards``, ``terminals`` and optionally ``timeouts``, ``next_observations``.
      metadata: scalars or texts for ``metadata/*``.
      next_observations: leave them out for a file half the size; reading it then loses the rows that ran out of time.

    Raises:
      DatasetError: arrays that :func:`read_d4rl` would refuse, or one that D4RL's layout does not have.
    """
    path = Path(path)
    unknown = set(arrays) - set(REQUIRED) - set(OPTIONAL)
    missing = set(REQUIRED) - set(arrays)
    if unknown or missing:
        raise DatasetError(f"{path}: D4RL's layout has {', '.join((*REQUIRED, *OPTIONAL))}; got {', '.join(arrays)}.")
    checked = check_arrays(dict(arrays), str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with h5py.File(temporary, "w", track_order=False) as file:
            for key in (*REQUIRED, *OPTIONAL):
                if key not in checked or (key == "next_observations" and not next_observations):
                    continue
                flags = key in ("terminals", "timeouts")
                values = checked[key].astype(bool) if flags else checked[key]
                file.create_dataset(key, data=values, compression="gzip", compression_opts=9, shuffle=True, track_times=False)
            for key, value in sorted((metadata or {}).items()):
                file.create_dataset(f"metadata/{key}", data=value, track_times=False)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
