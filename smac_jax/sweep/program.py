"""What every program does first."""

from __future__ import annotations

import difflib
import errno
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

from smac_jax import plugins

THE_DISK = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT, errno.ENAMETOOLONG),
)
"""Errors that say what is wrong with where results go, without a traceback."""


flags.DEFINE_multi_string(
    "import",
    [],
    "A Python file of yours, or the name of a module, that registers algorithms, tasks, environments, readers of "
    "data, scores or trackers (smac_jax.extend), which then are known by their names. Repeat it for more.",
)

PRESETS = Path(__file__).parents[1] / "presets"
"""Configurations that come with the package; ``--config=NAME`` finds them."""


def set_up(cache: str | None = None) -> None:
    """Turns on JAX's persistent compilation cache (:func:`smac_jax.train.compilation.use_cache`).

    Args:
      cache: folder of the cache, where the user has not said which.
    """
    from smac_jax.train.compilation import use_cache

    use_cache(cache)


def results_folder(given: str | os.PathLike[str], flag: str = "results") -> Path:
    """The folder that ``--results`` names, or its default; asked for before anything is computed that should go there.

    Args:
      given: the folder.
      flag: that names it.

    Raises:
      ConfigError: a URL, a file stands where it would be, or a name that the locale's encoding does not have.
    """
    from smac_jax.errors import ConfigError
    from smac_jax.files import local_path

    folder = local_path(given)
    try:
        str(folder.absolute()).encode("utf-8")
    except UnicodeEncodeError as error:  # which orbax would fail on when it has saved the first snapshot
        raise ConfigError(
            f"--{flag}={given}: the locale's encoding has no such letters. Set PYTHONUTF8=1, or give another name."
        ) from error
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise ConfigError(f"--{flag}={given}: {place} is a file. Give a folder, which is made if need be.")
    return folder


def run(main: Callable[[Sequence[str]], int | None], arguments: int | None = 0) -> None:
    """``absl.app.run`` for people: an error that we raise on purpose is a line, not a traceback.

    Args:
      main: takes the program's name and what is left of the command line after the flags.
      arguments: how many of those there may be; None: any number.
    """
    from smac_jax.errors import SmacError
    from smac_jax.runs.interrupts import Interrupted

    def guarded(argv: Sequence[str]) -> int | None:
        tracebacks = flags.FLAGS.verbosity > 0
        logging.set_verbosity(logging.WARNING)  # what comes below is nothing that users could act upon
        for stream in (sys.stdout, sys.stderr):
            # where the locale has no such letter, a name in it must not end the program
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            return main(argv)
        except Interrupted as stopped:
            print(f"{stopped}. The same command goes on from there.", file=sys.stderr)
            return stopped.exit_code
        except SmacError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except OSError as error:
            if error.errno not in THE_DISK:
                raise
            print(f"error: {error}. What was saved before is whole.", file=sys.stderr)
            return 2
        except Exception as error:
            # an error of this package's own is shown whole
            if tracebacks or not plugins.is_of_a_plugin(error):
                raise
            print(f"error: {plugins.line_of(error)} (--verbosity=1 shows the traceback)", file=sys.stderr)
            return 2

    def parse(argv: Sequence[str]) -> list[str]:
        try:
            argv = underscored(flags.FLAGS.read_flags_from_files(list(argv), force_gnu=False))
            check_names(argv, arguments)
            plugins.load(imports_of(argv))
            sys.argv = argv = with_config_found(argv)
            if _default_config:
                # looks for the fields that are overridden in sys.argv, and runs the file: what comes above is quick
                config_flags.DEFINE_config_file("config", _default_config[-1], "Configuration file.")
            rest = flags.FLAGS(argv)
            if "config" in flags.FLAGS:
                load_config()
            refuse_strays(rest[1:], arguments)
            return rest
        except (AttributeError, KeyError) as error:
            say_no_field(error)
        except Exception as error:  # any: a configuration is a program
            # of a configuration that cannot be read, ml_collections gives the traceback for the message
            said = str(error).strip()
            print(f"error: {said.splitlines()[-1].strip() if 'Traceback' in said else said}", file=sys.stderr)
        sys.exit(2)

    app.run(guarded, flags_parser=parse)


def load_config() -> None:
    """Runs the file that ``--config`` names, which would otherwise wait until somebody asks for a field.

    Raises:
      ValueError: it cannot be.
    """
    config: Any = flags.FLAGS["config"].value
    try:
        config.to_dict()
    except Exception as error:  # any: what absl keeps in place of a file that is not there raises when it is asked
        said = str(error).strip().splitlines()[-1].strip()
        raise ValueError(f"--config cannot be read: {said}") from error


_default_config: list[str] = []
HELP = ("help", "helpshort", "helpfull", "helpxml", "h", "?")


def define_config(default: str) -> None:
    """Defines ``--config``, a preset or a file of a configuration, each of whose fields can be overridden.

    The flag is there once :func:`run` has read the command line: to define it takes the file, which imports JAX.

    Args:
      default: a preset's name, or a file.
    """
    _default_config[:] = [config_file(default)]


def presets() -> list[str]:
    """Names that ``--config`` knows."""
    shared = ("__init__", "paper", "bases")
    return sorted(path.stem for path in PRESETS.glob("*.py") if path.stem not in shared)


def config_file(value: str) -> str:
    """The file that a value of ``--config`` means, and what stands behind its colon.

    Args:
      value: a preset's name (``quickstart``), with a variant (``locomotion:literal``), or the path of a file.

    Raises:
      ConfigError: a URL; or neither a file nor a preset.
    """
    from smac_jax.errors import ConfigError
    from smac_jax.files import local_path

    name, colon, rest = value.partition(":")
    if not name:
        return value
    if name in presets():
        return f"{PRESETS / name}.py{colon}{rest}"
    path = local_path(name if not rest.startswith("/") else value)
    if path.suffix != ".py" and not path.exists():
        close = difflib.get_close_matches(name, presets(), 1)
        raise ConfigError(
            f"--config={value}: there is no such preset. The presets: {', '.join(presets())}"
            + (f". Did you mean {close[0]}?" if close else ", or the path of a file.")
        )
    return f"{path}{colon}{rest}"


def check_names(argv: Sequence[str], arguments: int | None = None) -> None:
    """Refuses what can be seen to be wrong before anything that takes time is imported.

    That is: flags that do not exist, values that they cannot have, and more arguments than the program takes.

    Args:
      argv: the program, then what it was given.
      arguments: how many there may be beside the flags; None: any number.

    Raises:
      absl.flags.Error: one of these is there.
    """
    end = argv.index("--") if "--" in argv else len(argv)
    if any(argument.lstrip("-").partition("=")[0] in HELP for argument in argv[1:end] if argument.startswith("-")):
        return  # which shows --config too, once that is there
    known = [*flags.FLAGS, *(["config"] if _default_config else [])]
    is_value, strays = False, [*argv[end + 1 :]]
    for argument in argv[1:end]:
        if is_value or not argument.startswith("-") or argument == "-":
            strays += [] if is_value else [argument]
            is_value = False
            continue
        name, equals, _ = argument.lstrip("-").partition("=")
        name = name.partition(".")[0]
        plain = name if name in known else name.removeprefix("no")
        if plain not in known:
            raise flags.UnrecognizedFlagError(name, suggestions=difflib.get_close_matches(name, known))
        is_value = not equals and not (plain in flags.FLAGS and flags.FLAGS[plain].boolean)
    refuse_strays(strays, arguments)
    try:
        flags.FLAGS(list(argv[:end]), known_only=True)  # --config is not there yet
    finally:
        for name in flags.FLAGS:  # they are read again, and a flag that may be repeated would have each value twice
            flags.FLAGS[name].unparse()
        flags.FLAGS.unparse_flags()


def refuse_strays(given: Sequence[str], arguments: int | None) -> None:
    """Raises :class:`absl.flags.Error` where there are more arguments beside the flags than a program takes."""
    if arguments is not None and len(given) > arguments:
        raise flags.Error(f"not understood: {' '.join(given[arguments:])}")


def imports_of(argv: Sequence[str]) -> list[str]:
    """The files and modules that ``--import`` names: what they register must be known when ``--config`` is read.

    Args:
      argv: the program, then what it was given.
    """
    end = argv.index("--") if "--" in argv else len(argv)
    alone = flags.FlagValues()
    flags.DEFINE_multi_string("import", [], "", flag_values=alone)
    alone(list(argv[:end]), known_only=True)
    return [str(name) for name in alone["import"].value or ()]


def with_config_found(argv: Sequence[str]) -> list[str]:
    """The command line with ``--config`` naming a file, where it named a preset or has a ``~``.

    Args:
      argv: the program, then what it was given.

    Raises:
      ConfigError: as for :func:`config_file`.
    """
    given = list(argv)
    for i, argument in enumerate(given[1:], start=1):
        if argument == "--":
            break
        if argument.startswith(("--config=", "-config=")):
            flag, _, value = argument.partition("=")
            given[i] = f"{flag}={config_file(value)}"
        elif argument in ("--config", "-config") and i + 1 < len(given):
            given[i + 1] = config_file(given[i + 1])
    return given


def say_no_field(error: Exception) -> None:
    """Prints what config_flags says, in its way, of a --config.FIELD that does not exist."""
    field = str(error).replace("\\n", " ").replace("\\'", "").strip("\"'")
    print(f"error: the configuration has no field {field}", file=sys.stderr)


def underscored(argv: Sequence[str]) -> list[str]:
    """Takes ``--dry-run`` for ``--dry_run``, in the names of all flags and of fields of configurations.

    Args:
      argv: the program, then what it was given. Values, and whatever stands behind a ``--``, stay as they are.
    """
    known = {*flags.FLAGS, "config"}
    end = argv.index("--") if "--" in argv else len(argv)

    def one(argument: str) -> str:
        name, equals, value = argument.partition("=")
        better = name.lstrip("-").replace("-", "_")
        if better not in known and better.startswith("no_"):
            better = "no" + better[3:]
        flag = better.partition(".")[0]
        understood = flag in known or flag.removeprefix("no") in known
        return f"--{better}{equals}{value}" if name.startswith("--") and understood else argument

    return [*argv[:1], *map(one, argv[1:end]), *argv[end:]]
