"""Passes on errors that a callback of a compiled program raises on the host.

JAX itself raises a ``JaxRuntimeError`` with a page of text, in which the message of the callback is the last line.
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


def _is_not_from_this_package(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], SmacError))


# this logger prints the traceback of every error in a callback, even if the error is handled
logging.getLogger("jax._src.callback").addFilter(_is_not_from_this_package)


def raise_on_host(error: SmacError) -> NoReturn:
    """Raises an error in a callback. :func:`as_raised_on_host` raises it again in the caller of the program."""
    with _lock:
        _pending[:] = [error]
    raise error


@contextlib.contextmanager
def as_raised_on_host() -> Iterator[None]:
    """A context manager around code that waits for a program: an error of a callback is raised as itself."""
    with _lock:
        _pending.clear()
    try:
        yield
    except jax.errors.JaxRuntimeError:
        with _lock:
            errors, _pending[:] = [*_pending], []
        if not errors:
            raise
        raise errors[0] from errors[0].__cause__
