"""What a person sees while a run is under way: a bar on a terminal, a line every ten seconds in a log."""

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
"""Seconds between lines where the output is no terminal."""


class _Console(Console):
    """A console whose reader may go away."""

    def on_broken_pipe(self) -> None:
        # rich would end the program here, and send its standard output to nowhere
        self.quiet = True


class Progress:
    """Shows the phase, steps done, steps a second, the last return and the time left; and that a program is compiled.

    Use as a context manager. Entering it again inside (a loop called by a program that already shows one) does nothing,
    so one bar serves a program's many phases. What goes wrong in showing (a closed pipe, another live display) is
    swallowed: it must not end hours of training.

    A log gets a line when the first program of a phase is compiled, then a line every ten seconds, and, where a phase
    has any line, one of its end.

    Args:
      disable: show nothing.
      console: where to show it; default: standard error.
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
        self._compilation_said = False
        self._steady = True
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._listening = contextlib.ExitStack()

    @classmethod
    def of(cls, progress: Progress | bool) -> Progress:
        """What the ``progress`` argument of the training functions means: itself, a new one, or none."""
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
                        TimeElapsedColumn(),  # moves while a program is compiled
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
        """Begins one of several parts of a program, numbered from 1, each of some phases; ``note`` stands behind it."""
        if self._disable:
            return
        self._end_phase()
        with contextlib.suppress(Exception):
            if self._bar is not None:
                for task in self._bar.task_ids:  # of the part before: a sweep has more than a screen holds
                    self._bar.remove_task(task)
                self._task = None
            self._print(f"[{number}/{of}] {name}" + (f"  {note}" if note else ""))

    def run(self, name: str) -> None:
        """Says which run the phases to come are of, where a program has several."""
        self._run = f"{name}  "

    def phase(self, name: str, total: int, done: int = 0, steady: bool = True) -> None:
        """Begins a stretch of ``total`` steps, of which an earlier process has ``done`` some.

        Where steps take too unlike times to say how long the others will take, it is not ``steady``.
        """
        self._pace = Pace(clock=_now)
        self._steady = steady
        self._begin_phase(Standing(self._run + name, done, total))

    def advance(self, steps: int, last_return: float | None = None) -> None:
        """Says that so many more steps are done, and the newest return where there is one."""
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
        """Shows how far a run is that measures its pace itself; begins a phase where it is at another one."""
        standing = standing._replace(phase=self._run + standing.phase)
        if standing.phase != self._now.phase or standing.total != self._now.total or standing.done < self._now.done:
            self._begin_phase(standing)
        self._show(standing)

    def _begin_phase(self, standing: Standing) -> None:
        self._end_phase()
        self._now, self._logged, self._compilation_said = standing, None, False
        self._advanced_at = _now()
        if self._bar is not None:
            with contextlib.suppress(Exception):
                self._task = self._bar.add_task(standing.phase, total=standing.total, completed=standing.done, note="")

    def _end_phase(self) -> None:
        """A log that has said something of a phase says how it ended."""
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
        said = note(now)
        self._print(f"{now.phase}: {now.done:,}/{now.total:,}" + (f"  {said}" if said else ""))

    def _compiling(self, begins: bool) -> None:
        self._pace.compiling(begins)
        if self._bar is not None:
            if begins:
                self._doing = self._now.doing
            self._show(self._now._replace(doing=COMPILATION if begins else self._doing))
        elif begins and self._now.phase and not self._compilation_said:
            self._compilation_said, self._logged = True, self._now
            with contextlib.suppress(Exception):
                self._print(f"{self._now.phase}: compiling")

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def note(standing: Standing) -> str:
    """What a run is doing, its rate, its last return and the time left."""
    doing = doing_text(standing.doing)
    # a rate of one evaluation a second says nothing
    rate = f"{rate_text(standing.rate)}/s" if standing.rate is not None and not doing else ""
    value = "" if standing.last_return is None else f"return {standing.last_return:,.1f}"
    left, whole = standing.phase_left.text, standing.run_left.text
    left = f"{left} left" if left else ""
    whole = f"{whole} left of the run" if whole and standing.run_left != standing.phase_left else ""
    return "  ".join(part for part in (doing, rate, value, left, whole) if part)


def _now() -> float:
    return time.monotonic()
