"""Small files, written whole or not at all."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Replaces a file in one go: a reader, or a crash, meets the old one or the new one. Makes its folder if need be.

    Raises:
      OSError: it could not be written; what was there before is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
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
