"""The registries of algorithms, tasks, environments, sources of data, scores and trackers, which map names to them.

Each entry says in which module of this package the thing is. The module is imported on first use, so importing the
registries takes no time. :mod:`smac_jax.extend` adds entries of users.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, Generic, NamedTuple, TypeVar

from smac_jax import plugins
from smac_jax.errors import RegistrationError, UnknownNameError
from smac_jax.mazes import MAZE_OPTIONS

V = TypeVar("V")

IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII), "of letters, digits and underscores, and not begin with a digit"
WORDS = (
    re.compile(r"[A-Za-z0-9_](?:[\w.+-]*[A-Za-z0-9_+])?", re.ASCII),
    "of letters, digits, and any of _ - . + between them",
)


@dataclasses.dataclass(frozen=True)
class Entry(Generic[V]):
    """A registered thing of a user.

    Attributes:
      value: the thing.
      place: the file and the line that registered it.
      code: the files that define it, with their SHA-256 (:func:`smac_jax.plugins.code_of`).
      module: the name of the module that registered it.
      spec: the ``__spec__`` of that module at the registration. If the module is imported again, it has a new one.
    """

    value: V
    place: str
    code: Mapping[str, str]
    module: str
    spec: Any


class Registry(Mapping[str, V]):
    """A read-only mapping from names to things of one kind. Those of this package come first, then those of users.

    Only :meth:`register` adds to it.

    Args:
      kind: the kind of the things in error messages, such as "score".
      built_in: the things of this package by name; each is a function that imports and returns the thing.
      form: the form of a valid name: a regular expression, and a description for error messages ("must consist ...").
    """

    def __init__(
        self,
        kind: str,
        built_in: Mapping[str, Callable[[], V]],
        form: tuple[re.Pattern[str], str] = IDENTIFIER,
    ):
        self.kind = kind
        self._built_in, self._form = dict(built_in), form
        self._added: dict[str, Entry[V]] = {}
        _all.append(self)

    def __getitem__(self, name: str) -> V:
        if name in self._built_in:
            return self._built_in[name]()
        plugins.load_installed()
        if name not in self._added:
            raise UnknownNameError(self.kind, name, tuple(self))
        return self._added[name].value

    def __contains__(self, name: object) -> bool:
        if name not in self._built_in and name not in self._added:
            plugins.load_installed()
        return name in self._built_in or name in self._added

    def __iter__(self) -> Iterator[str]:
        plugins.load_installed()
        return iter((*self._built_in, *self._added))

    def __len__(self) -> int:
        return len(tuple(iter(self)))

    def is_built_in(self, name: str) -> bool:
        """Returns whether a name is one of this package's own."""
        return name in self._built_in

    def added(self) -> tuple[str, ...]:
        """Returns the names that users have registered."""
        return tuple(name for name in self if not self.is_built_in(name))

    def code(self, name: str) -> dict[str, str]:
        """Returns the users' files that define a registered thing, with their SHA-256; empty for this package's own."""
        if self.is_built_in(name) or name not in self:
            return {}
        return dict(self._added[name].code)

    def check_free(self, name: str, also: Callable[[str], str | None] = lambda name: None) -> None:
        """Checks that a name can be registered.

        Args:
          name: the new name.
          also: a further check, for names that would clash with something outside this registry. It returns a clause
            that describes the clash, or None.

        Raises:
          RegistrationError: the name is taken (the message says by what), or it does not have the form of a name.
        """
        pattern, form = self._form
        if not isinstance(name, str) or not pattern.fullmatch(name):
            raise RegistrationError(
                f"{name!r} cannot be the name of {_article(self.kind)} {self.kind}: a name must consist {form}."
            )
        owner = self.owner(name) or also(name)
        if owner is not None:
            raise RegistrationError(f"{name!r} cannot be the name of a new {self.kind}: {owner}. Choose another one.")

    def register(self, name: str, value: V, defined_by: Sequence[Any]) -> None:
        """Adds a thing.

        Args:
          name: the name of the thing.
          value: the thing.
          defined_by: the functions, classes and modules on whose files its results depend.

        Raises:
          RegistrationError: as in :meth:`check_free`.
        """
        self.check_free(name)
        frame = _caller()
        module = frame.f_globals.get("__name__", "")
        place = f"{plugins.shown_path(frame.f_code.co_filename)}, line {frame.f_lineno}"
        code = plugins.code_of([*defined_by, *filter(None, [sys.modules.get(module)])], [module])
        self._added[name] = Entry(value, place, code, module, frame.f_globals.get("__spec__"))

    def owner(self, name: str) -> str | None:
        """Returns a clause that says who has registered a name; None if it is free.

        If a module is imported again (after an error, or by ``importlib.reload``), the names that it had registered are
        free.
        """
        if name in self._built_in:
            return f"smac_jax has {_article(self.kind)} {self.kind} with this name"
        entry = self._added.get(name)
        if entry is None:
            return None
        now = sys.modules.get(entry.module)
        if entry.spec is not None and getattr(now, "__spec__", None) is not entry.spec:
            return None
        return f"{entry.place}, has registered {_article(self.kind)} {self.kind} with this name"


_all: list[Registry[Any]] = []


@contextlib.contextmanager
def temporary() -> Iterator[None]:
    """A context at whose end all registrations within it are undone, also the imports of :mod:`smac_jax.plugins`."""
    before = [dict(registry._added) for registry in _all]
    try:
        with plugins.temporary():
            yield
    finally:
        for registry, added in zip(_all, before, strict=False):
            registry._added = added


def _article(kind: str) -> str:
    return "an" if kind[0] in "aeiou" else "a"


def _caller() -> FrameType:
    """Returns the innermost frame outside this package and outside the libraries that check types at run time."""
    ours = ("smac_jax", "jaxtyping", "beartype")
    frame = sys._getframe(1)
    while frame.f_globals.get("__name__", "").partition(".")[0] in ours and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _attribute(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"smac_jax.{module}"), name)


class Algorithm(NamedTuple):
    """A registered algorithm.

    Attributes:
      config: the class of its configuration.
      build: a function that makes the algorithm from its configuration. It returns an ``OfflineAlgorithm`` or an
        ``OnlineAlgorithm`` of :mod:`smac_jax.algorithms.contracts`.
    """

    config: type
    build: Callable[[Any], Any]


class TaskEntry(NamedTuple):
    """A registered task that MuJoCo's engines simulate.

    Attributes:
      make: a function that returns a :class:`smac_jax.envs.base.Task`. If there are ``options``, it takes the version
        and the options; otherwise it takes no arguments.
      versions: the versions that :func:`smac_jax.envs.make_env` accepts, each with the version that the task gets.
      mjx: whether MJX can simulate the task. If so, MJX is the default engine on devices other than a CPU.
      options: the keywords of ``make_env`` that go to the task and not to the engine.
    """

    make: Callable[..., Any]
    versions: Mapping[str, str]
    mjx: bool
    options: tuple[str, ...] = ()


class EnvironmentEntry(NamedTuple):
    """A registered environment with its own simulation.

    Attributes:
      make: a function that returns a ``brax.envs.base.Env``. It takes the options, and for a family first the name
        after the colon.
      is_family: whether the entry is a family of environments with names ``NAME:ANYTHING``, or one named ``NAME``.
    """

    make: Callable[..., Any]
    is_family: bool


def _algorithm(module: str, config: str, build: str) -> Callable[[], Algorithm]:
    return lambda: Algorithm(_attribute(f"algorithms.{module}", config), _attribute(f"algorithms.{module}", build))


OFFLINE: Registry[Algorithm] = Registry(
    "offline algorithm",
    {
        "smac": _algorithm("smac", "SMACConfig", "smac"),
        "td3_bc": _algorithm("td3_bc", "TD3BCConfig", "td3_bc"),
        "rebrac": _algorithm("rebrac", "ReBRACConfig", "rebrac"),
        "fql": _algorithm("fql", "FQLConfig", "fql"),
        "iql": _algorithm("iql", "IQLConfig", "iql"),
        "cql": _algorithm("cql", "CQLConfig", "cql"),
        "cal_ql": _algorithm("cal_ql", "CalQLConfig", "cal_ql"),
        "awac": _algorithm("awac", "AWACConfig", "awac"),
        "bc": _algorithm("bc", "BCConfig", "bc"),
        "none": _algorithm("none", "NoneConfig", "none"),
    },
)
ONLINE: Registry[Algorithm] = Registry(
    "online algorithm",
    {
        "sac": _algorithm("sac", "SACConfig", "sac"),
        "td3": _algorithm("td3", "TD3Config", "td3"),
        "td3_bc": _algorithm("td3_bc", "OnlineTD3BCConfig", "online_td3_bc"),
        "awr": _algorithm("awr", "AWRConfig", "awr"),
        "rlpd": _algorithm("rlpd", "RLPDConfig", "rlpd"),
    },
)
SCORES: Registry[Callable[[Any], Any]] = Registry(
    "score",
    {
        "dataset": lambda: _attribute("scores.dataset", "DatasetScore"),
        "policy": lambda: _attribute("scores.policy", "PolicyScore"),
    },
)
"""The scores by the name in the field ``score`` of SMAC's config. Each is a function that takes this config."""

TRACKERS: Registry[Callable[[], Any]] = Registry(
    "tracker",
    {
        "tensorboard": lambda: _attribute("runs.trackers.tensorboard", "TensorBoard"),
        "wandb": lambda: _attribute("runs.trackers.wandb", "WeightsAndBiases"),
        "trackio": lambda: _attribute("runs.trackers.trackio", "Trackio"),
    },
)
"""The trackers. Each is a function that makes a :class:`smac_jax.runs.trackers.base.Tracker`."""

LOCOMOTION = ("hopper", "walker2d", "halfcheetah", "ant")
ADROIT = ("pen", "door", "hammer", "relocate")
KITCHEN = ("kitchen-complete", "kitchen-partial", "kitchen-mixed")
ANTMAZE = ("antmaze-umaze", "antmaze-medium", "antmaze-large")
MAZE2D = tuple(f"maze2d-{kind}{dense}" for kind in ("open", "umaze", "medium", "large") for dense in ("", "-dense"))


def _task(name: str) -> Callable[[], Any]:
    return lambda: importlib.import_module(f"smac_jax.envs.tasks.{name}")


def _locomotion(name: str) -> Callable[[], TaskEntry]:
    versions = {"v4": "v4", "v5": "v5", "d4rl": "d4rl"}
    return lambda: TaskEntry(_task(name), versions, mjx=True)


def _manipulation(make: Callable[[], Any]) -> Callable[[], TaskEntry]:
    versions = {"v1": "v1", "v4": "d4rl", "d4rl": "d4rl"}
    return lambda: TaskEntry(make, versions, mjx=False)


def _binary(name: str) -> Callable[[], TaskEntry]:
    return _manipulation(lambda: _attribute("envs.tasks.adroit", "Binary")(_task(name)()))


def _kitchen(name: str) -> Callable[[], TaskEntry]:
    return _manipulation(lambda: _attribute("envs.tasks.kitchen", "Kitchen")(name.removeprefix("kitchen-")))


def _maze(module: str, robot: str, name: str, versions: Sequence[str]) -> Callable[[], TaskEntry]:
    words = name.split("-")[1:]

    def make(version: str, **options: Any) -> Any:
        dense = {"dense": True} if "dense" in words else {}
        return _attribute(f"envs.tasks.{module}", robot)(words[0], version, **dense, **options)

    known = {"v4": "d4rl", "d4rl": "d4rl"} | {version: version for version in versions}
    return lambda: TaskEntry(make, known, mjx=False, options=MAZE_OPTIONS)


TASKS: Registry[TaskEntry] = Registry(
    "task",
    {
        **{name: _locomotion(name) for name in LOCOMOTION},
        **{name: _manipulation(_task(name)) for name in ADROIT},
        **{f"{name}-binary": _binary(name) for name in ADROIT},
        **{name: _kitchen(name) for name in KITCHEN},
        **{name: _maze("antmaze", "AntMaze", name, ("robotics-v4", "robotics-v5")) for name in ANTMAZE},
        **{name: _maze("pointmaze", "PointMaze", name, ("robotics-v3",)) for name in MAZE2D},
    },
    WORDS,
)


def _family(maker: str) -> Callable[[], EnvironmentEntry]:
    return lambda: EnvironmentEntry(_attribute("envs", maker), is_family=True)


ENVIRONMENTS: Registry[EnvironmentEntry] = Registry(
    "environment",
    {name: _family(f"make_{name}") for name in ("brax", "chunks", "gymnasium", "minari", "ogbench", "playground")},
    WORDS,
)
READERS: Registry[Callable[[str], Any]] = Registry(
    "source of data",
    {
        "minari": lambda: _attribute("data.sources", "read_minari"),
        "ogbench": lambda: _attribute("data.sources", "read_ogbench"),
        "part": lambda: _attribute("data.sources", "read_part"),
        "chunks": lambda: _attribute("data.sources", "read_chunks"),
    },
    WORDS,
)
