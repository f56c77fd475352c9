"""In this process, one job after the other, each with all devices."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from smac_jax.runs.interrupts import Interrupts
from smac_jax.sweep.launchers.base import Failure, run_jobs
from smac_jax.sweep.state import NoSweepError, read_sweep

if TYPE_CHECKING:
    from smac_jax.sweep.grid import Job
    from smac_jax.sweep.job import CheckpointOptions


def launch(jobs: Sequence[Job], options: CheckpointOptions, results: Path) -> list[Failure]:
    """Carries out the jobs; one that fails does not stop the others.

    Raises:
      Interrupted: SIGTERM or SIGINT came; all is saved.
    """
    from smac_jax.train.progress import Progress

    with Progress() as bar, Interrupts() as interrupts:
        outcomes = []
        for i, job in enumerate(jobs):
            bar.part(job.title, i + 1, len(jobs), _time_left(results) if i else "")
            outcomes.append(run_jobs(job, options, bar, interrupts))
    return [outcome for outcome in outcomes if outcome]


def _time_left(results: Path) -> str:
    """Of the whole sweep, in parentheses; empty where its files do not say."""
    with contextlib.suppress(NoSweepError, OSError, ValueError):
        left = read_sweep(results).left.words
        return f"({left} left in all)" if left else ""
    return ""
