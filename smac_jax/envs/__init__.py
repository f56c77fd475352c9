"""Environments: locomotion, the Adroit hand and the kitchen, on MuJoCo's C engine, MJX or Warp; and those of others.

>>> env = make_env("hopper")
>>> state = jax.jit(env.reset)(jax.random.key(0))
>>> state = jax.jit(env.step)(state, action)

Everything heavy (MuJoCo, MJX, Brax) is imported when an environment is made, so importing this package is quick.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, cast

from smac_jax import plugins
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
"""What training asks of an environment."""


def make_env(name: str, physics: str = "auto", version: str = "v4", **kw: Any) -> Env:
    """Makes one environment, to be vmapped by the caller.

    Args:
      name: a task in :data:`TASKS`; or an environment in :data:`ENVIRONMENTS`, of a family with its name in front
        (other tasks than ours, whatever their names): ``"brax:NAME"``; ``"playground:NAME"``, MuJoCo Playground's (see
        :mod:`smac_jax.envs.adapters.playground`); ``"gymnasium:ID"``, on the host (see
        :mod:`smac_jax.envs.adapters.gymnasium`); ``"ogbench:NAME"``, the environment of one of OGBench's data sets (see
        :mod:`smac_jax.envs.adapters.ogbench`); ``"minari:ID"``, the one that a Minari data set names, which is one of
        ours where ours is the same. :mod:`smac_jax.extend` adds to both.
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
    if name not in TASKS and family in ENVIRONMENTS and ENVIRONMENTS[family].is_family == bool(colon):
        if physics != "auto" or version != "v4":
            raise ConfigError(
                f"{name} does not take physics={physics!r} or version={version!r}, which are our tasks'; it has "
                "keywords of its own (backend= for Brax's)."
            )
        with quiet_imports():
            options = {option: plain(value) for option, value in kw.items()}
            made = ENVIRONMENTS[family].make(*([theirs] if colon else []), **options)
            _check_environment(made, name, ENVIRONMENTS.is_built_in(family))
            return _named(made, ENVIRONMENTS.code(family), name=name, options=options)
    check_name(name)
    if physics not in ENGINES:
        raise UnknownNameError("physics engine", physics, ENGINES)
    entry = TASKS[name]
    if version not in entry.versions:
        raise UnknownNameError(f"version of {name}", version, tuple(entry.versions))
    version_of_task = cast("Version", entry.versions[version])
    of_task = {option: plain(kw.pop(option)) for option in entry.options if option in kw}
    task = entry.make(version_of_task, **of_task) if entry.options else entry.make()
    if physics in ("auto", "mujoco"):
        cache_folder()  # where MuJoCo's compiled step is kept; what it warns of is not to be silenced below
    with quiet_imports():
        from smac_jax.envs.task_env import TaskEnv

        engine = _make_engine(task, physics, version_of_task, kw, entry.mjx)
    # threads and native give the same numbers
    options = of_task | {key: value for key, value in kw.items() if key not in ("threads", "native")}
    made = TaskEnv(task, engine, version_of_task)
    return _named(made, TASKS.code(name), name=name, version=version_of_task, options=options)


def _named(env: Env, code: dict[str, str], **asked: Any) -> Env:
    plain = (bool, int, float, str, type(None))
    options = {
        k: v if isinstance(v, plain) else str(v) if isinstance(v, list | tuple) else type(v).__name__
        for k, v in asked.pop("options").items()
    }
    identity = asked | ({"options": options} if options else {}) | ({"code": code} if code else {})
    if inner := getattr(env, "smac_jax_identity", None):  # of a Minari data set's environment: what it is
        identity["is"] = inner
    with contextlib.suppress(AttributeError):  # of a class with slots; then the class has to do
        object.__setattr__(env, "smac_jax_identity", identity)  # which a frozen dataclass allows
    return env


def _check_environment(env: Any, name: str, built_in: bool) -> None:
    """Raises RegistrationError where somebody's environment has not what training asks of it."""
    if built_in:
        return
    missing = [needed for needed in NEEDED if not hasattr(env, needed)]
    if missing:
        raise RegistrationError(
            f"The environment {name!r} is of the class {type(env).__name__}, which has no {missing[0]!r}. "
            f"An environment is a brax.envs.base.Env; it needs: {', '.join(NEEDED)}."
        )
    try:
        hash(env)
    except TypeError as error:
        raise RegistrationError(
            f"The environment {name!r} is of the class {type(env).__name__}, which has no hash ({error}), so that "
            "compiled programs cannot be found again. A dataclass has one with @dataclasses.dataclass(eq=False)."
        ) from error


def identity_of(env: Env, engine: bool = False) -> dict[str, Any]:
    """What an environment is, for the record of a run whose numbers depend on it.

    Args:
      env: from :func:`make_env`, perhaps wrapped; of another only the class is known.
      engine: also which engine it runs on, where it says so.
    """
    inner = getattr(env, "unwrapped", env)
    made_by_class: dict[str, Any] = {"class": f"{type(inner).__module__}.{type(inner).__qualname__}"}
    if code := plugins.code_of([type(inner)]):
        made_by_class["code"] = code
    identity = dict(getattr(inner, "smac_jax_identity", made_by_class))
    backend = getattr(inner, "backend", None) if engine else None
    return identity | ({"engine": backend} if isinstance(backend, str) else {})


def check_name(name: str) -> None:
    """Raises UnknownNameError where :func:`make_env` has no environment of that name; families are not asked."""
    family, colon, _ = name.partition(":")
    if name in TASKS or (family in ENVIRONMENTS and ENVIRONMENTS[family].is_family == bool(colon)):
        return
    others = (f"{known}:NAME" if ENVIRONMENTS[known].is_family else known for known in ENVIRONMENTS)
    raise UnknownNameError("environment", name, (*TASKS, *others))


def code_of_environment(name: str) -> dict[str, str]:
    """The files of users that define the environment of a name, with their SHA-256; empty for this package's own."""
    return TASKS.code(name) or ENVIRONMENTS.code(name.partition(":")[0])


def _make_engine(task: Task, physics: str, version: Version, kw: dict[str, Any], mjx: bool) -> Engine:
    import jax

    if physics == "auto":
        physics = "mujoco" if jax.default_backend() == "cpu" or not mjx else "mjx"
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
    """One of Brax's environments."""
    from brax import envs

    known = tuple(f"brax:{known}" for known in envs._envs)
    if f"brax:{name}" not in known:
        raise UnknownNameError("environment", f"brax:{name}", known)
    return envs.get_environment(name, **kw)


def make_gymnasium(name: str, **kw: Any) -> Env:
    """One of Gymnasium's environments."""
    from smac_jax.envs.adapters.gymnasium import GymnasiumEnv

    return GymnasiumEnv(name, **kw)


def make_minari(dataset_id: str, **kw: Any) -> Env:
    """The environment that the metadata of a Minari data set name, with its options and time limit."""
    from smac_jax.minari_sets import environment_of, load_minari

    found = environment_of(load_minari(dataset_id).spec)
    if found.version is None:
        limit = {} if found.episode_length is None else {"episode_length": found.episode_length}
        return make_env(found.name, **limit | found.options | kw)
    env: Any = make_env(found.name, version=found.version, **found.options | kw)
    if found.episode_length is not None:
        env.episode_length = found.episode_length
    return env


def make_ogbench(name: str, **kw: Any) -> Env:
    """The environment of one of OGBench's data sets."""
    from smac_jax.envs.adapters.ogbench import OGBenchEnv

    return OGBenchEnv(name, **kw)


def make_playground(name: str, **kw: Any) -> Env:
    """One of MuJoCo Playground's environments."""
    from smac_jax.envs.adapters.playground import PlaygroundEnv

    return PlaygroundEnv(name, **kw)


def __getattr__(name: str) -> Any:
    # `AutoReset` is a Brax wrapper; importing it here would make every import of this package as slow as Brax's.
    if name == "AutoReset":
        with quiet_imports():
            from smac_jax.envs.wrappers import AutoReset

        return AutoReset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
