"""Files of users: imported because the command line names them, known by their checksums, named where they fail.

What a file registers (:mod:`smac_jax.extend`) is known by its name from then on. ``--import=FILE.py`` and
``--import=PACKAGE.MODULE`` name files for one command; a package that is installed names a module of its own under the
entry point group ``smac_jax.plugins``, which is imported when a name is looked up that this package does not have.
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
"""Packages whose versions are recorded, so that their files need no checksum."""


@dataclasses.dataclass(frozen=True)
class Imported:
    """A file that was imported for what it registers.

    Attributes:
      name: what imports it again, from any folder: the file's whole path, or the module's name.
      module: its name among Python's modules.
      file: where it lies.
      sha256: of the file as it was imported; None where there is no such file (a package without ``__init__.py``).
      entry_point: the installed package that names it; None where the command line does.
    """

    name: str
    module: str
    file: str
    sha256: str | None
    entry_point: str | None = None


_imported: dict[str, Imported] = {}
_checksums: dict[str, tuple[Any, str]] = {}
"""For each file the module that was made of it (its ``__spec__``), and the SHA-256 that it had then."""
_installed_are_loaded = False


def load(names: Iterable[str]) -> None:
    """Imports files and modules; what was imported before stays as it is.

    Args:
      names: paths of Python files, or names of modules.

    Raises:
      ConfigError: there is no such file or module, or it raises an error: the message names the file and the line.
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
    """Imports what installed packages name under :data:`GROUP`, once; one that fails is warned of and left out."""
    global _installed_are_loaded
    if _installed_are_loaded:
        return
    _installed_are_loaded = True  # before: what is imported registers names, and that asks for all that are known
    for point in importlib.metadata.entry_points(group=GROUP):
        package = point.dist.name if point.dist is not None else point.module
        try:
            point.load()
        except (Exception, SystemExit) as error:
            warnings.warn(f"The plugin {point.value} of {package} is left out: {line_of(error)}", stacklevel=2)
            continue
        _imported[point.module] = _described(point.module, sys.modules[point.module], package)


@contextlib.contextmanager
def temporary() -> Iterator[None]:
    """Forgets at its end what was imported within it."""
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
    """What the command line named, as a process elsewhere can import it."""
    return tuple(imported.name for imported in _imported.values() if imported.entry_point is None)


def record() -> list[dict[str, Any]]:
    """What was imported, for the record of a run."""
    return [dataclasses.asdict(imported) for imported in _imported.values()]


def is_file_name(name: str) -> bool:
    """Whether a value of ``--import`` is a path; else it is the name of a module."""
    return name.endswith(".py") or "/" in name or os.sep in name or name.startswith("~")


def _import_file(path: Path, name: str) -> None:
    if not path.stem.isidentifier():
        raise ConfigError(
            f"--import={name}: {path.stem!r} is no name for a module: letters, digits and underscores only."
        )
    # what lies beside the file can be imported by it, as where Python runs the file
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    found = _file_of(sys.modules[path.stem]) if path.stem in sys.modules else _findable(path.stem)
    if found != path:
        where = "Python's own" if found is None else str(found)
        raise ConfigError(f"--import={name}: there is another module named {path.stem} ({where}). Rename the file.")
    if path.stem in sys.modules:
        return
    _import_module(path.stem, name)


def _findable(module: str) -> Path | None:
    """The file that ``import`` would take; None for one that has none, as Python's own."""
    importlib.invalidate_caches()  # the file may have been written a moment ago
    spec = importlib.util.find_spec(module)
    return Path(spec.origin).resolve() if spec is not None and spec.has_location and spec.origin else None


def _import_module(module: str, given: str = "") -> ModuleType:
    """Imports a module. ``given`` is what the user named, where that is not the module's name.

    Raises:
      ConfigError: there is none, or it raises an error.
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
                f"{named}: there is no module {error.name!r}, neither installed nor in {os.getcwd()}."
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
    """SHA-256 of a file that the command line names.

    Raises:
      ConfigError: it is not there, or cannot be read.
    """
    if path.is_dir():
        raise ConfigError(f"--import={name}: {path} is a folder. Give a .py file, or the name of a module.")
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise ConfigError(f"--import={name}: there is no file {path}.") from None
    except OSError as error:
        raise ConfigError(f"--import={name}: {path} cannot be read ({error.strerror}).") from error


# ------------------------------------------------------------------------------------------ the code behind a thing


def code_of(things: Iterable[Any], modules: Iterable[str] = ()) -> dict[str, str]:
    """The files of users that define functions and classes, with their SHA-256.

    A file of an installed package is one of them where the package was imported for what it registers.

    A file is named by the part of its path that Python imports it by (``my_lab.py``, ``my_package/networks.py``), so
    that the same file has the same name wherever it lies. What is defined in a notebook or in an interactive session is
    named ``__main__.NAME``, with the SHA-256 of its own text.

    Args:
      things: functions, partial functions, compiled functions, methods, classes; modules, and instances of classes.
      modules: names of modules whose packages count as those of users, too.
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
    """The text of a function or class that was typed in; None where Python has not kept it."""
    try:
        return inspect.getsource(defined)
    except (OSError, TypeError):
        return None


def _checksum(module: ModuleType, file: Path) -> str:
    """Of a file as it was when its module was first asked for: what changes later is not what runs."""
    spec, sha256 = _checksums.get(str(file), (None, ""))
    if not sha256 or spec is not module.__spec__:  # another one after importlib.reload
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        _checksums[str(file)] = module.__spec__, sha256
    return sha256


def _definitions(thing: Any, seen: set[int]) -> Iterator[Any]:
    """What a thing is made of that has a module: the functions inside partial and compiled ones, classes and bases.

    Of a function also those that it holds: a lambda around another function is of that one's file, too.
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
        held = [cell.cell_contents for cell in cells if _has_contents(cell)]
        inner = [x for x in held if inspect.isroutine(x) or isinstance(x, (functools.partial, type))]
    for one in inner:
        yield from _definitions(one, seen)


def _has_contents(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:  # a variable that has no value yet
        return False
    return True


# ------------------------------------------------------------------------------------------ where an error is from


def line_of(error: BaseException) -> str:
    """An error in a user's file as a line: the file, the line there, and what is wrong.

    An error that went through no file of a user's is named without a file.
    """
    text = str(error).strip()
    said = text.splitlines()[0] if text else ""
    if isinstance(error, SystemExit):
        said = f"it ends the program ({error.code}); leave that to `if __name__ == '__main__':`"
    elif not isinstance(error, SmacError):
        said = f"{type(error).__name__}: {said}" if said else type(error).__name__
    places = places_of(error)
    return f"{shown_path(places[-1][0])}, line {places[-1][1]}: {said}" if places else said


def places_of(error: BaseException) -> list[tuple[str, int]]:
    """The lines of users' files that an error went through, the innermost last."""
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        frames.append((error.filename, error.lineno))
    return [place for place in frames if _is_users_file(place[0])]


def is_of_a_plugin(error: BaseException) -> bool:
    """Whether an error went through a file that was imported for what it registers."""
    files = {imported.file for imported in _imported.values()}
    return any(str(Path(file).resolve()) in files for file, _ in places_of(error))


def _is_users_file(name: str) -> bool:
    """Whether a file is neither of this package, nor of Python, nor of an installed package that nobody named."""
    if name.startswith("<"):
        return False
    path = Path(name).resolve()
    return str(path) in {imported.file for imported in _imported.values()} or not _is_installed(path)


def _is_installed(path: Path) -> bool:
    """Whether a file is of this package, of Python, or of an installed package."""
    folders = [OURS, *(Path(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib", "purelib", "platlib"))]
    return any(path.is_relative_to(folder.resolve()) for folder in folders)


def shown_path(path: str | Path) -> str:
    """A path for people: from the current folder where it lies below it."""
    try:
        return str(Path(path).absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
