"""For authors: what has a name here can be yours, in a file of yours: an algorithm, a task, a tracker and so on.

What is registered here is used by its name wherever this package's own is: in ``pretrain``, ``finetune``, ``make_env``
and ``load_dataset``; in ``--offline``, ``--online``, ``--env``, ``--task``, ``--config`` and ``--tracker`` of the
command line, which imports the file that ``--import=my_lab.py`` names; and in jobs that run elsewhere, or continue
later. The file is recorded with its checksum, and a run refuses to continue with another one, unless it only registers
a tracker.

>>> @register_offline("selective", SelectiveConfig)
... def selective(config):
...     return OfflineAlgorithm("selective", config, init=..., phases=(...), actor_critic=...)

Every function here also takes the thing itself as its last argument. Whole examples: ``docs/examples``.
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
"""Of every configuration, beside those of algorithms."""


class ReadDataset(Protocol):
    """Reads data."""

    def __call__(self, name: str, /) -> Dataset:
        """The data set of what stands behind the colon of ``READER:NAME``; empty where the reader's name stands alone.

        :meth:`smac_jax.Dataset.from_arrays` makes one of arrays and checks them.
        """


class MakeEnvironment(Protocol):
    """Makes an environment: one robot, not vectorized, which does not reset itself."""

    def __call__(self, **options: Any) -> Env:
        """An :class:`Env`, which is ``brax.envs.base.Env``, or what has the same functions and sizes.

        ``done`` is the task's own termination; a time limit is put around it. Actions are in the box ``[-1, 1]``. What
        the task is judged by, where that is not its return, is ``metrics["score"]``.

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
      name: of the algorithm, and of the section of the configuration that its fields stand in: ``--config.NAME.FIELD``.
      config: the class of its configuration: a frozen dataclass all of whose fields have defaults. Fields that are
        declared with :func:`number`, :func:`choice`, :func:`sizes` and :func:`switch` check what they are given.
      build: ``(config) -> OfflineAlgorithm``, whose ``name`` is this name; None gives a decorator for it.

    Raises:
      RegistrationError: the name is taken, or ``config`` or ``build`` is no such thing.
    """

    def register(build: Any) -> Any:
        # the sections of online algorithms that have no offline one of their name would be called otherwise
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
      name: of the algorithm, and of its section of the configuration (``online_NAME`` where an offline algorithm has
        the same name).
      config: as for :func:`register_offline`.
      build: ``(config) -> OnlineAlgorithm``, whose ``name`` is this name; None gives a decorator for it.

    Raises:
      RegistrationError: the name is taken, or ``config`` or ``build`` is no such thing.
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
    """Registers a task that MuJoCo's engines simulate, as ``smac_jax/envs/tasks/hopper.py`` is one.

    Args:
      name: of the task. A data set or file whose name begins with it is of this task.
      task: a module, object or class with the functions of :class:`Task`: ``model``, ``reset``, ``observation``,
        ``reward`` and ``termination``. Of a class an instance is made, without arguments. None gives a decorator for a
        class.
      random_return: the return of a random policy, a normalized score of 0. (Both are of what evaluations sum:
        ``metrics["score"]`` where the task has it, else the reward.)
      expert_return: the return of a good policy, a normalized score of 100.
      episode_length: the time limit, in steps of the environment.
      clips_actions: the simulation itself clips actions to ``[-1, 1]``, so that actions outside may be clipped in data.
      versions: that the task's functions know.
      mjx: whether MJX can simulate its model; else the C engine and Warp do.

    Raises:
      RegistrationError: the name is taken, or ``task`` does not have these functions.
      ConfigError: returns that are the same, or a time limit below 1.
    """
    info = _info(name, random_return, expert_return, episode_length, clips_actions)

    def register(task: Any) -> Any:
        _check_free_environment(TASKS, name)
        for function in TASK_FUNCTIONS:
            if not callable(getattr(task, function, None)):
                raise RegistrationError(
                    f"The task {name!r} is {_short(task)}, which has no function {function!r}. It needs: "
                    f"{', '.join(TASK_FUNCTIONS)} (smac_jax.extend.Task says what they are given)."
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
    """Registers an environment that brings its own simulation.

    Args:
      name: of the environment.
      make: makes it (:class:`MakeEnvironment`): a function, or the environment's class. None gives a decorator.
      random_return, expert_return: as for :func:`register_task`; needed unless this is a family.
      episode_length: the time limit; one that has an ``episode_length`` of its own says it itself.
      clips_actions: as for :func:`register_task`.
      family: the environments are called ``NAME:ANYTHING``, and ``make`` is given what stands behind the colon first.

    Raises:
      RegistrationError: the name is taken, ``make`` is no function or class, or the returns are missing.
      ConfigError: returns that are the same, or a time limit below 1.
    """
    info = None
    if not family:
        if random_return is None or expert_return is None:
            raise RegistrationError(
                f"The environment {name!r} needs random_return and expert_return, the returns of a random policy and "
                "of a good one: normalized scores and regret are measured between them."
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
    """Registers a reader of data, which ``load_dataset`` and ``--task`` then know as ``NAME:WHATEVER``, or ``NAME``.

    Args:
      name: of the reader.
      read: gives the data set of what stands behind the colon; see :class:`ReadDataset`. None gives a decorator for it.

    Raises:
      RegistrationError: the name is taken, or ``read`` is no function.
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
      make: creates a tracker without arguments: a class with the functions of :class:`Tracker`, or a function. It is
        called before anything is trained, and raises an error if the tracker cannot work. None returns a decorator.

    Raises:
      RegistrationError: the name is taken, or ``make`` is no class or function.
    """

    def register(make: Any) -> Any:
        TRACKERS.check_free(name)
        _check_function(make, f"The tracker {name!r}", "a class or function that makes it")
        TRACKERS.register(name, make, [make])
        return make

    return register if make is None else register(make)


def __getattr__(name: str) -> Any:
    # Brax takes seconds to import, greets its users, and only environments need it
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
    """Registers a score for SMAC to match the critic's action-gradient to: ``--config.smac.score=NAME``.

    Args:
      name: of the score.
      build: ``(config) -> Score`` of the configuration of the algorithm that uses it; a class with the functions of
        :class:`Score` is one. None gives a decorator for it.

    Raises:
      RegistrationError: the name is taken, or ``build`` is no function or class.
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
            None if taken is None else f"the data set {taken} begins with it, and would be taken for one of this task"
        )

    registry.check_free(name, also)


def _owner_of_section(name: str) -> str | None:
    if name.startswith("online_"):
        return "sections of online algorithms are called so where an offline one has their name"
    if name == SAME:
        return "it stands for the offline algorithm that continues online"
    return "every configuration has a section of this name" if name in SECTIONS else None


def _owner_of_online_section(name: str) -> str | None:
    return ONLINE.owner(name) if ONLINE.is_built_in(name) else None


def _owner_of_data(name: str) -> str | None:
    if name in embedded_datasets():
        return "smac_jax has a data set of this name"
    return "D4RL has a data set of this name" if name in d4rl_files() else None


def _check_config(config: Any, where: str) -> None:
    """Raises RegistrationError where a class is no configuration, or has none that can be recorded."""
    if config is None:
        raise RegistrationError(
            f"{where} has no config. Give the class of its hyper-parameters, a frozen dataclass; one without "
            "fields where it has none."
        )
    if not isinstance(config, type) or not is_frozen(config):
        raise RegistrationError(
            f"{where}: its config is {_short(config)}, and must be a class with the decorator "
            "@dataclasses.dataclass(frozen=True)."
        )
    for field in dataclasses.fields(config):
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise RegistrationError(
                f"{where}: {config.__name__}.{field.name} has no default, which its section of the configuration needs."
            )
    check_recordable(config(), where)


def _check_function(thing: Any, where: str, what: str) -> None:
    if not callable(thing):
        raise RegistrationError(f"{where} is registered with {_short(thing)}, and needs {what}.")


def _short(value: Any) -> str:
    return f"the {type(value).__name__} {getattr(value, '__name__', None) or of_value(value)}"
