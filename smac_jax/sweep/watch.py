"""Shows the progress of jobs that run in other processes, read from the ``status.json`` of their runs.

On a terminal it is a table that is redrawn in place; in a log, a line for each change.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.live import Live

from smac_jax.analysis.fitting import Column, FittedTable
from smac_jax.runs.pace import COMPILATION, TimeLeft
from smac_jax.runs.status import RunStatus, read_status, steps_text
from smac_jax.sweep.state import most_alike, run_left
from smac_jax.text import count, duration, rate_text

if TYPE_CHECKING:
    from smac_jax.sweep.grid import Job

SILENT = 120.0
"""Seconds without an update after which a running job is shown as silent."""

ENDED = ("done", "failed")

COLUMNS = (
    Column("job", justify="left", wraps=True),
    Column("state", justify="left"),
    Column("run", justify="left"),
    Column("steps", wraps=True),
    Column("rate", rank=2),
    Column("return", rank=1),
    Column("left"),
)


class View(NamedTuple):
    """What is shown of a job.

    Attributes:
      state: waiting, running, silent, done, failed, or a state that the launcher reports.
      run: the current run, such as ``to-sac (3/3)``.
      status: the last status of that run.
      left: the estimated time until the job is done.
    """

    state: str
    run: str = ""
    status: RunStatus = RunStatus()
    left: TimeLeft = TimeLeft(0.0, True)


class Watch:
    """Shows the progress of jobs; use as a context manager.

    A job's files count only once they change, because an earlier attempt may have left them.

    Args:
      jobs: the jobs to watch.
      console: where to print; default: standard error.
    """

    def __init__(self, jobs: Sequence[Job], console: Console | None = None):
        self._jobs = jobs
        self._console = console or Console(stderr=True)
        self._statuses = [self._read(job) for job in jobs]
        self._at_first = [[status.time for status in statuses.values()] for statuses in self._statuses]
        self._news = [(-math.inf, "")] * len(jobs)
        self._said = [("done" if job.done else "waiting", "", "", False) for job in jobs]
        self._over: set[int] = set()
        self._live: Live | None = None

    def __enter__(self) -> Watch:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=False)
            self._live.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, states: Mapping[int, str]) -> None:
        """Reads the files of the jobs again, and shows their progress.

        Args:
          states: states that the launcher reports, by the index of the job; they take precedence over the files.
        """
        views = self.views(states)
        if self._live is not None:
            self._live.update(self._table(views), refresh=True)
            return
        for i, view in enumerate(views):
            what = (view.state, view.run, view.status.phase, view.status.doing == COMPILATION)
            if what != self._said[i]:
                self._said[i] = what
                line = "  ".join(part for part in (f"{self._jobs[i].title}:", *_cells(view)) if part)
                self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def views(self, states: Mapping[int, str]) -> list[View]:
        """What is shown of each job."""
        for i, job in enumerate(self._jobs):
            if i not in self._over:
                self._statuses[i] = self._read(job)
            if states.get(i) in ENDED:
                self._over.add(i)
        return [self._view(i, states.get(i)) for i in range(len(self._jobs))]

    def _view(self, i: int, said: str | None) -> View:
        job, statuses = self._jobs[i], list(self._statuses[i].items())
        if said not in (None, "running"):
            return View(said)
        fresh = [
            run
            for (run, status), time_at_first in zip(statuses, self._at_first[i], strict=True)
            if status.time != time_at_first
        ]
        if not fresh:
            return View(said or "waiting")
        run = fresh[-1]
        status = self._statuses[i][run]
        now = time.monotonic()
        if self._news[i][1] != repr(status):
            self._news[i] = (now, repr(status))
        silent = now - self._news[i][0]
        return View(
            state="running" if silent < SILENT else f"silent for {duration(silent)}",
            run=f"{run} ({job.runs.index(run) + 1}/{len(job.runs)})",
            status=status,
            left=self._left(i, run),
        )

    def _left(self, i: int, run: str) -> TimeLeft:
        """Returns the time that a job still takes: its current run's own estimate, and for later runs that of similar
        jobs.
        """
        status, runs = self._statuses[i][run], self._jobs[i].runs
        left = TimeLeft()
        if status.state != "done":
            left = run_left(status.took, status.left, self._took(i, run))
        for later in runs[runs.index(run) + 1 :]:
            left += run_left({}, None, self._took(i, later))
        return left

    def _took(self, i: int, run: str) -> Mapping[str, float] | None:
        """Seconds by stage of the same run of a similar job that has completed it; None if there is none."""
        known = [
            ((job.offline, job.task), statuses[run].took)
            for job, statuses in zip(self._jobs, self._statuses, strict=True)
            if run in statuses and statuses[run].state == "done"
        ]
        return most_alike((self._jobs[i].offline, self._jobs[i].task), known)

    @staticmethod
    def _read(job: Job) -> dict[str, RunStatus]:
        return {run: read_status(job.folder / run) for run in job.runs}

    def _table(self, views: Sequence[View]) -> FittedTable:
        counts: dict[str, int] = {}
        for view in views:
            counts[view.state] = counts.get(view.state, 0) + 1
        title = f"{count(views, 'job')}: " + ", ".join(f"{n} {state}" for state, n in sorted(counts.items()))
        # running jobs first, completed ones last, as many as fit on the screen
        order = sorted(range(len(views)), key=lambda i: (views[i].state in ENDED, not views[i].run, i))
        rows = [[self._jobs[i].title, *_cells(views[i])] for i in order[: max(1, self._console.height - 6)]]
        return FittedTable(COLUMNS, rows, title)


def _cells(view: View) -> tuple[str, ...]:
    status = view.status
    return (
        view.state,
        view.run,
        steps_text(status.phase, status.done, status.total, status.doing),
        "" if status.rate is None else f"{rate_text(status.rate)}/s",
        "" if status.last_return is None else f"return {status.last_return:,.1f}",
        f"{view.left.text} left" if view.left.text else "",
    )
