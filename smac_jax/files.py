"""Small files, written whole or not at all; and where files of the user's lie."""

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

# Path("gs://bucket") has lost a slash already; a letter alone is a drive of Windows
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def local_path(name: str | os.PathLike[str]) -> Path:
    """A path that a user gave, with ``~`` and ``~name`` expanded. Every such path goes through this function.

    Files are read and written on this machine's file systems alone. A bucket is used by mounting it (``gcsfuse``,
    ``mountpoint-s3``), or by copying before or after (``gcloud storage cp -r``, ``aws s3 cp --recursive``).

    Raises:
      ConfigError: a URL, which would otherwise become a folder of that name; or a home directory that is not known.
    """
    text = os.fspath(name)
    if _URL.match(text):
        raise ConfigError(
            f"{text} is a URL, and files are read and written on this machine's file systems alone. Give a local path: "
            "what is to be read is copied here before, and what is written is copied there afterwards (for gs://: "
            "gcloud storage cp -r), or goes into a bucket that is mounted (gcsfuse)."
        )
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{text}: the home directory is not known here ({error}). Give a path without ~.") from error


def readable(name: str) -> str:
    """A file's name for people, also where the locale's encoding does not have its letters."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def in_home(*parts: str) -> Path | None:
    """A place below the home directory; None where nobody knows one (HOME is not set, and the user has no entry)."""
    try:
        return Path.home().joinpath(*parts)
    except RuntimeError:
        return None


@cache
def cache_folder() -> Path:
    """Where what can be made again is kept: ``~/.cache/smac_jax``.

    Where there is no home directory, or nothing can be written there, it is a temporary folder of this user's, with a
    warning.
    """
    folder = in_home(".cache", "smac_jax")
    if folder is not None and _is_writable(folder):
        return folder
    temporary = _temporary_folder()
    why = "there is no home directory" if folder is None else f"{folder} cannot be written"
    warnings.warn(
        f"Caches go to {temporary}, because {why}. Set HOME to a folder that can be written, or SMAC_JAX_DATA, "
        "XDG_CACHE_HOME and JAX_COMPILATION_CACHE_DIR, to keep data and compiled programs.",
        stacklevel=2,
    )
    return temporary


def _is_writable(folder: Path) -> bool:
    """Whether a folder is there and can be written, or can be made."""
    there = next((place for place in (folder, *folder.parents) if place.exists()), None)
    return there is not None and there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _temporary_folder() -> Path:
    """The same in every process of this user, and no other user's: programs are compiled and loaded there."""
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
    """Replaces a file in one go: a reader, or a crash, meets the old one or the new one. Makes its folder if need be.

    Raises:
      OSError: it could not be written; what was there before is as it was.
    """
    # names of files in a locale of another encoding hold their bytes as lone surrogates: they are written as they were
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_bytes(path: Path, content: bytes) -> None:
    """The same, of bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.replace(path)


def write_json(path: Path, what: Any) -> None:
    """The same, of something that is JSON but for NumPy's numbers and arrays."""
    write_text(path, json.dumps(what, indent=2, default=_plain) + "\n")


def as_json(what: Any) -> Any:
    """What is read after something was written: lists for tuples, Python's numbers for NumPy's, NaN as it is."""
    return json.loads(json.dumps(what, default=_plain))


def json_checksum(what: Any) -> int:
    """CRC-32 of something as JSON, the same after it was written and read again."""
    return zlib.crc32(json.dumps(what, sort_keys=True, default=_plain).encode())


def _plain(value: Any) -> Any:
    """NumPy's and JAX's numbers and arrays as Python's."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON: {value!r:.100}")
