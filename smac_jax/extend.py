"""Registers algorithms, tasks, environments, data readers, scores and trackers of users by name.

A registered name works wherever a name of this package does: in ``pretrain``, ``finetune``, ``make_env`` and
``load_dataset``; in ``--offline``, ``--online``, ``--env``, ``--task``, ``--config`` and ``--tracker`` of the command
line, which imports the file in ``--import=my_lab.py``; and in jobs that run on other machines or are resumed later. The
checksum of the file is recorded. A run refuses to resume with a changed file, unless the file only registers a tracker.

>>> @register_offline("selective", SelectiveConfig)
... def selective(config):
...     return OfflineAlgorithm("selective", config, init=..., phases=(...), actor_critic=...)

Every function here is a decorator, or takes the thing itself as its last argument. ``docs/examples`` has complete
examples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from smac_jax.algorithms.actor_critic import ActorCritic, NetworkConfig
from smac_jax.algorithms.continuation import SAME, continuation, keep_optimizers
from smac_jax.algorithms.contracts import OfflineAlgorithm, OnlineAlgorithm, Phase, TrainingState
from smac_jax.algorithms.learner import (
    Learner,
    LearningConfig,
    actor_critic_of,
    draw_action,
    new_learner,
    optimizer_states,
)
from smac_jax.algorithms.make import check_recordable, is_frozen
from smac_jax.algorithms.own_networks import ActorNetwork, CriticNetwork, PolicyDistribution, with_networks
from smac_jax.algorithms.pretraining import PretrainingConfig, actor_critic_for
from smac_jax.config import choice, number, sizes, switch, whole_number
from smac_jax.data import embedded_datasets
from smac_jax.data.dataset import Dataset
from smac_jax.data.readers.d4rl_files import d4rl_files
from smac_jax.envs.adapters.quiet import quiet_imports
from smac_jax.envs.base import Engine, Model, Physics, Start, Task, Version
from smac_jax.errors import RegistrationError
from smac_jax.registry import (
    ENVIRONMENTS,
    OFFLINE,
    ONLINE,
    READERS,
    SCORES,
    TASKS,
    TRACKERS,
    Algorithm,
    EnvironmentEntry,
    Registry,
    TaskEntry,
)
from smac_jax.runs.trackers.base import TrackedRun, Tracker
from smac_jax.scores.base import Score, ScoreTraining, WeightedScore
from smac_jax.short_repr import of_value
from smac_jax.tasks import TASKS as REFERENCES
from smac_jax.tasks import TaskInfo
from smac_jax.types import Array, Key, Metrics, Sometimes, Transition

if TYPE_CHECKING:
    from brax.envs.base import Env, State

__all__ = [
    "ActorCritic",
    "ActorNetwork",
    "Array",
    "CriticNetwork",
    "Dataset",
    "Engine",
    "Env",
    "Key",
    "Learner",
    "LearningConfig",
    "MakeEnvironment",
    "Metrics",
    "Model",
    "NetworkConfig",
    "OfflineAlgorithm",
    "OnlineAlgorithm",
    "Phase",
    "Physics",
    "PolicyDistribution",
    "PretrainingConfig",
    "ReadDataset",
    "Score",
    "ScoreTraining",
    "Sometimes",
    "Start",
    "State",
    "Task",
    "TrackedRun",
    "Tracker",
    "TrainingState",
    "Transition",
    "Version",
    "WeightedScore",
    "actor_critic_for",
    "actor_critic_of",
    "choice",
    "continuation",
    "draw_action",
    "keep_optimizers",
    "new_learner",
    "number",
    "optimizer_states",
    "register_dataset",
    "register_environment",
    "register_offline",
    "register_online",
    "register_score",
    "register_task",
    "register_tracker",
    "sizes",
    "switch",
    "with_networks",
]

TASK_FUNCTIONS = ("model", "reset", "observation", "reward", "termination")
SECTIONS = ("pretrain", "finetune")
"""The sections of every configuration other than those of algorithms."""


class ReadDataset(Protocol):
    """A reader of data sets."""

    def __call__(self, name: str, /) -> Dataset:
        """Returns a data set. :meth:`smac_jax.Dataset.from_arrays` makes one from arrays, and checks them.

        Args:
          name: the text after the colon in ``READER:NAME``; empty for ``READER`` alone.
        """


class MakeEnvironment(Protocol):
    """A function that makes an environment of one robot, which is not vectorized and does not reset itself."""

    def __call__(self, **options: Any) -> Env:
        """Returns an :class:`Env` (``brax.envs.base.Env``), or an object with the same methods and sizes.

        ``done`` must be the task's own termination. A wrapper adds the time limit. Actions are in ``[-1, 1]``. If
        evaluations should report another measure than the return, it must be in ``metrics["score"]``.

        Args:
          **options: keywords of ``make_env``.
        """


BuildOffline = TypeVar("BuildOffline", bound=Callable[[Any], OfflineAlgorithm[Any]])
BuildOnline = TypeVar("BuildOnline", bound=Callable[[Any], OnlineAlgorithm[Any]])
BuildScore = TypeVar("BuildScore", bound=Callable[[Any], Score[Any]])
Read = TypeVar("Read", bound=ReadDataset)
MakeTracker = TypeVar("MakeTracker", bound=Callable[[], Tracker])


@overload
def register_offline(name: str, config: type, build: BuildOffline) -> BuildOffline: ...
@overload
def register_offline(name: str, config: type, build: None = None) -> Callable[[BuildOffline], BuildOffline]: ...
def register_offline(name: str, config: type, build: Any = None) -> Any:
    """Registers an offline algorithm.

    Args:
      name: the name of the algorithm, and of its section of the configuration (``--config.NAME.FIELD``).
      config: the class of its configuration, which is a frozen dataclass. All fields must have defaults. Fields that
        are declared with :func:`number`, :func:`choice`, :func:`sizes` and :func:`switch` check their values.
      build: ``(config) -> OfflineAlgorithm``, whose ``name`` must be this name; None to use the result as a decorator.

    Raises:
      RegistrationError: the name is taken, ``config`` is not such a class, or ``build`` is not a function.
    """

    def register(build: Any) -> Any:
        # an online algorithm of this name has the section NAME, which would have to become online_NAME
        OFFLINE.check_free(name, lambda name: _owner_of_section(name) or _owner_of_online_section(name))
        where = f"The offline algorithm {name!r}"
        _check_config(config, where)
        _check_function(build, where, "a function that builds it from a configuration")
        OFFLINE.register(name, Algorithm(config, build), [config, build])
        return build

    return register if build is None else register(build)


@overload
def register_online(name: str, config: type, build: BuildOnline) -> BuildOnline: ...
@overload
def register_online(name: str, config: type, build: None = None) -> Callable[[BuildOnline], BuildOnline]: ...
def register_online(name: str, config: type, build: Any = None) -> Any:
    """Registers an online algorithm.

    Args:
      name: the name of the algorithm, and of its section of the configuration (``online_NAME`` if an offline algorithm
        has the same name).
      config: as in :func:`register_offline`.
      build: ``(config) -> OnlineAlgorithm``, whose ``name`` must be this name; None to use the result as a decorator.

    Raises:
      RegistrationError: the name is taken, ``config`` is not such a class, or ``build`` is not a function.
    """

    def register(build: Any) -> Any:
        ONLINE.check_free(name, _owner_of_section)
        where = f"The online algorithm {name!r}"
        _check_config(config, where)
        _check_function(build, where, "a function that builds it from a configuration")
        ONLINE.register(name, Algorithm(config, build), [config, build])
        return build

    return register if build is None else register(build)


def register_task(
    name: str,
    task: Any = None,
    *,
    random_return: float,
    expert_return: float,
    episode_length: int = 1000,
    clips_actions: bool = False,
    versions: Sequence[Version] = ("v4",),
    mjx: bool = True,
) -> Any:
    """Registers a task that MuJoCo's engines simulate. ``smac_jax/envs/tasks/hopper.py`` is an example of a task.

    Args:
      name: the name of the task. Data sets and files whose names begin with it belong to this task.
      task: a module, object or class with the functions of :class:`Task`: ``model``, ``reset``, ``observation``,
        ``reward`` and ``termination``. A class is instantiated without arguments. None to use the result as a decorator
        of a class.
      random_return: the return of a random policy, which has the normalized score 0. If the task has
        ``metrics["score"]``, this and ``expert_return`` are the sums of that metric over an episode instead.
      expert_return: the return of a good policy, which has the normalized score 100.
      episode_length: the time limit, in environment steps.
      clips_actions: whether the simulation itself clips actions to ``[-1, 1]``. If so, logged actions outside are
        clipped, too.
      versions: the versions that the functions of the task know.
      mjx: whether MJX can simulate the model. Otherwise the C engine and Warp do.

    Raises:
      RegistrationError: the name is taken, or ``task`` lacks one of these functions.
      ConfigError: the two returns are equal, or the time limit is below 1.
    """
    info = _info(name, random_return, expert_return, episode_length, clips_actions)

    def register(task: Any) -> Any:
        _check_free_environment(TASKS, name)
        for function in TASK_FUNCTIONS:
            if not callable(getattr(task, function, None)):
                raise RegistrationError(
                    f"The task {name!r} is {_short(task)}, which has no function {function!r}. It needs: "
                    f"{', '.join(TASK_FUNCTIONS)} (smac_jax.extend.Task describes them)."
                )
        make = task if isinstance(task, type) else lambda: task
        entry = TaskEntry(make, {version: version for version in versions}, mjx)
        TASKS.register(name, entry, [task])
        REFERENCES.register(name, info, [])
        return task

    return register if task is None else register(task)


def register_environment(
    name: str,
    make: Any = None,
    *,
    random_return: float | None = None,
    expert_return: float | None = None,
    episode_length: int = 1000,
    clips_actions: bool = False,
    family: bool = False,
) -> Any:
    """Registers an environment with its own simulation.

    Args:
      name: the name of the environment.
      make: a function that makes the environment (:class:`MakeEnvironment`), or its class. None to use the result as a
        decorator.
      random_return, expert_return: as in :func:`register_task`. They are required unless this is a family.
      episode_length: the time limit, in environment steps. An attribute ``episode_length`` of the environment takes
        precedence.
      clips_actions: as in :func:`register_task`.
      family: whether the environments have names ``NAME:ANYTHING``. If so, the first argument of ``make`` is the text
        after the colon.

    Raises:
      RegistrationError: the name is taken, ``make`` is not a function or class, or the returns are missing.
      ConfigError: the two returns are equal, or the time limit is below 1.
    """
    info = None
    if not family:
        if random_return is None or expert_return is None:
            raise RegistrationError(
                f"The environment {name!r} needs random_return and expert_return, the returns of a random policy and "
                "of a good one, which define normalized scores and regret."
            )
        info = _info(name, random_return, expert_return, episode_length, clips_actions)

    def register(make: Any) -> Any:
        _check_free_environment(ENVIRONMENTS, name)
        _check_function(make, f"The environment {name!r}", "a function or class that makes it")
        ENVIRONMENTS.register(name, EnvironmentEntry(make, family), [make])
        if info is not None:
            REFERENCES.register(name, info, [])
        return make

    return register if make is None else register(make)


@overload
def register_dataset(name: str, read: Read) -> Read: ...
@overload
def register_dataset(name: str, read: None = None) -> Callable[[Read], Read]: ...
def register_dataset(name: str, read: Any = None) -> Any:
    """Registers a reader of data sets, which ``load_dataset`` and ``--task`` call for ``NAME:ANYTHING`` and ``NAME``.

    Args:
      name: the name of the reader.
      read: a function that returns a data set (:class:`ReadDataset`); None to use the result as a decorator.

    Raises:
      RegistrationError: the name is taken, or ``read`` is not a function.
    """

    def register(read: Any) -> Any:
        READERS.check_free(name, _owner_of_data)
        _check_function(read, f"The source of data {name!r}", "a function that reads it")
        READERS.register(name, read, [read])
        return read

    return register if read is None else register(read)


@overload
def register_tracker(name: str, make: MakeTracker) -> MakeTracker: ...
@overload
def register_tracker(name: str, make: None = None) -> Callable[[MakeTracker], MakeTracker]: ...
def register_tracker(name: str, make: Any = None) -> Any:
    """Registers a tracker, for ``--tracker`` and :class:`~smac_jax.runs.folder.RunFolder`.

    Args:
      name: the name of the tracker.
      make: a function without arguments that makes a tracker, or a class with the functions of :class:`Tracker`. It is
        called before training starts, and should raise an error if the tracker cannot work. None to use the result as
        a decorator.

    Raises:
      RegistrationError: the name is taken, or ``make`` is not a class or function.
    """

    def register(make: Any) -> Any:
        TRACKERS.check_free(name)
        _check_function(make, f"The tracker {name!r}", "a class or function that makes it")
        TRACKERS.register(name, make, [make])
        return make

    return register if make is None else register(make)


def __getattr__(name: str) -> Any:
    # Brax takes seconds to import and prints messages, and only environments need it.
    if name in ("Env", "State"):
        with quiet_imports():
            from brax.envs import base

        return getattr(base, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@overload
def register_score(name: str, build: BuildScore) -> BuildScore: ...
@overload
def register_score(name: str, build: None = None) -> Callable[[BuildScore], BuildScore]: ...
def register_score(name: str, build: Any = None) -> Any:
    """Registers a score that SMAC can match the critics' action-gradients to (``--config.smac.score=NAME``).

    Args:
      name: the name of the score.
      build: ``(config) -> Score``, a function or a class with the functions of :class:`Score`. Its argument is the
        configuration of the algorithm that uses the score. None to use the result as a decorator.

    Raises:
      RegistrationError: the name is taken, or ``build`` is not a function or class.
    """

    def register(build: Any) -> Any:
        SCORES.check_free(name)
        _check_function(build, f"The score {name!r}", "a function or class that builds it from a configuration")
        SCORES.register(name, build, [build])
        return build

    return register if build is None else register(build)


def _info(name: str, random: float, expert: float, episode_length: int, clips_actions: bool) -> TaskInfo:
    length = whole_number(f"{name}: episode_length", episode_length, 1)
    return TaskInfo(name, random, expert, length, clips_actions=clips_actions)


def _check_free_environment(registry: Registry[Any], name: str) -> None:
    def also(name: str) -> str | None:
        owners = (other.owner(name) for other in (TASKS, ENVIRONMENTS, REFERENCES) if other is not registry)
        if owner := next(filter(None, owners), None):
            return owner
        known = (*embedded_datasets(), *d4rl_files())
        taken = next((data for data in known if f"{data}-".startswith(f"{name}-")), None)
        return (
            None
            if taken is None
            else f"the name of the data set {taken} begins with it, so that it would belong to this task"
        )

    registry.check_free(name, also)


def _owner_of_section(name: str) -> str | None:
    if name.startswith("online_"):
        return "sections of online algorithms have such names if an offline algorithm has the same name"
    if name == SAME:
        return "it stands for the offline algorithm that continues online"
    return "every configuration has a section with this name" if name in SECTIONS else None


def _owner_of_online_section(name: str) -> str | None:
    return ONLINE.owner(name) if ONLINE.is_built_in(name) else None


def _owner_of_data(name: str) -> str | None:
    if name in embedded_datasets():
        return "smac_jax has a data set with this name"
    return "D4RL has a data set with this name" if name in d4rl_files() else None


def _check_config(config: Any, where: str) -> None:
    """Raises RegistrationError if ``config`` is not the class of a configuration whose defaults can be recorded."""
    if config is None:
        raise RegistrationError(
            f"{where} has no config. Give the class of its hyperparameters, which is a frozen dataclass. It has no "
            "fields if there are no hyperparameters."
        )
    if not isinstance(config, type) or not is_frozen(config):
        raise RegistrationError(
            f"{where}: its config is {_short(config)}, but it must be a class with the decorator "
            "@dataclasses.dataclass(frozen=True)."
        )
    for field in dataclasses.fields(config):
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise RegistrationError(
                f"{where}: {config.__name__}.{field.name} has no default. Its section of the configuration needs one."
            )
    check_recordable(config(), where)


def _check_function(thing: Any, where: str, what: str) -> None:
    if not callable(thing):
        raise RegistrationError(f"{where} is registered with {_short(thing)}, but needs {what}.")


def _short(value: Any) -> str:
    return f"the {type(value).__name__} {getattr(value, '__name__', None) or of_value(value)}"
