"""Imports files of users, computes their checksums, and finds their lines in tracebacks.

A file registers things by name (:mod:`smac_jax.extend`). ``--import=FILE.py`` and ``--import=PACKAGE.MODULE`` import a
file for one command. An installed package can name a module in the entry point group ``smac_jax.plugins``. Such modules
are imported when a name is looked up that this package does not have.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from smac_jax.errors import ConfigError, SmacError
from smac_jax.files import local_path

GROUP = "smac_jax.plugins"
"""The entry point group of installed packages."""
OURS = Path(__file__).parent
LIBRARIES = ("smac_jax", "jax", "jaxlib", "flax", "optax", "brax", "mujoco", "numpy", "scipy", "gymnasium")
"""Packages whose versions are recorded. Their files need no checksums."""


@dataclasses.dataclass(frozen=True)
class Imported:
    """A file that was imported because it registers things.

    Attributes:
      name: the value of ``--import`` that imports it from any folder: the absolute path of the file, or the name of the
        module.
      module: the key in ``sys.modules``.
      file: the path of the file.
      sha256: the checksum of the file when it was imported; None if the module has no file (a package without
        ``__init__.py``).
      entry_point: the installed package that names the module; None if the command line does.
    """

    name: str
    module: str
    file: str
    sha256: str | None
    entry_point: str | None = None


_imported: dict[str, Imported] = {}
_checksums: dict[str, tuple[Any, str]] = {}
"""For each file the ``__spec__`` of the module that was imported from it, and the file's SHA-256 at that time."""
_installed_are_loaded = False


def load(names: Iterable[str]) -> None:
    """Imports files and modules, except those that have been imported before.

    Args:
      names: paths of Python files, or names of modules.

    Raises:
      ConfigError: a file or module does not exist, or importing it raises an error. The message names the file and the
        line.
    """
    for name in names:
        if is_file_name(name):
            path = local_path(name).resolve()
            if str(path) not in _imported:
                sha256 = _checksum_of_file(path, name)
                _import_file(path, name)
                _imported[str(path)] = Imported(str(path), path.stem, str(path), sha256)
        elif name not in _imported:
            _imported[name] = _described(name, _import_module(name))


def load_installed() -> None:
    """Imports the modules that installed packages name under :data:`GROUP`, once in a process.

    A module that raises an error is left out with a warning.
    """
    global _installed_are_loaded
    if _installed_are_loaded:
        return
    # This is set before the imports, because a module that registers a name looks it up, which calls this function.
    _installed_are_loaded = True
    for point in importlib.metadata.entry_points(group=GROUP):
        package = point.dist.name if point.dist is not None else point.module
        try:
            point.load()
        except (Exception, SystemExit) as error:
            warnings.warn(f"The plugin {point.value} of {package} was left out: {line_of(error)}", stacklevel=2)
            continue
        _imported[point.module] = _described(point.module, sys.modules[point.module], package)


@contextlib.contextmanager
def temporary() -> Iterator[None]:
    """A context at whose end all imports of this module within it are forgotten."""
    before, checksums = dict(_imported), dict(_checksums)
    try:
        yield
    finally:
        for name in set(_imported) - set(before):
            sys.modules.pop(_imported[name].module, None)
        for known, earlier in ((_imported, before), (_checksums, checksums)):
            known.clear()
            known.update(earlier)  # type: ignore[arg-type]


def names() -> tuple[str, ...]:
    """Returns the values of ``--import`` in a form that works in any folder."""
    return tuple(imported.name for imported in _imported.values() if imported.entry_point is None)


def record() -> list[dict[str, Any]]:
    """Returns a description of all imported files, for the record of a run."""
    return [dataclasses.asdict(imported) for imported in _imported.values()]


def is_file_name(name: str) -> bool:
    """Returns whether a value of ``--import`` is a path. Otherwise it is the name of a module."""
    return name.endswith(".py") or "/" in name or os.sep in name or name.startswith("~")


def _import_file(path: Path, name: str) -> None:
    if not path.stem.isidentifier():
        raise ConfigError(
            f"--import={name}: {path.stem!r} cannot be the name of a module, which has only letters, digits and "
            "underscores. Rename the file."
        )
    # The file can import its neighbors, as if Python ran it.
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    found = _file_of(sys.modules[path.stem]) if path.stem in sys.modules else _findable(path.stem)
    if found != path:
        where = "it belongs to Python" if found is None else str(found)
        raise ConfigError(f"--import={name}: there is another module named {path.stem} ({where}). Rename the file.")
    if path.stem in sys.modules:
        return
    _import_module(path.stem, name)


def _findable(module: str) -> Path | None:
    """Returns the file that ``import`` would find; None if the module has no file, such as a built-in one."""
    importlib.invalidate_caches()  # the file may be new
    spec = importlib.util.find_spec(module)
    return Path(spec.origin).resolve() if spec is not None and spec.has_location and spec.origin else None


def _import_module(module: str, given: str = "") -> ModuleType:
    """Imports a module.

    Args:
      module: the name of the module.
      given: the value of ``--import``, if it is not the name of the module.

    Raises:
      ConfigError: the module does not exist, or importing it raises an error.
    """
    named = f"--import={given or module}"
    if not all(part.isidentifier() for part in module.split(".")):
        raise ConfigError(f"{named}: give the path of a .py file, or the name of a module such as my_package.module.")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # as `python -m` does
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            raise ConfigError(
                f"{named}: there is no module {error.name!r}. It is neither installed nor in {os.getcwd()}."
            ) from error
        raise ConfigError(f"{named}: {line_of(error)}") from error
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{named}: {line_of(error)}") from error


def _described(name: str, module: ModuleType, entry_point: str | None = None) -> Imported:
    file = _file_of(module)
    sha256 = None if file is None else hashlib.sha256(file.read_bytes()).hexdigest()
    return Imported(name, module.__name__, str(file or ""), sha256, entry_point)


def _file_of(module: ModuleType | None) -> Path | None:
    file = getattr(module, "__file__", None)
    path = Path(file).resolve() if file else None
    return path if path is not None and path.is_file() else None


def _checksum_of_file(path: Path, name: str) -> str:
    """Returns the SHA-256 of a file that the command line names.

    Raises:
      ConfigError: the file does not exist, or cannot be read.
    """
    if path.is_dir():
        raise ConfigError(f"--import={name}: {path} is a folder. Give a .py file, or the name of a module.")
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise ConfigError(f"--import={name}: the file {path} does not exist.") from None
    except OSError as error:
        raise ConfigError(f"--import={name}: {path} cannot be read ({error.strerror}).") from error


# ------------------------------------------------------------------------------------------ which files define a thing


def code_of(things: Iterable[Any], modules: Iterable[str] = ()) -> dict[str, str]:
    """Returns the files of users that define functions and classes, with their SHA-256.

    Files of an installed package are included only if the package was imported because it registers things.

    The name of a file is the part of its path by which Python imports it (``my_lab.py``, ``my_package/networks.py``),
    so that it does not depend on the folder of the file. A function or class that is defined in a notebook or in an
    interactive session has the name ``__main__.NAME`` and the SHA-256 of its own text.

    Args:
      things: functions, partial functions, compiled functions, methods, classes, modules, and instances of classes.
      modules: names of further modules whose packages count as those of users.
    """
    users = {name.partition(".")[0] for name in (*modules, *(found.module for found in _imported.values()))}
    found = {}
    seen: set[int] = set()
    for defined in [one for thing in things for one in _definitions(thing, seen)]:
        name = defined.__name__ if isinstance(defined, ModuleType) else getattr(defined, "__module__", None)
        module = sys.modules.get(name or "")
        file = _file_of(module)
        if name == "__main__" and file is None and (text := _source(defined)) is not None:
            found[f"__main__.{defined.__qualname__}"] = hashlib.sha256(text.encode()).hexdigest()
        top = (name or "").partition(".")[0]
        if module is None or file is None or top in LIBRARIES or (_is_installed(file) and top not in users):
            continue
        parts = 1 if module.__name__ == "__main__" else module.__name__.count(".") + 1
        found["/".join(file.parts[-parts - (file.name == "__init__.py") :])] = _checksum(module, file)
    return dict(sorted(found.items()))


def _source(defined: Any) -> str | None:
    """Returns the text of a function or class of an interactive session; None if Python has not stored it."""
    try:
        # this is the name of every text that is executed, so that the text that Python stored may be another one
        return None if inspect.getfile(defined) == "<string>" else inspect.getsource(defined)
    except (OSError, TypeError):
        return None


def _checksum(module: ModuleType, file: Path) -> str:
    """Returns the SHA-256 that a file had when this was first called for its module.

    If the file changes later, the process still runs the earlier code.
    """
    spec, sha256 = _checksums.get(str(file), (None, ""))
    if not sha256 or spec is not module.__spec__:  # importlib.reload makes a new spec
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        _checksums[str(file)] = module.__spec__, sha256
    return sha256


def _definitions(thing: Any, seen: set[int]) -> Iterator[Any]:
    """Yields the functions, classes and modules that define a thing.

    These are the functions inside partial and compiled functions, the functions in the closure of a function (such as
    the one that a lambda calls), and a class with its base classes.
    """
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, functools.partial):
        inner: Iterable[Any] = (thing.func, *thing.args, *thing.keywords.values())
    elif isinstance(thing, (list, tuple)):
        inner = thing
    elif isinstance(thing, type):
        yield from thing.__mro__
        return
    elif isinstance(thing, ModuleType):
        yield thing
        return
    else:
        function = inspect.unwrap(getattr(thing, "__func__", thing))
        if not inspect.isroutine(function):
            yield from type(thing).__mro__
            return
        yield function
        cells = getattr(function, "__closure__", None) or ()
        enclosed = [cell.cell_contents for cell in cells if _has_contents(cell)]
        inner = [x for x in enclosed if inspect.isroutine(x) or isinstance(x, (functools.partial, type))]
    for one in inner:
        yield from _definitions(one, seen)


def _has_contents(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:  # the variable has no value yet
        return False
    return True


# ------------------------------------------------------------------------------------------ which line caused an error


def line_of(error: BaseException) -> str:
    """Describes an error in a user's file in one line: the file, the number of the line, and the message.

    If no file of a user is in the traceback, the description has no file.
    """
    text = str(error).strip()
    said = text.splitlines()[0] if text else ""
    if isinstance(error, SystemExit):
        said = f"it ends the program ({error.code}); only code below `if __name__ == '__main__':` may do so"
    elif not isinstance(error, SmacError):
        said = f"{type(error).__name__}: {said}" if said else type(error).__name__
    places = places_of(error)
    return f"{shown_path(places[-1][0])}, line {places[-1][1]}: {said}" if places else said


def places_of(error: BaseException) -> list[tuple[str, int]]:
    """Returns the lines of users' files in the traceback of an error, with the innermost one last."""
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        frames.append((error.filename, error.lineno))
    return [place for place in frames if _is_users_file(place[0])]


def is_of_a_plugin(error: BaseException) -> bool:
    """Returns whether a file that registers things is in the traceback of an error."""
    files = {imported.file for imported in _imported.values()}
    return any(str(Path(file).resolve()) in files for file, _ in places_of(error))


def _is_users_file(name: str) -> bool:
    """Returns whether a file belongs to a user.

    Files of this package, of Python, and of installed packages without registered things do not.
    """
    if name.startswith("<"):
        return False
    path = Path(name).resolve()
    return str(path) in {imported.file for imported in _imported.values()} or not _is_installed(path)


def _is_installed(path: Path) -> bool:
    """Returns whether a file belongs to this package, to Python, or to an installed package."""
    folders = [OURS, *(Path(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib", "purelib", "platlib"))]
    return any(path.is_relative_to(folder.resolve()) for folder in folders)


def shown_path(path: str | Path) -> str:
    """Returns a path for display, relative to the current folder if it is below that folder."""
    try:
        return str(Path(path).absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
