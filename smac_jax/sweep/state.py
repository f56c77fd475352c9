"""The progress of a sweep, read from the files of its runs, also while they run or where files are damaged or missing.

This module does not import JAX, wait for a run, or change a file.
"""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import os
import platform
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from smac_jax.errors import SmacError
from smac_jax.runs.pace import COMPILATION, TimeLeft
from smac_jax.runs.status import RunStatus, finite_number, first_line, read_json, read_status, steps_text
from smac_jax.sweep.run_names import RunName
from smac_jax.text import count

SILENT = 600.0
"""Seconds without an update after which a process on another host, whose lock is not visible here, counts as ended."""

STATES = ("done", "running", "starting", "stopped", "died", "failed", "damaged", "left")
"""The states of a run. Starting: a process holds the run's lock and has not written its progress yet. Died: the run's
process ended without recording why. Damaged: the run's status cannot be read. Left: the run has not begun."""


class NoSweepError(SmacError):
    """The folder holds no sweep."""


@dataclasses.dataclass(frozen=True)
class RunState:
    """The state of one run.

    Attributes:
      name: the name of its folder.
      state: one of :data:`STATES`.
      status: the last status that the run wrote, even if its process has ended since.
      left: the estimated time that the run still takes; None if it is done.
      last_return: the return of the newest evaluation, mean over seeds; for a run that is done the one of its learning
        curve, as in the sweep's table.
      age: seconds since the last update of the status; None if unknown, or if its time stamp lies in the future.
      why: what went wrong, as one line.
    """

    name: str
    state: str
    status: RunStatus = dataclasses.field(default_factory=RunStatus)
    left: TimeLeft | None = None
    last_return: float | None = None
    age: float | None = None
    why: str = ""

    @property
    def alive(self) -> bool:
        """Returns whether a process is training the run now."""
        return self.state in ("running", "starting")

    @property
    def rate(self) -> float | None:
        """Steps per second while the run is running, else None."""
        return self.status.rate if self.state == "running" else None

    @property
    def steps_text(self) -> str:
        """Returns the progress in steps and, while it is not training, what the run is doing."""
        status = self.status
        if self.state == "left":
            return ""
        return steps_text(status.phase, status.done, status.total, status.doing if self.state == "running" else "")

    @property
    def diverged(self) -> tuple[str, ...]:
        """Returns the seeds that diverged, each with the step."""
        part = RunName.parse(self.name)
        phase = part.kind if part else self.name
        return tuple(f"seed {seed}: {phase} at step {step:,}" for seed, step in self.status.diverged.items())

    @property
    def return_text(self) -> str:
        """Returns the last return, for tables."""
        return f"{self.last_return:,.1f}" if self.last_return is not None and self.state != "left" else ""


@dataclasses.dataclass(frozen=True)
class JobState:
    """The state of one job.

    Attributes:
      title: the job's name in tables.
      folder: the job's folder.
      runs: its runs, in order.
      why: the error that made it fail outside of any run; empty if there was none.
    """

    title: str
    folder: Path
    runs: tuple[RunState, ...]
    why: str = ""

    @property
    def done(self) -> bool:
        """Returns whether all runs are done."""
        return all(run.state == "done" for run in self.runs)

    @property
    def failed(self) -> bool:
        """Returns whether the job or one of its runs failed and has not been repeated since."""
        return bool(self.why) or any(run.state == "failed" for run in self.runs)

    @property
    def diverged(self) -> tuple[str, ...]:
        """Returns the seeds that diverged, each with the step."""
        return tuple(note for run in self.runs for note in run.diverged)

    @property
    def troubles(self) -> list[str]:
        """Everything that went wrong, one line each."""
        found = [f"{self.title}: failed: {self.why}"] if self.why else []
        found += [f"{self.title} {run.name}: {run.state}: {run.why}" for run in self.runs if run.why]
        return found + [f"{self.title}: diverged and frozen: {note}" for note in self.diverged]


@dataclasses.dataclass(frozen=True)
class SweepState:
    """The state of a sweep.

    Attributes:
      folder: the sweep's folder.
      jobs: the states of its jobs, in order.
      provenance: the content of ``provenance.json``; empty if it cannot be read.
      notes: problems with the folder itself.
    """

    folder: Path
    jobs: tuple[JobState, ...]
    provenance: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> Counter[str]:
        """Returns the number of runs in each state."""
        return Counter(run.state for job in self.jobs for run in job.runs)

    @property
    def done(self) -> bool:
        """Returns whether all jobs are done."""
        return all(job.done for job in self.jobs)

    @property
    def failed(self) -> bool:
        """Returns whether a job has failed."""
        return any(job.failed for job in self.jobs)

    @property
    def totals(self) -> str:
        """One line with the numbers of jobs and runs in each state, and the time left."""
        counts = self.counts
        states = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
        done, failed = (sum(getattr(job, name) for job in self.jobs) for name in ("done", "failed"))
        notes = f", {failed} failed" if failed else ""
        diverged = sum(len(job.diverged) for job in self.jobs)
        notes += f"; {count(diverged, 'diverged seed')}" if diverged else ""
        text = f"{done} of {count(len(self.jobs), 'job')} done{notes}. Runs: {states or 'none'}."
        if self.done:
            return text
        active = any(run.alive for job in self.jobs for run in job.runs)
        return f"{text} {'Time' if active else 'Work'} left: {self.left.words or 'unknown'}."

    @property
    def left(self) -> TimeLeft:
        """Returns the estimated time that the sweep still takes if as many jobs run at once as now."""
        of_jobs = [
            sum((run.left for run in job.runs if run.left is not None), TimeLeft()) for job in self.jobs if not job.done
        ]
        active = sum(any(run.alive for run in job.runs) for job in self.jobs)
        seconds = [left.seconds for left in of_jobs]
        longest, shared = max(seconds, default=0.0), sum(seconds) / max(1, active)
        return TimeLeft(max(longest, shared), any(left.at_least for left in of_jobs))


def read_sweep(folder: Path, now: float | None = None) -> SweepState:
    """Reads the state of a sweep.

    Args:
      folder: the sweep's folder (its ``--results``).
      now: the current time, in seconds since 1970; default: that of the clock.

    Raises:
      NoSweepError: the folder holds no sweep.
    """
    now = time.time() if now is None else now
    if not folder.is_dir():
        raise NoSweepError(f"{folder}: there is no such folder.")
    provenance, notes = read_json(folder / "provenance.json"), []
    listed = [entry for entry in _list(provenance.get("jobs")) if isinstance(entry, dict) and entry.get("folder")]
    if not listed:
        if not (folder / "runs").is_dir():
            raise NoSweepError(f"{folder} holds no sweep: neither jobs in provenance.json, nor runs/.")
        notes.append("provenance.json is missing or damaged. The table shows the jobs found under runs/.")
        listed = [{"folder": str(found.relative_to(folder))} for found in sorted(folder.glob("runs/*/*/seeds-*"))]
    jobs = _with_time_left([_read_job(folder, entry, now) for entry in listed])
    return SweepState(folder, jobs, provenance, tuple(notes))


def _with_time_left(jobs: Sequence[JobState]) -> tuple[JobState, ...]:
    """Returns the same jobs, with the time left of each run."""
    # the times of runs with the same data set and offline algorithm are the best estimate: runs/TASK/OFFLINE/SEEDS
    known = [
        (job.folder.parts[-3:-1], run.name, run.status.took)
        for job in jobs
        for run in job.runs
        if run.state == "done" and run.status.took
    ]

    def left(job: JobState, run: RunState) -> TimeLeft | None:
        if run.state == "done":
            return None
        model = most_alike(job.folder.parts[-3:-1], [(kind, took) for kind, name, took in known if name == run.name])
        found = run_left(run.status.took, run.status.left, model)
        since = (run.age or 0.0) if run.alive else 0.0
        return TimeLeft(max(0.0, found.seconds - since), found.at_least)

    return tuple(
        dataclasses.replace(job, runs=tuple(dataclasses.replace(run, left=left(job, run)) for run in job.runs))
        for job in jobs
    )


def most_alike(kind: Sequence[Any], known: Sequence[tuple[Sequence[Any], Mapping[str, float]]]) -> Mapping | None:
    """Returns the entry of ``known`` (pairs of a kind and seconds by stage) whose kind is most similar to ``kind``; or
    None.
    """
    best = max(known, key=lambda pair: sum(a == b for a, b in zip(kind, pair[0], strict=True)), default=None)
    return best[1] if best else None


def run_left(took: Mapping[str, float], told: TimeLeft | None, model: Mapping[str, float] | None) -> TimeLeft:
    """Returns the estimated time that a run still takes.

    Args:
      took: its seconds so far, by stage.
      told: the run's own estimate; None if there is none.
      model: seconds by stage of a similar run that is done, or None.
    """
    model = {stage: seconds for stage, seconds in (model or {}).items() if stage != COMPILATION}
    if told is None:
        so_far = sum(seconds for stage, seconds in took.items() if stage != COMPILATION)
        return TimeLeft(max(0.0, sum(model.values()) - so_far), not model)
    if not told.at_least or not model:
        return told
    return TimeLeft(told.seconds + sum(seconds for stage, seconds in model.items() if stage not in took))


def _read_job(sweep: Path, entry: Mapping[str, Any], now: float) -> JobState:
    folder = sweep / str(entry["folder"])
    title = str(entry.get("title") or entry["folder"])
    try:
        return _read_files(folder, title, entry, now)
    except (OSError, ValueError) as error:  # an invalid file name, or a folder without permission to read
        why = f"its files cannot be read ({first_line(error)})"
        return JobState(title, folder, (RunState("?", "damaged", why=why),))


def _read_files(folder: Path, title: str, entry: Mapping[str, Any], now: float) -> JobState:
    runs = [str(name) for name in _list(entry.get("runs"))]
    if not runs:
        there = {name for path in folder.glob("*") if path.is_dir() and (name := RunName.parse(path.name))}
        begins = {RunName("offline", "", name.checkpoint) for name in there} or {RunName("offline")}
        runs = [str(name) for name in sorted(there | begins, key=lambda name: name.order)]
    curves = {path.name: read_json(path) for path in sorted(folder.glob("curve-*.json"))}
    states = tuple(_read_run(folder, name, now, curves) for name in runs)
    # a failed run records its own error; a run that is active or done is newer than error.txt
    over = all(run.state == "done" for run in states) or any(run.alive or run.state == "failed" for run in states)
    return JobState(title, folder, states, "" if over else _error_message(folder / "error.txt"))


def _read_run(job: Path, name: str, now: float, curves: Mapping[str, Mapping[str, Any]]) -> RunState:
    folder = job / name
    status, held = read_status(folder), in_use(folder / ".lock")
    # another host's clock, or a clock that was reset, can be ahead of this one
    age = None if status.time is None or status.time > now + 5 else max(0.0, now - status.time)
    said = status.state
    part = RunName.parse(name)
    if part and part.kind == "online" and (job / part.curve).exists() and not (held and said == "running"):
        said = "done"
    owner = read_json(folder / "owner.json")
    elsewhere = owner.get("host") not in (None, platform.node())
    gone = not held and held is not None and not (elsewhere and (age is None or age < SILENT))
    why = ""
    if said == "done":
        state = "done"
    elif held and said != "running":
        state = "starting"
    elif said == "running":
        state = "died" if gone else "running"
    elif said in ("stopped", "failed"):
        state = said
    elif status.found:
        state, why = "damaged", "status.json cannot be read; repeat the command to resume from the newest snapshot"
    elif owner:
        state = "died" if gone else "starting"
    else:
        state = "left"
    if state == "died":
        why = "its process ended unexpectedly; repeat the command to resume"
    if state == "failed":
        why = status.error or "no error was recorded"
    measured = _last_of_curves(part, curves) if part and state == "done" else None
    last_return = status.last_return if measured is None else measured
    return RunState(name, state, status, None, last_return, age, why)


def _last_of_curves(run: RunName, curves: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Returns the last return of a run in the learning curves of its job: the mean over seeds with a finite return."""
    for file, curve in curves.items():
        of = RunName.of_curve(file)
        if of is None or of.checkpoint != run.checkpoint or (run.kind == "online" and of != run):
            continue
        seeds = _list(curve.get(f"{run.kind}_returns"))
        last = [finite_number(of_seed[-1]) for of_seed in seeds if isinstance(of_seed, list) and of_seed]
        finite = [value for value in last if value is not None]
        if finite:
            return sum(finite) / len(finite)
    return None


def in_use(lock: Path) -> bool | None:
    """Returns whether a process holds a lock; None if the file system does not tell.

    The lock is acquired in shared mode, so that several readers do not disturb each other, and released at once.
    """
    try:
        descriptor = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return True if error.errno in (errno.EAGAIN, errno.EACCES) else None
    finally:
        os.close(descriptor)
    return False


def _error_message(path: Path) -> str:
    """Returns the message of the error at the end of a traceback's file; empty if there is no such file."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    begins = max((i for i, line in enumerate(lines) if line.startswith("Traceback ")), default=-1)
    said = [line for line in lines[begins + 1 :] if line.strip() and not line.startswith(" ")]
    return first_line(said[0]) if said else "error.txt holds no message"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
