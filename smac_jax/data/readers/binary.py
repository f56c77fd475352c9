"""Demonstrations of the Adroit hand with binary rewards, made from the dense ones.

Source: SMAC (arXiv 2602.17632), section 5: 0 on success and -1 otherwise; each demonstration is cut after its last
success, which ends it. What success is comes from :mod:`smac_jax.envs.tasks.adroit`'s tasks; here it is read from an
observation alone, because that is all a file holds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from smac_jax.data.dataset import episode_ends
from smac_jax.data.tasks import BINARY_TASKS
from smac_jax.errors import DatasetError, UnknownNameError

_WIDTHS = {"pen": 45, "door": 39, "hammer": 46, "relocate": 39}


def succeeds(
    task: str, observations: Float[np.ndarray, "row observation"], where: str = "data"
) -> Bool[np.ndarray, " row"]:
    """Whether the task is done in the state that each row shows.

    Args:
      task: one of :data:`smac_jax.data.tasks.BINARY_TASKS`.
      observations: of the environment of that name.
      where: what errors name them by.

    Raises:
      UnknownNameError: another task.
      DatasetError: observations of another size.
    """
    if task not in BINARY_TASKS:
        raise UnknownNameError("binary task", task, BINARY_TASKS)
    name = task.removesuffix("-binary")
    if observations.ndim != 2 or observations.shape[1] != _WIDTHS[name]:
        raise DatasetError(
            f"{where}: observations of {name} have {_WIDTHS[name]} numbers a row; got shape {observations.shape}."
        )
    if name == "door":
        return observations[:, 28] >= 1.35
    if name == "relocate":
        return np.linalg.norm(observations[:, 36:39], axis=1) < 0.1
    if name == "hammer":  # how far the nail is in, of the 9.1 cm between its head and the board
        return np.abs(0.091 - observations[:, 26]) < 0.01
    near = np.linalg.norm(observations[:, 39:42], axis=1) < 0.075
    return near & (np.sum(observations[:, 33:36] * observations[:, 36:39], axis=1) > 0.95)


def to_binary(task: str, arrays: Mapping[str, np.ndarray], where: str = "data") -> dict[str, np.ndarray]:
    """Arrays in D4RL's layout with binary rewards, cut after each trajectory's last success.

    A step succeeds if it leads to a success. If there are no ``next_observations``, nobody has written down where a
    trajectory's last step leads, and it does not count as one. Trajectories without a success stay as they are.

    Args:
      task: one of :data:`smac_jax.data.tasks.BINARY_TASKS`.
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
