"""Tasks by name, with the reference returns of D4RL's normalised score.

Source: Fu et al. 2020 (arXiv 2004.07219), section 6, and the table of reference scores in D4RL's code.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np

from smac_jax.errors import UnknownNameError


@dataclasses.dataclass(frozen=True)
class TaskInfo:
    """What is known of a task beside its physics.

    Attributes:
      name: as in ``make_env``.
      random_return: the return at a normalised score of 0.
      expert_return: the return at a normalised score of 100.
      episode_length: the time limit, in environment steps.
    """

    name: str
    random_return: float
    expert_return: float
    episode_length: int


TASKS: dict[str, TaskInfo] = {
    task.name: task
    for task in (
        TaskInfo("hopper", -20.272305, 3234.3, 1000),
        TaskInfo("walker2d", 1.629008, 4592.3, 1000),
        TaskInfo("halfcheetah", -280.178953, 12135.0, 1000),
        TaskInfo("ant", -325.6, 3879.7, 1000),
        TaskInfo("pen", 96.262799, 3076.8331017826877, 100),
        TaskInfo("hammer", -274.856578, 12794.134825156867, 200),
        TaskInfo("door", -56.512833, 2880.5693087298737, 200),
        TaskInfo("relocate", -6.425911, 4233.877797728884, 200),
        TaskInfo("kitchen", 0.0, 4.0, 280),
        TaskInfo("antmaze", 0.0, 1.0, 1000),
    )
}


def task_of(name: str) -> str | None:
    """The task that a data set's or a file's name speaks of: ``"hopper_medium_replay-v2"`` -> ``"hopper"``."""
    first = re.split(r"[-_.]", name.lower(), maxsplit=1)[0]
    return first if first in TASKS else None


def normalized_score(task: str, returns: Any) -> np.ndarray:
    """D4RL's score in percent: 0 at a random policy's return, 100 at an expert's.

    Raises:
      UnknownNameError: no reference returns for this task.
    """
    if task not in TASKS:
        raise UnknownNameError("task", task, tuple(TASKS))
    low, high = TASKS[task].random_return, TASKS[task].expert_return
    return 100.0 * (np.asarray(returns, np.float64) - low) / (high - low)
