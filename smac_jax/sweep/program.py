"""The start of every command: flags, ``--config``, ``--import``, and errors as one line."""

from __future__ import annotations

import difflib
import errno
import io
import itertools
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
"""Operating system errors about the place of the results, which are shown without a traceback."""


flags.DEFINE_multi_string(
    "import",
    [],
    "A Python file, or the name of a module, that registers your own algorithms, tasks, environments, data readers, "
    "scores or trackers (smac_jax.extend). May be repeated.",
)

PRESETS = Path(__file__).parents[1] / "presets"
"""Configurations that come with the package; ``--config=NAME`` finds them."""


def set_up(cache: str | None = None) -> None:
    """Turns on JAX's persistent compilation cache (:func:`smac_jax.train.compilation.use_cache`).

    Args:
      cache: folder of the cache if the user has not chosen one.
    """
    from smac_jax.train.compilation import use_cache

    use_cache(cache)


def results_folder(given: str | os.PathLike[str], flag: str = "results") -> Path:
    """Returns the folder of ``--results``, checked before anything is computed.

    Args:
      given: the folder's path.
      flag: the name of the flag, for error messages.

    Raises:
      ConfigError: the path is a URL, leads through a file, or cannot be encoded in the locale's encoding.
    """
    from smac_jax.errors import ConfigError
    from smac_jax.files import local_path

    folder = local_path(given)
    try:
        str(folder.absolute()).encode("utf-8")
    except UnicodeEncodeError as error:  # otherwise orbax would fail after it has saved the first snapshot
        raise ConfigError(
            f"--{flag}={given}: the name has letters that the locale's encoding lacks. Set PYTHONUTF8=1, or give "
            "another name."
        ) from error
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise ConfigError(
                f"--{flag}={given}: {place} is a file. Give a folder; it is created if it does not exist."
            )
    return folder


def run(main: Callable[[Sequence[str]], int | None], arguments: int | None = 0) -> None:
    """Runs a command with ``absl.app.run``. An expected error is printed as one line, without a traceback.

    Args:
      main: the command's function of the program's name and the positional arguments.
      arguments: the largest number of positional arguments; None for any number.
    """
    from smac_jax.errors import SmacError
    from smac_jax.runs.interrupts import Interrupted

    def guarded(argv: Sequence[str]) -> int | None:
        tracebacks = flags.FLAGS.verbosity > 0
        logging.set_verbosity(logging.WARNING)  # users cannot act upon messages of lower levels
        for stream in (sys.stdout, sys.stderr):
            # a name with letters that the locale lacks must not end the program
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            return main(argv)
        except Interrupted as stopped:
            print(f"{stopped}. Repeat the command to resume.", file=sys.stderr)
            return stopped.exit_code
        except SmacError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except OSError as error:
            if error.errno not in THE_DISK:
                raise
            print(f"error: {error}. What was saved before is intact.", file=sys.stderr)
            return 2
        except Exception as error:
            # an error of this package itself is shown with its traceback
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
                # this runs the file, which takes seconds; it finds the overridden fields in sys.argv
                config_flags.DEFINE_config_file("config", _default_config[-1], "Configuration file.")
            rest = flags.FLAGS(argv)
            if "config" in flags.FLAGS:
                load_config()
            check_positional(rest[1:], arguments)
            return rest
        except (AttributeError, KeyError) as error:
            print_unknown_field(error)
        except Exception as error:  # any: a configuration is a program
            # if a configuration cannot be read, the message of ml_collections is a traceback
            said = str(error).strip()
            said = said.splitlines()[-1].strip() if "Traceback" in said else said
            print(f"error: {said.removeprefix('smac_jax.errors.ConfigError: ')}", file=sys.stderr)
        sys.exit(2)

    app.run(guarded, flags_parser=parse)


def load_config() -> None:
    """Runs the file that ``--config`` names now, rather than at the first access to a field.

    Raises:
      ValueError: the file cannot be run.
    """
    config: Any = flags.FLAGS["config"].value
    try:
        config.to_dict()
    except Exception as error:  # any: absl reports a missing file only at the first access
        said = str(error).strip().splitlines()[-1].strip()
        raise ValueError(f"--config cannot be read: {said}") from error


_default_config: list[str] = []
HELP = ("help", "helpshort", "helpfull", "helpxml", "h", "?")


def define_config(default: str) -> None:
    """Defines ``--config``, the name of a preset or a configuration file. Each of its fields can be overridden.

    The flag exists once :func:`run` has read the command line, because its definition runs the file, which imports JAX.

    Args:
      default: the name of a preset, or a file.
    """
    _default_config[:] = [config_file(default)]


def presets() -> list[str]:
    """Returns the names of the presets."""
    shared = ("__init__", "paper", "bases")
    return sorted(path.stem for path in PRESETS.glob("*.py") if path.stem not in shared)


def config_file(value: str) -> str:
    """Returns the value of ``--config`` with the name of a preset replaced by its file.

    Args:
      value: the name of a preset (``quickstart``), possibly with a variant (``locomotion:literal``), or the path of a
        file.

    Raises:
      ConfigError: the value is a URL, or neither a file nor a preset.
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
            f"--config={value}: there is no such preset. The presets are {', '.join(presets())}."
            + (f" Did you mean {close[0]}?" if close else " You may also give the path of a file.")
        )
    return f"{path}{colon}{rest}"


def check_names(argv: Sequence[str], arguments: int | None = None) -> None:
    """Checks flags and the number of arguments before anything slow is imported.

    Args:
      argv: the program and its arguments.
      arguments: the largest number of positional arguments; None for any number.

    Raises:
      absl.flags.Error: a flag does not exist, a value is not allowed, or there are too many positional arguments.
    """
    end = argv.index("--") if "--" in argv else len(argv)
    if any(argument.lstrip("-").partition("=")[0] in HELP for argument in argv[1:end] if argument.startswith("-")):
        return  # the help text is shown later, when --config is defined
    known = [*flags.FLAGS, *(["config"] if _default_config else [])]
    is_value, positional = False, [*argv[end + 1 :]]
    for argument in argv[1:end]:
        if is_value or not argument.startswith("-") or argument == "-":
            positional += [] if is_value else [argument]
            is_value = False
            continue
        name, equals, _ = argument.lstrip("-").partition("=")
        name = name.partition(".")[0]
        plain = name if name in known else name.removeprefix("no")
        if plain not in known:
            raise flags.UnrecognizedFlagError(name, suggestions=difflib.get_close_matches(name, known))
        is_value = not equals and not (plain in flags.FLAGS and flags.FLAGS[plain].boolean)
    check_positional(positional, arguments)
    try:
        flags.FLAGS(list(argv[:end]), known_only=True)  # --config is not defined yet
    finally:
        for name in flags.FLAGS:  # the flags are parsed again, and a repeated flag would have each value twice
            flags.FLAGS[name].unparse()
        flags.FLAGS.unparse_flags()


def check_positional(given: Sequence[str], arguments: int | None) -> None:
    """Raises :class:`absl.flags.Error` if there are more positional arguments than the command accepts."""
    if arguments is not None and len(given) > arguments:
        raise flags.Error(f"unexpected arguments: {' '.join(given[arguments:])}")


def imports_of(argv: Sequence[str]) -> list[str]:
    """Returns the files and modules that ``--import`` names. They must be imported before ``--config`` is read.

    Args:
      argv: the program and its arguments.
    """
    end = argv.index("--") if "--" in argv else len(argv)
    alone = flags.FlagValues()
    flags.DEFINE_multi_string("import", [], "", flag_values=alone)
    alone(list(argv[:end]), known_only=True)
    return [str(name) for name in alone["import"].value or ()]


def with_config_found(argv: Sequence[str]) -> list[str]:
    """Returns the command line with the value of ``--config`` replaced by the path of a file (:func:`config_file`).

    ``--config`` is moved to the front, because config_flags refuses overridden fields that are before it.

    Args:
      argv: the program and its arguments.

    Raises:
      ConfigError: as for :func:`config_file`.
    """
    first, others = [], []
    end = argv.index("--") if "--" in argv else len(argv)
    rest = iter(argv[1:end])
    for argument in rest:
        if argument.startswith(("--config=", "-config=")):
            flag, _, value = argument.partition("=")
            first.append(f"{flag}={config_file(value)}")
        elif argument in ("--config", "-config"):
            first += [argument, *(config_file(value) for value in itertools.islice(rest, 1))]
        else:
            others.append(argument)
    return [*argv[:1], *first, *others, *argv[end:]]


def print_unknown_field(error: Exception) -> None:
    """Prints the error of config_flags about a ``--config.FIELD`` that does not exist."""
    field = str(error).replace("\\n", " ").replace("\\'", "").strip("\"'")
    print(f"error: the configuration has no field {field}", file=sys.stderr)


def underscored(argv: Sequence[str]) -> list[str]:
    """Returns the command line with ``--dry-run`` spelled ``--dry_run``, for all flags and fields of configurations.

    Args:
      argv: the program and its arguments. Values, and everything after ``--``, are not changed.
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
