"""Small files, written whole or not at all; and where files of the user's lie."""

from __future__ import annotations

import json
import os
import re
import zlib
from pathlib import Path
from typing import Any

from smac_jax.errors import ConfigError

# Path("gs://bucket") has lost a slash already; a letter alone is a drive of Windows
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def local_path(name: str | os.PathLike[str]) -> Path:
    """A path that a user gave, with ``~`` and ``~name`` expanded. Every such path goes through this function.

    Files are read and written on this machine's file systems alone. A bucket is used by mounting it (``gcsfuse``,
    ``mountpoint-s3``) or by copying before or after (``gcloud storage cp -r``, ``aws s3 cp --recursive``).

    Raises:
      ConfigError: a URL, which would otherwise become a folder of that name; or a home directory that is not known.
    """
    text = os.fspath(name)
    if _URL.match(text):
        raise ConfigError(
            f"{text} is a URL, and files are read and written on this machine's file systems alone. Give a local path: "
            "mount the bucket (for gs://: gcsfuse), or copy the folder before or after (gcloud storage cp -r)."
        )
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{text}: the home directory is not known here ({error}). Give a path without ~.") from error


def write_text(path: Path, text: str) -> None:
    """Replaces a file in one go: a reader, or a crash, meets the old one or the new one. Makes its folder if need be.

    Raises:
      OSError: it could not be written; what was there before is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
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
