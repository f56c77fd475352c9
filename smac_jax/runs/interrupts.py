"""SIGTERM and SIGINT ask a run to save and stop; they do not cut it off."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from types import FrameType, TracebackType

from smac_jax.errors import SmacError

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(SmacError):
    """A run that was asked to stop, and has saved all that it did.

    Attributes:
      exit_code: 128 and the signal's number, as shells give it.
    """

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.exit_code = 128 + number


class Interrupts:
    """Notes the first signal; a second one does what it does in any other program.

    Use as a context manager. In a thread other than the main one, where Python handles no signals, it notes nothing.

    Args:
      signals: that are heard.
      second_ends: False where it is a scheduler that sends them, who may send several; then a second one does nothing.

    Attributes:
      number: of the first signal that came; None before.
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
