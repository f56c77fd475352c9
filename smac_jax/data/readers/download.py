"""Downloads of large files over HTTP. An interrupted download is resumed, and a complete one is checked."""

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
"""How many bytes are read at a time."""

TIMEOUT = 30.0
"""A connection counts as interrupted after so many seconds without a byte."""

ATTEMPTS = 5
"""A download fails after so many interrupted connections in a row that brought no new byte."""


def download(url: str, path: Path, *, size: int | None = None, sha256: str | None = None) -> None:
    """Downloads a file, unless it exists already.

    The bytes are collected in a file beside it (``.NAME.part``), from which a later call resumes. If several processes
    need the same file, one downloads it and the others wait.

    Args:
      url: an address that begins with http or https.
      path: the file to write. Its folder is made if necessary.
      size: the expected size in bytes; None accepts any.
      sha256: the expected SHA-256 in hexadecimal digits; None accepts any.

    Raises:
      DatasetError: there is no network, the server does not have the file, the file is not the expected one, or the
        disk is full. The message gives the URL and the place for a file that is downloaded by other means.
    """
    by_hand = f"You can also download {url} by other means and put it at {path}."
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            if path.exists():
                return
            _download_all(url, part, size)
            try:
                check_file(part, size, sha256)
            except DatasetError as error:
                part.unlink()
                raise DatasetError(
                    f"{url}: the server sent another file than expected, and it was removed: {error}"
                ) from error
            part.replace(path)
    except DatasetError as error:
        raise DatasetError(f"{error} {by_hand}") from error
    except urllib.error.HTTPError as error:
        raise DatasetError(f"{url}: the server answers {error.code} {error.reason}. {by_hand}") from error
    except urllib.error.URLError as error:
        raise DatasetError(f"{url} cannot be reached ({error.reason}). {by_hand}") from error
    except (http.client.HTTPException, OSError) as error:
        raise DatasetError(f"{url} could not be downloaded to {path} ({error}). {by_hand}") from error


def check_file(path: Path, size: int | None, sha256: str | None) -> None:
    """Checks the size and the SHA-256 of a file. None accepts any.

    Raises:
      DatasetError: the file has another size or checksum.
    """
    actual_size = path.stat().st_size
    if size is not None and actual_size != size:
        raise DatasetError(f"{path} has {actual_size:,} bytes, expected {size:,}.")
    if sha256 is not None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != sha256:
            raise DatasetError(f"{path} has the SHA-256 {digest}, expected {sha256}.")


def _download_all(url: str, part: Path, size: int | None) -> None:
    """Downloads all bytes to ``part``, over as many connections as necessary while they make progress."""
    console = Console(file=sys.stderr)
    console.print(f"Downloading {url}", markup=False, highlight=False, soft_wrap=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(TextColumn(part.name[1:-5]), *columns, console=console, disable=not console.is_terminal) as bar:
        task, without_progress, largest = bar.add_task("", total=size), 0, _size(part)
        while True:
            if size is not None and _size(part) == size:
                return
            try:
                if _connection(url, part, size, lambda done, total: bar.update(task, completed=done, total=total)):
                    return
                reason = "the connection was interrupted"
            except urllib.error.URLError:  # an answer or a refusal of the server, which is not an interruption
                raise
            except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
                reason = str(error) or type(error).__name__
            # compared with the largest size so far: bytes that a server makes us discard are not progress
            without_progress = without_progress + 1 if _size(part) <= largest else 0
            largest = max(largest, _size(part))
            if without_progress == ATTEMPTS:
                raise DatasetError(
                    f"{url}: the download stopped after {_size(part):,} bytes ({reason}). They are kept, and another "
                    "attempt resumes from there."
                )


def _connection(url: str, part: Path, size: int | None, show: Callable[[int, int | None], None]) -> bool:
    """Downloads the missing bytes over one connection, and returns whether the file is complete."""
    start = _size(part)
    if size is not None and start > size:
        start = 0
    # with compression the lengths would not be those of the file
    headers = {"Accept-Encoding": "identity", "User-Agent": "smac_jax"} | (
        {"Range": f"bytes={start}-"} if start else {}
    )
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not start:
            raise
        part.unlink()  # the file is not longer than this part, so the part is of another file, or is already complete
        return False
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0  # a server without support for ranges sends the whole file
        elif not str(response.headers.get("Content-Range", "")).startswith(f"bytes {start}-"):
            part.unlink()
            return False
        length = response.headers.get("Content-Length")
        total = start + int(length) if length is not None else size
        if size is not None and total != size:
            raise DatasetError(f"{url} has {total:,} bytes, expected {size:,}.")
        with part.open("ab" if start else "wb") as file:
            done = start
            while chunk := response.read(CHUNK):
                done += len(chunk)
                if total is not None and done > total:  # a server that did not announce a length may never stop
                    raise DatasetError(f"{url} sends more than the {total:,} bytes expected.")
                file.write(chunk)
                show(done, total)
    return total is None or done == total


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
