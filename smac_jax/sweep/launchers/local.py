"""The local launcher: runs the jobs in this process, one after the other, each on all devices."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from smac_jax.runs.interrupts import Interrupts
from smac_jax.sweep.launchers.base import Failure, try_job
from smac_jax.sweep.state import NoSweepError, read_sweep

if TYPE_CHECKING:
    from smac_jax.sweep.grid import Job
    from smac_jax.sweep.job import CheckpointOptions


def launch(jobs: Sequence[Job], options: CheckpointOptions, results: Path) -> list[Failure]:
    """Runs the jobs; one that fails does not stop the others.

    Raises:
      Interrupted: the process received SIGTERM or SIGINT; the state is saved.
    """
    from smac_jax.train.progress import Progress

    with Progress() as bar, Interrupts() as interrupts:
        outcomes = []
        for i, job in enumerate(jobs):
            bar.part(job.title, i + 1, len(jobs), _time_left(results) if i else "")
            outcomes.append(try_job(job, options, bar, interrupts))
    return [outcome for outcome in outcomes if outcome]


def _time_left(results: Path) -> str:
    """Returns the time left of the sweep, in parentheses; empty if it is unknown."""
    with contextlib.suppress(NoSweepError, OSError, ValueError):
        left = read_sweep(results).left.words
        return f"({left} left in total)" if left else ""
    return ""
