"""What a person sees while a run is under way: a bar on a terminal, a line every ten seconds in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

LOG_EVERY = 10.0
"""Seconds between lines where the output is no terminal."""


class Progress:
    """Shows phase, steps done, steps a second, the last return and the time left.

    Use as a context manager. Entering it again inside (a loop called by a program that already shows one) does nothing, so
    one bar serves a program's many phases.

    Args:
      disable: show nothing.
      console: where to show it; default: standard error.
    """

    def __init__(self, disable: bool = False, console: Console | None = None):
        self._disable = disable
        self._console = console or Console(file=sys.stderr)
        self._depth = 0
        self._name, self._total, self._done = "", 0, 0
        self._started = self._logged = 0.0
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    @classmethod
    def of(cls, progress: Progress | bool) -> Progress:
        """What the ``progress`` argument of the training functions means: itself, a new one, or none."""
        return progress if isinstance(progress, cls) else cls(disable=not progress)

    def __enter__(self) -> Progress:
        self._depth += 1
        if self._depth == 1 and not self._disable and self._console.is_terminal:
            self._bar = RichProgress(
                TextColumn("{task.description:<28}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]:>9}"),
                TextColumn("{task.fields[last]:>14}"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._depth -= 1
        if self._depth == 0 and self._bar is not None:
            self._bar.stop()
            self._bar = None

    def phase(self, name: str, total: int) -> None:
        """Begins a stretch of ``total`` steps."""
        self._name, self._total, self._done = name, total, 0
        self._started = self._logged = time.monotonic()
        if self._bar is not None:
            self._task = self._bar.add_task(name, total=total, rate="", last="")

    def advance(self, steps: int, last_return: float | None = None) -> None:
        """Says that so many more steps are done, and the newest return."""
        self._done += steps
        if self._disable:
            return
        now = time.monotonic()
        rate = f"{self._done / max(now - self._started, 1e-9):,.0f}/s"
        last = "" if last_return is None else f"return {last_return:,.1f}"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, rate=rate, last=last)
        elif now - self._logged >= LOG_EVERY or (self._done >= self._total and now - self._started >= LOG_EVERY):
            self._logged = now
            self._console.print(f"{self._name}: {self._done:,}/{self._total:,}  {rate}  {last}", highlight=False)
