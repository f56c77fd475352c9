"""How far a sweep is, from what its runs have written: while they write it, and whatever is damaged or missing.

Nothing here imports JAX, waits for a run, or changes a file.
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
"""Seconds without news after which a process on another host, whose lock is not seen from here, counts as gone."""

STATES = ("done", "running", "starting", "stopped", "died", "failed", "damaged", "left")
"""Of a run. Starting: a process holds it, and has not told how far it is. Died: a process had it, and ended without a
word. Damaged: its status cannot be read. Left: nothing was done yet."""


class NoSweepError(SmacError):
    """A folder that holds no sweep."""


@dataclasses.dataclass(frozen=True)
class RunState:
    """A run.

    Attributes:
      name: its folder.
      state: one of :data:`STATES`.
      status: what it said last, whatever has become of it since.
      left: how long it still takes, from all that is known; None where it is done.
      last_return: of the newest evaluation, mean over seeds: of a run that is done from its learning curve, as in the
        sweep's table.
      age: seconds since it last told something; None also where its time stamp lies in the future.
      why: what went wrong, a line.
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
        """Whether a process is at work on it."""
        return self.state in ("running", "starting")

    @property
    def rate(self) -> float | None:
        """Steps a second, while it is running."""
        return self.status.rate if self.state == "running" else None

    @property
    def steps_text(self) -> str:
        """How far it is, and what it is doing where that is no training."""
        status = self.status
        if self.state == "left":
            return ""
        return steps_text(status.phase, status.done, status.total, status.doing if self.state == "running" else "")

    @property
    def diverged(self) -> tuple[str, ...]:
        """Seeds that did, with where."""
        part = RunName.parse(self.name)
        phase = part.kind if part else self.name
        return tuple(f"seed {seed}: {phase} at step {step:,}" for seed, step in self.status.diverged.items())

    @property
    def return_text(self) -> str:
        """The last return."""
        return f"{self.last_return:,.1f}" if self.last_return is not None and self.state != "left" else ""


@dataclasses.dataclass(frozen=True)
class JobState:
    """A job.

    Attributes:
      title: for people.
      folder: where it lives.
      runs: its runs, in order.
      why: what made it fail outside of any run; empty where nothing did.
    """

    title: str
    folder: Path
    runs: tuple[RunState, ...]
    why: str = ""

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return all(run.state == "done" for run in self.runs)

    @property
    def failed(self) -> bool:
        """Whether something went wrong that was not tried again since."""
        return bool(self.why) or any(run.state == "failed" for run in self.runs)

    @property
    def diverged(self) -> tuple[str, ...]:
        """Seeds that did, with where."""
        return tuple(note for run in self.runs for note in run.diverged)

    @property
    def troubles(self) -> list[str]:
        """What went wrong, a line each."""
        found = [f"{self.title}: failed: {self.why}"] if self.why else []
        found += [f"{self.title} {run.name}: {run.state}: {run.why}" for run in self.runs if run.why]
        return found + [f"{self.title}: diverged and frozen: {note}" for note in self.diverged]


@dataclasses.dataclass(frozen=True)
class SweepState:
    """A sweep.

    Attributes:
      folder: where it lives.
      jobs: in order.
      provenance: what its newest command wrote; empty where that cannot be read.
      notes: what is wrong with the folder itself.
    """

    folder: Path
    jobs: tuple[JobState, ...]
    provenance: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> Counter[str]:
        """How many runs are in each state."""
        return Counter(run.state for job in self.jobs for run in job.runs)

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return all(job.done for job in self.jobs)

    @property
    def failed(self) -> bool:
        """Whether a job has failed."""
        return any(job.failed for job in self.jobs)

    @property
    def totals(self) -> str:
        """A line."""
        counts = self.counts
        states = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
        done, failed = (sum(getattr(job, name) for job in self.jobs) for name in ("done", "failed"))
        notes = f", {failed} failed" if failed else ""
        diverged = sum(len(job.diverged) for job in self.jobs)
        notes += f"; {count(diverged, 'diverged seed')}" if diverged else ""
        text = f"{done} of {count(len(self.jobs), 'job')} done{notes}. Runs: {states or 'none'}."
        if self.done:
            return text
        at_work = any(run.alive for job in self.jobs for run in job.runs)
        return f"{text} {'Time' if at_work else 'Work'} left: {self.left.words or 'unknown'}."

    @property
    def left(self) -> TimeLeft:
        """How long the whole sweep still takes, with as many jobs at work at once as there are now."""
        of_jobs = [
            sum((run.left for run in job.runs if run.left is not None), TimeLeft()) for job in self.jobs if not job.done
        ]
        at_work = sum(any(run.alive for run in job.runs) for job in self.jobs)
        seconds = [left.seconds for left in of_jobs]
        longest, shared = max(seconds, default=0.0), sum(seconds) / max(1, at_work)
        return TimeLeft(max(longest, shared), any(left.at_least for left in of_jobs))


def read_sweep(folder: Path, now: float | None = None) -> SweepState:
    """Looks at a sweep.

    Args:
      folder: its ``--results``.
      now: the time, in seconds since 1970.

    Raises:
      NoSweepError: there is none.
    """
    now = time.time() if now is None else now
    if not folder.is_dir():
        raise NoSweepError(f"{folder}: there is no such folder.")
    provenance, notes = read_json(folder / "provenance.json"), []
    listed = [entry for entry in _list(provenance.get("jobs")) if isinstance(entry, dict) and entry.get("folder")]
    if not listed:
        if not (folder / "runs").is_dir():
            raise NoSweepError(f"{folder} holds no sweep: neither jobs in provenance.json, nor runs/.")
        notes.append("provenance.json is missing or damaged: what is shown is what lies under runs/.")
        listed = [{"folder": str(found.relative_to(folder))} for found in sorted(folder.glob("runs/*/*/seeds-*"))]
    jobs = _with_time_left([_read_job(folder, entry, now) for entry in listed])
    return SweepState(folder, jobs, provenance, tuple(notes))


def _with_time_left(jobs: Sequence[JobState]) -> tuple[JobState, ...]:
    """The same jobs, each run with the time that it still takes."""
    # runs of jobs of the same data set and offline algorithm say more than others: runs/TASK/OFFLINE/SEEDS
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
    """Seconds by stage of the run, of those that are ``known``, whose kind agrees with ``kind`` in most; or None."""
    best = max(known, key=lambda pair: sum(a == b for a, b in zip(kind, pair[0], strict=True)), default=None)
    return best[1] if best else None


def run_left(took: Mapping[str, float], told: TimeLeft | None, model: Mapping[str, float] | None) -> TimeLeft:
    """How long a run still takes.

    Args:
      took: its seconds so far, by stage.
      told: what it says itself; None where it does not know anything.
      model: seconds by stage of a run like it that is done, or None.
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
    except (OSError, ValueError) as error:  # a name that no file can have; a folder that may not be read
        why = f"its files cannot be looked at ({first_line(error)})"
        return JobState(title, folder, (RunState("?", "damaged", why=why),))


def _read_files(folder: Path, title: str, entry: Mapping[str, Any], now: float) -> JobState:
    runs = [str(name) for name in _list(entry.get("runs"))]
    if not runs:
        there = {name for path in folder.glob("*") if path.is_dir() and (name := RunName.parse(path.name))}
        begins = {RunName("offline", "", name.checkpoint) for name in there} or {RunName("offline")}
        runs = [str(name) for name in sorted(there | begins, key=lambda name: name.order)]
    curves = {path.name: read_json(path) for path in sorted(folder.glob("curve-*.json"))}
    states = tuple(_read_run(folder, name, now, curves) for name in runs)
    # a run that failed says why itself; one that is at work, or done, came after
    over = all(run.state == "done" for run in states) or any(run.alive or run.state == "failed" for run in states)
    return JobState(title, folder, states, "" if over else _last_words(folder / "error.txt"))


def _read_run(job: Path, name: str, now: float, curves: Mapping[str, Mapping[str, Any]]) -> RunState:
    folder = job / name
    status, held = read_status(folder), in_use(folder / ".lock")
    # a clock that was set, or another host's, can be ahead of this one
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
        state, why = "damaged", "status.json cannot be read; the same command goes on from the newest snapshot"
    elif owner:
        state = "died" if gone else "starting"
    else:
        state = "left"
    if state == "died":
        why = "its process ended without a word; the same command goes on"
    if state == "failed":
        why = status.error or "no reason was given"
    measured = _last_of_curves(part, curves) if part and state == "done" else None
    last_return = status.last_return if measured is None else measured
    return RunState(name, state, status, None, last_return, age, why)


def _last_of_curves(run: RunName, curves: Mapping[str, Mapping[str, Any]]) -> float | None:
    """The last return of a run in the learning curves of its job, as tables have it: the mean of finite ones."""
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
    """Whether a process holds a lock; None where the system does not say.

    Takes it, shared with others who look, and lets it go at once.
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


def _last_words(path: Path) -> str:
    """What the error at the end of a traceback says; empty where there is no such file."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    begins = max((i for i, line in enumerate(lines) if line.startswith("Traceback ")), default=-1)
    said = [line for line in lines[begins + 1 :] if line.strip() and not line.startswith(" ")]
    return first_line(said[0]) if said else "error.txt does not say why"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
