"""Environments: this package's tasks on MuJoCo's C engine, MJX or MuJoCo Warp, and environments of other libraries.

The tasks are locomotion, the Adroit hand, the kitchen and mazes.

>>> env = make_env("hopper")
>>> state = jax.jit(env.reset)(jax.random.key(0))
>>> state = jax.jit(env.step)(state, action)

MuJoCo, MJX and Brax are imported when an environment is made, so importing this package is quick.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, cast

from smac_jax import plugins
from smac_jax.chunk_names import parse_chunks
from smac_jax.config import plain
from smac_jax.envs.adapters.quiet import quiet_imports
from smac_jax.errors import ConfigError, RegistrationError, UnknownNameError
from smac_jax.files import cache_folder
from smac_jax.registry import ADROIT, ANTMAZE, ENVIRONMENTS, KITCHEN, LOCOMOTION, MAZE2D, TASKS

if TYPE_CHECKING:
    from brax.envs.base import Env

    from smac_jax.envs.base import Engine, Task, Version
    from smac_jax.envs.wrappers import AutoReset

__all__ = [
    "ADROIT",
    "ANTMAZE",
    "ENGINES",
    "ENVIRONMENTS",
    "KITCHEN",
    "LOCOMOTION",
    "MAZE2D",
    "TASKS",
    "VERSIONS",
    "AutoReset",
    "identity_of",
    "make_env",
]

ENGINES = ("auto", "mujoco", "mjx", "warp")
VERSIONS = ("v1", "v4", "v5", "d4rl", "robotics-v3", "robotics-v4", "robotics-v5")
NEEDED = ("reset", "step", "observation_size", "action_size")
"""The attributes of an environment that training uses."""


def make_env(name: str, physics: str = "auto", version: str = "v4", **kw: Any) -> Env:
    """Makes one environment, to be vmapped by the caller.

    Args:
      name: a task in :data:`TASKS`, or an environment in :data:`ENVIRONMENTS`. :mod:`smac_jax.extend` adds to both. The
        environments of other libraries have the name of their family in front, and are other tasks than this package's
        even if their names are equal:

        * ``"brax:NAME"``;
        * ``"playground:NAME"``, of MuJoCo Playground (:mod:`smac_jax.envs.adapters.playground`);
        * ``"gymnasium:ID"``, which is stepped on the host (:mod:`smac_jax.envs.adapters.gymnasium`);
        * ``"ogbench:NAME"``, the environment of one of OGBench's data sets (:mod:`smac_jax.envs.adapters.ogbench`);
        * ``"minari:ID"``, the environment that a Minari data set names. It is a task of this package if that is equal.
        * ``"chunks:LENGTH:NAME"``, whose actions are ``LENGTH`` actions of one of the others
          (:mod:`smac_jax.envs.chunks`).
      physics: the engine of this package's tasks. ``"mujoco"`` is the C engine, which equals Gymnasium. ``"mjx"`` is
        for GPU and TPU. ``"warp"`` is for NVIDIA GPUs (extra ``warp``). ``"auto"`` chooses MJX if JAX runs on
        a TPU, and the C engine otherwise. The hand and the kitchen need the models of the package gymnasium-robotics.
        They run on the C engine, which is their ``"auto"``, and on Warp.
      version: the version of the task.

        * Locomotion: ``"v4"`` has the dynamics, rewards and terminations of Gymnasium's -v4 and of D4RL's -v2 data.
          ``"v5"`` is Gymnasium's -v5. ``"d4rl"`` is v4 with the observations of D4RL's files, which differ for the ant
          (111 numbers).
        * Hand and kitchen: ``"d4rl"`` (also as ``"v4"``), or ``"v1"`` of gymnasium-robotics; see their modules.
        * Mazes: ``"d4rl"`` (also as ``"v4"``), whose observations do not show the goal, or a version of
          gymnasium-robotics, which does: ``"robotics-v4"`` and ``"robotics-v5"`` of the ant (``AntMaze_*-v4``,
          ``-v5``), ``"robotics-v3"`` of the ball (``PointMaze_*-v3``). :mod:`smac_jax.envs.tasks.maze` describes their
          options.
      **kw: options of the engine (``threads``, ``native``; ``iterations``, ``ls_iterations``, ``cone``; ``contacts``,
        ``constraints``), or of the other library's environment. Every engine has ``margins``: ``"max"`` gives the
        contacts with which the data were logged, ``"sum"`` those of Gymnasium on the installed MuJoCo
        (:mod:`smac_jax.envs.physics.margins`).

    Raises:
      UnknownNameError: the task, the engine or the version is not known.
      ConfigError: the engine does not have an option, or the environment of another library is given ``physics`` or
        ``version``.
    """
    family, colon, name_in_family = name.partition(":")
    if name not in TASKS and family in ENVIRONMENTS and ENVIRONMENTS[family].is_family == bool(colon):
        if physics != "auto" or version != "v4":
            raise ConfigError(
                f"{name} does not take physics={physics!r} or version={version!r}, which belong to this package's "
                "tasks; it has keywords of its own (such as backend= of Brax's environments)."
            )
        with quiet_imports():
            options = {option: plain(value) for option, value in kw.items()}
            env = ENVIRONMENTS[family].make(*([name_in_family] if colon else []), **options)
            _check_environment(env, name, ENVIRONMENTS.is_built_in(family))
            return _with_identity(env, ENVIRONMENTS.code(family), name=name, options=options)
    check_name(name)
    if physics not in ENGINES:
        raise UnknownNameError("physics engine", physics, ENGINES)
    entry = TASKS[name]
    if version not in entry.versions:
        raise UnknownNameError(f"version of {name}", version, tuple(entry.versions))
    version_of_task = cast("Version", entry.versions[version])
    task_options = {option: plain(kw.pop(option)) for option in entry.options if option in kw}
    task = entry.make(version_of_task, **task_options) if entry.options else entry.make()
    if physics in ("auto", "mujoco"):
        cache_folder()  # MuJoCo's compiled step is stored there; a warning of this call must not be silenced below
    with quiet_imports():
        from smac_jax.envs.task_env import TaskEnv

        engine = _make_engine(task, physics, version_of_task, kw, entry.mjx)
    # threads and native are left out, because they do not change the numbers
    options = task_options | {key: value for key, value in kw.items() if key not in ("threads", "native")}
    env = TaskEnv(task, engine, version_of_task)
    return _with_identity(env, TASKS.code(name), name=name, version=version_of_task, options=options)


def _with_identity(env: Env, code: dict[str, str], **arguments: Any) -> Env:
    """Stores in an environment how it was made, for :func:`identity_of`."""
    plain = (bool, int, float, str, type(None))
    options = {
        k: v if isinstance(v, plain) else str(v) if isinstance(v, list | tuple) else type(v).__name__
        for k, v in arguments.pop("options").items()
    }
    identity = arguments | ({"options": options} if options else {}) | ({"code": code} if code else {})
    if inner := getattr(env, "smac_jax_identity", None):  # the environment that a Minari data set names
        identity["is"] = inner
    with contextlib.suppress(AttributeError):  # an instance of a class with slots is identified by its class
        object.__setattr__(env, "smac_jax_identity", identity)  # a frozen dataclass allows this
    return env


def _check_environment(env: Any, name: str, built_in: bool) -> None:
    """Checks that a registered environment has the attributes that training uses.

    Raises:
      RegistrationError: it lacks one of them, or it cannot be hashed.
    """
    if built_in:
        return
    missing = [needed for needed in NEEDED if not hasattr(env, needed)]
    if missing:
        raise RegistrationError(
            f"The environment {name!r} is of the class {type(env).__name__}, which has no {missing[0]!r}. "
            f"An environment is a brax.envs.base.Env; it needs {', '.join(NEEDED)}."
        )
    try:
        hash(env)
    except TypeError as error:
        raise RegistrationError(
            f"The environment {name!r} is of the class {type(env).__name__}, which cannot be hashed ({error}), so "
            "compiled programs cannot be reused. A dataclass can be hashed with @dataclasses.dataclass(eq=False)."
        ) from error


def identity_of(env: Env, engine: bool = False) -> dict[str, Any]:
    """Returns a description of an environment, for the record of a run whose numbers depend on it.

    Args:
      env: an environment from :func:`make_env`, with or without wrappers. Any other environment is described by its
        class.
      engine: whether to include the name of the engine, if the environment has one.
    """
    inner = getattr(env, "unwrapped", env)
    by_class: dict[str, Any] = {"class": f"{type(inner).__module__}.{type(inner).__qualname__}"}
    if code := plugins.code_of([type(inner)]):
        by_class["code"] = code
    identity = dict(getattr(inner, "smac_jax_identity", by_class))
    backend = getattr(inner, "backend", None) if engine else None
    return identity | ({"engine": backend} if isinstance(backend, str) else {})


def check_name(name: str) -> None:
    """Checks that :func:`make_env` knows a name. Names within the families of other libraries are not checked.

    Raises:
      UnknownNameError: there is no task and no family of that name.
    """
    family, colon, _ = name.partition(":")
    if name in TASKS or (family in ENVIRONMENTS and ENVIRONMENTS[family].is_family == bool(colon)):
        return
    others = (f"{known}:NAME" if ENVIRONMENTS[known].is_family else known for known in ENVIRONMENTS)
    raise UnknownNameError("environment", name, (*TASKS, *others))


def code_of_environment(name: str) -> dict[str, str]:
    """Returns the users' files that define an environment, with their SHA-256; empty for this package's own tasks."""
    return TASKS.code(name) or ENVIRONMENTS.code(name.partition(":")[0])


def _make_engine(task: Task, physics: str, version: Version, kw: dict[str, Any], mjx: bool) -> Engine:
    import jax

    if physics == "auto":
        # On an H200, SAC made 600 steps a second with the C engine on the host. For MJX, 40 to 190 are predicted there
        # (benchmarks/NOTES.md).
        physics = "mjx" if jax.default_backend() == "tpu" and mjx else "mujoco"
    options = {
        "mujoco": ("threads", "native", "margins"),
        "mjx": ("iterations", "ls_iterations", "cone", "margins"),
        "warp": ("contacts", "constraints", "cone", "margins"),
    }[physics]
    for option in kw:
        if option not in options:
            raise ConfigError(f"The {physics} engine has no option {option!r}. Known: {', '.join(options)}.")
    if physics == "mujoco":
        from smac_jax.envs.physics.mujoco import MujocoEngine

        return MujocoEngine(task.model(version), **kw)
    if physics == "warp":
        from smac_jax.envs.physics.warp import WarpEngine

        return WarpEngine(task.model(version), **kw)
    from smac_jax.envs.physics.mjx import MjxEngine

    return MjxEngine(task.model(version), **kw)


def make_brax(name: str, **kw: Any) -> Env:
    """Makes one of Brax's environments.

    Raises:
      UnknownNameError: Brax has no environment of that name.
    """
    from brax import envs

    known = tuple(f"brax:{known}" for known in envs._envs)
    if f"brax:{name}" not in known:
        raise UnknownNameError("environment", f"brax:{name}", known)
    return envs.get_environment(name, **kw)


def make_gymnasium(name: str, **kw: Any) -> Env:
    """Makes one of Gymnasium's environments."""
    from smac_jax.envs.adapters.gymnasium import GymnasiumEnv

    return GymnasiumEnv(name, **kw)


def make_minari(dataset_id: str, **kw: Any) -> Env:
    """Makes the environment that the metadata of a Minari data set name, with its options and time limit."""
    from smac_jax.minari_sets import environment_of, load_minari

    named = environment_of(load_minari(dataset_id).spec)
    if named.version is None:
        limit = {} if named.episode_length is None else {"episode_length": named.episode_length}
        return make_env(named.name, **limit | named.options | kw)
    env: Any = make_env(named.name, version=named.version, **named.options | kw)
    if named.episode_length is not None:
        env.episode_length = named.episode_length
    return env


def make_ogbench(name: str, **kw: Any) -> Env:
    """Makes the environment of one of OGBench's data sets."""
    from smac_jax.envs.adapters.ogbench import OGBenchEnv

    return OGBenchEnv(name, **kw)


def make_chunks(rest: str, **kw: Any) -> Env:
    """Makes the environment ``chunks:LENGTH:NAME``, with the options of ``NAME``."""
    from smac_jax.envs.chunks import ActionChunks
    from smac_jax.tasks import time_limit

    length, name = parse_chunks(rest)
    env = make_env(name, **kw)
    return ActionChunks(env, length, episode_length=time_limit(name, env))


def make_playground(name: str, **kw: Any) -> Env:
    """Makes one of MuJoCo Playground's environments."""
    from smac_jax.envs.adapters.playground import PlaygroundEnv

    return PlaygroundEnv(name, **kw)


def __getattr__(name: str) -> Any:
    # `AutoReset` is a Brax wrapper. Importing it above would make every import of this package as slow as Brax's.
    if name == "AutoReset":
        with quiet_imports():
            from smac_jax.envs.wrappers import AutoReset

        return AutoReset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
