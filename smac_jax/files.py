"""Writes small files so that they are never incomplete, and finds folders and paths of the user."""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
import warnings
import zlib
from functools import cache
from pathlib import Path
from typing import Any

from smac_jax.errors import ConfigError

# Path("gs://bucket") has lost a slash already. A single letter is a drive of Windows.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def local_path(name: str | os.PathLike[str]) -> Path:
    """Returns a path from a user with ``~`` and ``~name`` expanded. All such paths must go through this function.

    Files are read and written only on file systems of this machine. To use a bucket, mount it (``gcsfuse``,
    ``mountpoint-s3``), or copy files before and after (``gcloud storage cp -r``, ``aws s3 cp --recursive``).

    Raises:
      ConfigError: the path is a URL, which would otherwise become a folder of that name, or the home directory is not
        known.
    """
    text = os.fspath(name)
    if _URL.match(text):
        raise ConfigError(
            f"{text} is a URL, but files are read and written only on file systems of this machine. Give a local path, "
            "and copy files before and after (for gs://: gcloud storage cp -r), or mount the bucket (gcsfuse)."
        )
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{text}: the home directory is not known ({error}). Give a path without ~.") from error


def readable(name: str) -> str:
    """Returns the name of a file for display, even if it has bytes that the encoding of the locale cannot decode."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def in_home(*parts: str) -> Path | None:
    """Returns a path below the home directory; None if there is none (no HOME, and no entry of the user)."""
    try:
        return Path.home().joinpath(*parts)
    except RuntimeError:
        return None


@cache
def cache_folder() -> Path:
    """Returns the folder for files that can be made again, ``~/.cache/smac_jax``.

    If there is no home directory, or it cannot be written, this is a temporary folder of the user, and there is a
    warning.
    """
    folder = in_home(".cache", "smac_jax")
    if folder is not None and _is_writable(folder):
        return folder
    temporary = _temporary_folder()
    why = "there is no home directory" if folder is None else f"{folder} cannot be written"
    warnings.warn(
        f"Caches are in {temporary}, because {why}. To keep data and compiled programs, set HOME to a folder that can "
        "be written, or set SMAC_JAX_DATA, XDG_CACHE_HOME and JAX_COMPILATION_CACHE_DIR.",
        stacklevel=2,
    )
    return temporary


def _is_writable(folder: Path) -> bool:
    """Returns whether a folder exists and can be written, or can be made."""
    existing = next((place for place in (folder, *folder.parents) if place.exists()), None)
    return existing is not None and existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def _temporary_folder() -> Path:
    """Returns a temporary folder that all processes of this user share, and that no other user can write.

    Compiled programs are loaded from it, so another user must not be able to replace them.
    """
    user = os.getuid()
    folder = Path(tempfile.gettempdir()) / f"smac_jax-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o022:
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="smac_jax-"))


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically: readers see the old or the new content, even after a crash.

    The folder is made if necessary.

    Raises:
      OSError: the file could not be written. The old file is unchanged.
    """
    # In a locale with another encoding, names of files contain their bytes as lone surrogates. The bytes are written.
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_bytes(path: Path, content: bytes) -> None:
    """Writes bytes as :func:`write_text` writes text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.replace(path)


def write_json(path: Path, what: Any) -> None:
    """Writes a value as JSON, in the same way as :func:`write_text`. NumPy's numbers and arrays are converted."""
    write_text(path, json.dumps(what, indent=2, default=_plain) + "\n")


def as_json(what: Any) -> Any:
    """Returns a value as it would be after writing and reading JSON: tuples become lists, NumPy's numbers Python's."""
    return json.loads(json.dumps(what, default=_plain))


def json_checksum(what: Any) -> int:
    """Returns the CRC-32 of a value as JSON. Writing and reading the value does not change it."""
    return zlib.crc32(json.dumps(what, sort_keys=True, default=_plain).encode())


def _plain(value: Any) -> Any:
    """Converts numbers and arrays of NumPy and JAX to those of Python."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON: {value!r:.100}")
