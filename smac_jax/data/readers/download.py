"""Large files fetched over HTTP: resumed where they were cut, checked, and there whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from smac_jax.errors import DatasetError

CHUNK = 1 << 20
"""Bytes read at a time."""

TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as cut."""

ATTEMPTS = 5
"""Connections in a row that may be cut without having brought a byte."""


def download(url: str, path: Path, *, size: int | None = None, sha256: str | None = None) -> None:
    """Fetches a file, unless it is there already.

    What has come is kept beside it (``.NAME.part``) until all is there, so that a later call goes on from it. Processes
    that want the same file wait for the first of them.

    Args:
      url: http or https.
      path: where it goes; its folder is made.
      size, sha256: what it must be, in bytes and hexadecimal digits; None is not looked at.

    Raises:
      DatasetError: no network, no such file there, another file than expected, or no room: with the URL, and where to
        put the file by hand.
    """
    by_hand = f"You can also fetch {url} by other means and put it at {path}."
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            if path.exists():
                return
            _fetch(url, part, size)
            try:
                check_file(part, size, sha256)
            except DatasetError as error:
                part.unlink()
                raise DatasetError(f"{url}: what came is not the expected file, and was removed: {error}") from error
            part.replace(path)
    except DatasetError as error:
        raise DatasetError(f"{error} {by_hand}") from error
    except urllib.error.HTTPError as error:
        raise DatasetError(f"{url}: the server answers {error.code} {error.reason}. {by_hand}") from error
    except urllib.error.URLError as error:
        raise DatasetError(f"{url}: cannot be reached ({error.reason}). {by_hand}") from error
    except (http.client.HTTPException, OSError) as error:
        raise DatasetError(f"{url}: could not be fetched to {path} ({error}). {by_hand}") from error


def check_file(path: Path, size: int | None, sha256: str | None) -> None:
    """Looks whether a file is what it should be; None is not looked at.

    Raises:
      DatasetError: it is not.
    """
    found = path.stat().st_size
    if size is not None and found != size:
        raise DatasetError(f"{path}: has {found:,} bytes, expected {size:,}.")
    if sha256 is not None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != sha256:
            raise DatasetError(f"{path}: has the SHA-256 {digest}, expected {sha256}.")


def _fetch(url: str, part: Path, size: int | None) -> None:
    """Brings all bytes into ``part``, over as many connections as it takes while they bring something."""
    console = Console(file=sys.stderr)
    console.print(f"Fetching {url}", markup=False, highlight=False, soft_wrap=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(TextColumn(part.name[1:-5]), *columns, console=console, disable=not console.is_terminal) as bar:
        task, in_vain, most = bar.add_task("", total=size), 0, _size(part)
        while True:
            before = _size(part)
            if size is not None and before == size:
                return
            try:
                if _connection(url, part, size, lambda done, total: bar.update(task, completed=done, total=total)):
                    return
                reason = "the connection was cut"
            except urllib.error.URLError:  # answers and refusals of the server; a cut is none of these
                raise
            except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
                reason = str(error) or type(error).__name__
            # against the most that was ever there: what a server makes us throw away is no progress
            in_vain = in_vain + 1 if _size(part) <= most else 0
            most = max(most, _size(part))
            if in_vain == ATTEMPTS:
                raise DatasetError(
                    f"{url}: cut after {_size(part):,} bytes ({reason}). They are kept; another try goes on from there."
                )


def _connection(url: str, part: Path, size: int | None, show: Callable[[int, int | None], None]) -> bool:
    """Fetches what is missing over one connection, and says whether all is there."""
    start = _size(part)
    if size is not None and start > size:
        start = 0
    # compression on the way would make the lengths mean something else
    headers = {"Accept-Encoding": "identity", "User-Agent": "smac_jax"} | (
        {"Range": f"bytes={start}-"} if start else {}
    )
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not start:
            raise
        part.unlink()  # nothing of the file lies beyond what is here, so this is another file's beginning, or all of it
        return False
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0  # a server that knows no ranges sends all of it
        elif not str(response.headers.get("Content-Range", "")).startswith(f"bytes {start}-"):
            part.unlink()
            return False
        length = response.headers.get("Content-Length")
        total = start + int(length) if length is not None else size
        if size is not None and total != size:
            raise DatasetError(f"{url}: has {total:,} bytes, expected {size:,}.")
        with part.open("ab" if start else "wb") as file:
            done = start
            while chunk := response.read(CHUNK):
                done += len(chunk)
                if total is not None and done > total:  # a server that announced no length may send for ever
                    raise DatasetError(f"{url}: sends more than the {total:,} bytes expected.")
                file.write(chunk)
                show(done, total)
    return total is None or done == total


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
