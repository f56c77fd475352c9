"""Demonstrations of the Adroit hand with binary rewards, made from the dense ones.

Source: SMAC (arXiv 2602.17632), section 5: 0 on success and -1 otherwise; each demonstration is cut after its last
success, which ends it. A file holds observations alone, so success is read from these (``TaskInfo.success``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from smac_jax.data.dataset import episode_ends
from smac_jax.errors import DatasetError, UnknownNameError
from smac_jax.tasks import TASKS, binary_tasks


def succeeds(
    task: str, observations: Float[np.ndarray, "row observation"], where: str = "data"
) -> Bool[np.ndarray, " row"]:
    """Whether the task is done in the state that each row shows.

    Args:
      task: one of :func:`smac_jax.tasks.binary_tasks`.
      observations: of the environment of that name.
      where: what errors name them by.

    Raises:
      UnknownNameError: another task.
      DatasetError: observations of another size.
    """
    info = TASKS.get(task)
    if info is None or info.success is None:
        raise UnknownNameError("binary task", task, binary_tasks())
    size, holds = info.success
    if observations.ndim != 2 or observations.shape[1] != size:
        raise DatasetError(
            f"{where}: observations of {info.dense} have {size} numbers a row; got shape {observations.shape}."
        )
    return holds(observations)


def to_binary(task: str, arrays: Mapping[str, np.ndarray], where: str = "data") -> dict[str, np.ndarray]:
    """Arrays in D4RL's layout with binary rewards, cut after each trajectory's last success.

    A step succeeds if it leads to a success. If there are no ``next_observations``, nobody has written down where a
    trajectory's last step leads, and it does not count as one. Trajectories without a success stay as they are.

    Args:
      task: one of :func:`smac_jax.tasks.binary_tasks`.
      arrays: ``observations``, ``actions``, ``rewards``, ``terminals``, ``timeouts`` and perhaps ``next_observations``.
      where: what errors name them by.

    Raises:
      UnknownNameError, DatasetError: as :func:`succeeds`.
    """
    arrays = {key: np.asarray(value) for key, value in arrays.items()}
    arrays |= {key: arrays[key].reshape(-1) for key in ("terminals", "timeouts")}
    if "next_observations" in arrays:
        success = succeeds(task, arrays["next_observations"], where)
    else:
        following = succeeds(task, arrays["observations"], where)
        terminal, timeout = episode_ends(arrays["terminals"], arrays["timeouts"])
        success = np.append(following[1:], False) & ~(terminal | timeout)
    return cut_after_last_success(arrays | {"rewards": success.astype(np.float32) - 1.0})


def cut_after_last_success(arrays: Mapping[str, np.ndarray], *, failures: bool = True) -> dict[str, np.ndarray]:
    """Arrays whose rewards are binary already, each trajectory ended by its last success.

    Args:
      arrays: as :func:`to_binary` takes them.
      failures: keep the trajectories without a success, as they are.
    """
    terminal, timeout = episode_ends(arrays["terminals"], arrays["timeouts"])
    last = terminal | timeout
    success = arrays["rewards"] == 0.0
    trajectory = np.cumsum(last) - last
    rows = np.arange(len(last))
    final = np.full(trajectory[-1] + 1, -1)
    np.maximum.at(final, trajectory[success], rows[success])
    end = final[trajectory]
    ends = {
        "terminals": np.where(end < 0, terminal, rows == end),
        "timeouts": np.where(end < 0, timeout, False),
    }
    keep = (rows <= end) | ((end < 0) & failures)
    return {key: value[keep] for key, value in {**arrays, **ends}.items()}
