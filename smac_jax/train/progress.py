"""What a person sees while a run is under way: a bar on a terminal, a line every ten seconds in a log."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

LOG_EVERY = 10.0
"""Seconds between lines where the output is no terminal."""


class _Console(Console):
    """A console whose reader may go away."""

    def on_broken_pipe(self) -> None:
        # rich would end the program here, and send its standard output to nowhere
        self.quiet = True


class Progress:
    """Shows phase, steps done, steps a second, the last return and the time left.

    Use as a context manager. Entering it again inside (a loop called by a program that already shows one) does nothing,
    so one bar serves a program's many phases. What goes wrong in showing (a closed pipe, another live display) is
    swallowed: it must not end hours of training.

    Args:
      disable: show nothing.
      console: where to show it; default: standard error.
    """

    def __init__(self, disable: bool = False, console: Console | None = None):
        self._disable = disable
        self._console = console or _Console(file=sys.stderr)
        self._depth = 0
        self._run = ""
        self._name, self._total, self._done, self._before, self._last = "", 0, 0, 0, ""
        self._started = self._logged = time.monotonic()
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    @classmethod
    def of(cls, progress: Progress | bool) -> Progress:
        """What the ``progress`` argument of the training functions means: itself, a new one, or none."""
        return progress if isinstance(progress, cls) else cls(disable=not progress)

    def __enter__(self) -> Progress:
        self._depth += 1
        if self._depth == 1:
            self._logged = time.monotonic()
            if not self._disable and self._console.is_terminal:
                with contextlib.suppress(Exception):
                    bar = RichProgress(
                        TextColumn("{task.description:<30}", markup=False),
                        BarColumn(),
                        MofNCompleteColumn(),
                        TimeElapsedColumn(),  # moves while a program is compiled
                        TextColumn("{task.fields[note]}", markup=False),
                        console=self._console,
                    )
                    bar.start()
                    self._bar = bar
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._depth -= 1
        if self._depth == 0 and self._bar is not None:
            with contextlib.suppress(Exception):
                self._bar.stop()
            self._bar = self._task = None

    def part(self, name: str, number: int, of: int) -> None:
        """Begins one of several parts of a program, numbered from 1, each of some phases."""
        if self._disable:
            return
        with contextlib.suppress(Exception):
            if self._bar is not None:
                for task in self._bar.task_ids:  # of the part before: a sweep has more than a screen holds
                    self._bar.remove_task(task)
                self._task = None
            self._console.print(f"[{number}/{of}] {name}", highlight=False, markup=False, soft_wrap=True)

    def run(self, name: str) -> None:
        """Says which run the phases to come are of, where a program has several."""
        self._run = f"{name}  "

    def phase(self, name: str, total: int, done: int = 0) -> None:
        """Begins a stretch of ``total`` steps, of which an earlier process has ``done`` some."""
        name = self._run + name
        self._name, self._total, self._done, self._before, self._last = name, total, done, done, ""
        self._started = time.monotonic()
        if self._bar is not None:
            with contextlib.suppress(Exception):
                self._task = self._bar.add_task(name, total=total, completed=done, note="")

    def advance(self, steps: int, last_return: float | None = None) -> None:
        """Says that so many more steps are done, and the newest return where there is one."""
        self._done += steps
        if self._disable:
            return
        if last_return is not None:
            self._last = f"return {last_return:,.1f}"
        now = time.monotonic()
        with contextlib.suppress(Exception):
            if self._bar is not None and self._task is not None:
                self._bar.update(self._task, completed=self._done, note=self._note(now))
            elif now - self._logged >= LOG_EVERY:
                self._logged = now
                line = f"{self._name}: {self._done:,}/{self._total:,}  {self._note(now)}"
                self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _note(self, now: float) -> str:
        """Rate, last return and time left; over the whole phase, since one compiled chunk can outlast rich's window."""
        rate = (self._done - self._before) / max(now - self._started, 1e-9)
        left = clock((self._total - self._done) / rate if rate > 0 else math.inf)
        return "  ".join(part for part in (f"{rate:,.0f}/s", self._last, left and f"{left} left") if part)


def clock(seconds: float) -> str:
    """``h:mm:ss``; nothing where there is nothing to wait for, or nobody knows how long."""
    if seconds <= 0 or math.isinf(seconds):
        return ""
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
