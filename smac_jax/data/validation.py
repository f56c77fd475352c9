"""Checks of the arrays that a data set is made of: shapes, numbers, flags and the range of the actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from smac_jax.errors import DatasetError

ACTION_TOLERANCE = 1e-5
"""Actions outside [-1, 1] by no more than this are rounding errors and are clipped. Beyond it they are refused."""


def check_arrays(arrays: Mapping[str, Any], where: str) -> dict[str, np.ndarray]:
    """Converts arrays to float32 and checks that they fit together. Actions may still be outside ``[-1, 1]``.

    Args:
      arrays: ``rewards`` and ``observations``, and any of the other columns of :meth:`Dataset.from_arrays
        <smac_jax.data.dataset.Dataset.from_arrays>`.
      where: the name of the data in error messages.

    Raises:
      DatasetError: an array has a wrong type, rank or number of rows, holds NaN or infinity, or holds flags other than
        0 and 1. The message names the array, what it holds, and what to do.
    """
    checked = {key: _as_float32(key, value, where) for key, value in arrays.items()}
    rows = len(checked["rewards"])
    if rows == 0:
        raise DatasetError(f"{where}: the data set is empty (rewards has 0 rows).")
    for key, array in checked.items():
        if len(array) != rows:
            raise DatasetError(f"{where}: {key} has {len(array)} rows, rewards has {rows}; they must be equal.")
        _check_finite(key, array, where)
        if key in ("terminals", "timeouts"):
            _check_flags(key, array, where)
    expected = checked["observations"].shape
    actual = checked.get("next_observations", checked["observations"]).shape
    if actual != expected:
        raise DatasetError(
            f"{where}: next_observations has shape {actual}, observations has shape {expected}; they must be equal."
        )
    return checked


def check_action_range(actions: np.ndarray, where: str, clip: bool = False) -> tuple[np.ndarray, str]:
    """Checks that actions are in ``[-1, 1]``, or clips them.

    Args:
      actions: ``[row, action]``.
      where: the name of the data in error messages.
      clip: whether to clip the actions that are outside by more than :data:`ACTION_TOLERANCE`.

    Returns:
      The actions in ``[-1, 1]``, and a text that says how many numbers were clipped beyond rounding (empty if none).

    Raises:
      DatasetError: actions are outside ``[-1, 1]``, and ``clip`` is False.
    """
    outside = np.abs(actions) > 1 + ACTION_TOLERANCE
    if not outside.any():
        return np.clip(actions, -1.0, 1.0), ""
    extent = f"{outside.sum()} of {outside.size} numbers, range [{actions.min():g}, {actions.max():g}]"
    if not clip:
        raise DatasetError(
            f"{where}: actions are outside [-1, 1] in {extent}, first in row {np.argmax(outside.any(axis=1))}. Rescale "
            "them from the bounds of the action space to [-1, 1]. If the simulator clips actions itself, clip them in "
            "the data too: smac_jax.data.readers.d4rl.read_d4rl and smac_jax.Dataset.from_arrays do so with "
            "clip_actions=True, and smac_jax.data.readers.d4rl.write_d4rl writes the result to a file for --task and "
            "load_dataset."
        )
    return np.clip(actions, -1.0, 1.0), extent


def is_binary(rewards: Float[np.ndarray, " row"]) -> bool:
    """Returns whether every reward is 0 or -1."""
    return bool(np.isin(rewards, (-1.0, 0.0)).all())


def _as_float32(key: str, value: Any, where: str) -> np.ndarray:
    if value is None:
        hint = " False in every row means that no episode terminated." if key == "terminals" else ""
        raise DatasetError(f"{where}: {key} is None, but it is required.{hint}")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DatasetError(f"{where}: {key} is not an array: {error}") from error
    if array.dtype.kind not in "fiub":
        raise DatasetError(f"{where}: {key} holds {array.dtype}, expected numbers.")
    rank = 2 if key in ("observations", "actions", "next_observations") else 1
    if rank == 1 and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]  # a column in place of a vector is common, and it is not ambiguous
    if array.ndim != rank or (rank == 2 and array.shape[1] == 0):
        expected = "[rows, numbers]" if rank == 2 else "[rows]"
        raise DatasetError(f"{where}: {key} has shape {list(array.shape)}, expected {expected}.")
    with np.errstate(over="ignore"):  # a number that is too large for float32 becomes infinite, and is refused next
        return array.astype(np.float32)


def _check_finite(key: str, array: np.ndarray, where: str) -> None:
    bad = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if bad.any():
        raise DatasetError(
            f"{where}: {key} is NaN or infinite (as float32) in {bad.sum()} of {len(bad)} rows, "
            f"first in row {np.argmax(bad)}. Drop the episodes that contain these rows."
        )


def _check_flags(key: str, array: np.ndarray, where: str) -> None:
    bad = ~np.isin(array, (0.0, 1.0))
    if bad.any():
        row = np.argmax(bad)
        raise DatasetError(
            f"{where}: {key} is {array[row]:g} in row {row}, expected true or false (0 or 1) in every row; the values "
            f"range from {array.min():g} to {array.max():g}."
        )
