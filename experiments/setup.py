"""What every program does first."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

THE_DISK = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT, errno.ENAMETOOLONG),
)
"""Errors that say what is wrong with where results go, without a traceback."""


PROJECT = Path(__file__).parent.parent
"""The folder that holds this package, and with it the configurations that programs take by default."""


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
    from smac_jax.train.interrupts import Interrupted

    def guarded(argv: Sequence[str]) -> int | None:
        if arguments is not None and len(argv) > 1 + arguments:
            print(f"error: not understood: {' '.join(argv[1 + arguments :])}", file=sys.stderr)
            return 2
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

    def parse(argv: Sequence[str]) -> list[str]:
        try:
            sys.argv = argv = underscored(flags.FLAGS.read_flags_from_files(list(argv), force_gnu=False))
            rest = flags.FLAGS(argv)
            if "config" in flags.FLAGS:
                load_config()
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


def define_config(default: str) -> None:
    """Defines ``--config``, a file of a configuration, each of whose fields can be overridden.

    Args:
      default: the file, from the folder that holds this package; whatever the working directory is.
    """
    from smac_jax.errors import ConfigError

    default = str(PROJECT / default)
    try:
        # config_flags looks for the fields that are overridden in sys.argv, here already
        sys.argv = underscored(flags.FLAGS.read_flags_from_files(list(sys.argv), force_gnu=False))
        sys.argv = with_config_found(sys.argv)
    except (OSError, flags.Error, ConfigError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    try:
        config_flags.DEFINE_config_file("config", default, "Configuration file.")
    except (AttributeError, KeyError) as error:
        say_no_field(error)
        sys.exit(2)


def with_config_found(argv: Sequence[str]) -> list[str]:
    """The command line with ``--config`` naming a file that is there, where it is one of this package's or has a ``~``.

    ``experiments/configs/NAME.py`` is this package's own where the working directory has no such file.

    Args:
      argv: the program, then what it was given.

    Raises:
      ConfigError: a URL.
    """

    def found(value: str) -> str:
        from smac_jax.files import local_path

        name, colon, rest = value.partition(":")
        if not name:
            return value
        path = local_path(name if not rest.startswith("/") else value)
        own = PROJECT / path
        if not path.exists() and path.parts[:1] == ("experiments",) and own.exists():
            path = own
        return f"{path}{colon}{rest}"

    given = list(argv)
    for i, argument in enumerate(given[1:], start=1):
        if argument == "--":
            break
        if argument.startswith(("--config=", "-config=")):
            flag, _, value = argument.partition("=")
            given[i] = f"{flag}={found(value)}"
        elif argument in ("--config", "-config") and i + 1 < len(given):
            given[i + 1] = found(given[i + 1])
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
