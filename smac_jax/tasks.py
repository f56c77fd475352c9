"""Facts about tasks by their names: reference returns, time limits, rewards, and the measure of evaluations.

Other modules do not test a task's name: they use :func:`task_info`, or :func:`reward_rule` for a data set's task.

Source: Fu et al. 2020 (arXiv 2004.07219), section 6, and the table of reference scores in D4RL's code (``infos.py``).
An episode of Adroit's binary tasks has the score 1 if it succeeds, so the normalized score is the success rate in
percent. That of the kitchen is the share of its four subtasks that were completed (SMAC, section 5).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from smac_jax.chunk_names import without_chunks
from smac_jax.errors import ConfigError, UnknownNameError
from smac_jax.registry import WORDS, Registry
from smac_jax.spread import spread

Family = Literal["locomotion", "adroit", "kitchen", "antmaze", "maze2d"]


@dataclasses.dataclass(frozen=True)
class RewardRule:
    """The meaning of a task's rewards, and the measure of its trajectories.

    Attributes:
      evaluation: the name of the measure in evaluations, for axes and tables.
      only_success: whether rewards are 0 on success and -1 otherwise. Evaluations then report the success rate, and an
        episode of the data ends with its last success.
      solved_at: nothing is bootstrapped from a step with at least this reward, even if the log has no terminal there;
        None to use the log's terminals only.
      return_is_highest: whether a trajectory's return is its highest reward, because each reward counts everything that
        has been completed; otherwise it is the sum of the rewards.
      sparse: whether every reward only distinguishes success from failure; None to decide from the data's rewards.
      log_continues: whether a log may continue after a terminal, so that an uninterrupted log holds several
        trajectories. Its score is the best of them.
    """

    evaluation: str
    only_success: bool = False
    solved_at: float | None = None
    return_is_highest: bool = False
    sparse: bool | None = None
    log_continues: bool = False


DENSE = RewardRule("return")
"""Rewards are summed."""

BINARY = RewardRule("success rate", only_success=True, solved_at=0.0, sparse=True)
"""0 on success and -1 otherwise, for Adroit's binary tasks (SMAC, section 5).

An episode of the environment ends at the first success, but a demonstration continues to its last success. Source of
``solved_at``: Cal-QL's code (``dones = rewards == 0``), which WSRL uses, too.
"""

SUBTASKS = RewardRule("completed subtasks", solved_at=4.0, return_is_highest=True, sparse=False)
"""The kitchen's rewards: the number of completed subtasks (of four) in each step. Source of ``solved_at``: WSRL."""

GOAL = RewardRule("success rate", return_is_highest=True, sparse=True, log_continues=True)
"""AntMaze's rewards, 1 at the goal and 0 elsewhere. D4RL's logs continue at the goal; each row there is a terminal."""

SUCCESS = RewardRule("success rate")
"""OGBench's rewards, which are summed; evaluations report the success rate."""


class SuccessTest(NamedTuple):
    """A test of whether an observation shows that the task is solved.

    Attributes:
      observation_size: the number of observations.
      holds: ``observations [row, observation] -> [row]``.
    """

    observation_size: int
    holds: Callable[[Float[np.ndarray, "row observation"]], Bool[np.ndarray, " row"]]


def _pen_is_solved(observations: Float[np.ndarray, "row observation"]) -> Bool[np.ndarray, " row"]:
    near = np.linalg.norm(observations[:, 39:42], axis=1) < 0.075
    return near & (np.sum(observations[:, 33:36] * observations[:, 36:39], axis=1) > 0.95)


def _door_is_solved(observations: Float[np.ndarray, "row observation"]) -> Bool[np.ndarray, " row"]:
    return observations[:, 28] >= 1.35


def _hammer_is_solved(observations: Float[np.ndarray, "row observation"]) -> Bool[np.ndarray, " row"]:
    # the nail has been driven in by this distance; at first, its head is 9.1 cm from the board
    return np.abs(0.091 - observations[:, 26]) < 0.01


def _relocate_is_solved(observations: Float[np.ndarray, "row observation"]) -> Bool[np.ndarray, " row"]:
    return np.linalg.norm(observations[:, 36:39], axis=1) < 0.1


@dataclasses.dataclass(frozen=True)
class TaskInfo:
    """Facts about a task other than its physics.

    Attributes:
      name: the name in ``make_env``.
      random_return: the return, or the measure that evaluations report instead, at a normalized score of 0.
      expert_return: the same at a normalized score of 100.
      episode_length: the time limit, in environment steps.
      family: the family of tasks with the same simulator and settings (``smac_jax.presets`` has a module for each of
        the paper's three families); None for other tasks.
      rewards: the meaning of the rewards.
      clips_actions: whether the simulator itself clips every action to ``[-1, 1]``, so that logged actions outside may
        be clipped without changing the transitions.
      dense: for a task with binary rewards, the task with dense rewards and the same robot, observations and actions.
      success: for a task with binary rewards, the test of success.
      noisy_observations: whether observations are noisy, so that a logged step cannot be reproduced.
      version_by_size: pairs of an observation's size and the environment's version (as in ``make_env``) with this size.
      unlogged: a description of what logs do not contain although a step depends on it; empty if there is nothing.
    """

    name: str
    random_return: float
    expert_return: float
    episode_length: int
    family: Family | None = None
    rewards: RewardRule = DENSE
    clips_actions: bool = False
    dense: str | None = None
    success: SuccessTest | None = None
    noisy_observations: bool = False
    version_by_size: tuple[tuple[int, str], ...] = ()
    unlogged: str = ""

    def __post_init__(self) -> None:
        if spread(np.array([self.random_return, self.expert_return])) == 0.0:
            raise ConfigError(
                f"TaskInfo {self.name!r}: random_return and expert_return are both {self.expert_return:g}. They must "
                "differ, because normalized scores are computed from their difference."
            )
        if self.rewards.only_success != (self.dense is not None) or self.rewards.only_success != bool(self.success):
            raise ConfigError(
                f"TaskInfo {self.name!r}: a task with binary rewards needs the task with dense rewards (dense) and the "
                "test of success (success). Other tasks must have neither."
            )


def _robot(name: str, random_return: float, expert_return: float, **facts: Any) -> TaskInfo:
    return TaskInfo(name, random_return, expert_return, 1000, "locomotion", **facts)


def _hand(
    name: str, random_return: float, expert_return: float, episode_length: int, success: SuccessTest
) -> tuple[TaskInfo, TaskInfo]:
    """Returns a task of the Adroit hand with dense rewards, and the same task with binary rewards."""
    dense = TaskInfo(name, random_return, expert_return, episode_length, "adroit", clips_actions=True)
    binary = dataclasses.replace(
        dense,
        name=f"{name}-binary",
        random_return=0.0,
        expert_return=1.0,
        rewards=BINARY,
        dense=name,
        success=success,
    )
    return dense, binary


def _antmaze(kind: str, episode_length: int) -> TaskInfo:
    return TaskInfo(
        f"antmaze-{kind}",
        0.0,
        1.0,
        episode_length,
        "antmaze",
        GOAL,
        clips_actions=True,
        version_by_size=((29, "d4rl"), (31, "robotics-v4"), (109, "robotics-v5")),
        unlogged="rewards and terminations depend on the goal, which rows do not contain",
    )


def _maze2d(kind: str, random_return: float, expert_return: float, episode_length: int) -> TaskInfo:
    sizes = ((4, "d4rl"), (8, "robotics-v3"))
    return TaskInfo(
        f"maze2d-{kind}",
        random_return,
        expert_return,
        episode_length,
        "maze2d",
        clips_actions=True,
        version_by_size=sizes,
    )


def _kitchen(name: str) -> TaskInfo:
    return TaskInfo(name, 0.0, 4.0, 280, "kitchen", SUBTASKS, clips_actions=True, noisy_observations=True)


_BUILT_IN = (
    _robot("hopper", -20.272305, 3234.3),
    _robot("walker2d", 1.629008, 4592.3),
    _robot("halfcheetah", -280.178953, 12135.0),
    _robot(
        "ant",
        -325.6,
        3879.7,
        version_by_size=((105, "v5"), (111, "d4rl")),
        unlogged="the ant's reward depends on a lagged position of its torso, which rows do not contain",
    ),
    *_hand("pen", 96.262799, 3076.8331017826877, 100, SuccessTest(45, _pen_is_solved)),
    *_hand("hammer", -274.856578, 12794.134825156867, 200, SuccessTest(46, _hammer_is_solved)),
    *_hand("door", -56.512833, 2880.5693087298737, 200, SuccessTest(39, _door_is_solved)),
    *_hand("relocate", -6.425911, 4233.877797728884, 200, SuccessTest(39, _relocate_is_solved)),
    *map(_kitchen, ("kitchen", "kitchen-complete", "kitchen-partial", "kitchen-mixed")),
    _antmaze("umaze", 700),
    _antmaze("medium", 1000),
    _antmaze("large", 1000),
    # the latest versions of the files, which are -v0 for open, and -v1 for the others
    _maze2d("open", 0.01, 20.66, 150),
    _maze2d("umaze", 23.85, 161.86, 300),
    _maze2d("medium", 13.13, 277.39, 600),
    _maze2d("large", 6.7, 273.99, 800),
    _maze2d("open-dense", 11.17817, 27.166538620695782, 150),
    _maze2d("umaze-dense", 68.537689, 193.66285642381482, 300),
    _maze2d("medium-dense", 44.264742, 297.4552547777125, 600),
    _maze2d("large-dense", 30.569041, 303.4857382709002, 800),
)


def _constant(info: TaskInfo) -> Callable[[], TaskInfo]:
    return lambda: info


TASKS: Registry[TaskInfo] = Registry(
    "task with reference returns", {info.name: _constant(info) for info in _BUILT_IN}, WORDS
)


def tasks_of(family: Family) -> tuple[str, ...]:
    """Returns the names of a family's tasks, without the binary tasks of the hand."""
    return tuple(task.name for task in TASKS.values() if task.family == family and task.dense is None)


def binary_tasks() -> tuple[str, ...]:
    """Returns the names of the tasks with binary rewards."""
    return tuple(task.name for task in TASKS.values() if task.rewards.only_success)


def binary_of(task: str | None) -> str | None:
    """Returns the binary version of a task with dense rewards; None if there is none."""
    return next((known.name for known in TASKS.values() if task is not None and known.dense == task), None)


def dense_of(task: str | None) -> str | None:
    """Returns the dense version of a task with binary rewards, and any other task unchanged."""
    known = TASKS.get(task) if task is not None else None
    return known.dense if known is not None and known.dense is not None else task


def reward_rule(task: str | None) -> RewardRule:
    """Returns the meaning of the rewards of a data set's task. Those of an unknown task are summed."""
    return TASKS[task].rewards if task is not None and task in TASKS else DENSE


def task_info(environment: str) -> TaskInfo:
    """Returns the facts about an environment, by its name in ``make_env``.

    An environment of another library has the facts of the task in its name, if there is one: ``"gymnasium:Hopper-v4"``
    has those of ``hopper``. For unknown environments, the return of a random policy is 0, that of an expert is 1, and
    an episode has 1,000 steps. OGBench's tasks are other tasks than D4RL's although they share names; evaluations
    report their success rate. Action chunks (``chunks:5:hopper``) have the facts of the environment that they are for,
    and its time limit counts single steps.
    """
    environment = without_chunks(environment)
    if environment.startswith("ogbench:"):
        return TaskInfo(environment, 0.0, 1.0, 1000, rewards=SUCCESS)
    try:
        return TASKS[parse_name(environment.rpartition(":")[2]).task]
    except UnknownNameError:
        return TaskInfo(environment, 0.0, 1.0, 1000)


def time_limit(environment: str, env: Any) -> int:
    """Returns the time limit in steps: the attribute ``episode_length`` of the environment, or that of its task."""
    return int(getattr(env, "episode_length", task_info(environment).episode_length))


class DatasetName(NamedTuple):
    """The parts of a data set's name.

    Attributes:
      task: a key of :data:`TASKS`.
      kind: the rest of the name, which describes the policy that acted, such as "medium-replay"; None if it is empty.
    """

    task: str
    kind: str | None


# the names of D4RL's files for the kitchen
_KITCHEN_FILES = {
    "mini-kitchen-microwave-kettle-light-slider": "kitchen-complete",
    "kitchen-microwave-kettle-light-slider": "kitchen-partial",
    "kitchen-microwave-kettle-bottomburner-light": "kitchen-mixed",
}


# The names of D4RL's files for AntMaze have the map, "eval" for the mirrored map of evaluations, whether there are
# several starts, and whether there are several goals.
_ANTMAZE_FILE = re.compile(
    r"ant-maze-(u-maze|umaze|big-maze|medium|hardest-maze|large)(-eval)?-noisy-multistart-(true|false)-multigoal-(true|false)"
)
_ANTMAZE_MAPS = {"u-maze": "umaze", "big-maze": "medium", "hardest-maze": "large"}


def _d4rl_maze_name(words: str) -> str:
    """Returns the name of a maze as in D4RL's data sets, and any other name unchanged."""
    if file := _ANTMAZE_FILE.match(words):
        kind, of_evaluation, starts, goals = file.groups()
        data = "-diverse" if goals == "true" else "-play" if starts == "true" else ""
        return f"antmaze{of_evaluation or ''}-{_ANTMAZE_MAPS.get(kind, kind)}{data}"
    words = re.sub(r"^(pointmaze|antmaze)-(.*[a-z])dense$", r"\1-\2-dense", words)
    return re.sub(r"^(?:pointmaze|maze2d)-(open|umaze|medium|large)(-.*)?-dense$", r"maze2d-\1-dense\2", words).replace(
        "pointmaze-", "maze2d-"
    )


def parse_name(name: str) -> DatasetName:
    """Parses the name of a data set, of its file (without the suffix), or of a Gymnasium environment.

    ``"hopper-medium-replay"``, ``"hopper_medium_replay-v2"``, Minari's ``"mujoco/hopper/medium-replay-v0"`` ->
    ``("hopper", "medium-replay")``; ``"Hopper-v4"`` -> ``("hopper", None)``; ``"PointMaze_UMaze-v3"`` ->
    ``("maze2d-umaze", None)``.

    Raises:
      UnknownNameError: the name does not begin with that of a task.
    """
    # the first part of a Minari name is its namespace
    words = re.sub(r"-v\d+$", "", name.partition("/")[2] or name)
    words = words.lower().replace("_", "-").replace("/", "-")
    words = _d4rl_maze_name(_KITCHEN_FILES.get(words, words))
    fitting = [task for task in TASKS if f"{words}-".startswith(f"{task}-")]
    if not fitting:
        raise UnknownNameError("task", name, tuple(TASKS))
    task = max(fitting, key=len)
    return DatasetName(task, words[len(task) + 1 :] or None)


def normalized_score(task: str, returns: Any) -> np.ndarray:
    """Returns D4RL's normalized score, which is 0 at the return of a random policy, and 100 at that of an expert.

    Args:
      task: the name of a task, or any other name that :func:`parse_name` understands.
      returns: a return, or an array of returns.

    Raises:
      UnknownNameError: the task has no reference returns.
    """
    info = TASKS[parse_name(without_chunks(task)).task]
    return 100.0 * (np.asarray(returns, np.float64) - info.random_return) / (info.expert_return - info.random_return)
