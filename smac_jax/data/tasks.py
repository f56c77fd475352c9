"""Tasks by name, with the reference returns of D4RL's normalized score.

Source: Fu et al. 2020 (arXiv 2004.07219), section 6, and the table of reference scores in D4RL's code (``infos.py``).
Adroit's binary tasks score 1 for an episode that succeeds, so that the normalized score is the rate of success in
percent; the kitchen's the share of its four things that were solved (SMAC, section 5).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from smac_jax.errors import ConfigError, UnknownNameError
from smac_jax.registry import WORDS, Registry
from smac_jax.spread import spread


@dataclasses.dataclass(frozen=True)
class TaskInfo:
    """What is known of a task beside its physics.

    Attributes:
      name: as in ``make_env``.
      random_return: the return, or what evaluations sum in its place, at a normalized score of 0.
      expert_return: the same at a normalized score of 100.
      episode_length: the time limit, in environment steps.
      clips_actions: the simulator itself clips every action to ``[-1, 1]`` and reads nothing else of it, so that logged
        actions outside may be clipped without changing what happened.
    """

    name: str
    random_return: float
    expert_return: float
    episode_length: int
    clips_actions: bool = False

    def __post_init__(self) -> None:
        if spread(np.array([self.random_return, self.expert_return])) == 0.0:
            raise ConfigError(
                f"TaskInfo {self.name!r}: random_return and expert_return are both {self.expert_return:g}; normalized "
                "scores are between them, so they must differ."
            )


_BUILT_IN = (
    TaskInfo("hopper", -20.272305, 3234.3, 1000),
    TaskInfo("walker2d", 1.629008, 4592.3, 1000),
    TaskInfo("halfcheetah", -280.178953, 12135.0, 1000),
    TaskInfo("ant", -325.6, 3879.7, 1000),
    TaskInfo("pen", 96.262799, 3076.8331017826877, 100, clips_actions=True),
    TaskInfo("hammer", -274.856578, 12794.134825156867, 200, clips_actions=True),
    TaskInfo("door", -56.512833, 2880.5693087298737, 200, clips_actions=True),
    TaskInfo("relocate", -6.425911, 4233.877797728884, 200, clips_actions=True),
    TaskInfo("pen-binary", 0.0, 1.0, 100, clips_actions=True),
    TaskInfo("hammer-binary", 0.0, 1.0, 200, clips_actions=True),
    TaskInfo("door-binary", 0.0, 1.0, 200, clips_actions=True),
    TaskInfo("relocate-binary", 0.0, 1.0, 200, clips_actions=True),
    TaskInfo("kitchen", 0.0, 4.0, 280, clips_actions=True),
    TaskInfo("kitchen-complete", 0.0, 4.0, 280, clips_actions=True),
    TaskInfo("kitchen-partial", 0.0, 4.0, 280, clips_actions=True),
    TaskInfo("kitchen-mixed", 0.0, 4.0, 280, clips_actions=True),
    TaskInfo("antmaze", 0.0, 1.0, 1000),
)


def _given(info: TaskInfo) -> Callable[[], TaskInfo]:
    return lambda: info


TASKS: Registry[TaskInfo] = Registry(
    "task with reference returns", {info.name: _given(info) for info in _BUILT_IN}, WORDS
)
BINARY_TASKS = tuple(name for name in TASKS if name.endswith("-binary"))
"""The hand's tasks that pay 0 on success and -1 otherwise, and end at success."""


def task_info(environment: str) -> TaskInfo:
    """What is known of an environment by its name in ``make_env``.

    One of another family is taken for the task that its name names, if any (``"gymnasium:Hopper-v4"`` for ``hopper``).
    Of others nothing is known: then a return of 0 counts as a random policy's, and 1,000 steps are an episode.
    """
    try:
        return TASKS[parse_name(environment.rpartition(":")[2]).task]
    except UnknownNameError:
        return TaskInfo(environment, 0.0, 1.0, 1000)


def time_limit(environment: str, env: Any) -> int:
    """Steps of an episode: what the environment itself says, else what is known of its name."""
    return int(getattr(env, "episode_length", task_info(environment).episode_length))


class DatasetName(NamedTuple):
    """A data set's name taken apart: ``task`` is a key of :data:`TASKS`, ``kind`` says who acted, or is None."""

    task: str
    kind: str | None


# What D4RL's kitchen files are called.
_FILES = {
    "mini-kitchen-microwave-kettle-light-slider": "kitchen-complete",
    "kitchen-microwave-kettle-light-slider": "kitchen-partial",
    "kitchen-microwave-kettle-bottomburner-light": "kitchen-mixed",
}


def parse_name(name: str) -> DatasetName:
    """Takes apart the name of a data set, of its file (without the suffix), or of a Gymnasium environment.

    ``"hopper-medium-replay"``, ``"hopper_medium_replay-v2"`` -> ``("hopper", "medium-replay")``; ``"Hopper-v4"`` ->
    ``("hopper", None)``.

    Raises:
      UnknownNameError: it does not begin with a task's name.
    """
    words = re.sub(r"-v\d+$", "", name.lower().replace("_", "-"))
    words = _FILES.get(words, words)
    fitting = [task for task in TASKS if f"{words}-".startswith(f"{task}-")]
    if not fitting:
        raise UnknownNameError("task", name, tuple(TASKS))
    task = max(fitting, key=len)
    return DatasetName(task, words[len(task) + 1 :] or None)


def normalized_score(task: str, returns: Any) -> np.ndarray:
    """D4RL's score in percent: 0 at a random policy's return, 100 at an expert's.

    Args:
      task: a task, or a data set's name that :func:`parse_name` understands.
      returns: a return, or an array of them.

    Raises:
      UnknownNameError: no reference returns for this task.
    """
    info = TASKS[parse_name(task).task]
    return 100.0 * (np.asarray(returns, np.float64) - info.random_return) / (info.expert_return - info.random_return)
