"""Binary rewards for demonstrations of the Adroit hand that were logged with dense rewards.

Source: SMAC (arXiv 2602.17632), section 5. The reward is 0 on success and -1 otherwise. Each demonstration is cut after
its last success, which is a terminal. The files do not log success, so it is computed from the observations
(``TaskInfo.success``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from smac_jax.data.trajectories import episode_ends
from smac_jax.errors import DatasetError, UnknownNameError
from smac_jax.tasks import TASKS, binary_tasks


def succeeds(
    task: str, observations: Float[np.ndarray, "row observation"], where: str = "data"
) -> Bool[np.ndarray, " row"]:
    """Returns whether the observation of each row shows a success.

    Args:
      task: one of :func:`smac_jax.tasks.binary_tasks`.
      observations: observations of the environment with that name.
      where: the name of the data in error messages.

    Raises:
      UnknownNameError: ``task`` is not a binary task.
      DatasetError: the observations have another size than the environment's.
    """
    info = TASKS.get(task)
    if info is None or info.success is None:
        raise UnknownNameError("binary task", task, binary_tasks())
    size, holds = info.success
    if observations.ndim != 2 or observations.shape[1] != size:
        raise DatasetError(
            f"{where}: observations of {info.dense} have {size} numbers per row; got shape {observations.shape}."
        )
    return holds(observations)


def to_binary(task: str, arrays: Mapping[str, np.ndarray], where: str = "data") -> dict[str, np.ndarray]:
    """Returns arrays in D4RL's layout with binary rewards, each trajectory cut after its last success.

    A step succeeds if the observation after it shows a success. Without ``next_observations``, the observation after
    the last step of a trajectory is not known, and that step does not count as a success. Trajectories without a
    success stay as they are.

    Args:
      task: one of :func:`smac_jax.tasks.binary_tasks`.
      arrays: ``observations``, ``actions``, ``rewards``, ``terminals``, ``timeouts``, and optionally
        ``next_observations``.
      where: the name of the data in error messages.

    Raises:
      UnknownNameError: ``task`` is not a binary task.
      DatasetError: the observations have another size than the environment's.
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
    """Cuts each trajectory after its last success, which becomes a terminal.

    Args:
      arrays: the same arrays as for :func:`to_binary`, but with binary rewards.
      failures: whether to keep the trajectories without a success. They stay as they are.
    """
    terminal, timeout = episode_ends(arrays["terminals"], arrays["timeouts"])
    last = terminal | timeout
    success = arrays["rewards"] == 0.0
    trajectory = np.cumsum(last) - last
    rows = np.arange(len(last))
    last_success = np.full(trajectory[-1] + 1, -1)
    np.maximum.at(last_success, trajectory[success], rows[success])
    end = last_success[trajectory]
    ends = {
        "terminals": np.where(end < 0, terminal, rows == end),
        "timeouts": np.where(end < 0, timeout, False),
    }
    keep = (rows <= end) | ((end < 0) & failures)
    return {key: value[keep] for key, value in {**arrays, **ends}.items()}
