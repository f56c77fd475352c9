"""Errors of code that a compiled program calls on the host, as they were raised there.

JAX gives whoever waits for the program a ``JaxRuntimeError`` with a page of text, whose last line is the message.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import NoReturn

import jax

from smac_jax.errors import SmacError

_pending: list[SmacError] = []
_lock = threading.Lock()


def _is_not_raised_on_purpose(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], SmacError))


# which logs every error of a callback with its traceback, whoever deals with it
logging.getLogger("jax._src.callback").addFilter(_is_not_raised_on_purpose)


def raise_on_host(error: SmacError) -> NoReturn:
    """Raises an error in a callback, for :func:`as_raised_on_host` to find."""
    with _lock:
        _pending[:] = [error]
    raise error


@contextlib.contextmanager
def as_raised_on_host() -> Iterator[None]:
    """Around what waits for a program: its callbacks' errors come out as they were raised."""
    with _lock:
        _pending.clear()
    try:
        yield
    except jax.errors.JaxRuntimeError:
        with _lock:
            found, _pending[:] = [*_pending], []
        if not found:
            raise
        raise found[0] from found[0].__cause__
