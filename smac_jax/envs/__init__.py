"""Environments: locomotion, the Adroit hand and the kitchen, on MuJoCo's C engine, MJX or Warp; and those of others.

>>> env = make_env("hopper")
>>> state = jax.jit(env.reset)(jax.random.key(0))
>>> state = jax.jit(env.step)(state, action)

Everything heavy (MuJoCo, MJX, Brax) is imported when an environment is made, so importing this package is quick.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from smac_jax.config import plain
from smac_jax.envs.adapters.quiet import quiet_imports
from smac_jax.errors import ConfigError, UnknownNameError
from smac_jax.files import cache_folder

if TYPE_CHECKING:
    from brax.envs.base import Env

    from smac_jax.envs.base import Engine, Task, Version
    from smac_jax.envs.wrappers import AutoReset

__all__ = [
    "ADROIT",
    "ANTMAZE",
    "ENGINES",
    "FAMILIES",
    "KITCHEN",
    "LOCOMOTION",
    "MAZE2D",
    "TASKS",
    "VERSIONS",
    "AutoReset",
    "identity_of",
    "make_env",
]

LOCOMOTION = ("hopper", "walker2d", "halfcheetah", "ant")
ADROIT = ("pen", "door", "hammer", "relocate")
KITCHEN = ("kitchen-complete", "kitchen-partial", "kitchen-mixed")
ANTMAZE = ("antmaze-umaze", "antmaze-medium", "antmaze-large")
MAZE2D = tuple(f"maze2d-{kind}{dense}" for kind in ("open", "umaze", "medium", "large") for dense in ("", "-dense"))
TASKS = (*LOCOMOTION, *ADROIT, *(f"{task}-binary" for task in ADROIT), *KITCHEN, *ANTMAZE, *MAZE2D)
ENGINES = ("auto", "mujoco", "mjx", "warp")
VERSIONS = ("v1", "v4", "v5", "d4rl", "robotics-v3", "robotics-v4", "robotics-v5")


def make_env(name: str, physics: str = "auto", version: str = "v4", **kw: Any) -> Env:
    """Makes one environment, to be vmapped by the caller.

    Args:
      name: one of :data:`TASKS`; or another's, with the family in front (other tasks than ours, whatever their names):
        ``"brax:NAME"``; ``"playground:NAME"``, MuJoCo Playground's (see :mod:`smac_jax.envs.adapters.playground`);
        ``"gymnasium:ID"``, on the host (see :mod:`smac_jax.envs.adapters.gymnasium`); ``"ogbench:NAME"``, the
        environment of one of OGBench's data sets (see :mod:`smac_jax.envs.adapters.ogbench`); ``"minari:ID"``, the one
        that a Minari data set names, which is one of ours where ours is the same.
      physics: ``"mujoco"``, the C engine, equal to Gymnasium; ``"mjx"``, for GPU and TPU; ``"warp"``, for NVIDIA GPUs
        (extra ``warp``); ``"auto"``, the C engine where JAX runs on a CPU and MJX elsewhere. Others choose theirs by
        options of their own.
        The hands and the kitchen need the models of gymnasium-robotics, a further package, and have the C engine, which
        is their ``"auto"``, and Warp.
      version: ``"v4"``, the dynamics, rewards and terminations of Gymnasium's -v4 and of D4RL's -v2 data; ``"v5"``,
        Gymnasium's -v5; ``"d4rl"``, v4 with the observations of D4RL's files, which differ for the ant (111 numbers).
        Hands and kitchen: ``"d4rl"`` (also as ``"v4"``), or ``"v1"``, gymnasium-robotics's; see their modules.
        Mazes: ``"d4rl"`` (also as ``"v4"``), whose observations do not show the goal, or gymnasium-robotics's, which
        do: ``"robotics-v4"`` and ``"robotics-v5"`` of the ant (``AntMaze_*-v4``, ``-v5``), ``"robotics-v3"`` of the
        ball (``PointMaze_*-v3``); see :mod:`smac_jax.envs.tasks.maze`, also for their options.
      **kw: for the engine (``threads``, ``native``; ``iterations``, ``ls_iterations``, ``cone``; ``contacts``,
        ``constraints``; for all of them ``margins``: ``"max"``, the contacts that the data were logged with, or
        ``"sum"``, those of Gymnasium on today's MuJoCo, see :mod:`smac_jax.envs.physics.margins`), or for the other
        family's environment.

    Raises:
      UnknownNameError: no such task, engine or version.
      ConfigError: an option that the engine does not have, or another family's environment given an engine or a
        version of ours.
    """
    family, colon, theirs = name.partition(":")
    if colon and family in FAMILIES:
        if physics != "auto" or version != "v4":
            raise ConfigError(
                f"{name} does not take physics={physics!r} or version={version!r}, which are our tasks'; it has "
                "keywords of its own (backend= for Brax's)."
            )
        with quiet_imports():
            options = {option: plain(value) for option, value in kw.items()}
            return _named(FAMILIES[family](theirs, options), name=name, options=options)
    check_name(name)
    if physics not in ENGINES:
        raise UnknownNameError("physics engine", physics, ENGINES)
    known = versions_of(name)
    if version not in known:
        raise UnknownNameError(f"version of {name}", version, known)
    if name not in LOCOMOTION and version == "v4":
        version = "d4rl"
    of_task = {option: plain(kw.pop(option)) for option in _task_options(name) if option in kw}
    task = _task(name, cast("Version", version), of_task)
    if physics in ("auto", "mujoco"):
        cache_folder()  # where MuJoCo's compiled step is kept; what it warns of is not to be silenced below
    with quiet_imports():
        from smac_jax.envs.task_env import TaskEnv

        engine = _make_engine(name, task, physics, cast("Version", version), kw)
    # threads and native give the same numbers
    options = of_task | {key: value for key, value in kw.items() if key not in ("threads", "native")}
    return _named(TaskEnv(task, engine, cast("Version", version)), name=name, version=version, options=options)


def _named(env: Env, **asked: Any) -> Env:
    plain = (bool, int, float, str, type(None))
    options = {
        k: v if isinstance(v, plain) else str(v) if isinstance(v, list | tuple) else type(v).__name__
        for k, v in asked.pop("options").items()
    }
    # of a Minari data set's environment: what it is
    inner = getattr(env, "smac_jax_identity", None)
    env.smac_jax_identity = asked | ({"options": options} if options else {}) | ({"is": inner} if inner else {})
    return env


def identity_of(env: Env, engine: bool = False) -> dict[str, Any]:
    """What an environment is, for the record of a run whose numbers depend on it.

    Args:
      env: from :func:`make_env`, perhaps wrapped; of another only the class is known.
      engine: also which engine it runs on, where it says so.
    """
    inner = getattr(env, "unwrapped", env)
    made_by_class = {"class": f"{type(inner).__module__}.{type(inner).__qualname__}"}
    identity = dict(getattr(inner, "smac_jax_identity", made_by_class))
    backend = getattr(inner, "backend", None) if engine else None
    return identity | ({"engine": backend} if isinstance(backend, str) else {})


def check_name(name: str) -> None:
    """Raises UnknownNameError where :func:`make_env` has no environment of that name; other families' are not asked."""
    if name.partition(":")[0] not in FAMILIES and name not in TASKS:
        raise UnknownNameError("environment", name, (*TASKS, *(f"{family}:NAME" for family in FAMILIES)))


def versions_of(task: str) -> tuple[str, ...]:
    """The versions of one of :data:`TASKS`; ``"v4"`` is its usual one."""
    if task in LOCOMOTION:
        return ("v4", "v5", "d4rl")
    if task in ANTMAZE:
        return ("v4", "d4rl", "robotics-v4", "robotics-v5")
    return ("v4", "d4rl", "robotics-v3") if task in MAZE2D else ("v1", "v4", "d4rl")


def _task_options(name: str) -> tuple[str, ...]:
    if name not in (*ANTMAZE, *MAZE2D):
        return ()
    from smac_jax.envs.tasks.maze import OPTIONS

    return OPTIONS


def _task(name: str, version: Version, options: dict[str, Any]) -> Task:
    module, _, kind = name.partition("-")
    if module == "antmaze":
        from smac_jax.envs.tasks.antmaze import AntMaze

        return cast("Task", AntMaze(kind, version, **options))
    if module == "maze2d":
        from smac_jax.envs.tasks.pointmaze import PointMaze

        kind, _, dense = kind.partition("-")
        return cast("Task", PointMaze(kind, version, bool(dense), **options))
    if module == "kitchen":
        from smac_jax.envs.tasks.kitchen import Kitchen

        return cast("Task", Kitchen(kind))
    task = importlib.import_module(f"smac_jax.envs.tasks.{module}")
    if kind == "binary":
        from smac_jax.envs.tasks.adroit import Binary

        return Binary(cast(Any, task))
    return cast("Task", task)


def _make_engine(name: str, task: Task, physics: str, version: Version, kw: dict[str, Any]) -> Engine:
    import jax

    if physics == "auto":
        physics = "mujoco" if jax.default_backend() == "cpu" or name not in LOCOMOTION else "mjx"
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


def _make_brax(name: str, kw: dict[str, Any]) -> Env:
    from brax import envs

    known = tuple(f"brax:{known}" for known in envs._envs)
    if f"brax:{name}" not in known:
        raise UnknownNameError("environment", f"brax:{name}", known)
    return envs.get_environment(name, **kw)


def _make_gymnasium(name: str, kw: dict[str, Any]) -> Env:
    from smac_jax.envs.adapters.gymnasium import GymnasiumEnv

    return GymnasiumEnv(name, **kw)


def _make_playground(name: str, kw: dict[str, Any]) -> Env:
    from smac_jax.envs.adapters.playground import PlaygroundEnv

    return PlaygroundEnv(name, **kw)


def _make_ogbench(name: str, kw: dict[str, Any]) -> Env:
    from smac_jax.envs.adapters.ogbench import OGBenchEnv

    return OGBenchEnv(name, **kw)


def _make_minari(dataset_id: str, kw: dict[str, Any]) -> Env:
    from smac_jax.minari_sets import environment_of, load_minari

    found = environment_of(load_minari(dataset_id).spec)
    if found.version is None:
        limit = {} if found.episode_length is None else {"episode_length": found.episode_length}
        return make_env(found.name, **limit | found.options | kw)
    env: Any = make_env(found.name, version=found.version, **found.options | kw)
    if found.episode_length is not None:
        env.episode_length = found.episode_length
    return env


FAMILIES: dict[str, Callable[[str, dict[str, Any]], Env]] = {
    "brax": _make_brax,
    "gymnasium": _make_gymnasium,
    "minari": _make_minari,
    "ogbench": _make_ogbench,
    "playground": _make_playground,
}
"""Makers of what follows the colon in a name such as ``brax:ant``."""


def __getattr__(name: str) -> Any:
    # `AutoReset` is a Brax wrapper; importing it here would make every import of this package as slow as Brax's.
    if name == "AutoReset":
        with quiet_imports():
            from smac_jax.envs.wrappers import AutoReset

        return AutoReset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
