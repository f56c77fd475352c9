"""The progress display of a run: a bar on a terminal, or a line every ten seconds in a log."""

from __future__ import annotations

import contextlib
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from smac_jax.runs.pace import COMPILATION, TRAINING, Pace, Standing
from smac_jax.runs.status import doing_text
from smac_jax.text import rate_text
from smac_jax.train.compilation import listening

LOG_EVERY = 10.0
"""Seconds between lines if the output is not a terminal."""


class _Console(Console):
    """A console that stays silent after its pipe has been closed."""

    def on_broken_pipe(self) -> None:
        # by default rich ends the program and discards its standard output
        self.quiet = True


class Progress:
    """Shows the phase, the steps, the steps per second, the last return, the time left, and compilations.

    Use it as a context manager. Entering it again inside (as a training loop does within a program that already shows a
    bar) has no effect, so one bar serves all phases of a program. Errors of the display (a closed pipe, another live
    display) are suppressed, because they must not end the training.

    In a log, a phase has a line when its first program is compiled, then a line every ten seconds, and a last line at
    its end if it had any.

    Args:
      disable: whether to show nothing.
      console: where to show the progress; default: standard error.
    """

    def __init__(self, disable: bool = False, console: Console | None = None):
        self._disable = disable
        self._console = console or _Console(file=sys.stderr)
        self._depth = 0
        self._run = ""
        self._pace = Pace(clock=_now)
        self._now = Standing("", 0, 0)
        self._doing = self._now.doing
        self._logged_at = self._advanced_at = _now()
        self._logged: Standing | None = None
        self._compilation_logged = False
        self._steady = True
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._listening = contextlib.ExitStack()

    @classmethod
    def of(cls, progress: Progress | bool) -> Progress:
        """Returns the display for ``progress``, the argument of a training function: that one, a new one, or none."""
        return progress if isinstance(progress, cls) else cls(disable=not progress)

    def __enter__(self) -> Progress:
        self._depth += 1
        if self._depth == 1:
            self._logged_at = _now()
            if not self._disable:
                self._listening.enter_context(listening(self._compiling))
            if not self._disable and self._console.is_terminal:
                with contextlib.suppress(Exception):
                    bar = RichProgress(
                        TextColumn("{task.description:<30}", markup=False),
                        BarColumn(),
                        MofNCompleteColumn(),
                        TimeElapsedColumn(),  # shows that the program is alive during a compilation
                        TextColumn("{task.fields[note]}", markup=False),
                        console=self._console,
                    )
                    bar.start()
                    self._bar = bar
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._depth -= 1
        if self._depth > 0:
            return
        self._listening.close()
        self._end_phase()
        if self._bar is not None:
            with contextlib.suppress(Exception):
                self._bar.stop()
            self._bar = self._task = None

    def part(self, name: str, number: int, of: int, note: str = "") -> None:
        """Begins one of several parts of a program, numbered from 1; ``note`` is shown after its name."""
        if self._disable:
            return
        self._end_phase()
        with contextlib.suppress(Exception):
            if self._bar is not None:
                for task in self._bar.task_ids:  # the bars of all parts would not fit on the screen
                    self._bar.remove_task(task)
                self._task = None
            self._print(f"[{number}/{of}] {name}" + (f"  {note}" if note else ""))

    def run(self, name: str) -> None:
        """Sets the name of the run that is shown before the names of the following phases."""
        self._run = f"{name}  "

    def phase(self, name: str, total: int, done: int = 0, steady: bool = True) -> None:
        """Begins a phase of ``total`` steps, of which an earlier process has done ``done``.

        If ``steady`` is false, no time left is shown, because the steps take very different times.
        """
        self._pace = Pace(clock=_now)
        self._steady = steady
        self._begin_phase(Standing(self._run + name, done, total))

    def advance(self, steps: int, last_return: float | None = None) -> None:
        """Adds completed steps and, if it is given, the newest return."""
        now, before = _now(), self._now
        seconds = max(0.0, now - self._advanced_at - self._pace.took.pop(COMPILATION, 0.0))
        self._pace.add("", steps if self._steady else 0, seconds)
        self._advanced_at = now
        done = before.done + steps
        left = self._pace.left({"": before.total - done})
        value = before.last_return if last_return is None else last_return
        self._show(
            before._replace(
                done=done, rate=self._pace.rate(""), phase_left=left, run_left=left, last_return=value, doing=TRAINING
            )
        )

    def show(self, standing: Standing) -> None:
        """Shows the progress of a run that measures its own pace, and begins a new phase if it has changed."""
        standing = standing._replace(phase=self._run + standing.phase)
        if standing.phase != self._now.phase or standing.total != self._now.total or standing.done < self._now.done:
            self._begin_phase(standing)
        self._show(standing)

    def _begin_phase(self, standing: Standing) -> None:
        self._end_phase()
        self._now, self._logged, self._compilation_logged = standing, None, False
        self._advanced_at = _now()
        if self._bar is not None:
            with contextlib.suppress(Exception):
                self._task = self._bar.add_task(standing.phase, total=standing.total, completed=standing.done, note="")

    def _end_phase(self) -> None:
        """Writes the last line of a phase that has a line in the log."""
        if self._logged is not None and self._bar is None and self._logged != self._now and not self._disable:
            with contextlib.suppress(Exception):
                self._log()
        self._logged = None

    def _show(self, standing: Standing) -> None:
        self._now = standing
        if self._disable:
            return
        with contextlib.suppress(Exception):
            if self._bar is not None and self._task is not None:
                self._bar.update(self._task, completed=standing.done, note=note(standing))
            elif _now() - self._logged_at >= LOG_EVERY:
                self._log()

    def _log(self) -> None:
        now = self._now
        self._logged_at, self._logged = _now(), now
        details = note(now)
        self._print(f"{now.phase}: {now.done:,}/{now.total:,}" + (f"  {details}" if details else ""))

    def _compiling(self, begins: bool) -> None:
        self._pace.compiling(begins)
        if self._bar is not None:
            if begins:
                self._doing = self._now.doing
            self._show(self._now._replace(doing=COMPILATION if begins else self._doing))
        elif begins and self._now.phase and not self._compilation_logged:
            self._compilation_logged, self._logged = True, self._now
            with contextlib.suppress(Exception):
                self._print(f"{self._now.phase}: compiling")

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def note(standing: Standing) -> str:
    """Returns the activity of a run, its rate, its last return and the time left, as text."""
    doing = doing_text(standing.doing)
    # the rate of evaluations is not informative
    rate = f"{rate_text(standing.rate)}/s" if standing.rate is not None and not doing else ""
    value = "" if standing.last_return is None else f"return {standing.last_return:,.1f}"
    of_phase, of_run = standing.phase_left.text, standing.run_left.text
    left = f"{of_phase} left" if of_phase else ""
    total = f"{of_run} left of the run" if of_run and standing.run_left != standing.phase_left else ""
    return "  ".join(part for part in (doing, rate, value, left, total) if part)


def _now() -> float:
    return time.monotonic()
