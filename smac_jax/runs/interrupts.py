"""Handles SIGTERM and SIGINT, so that a run saves its state before it stops."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from types import FrameType, TracebackType

from smac_jax.errors import SmacError

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(SmacError):
    """A run was asked to stop, and has saved its state.

    Attributes:
      exit_code: 128 plus the number of the signal, as in shells.
    """

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.exit_code = 128 + number


class Interrupts:
    """Records the first signal. A second signal has its default effect.

    Use it as a context manager. It has an effect only in the main thread, in which Python handles signals.

    Args:
      signals: the signals to handle.
      second_ends: whether a second signal has its default effect. False for schedulers, which may send several signals.

    Attributes:
      number: the number of the first signal; None before.
    """

    def __init__(self, signals: Sequence[int] = SIGNALS, second_ends: bool = True) -> None:
        self.number: int | None = None
        self._signals, self._second_ends = signals, second_ends
        self._earlier: dict[int, object] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._earlier = {number: signal.signal(number, self._note) for number in self._signals}
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number
        if self._second_ends:
            self._restore()

    def _restore(self) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._earlier = {}
