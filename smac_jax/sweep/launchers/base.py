"""What launchers have in common."""

from __future__ import annotations

import importlib
import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from smac_jax import plugins
from smac_jax.errors import ConfigError, SmacError
from smac_jax.runs.interrupts import Interrupted, Interrupts

if TYPE_CHECKING:
    from smac_jax.sweep.grid import Job
    from smac_jax.sweep.job import CheckpointOptions
    from smac_jax.train.progress import Progress


class Failure(NamedTuple):
    """A job that could not be carried out, and why."""

    title: str
    error: str


def failure_of(job: Job, error: BaseException) -> Failure:
    """Notes an error in ``error.txt`` of the job, with where it came from, and as a line."""
    from smac_jax.runs.snapshots import first_line

    text = "".join(traceback.format_exception(error))
    path = Path(job.folder) / "error.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError:
        return Failure(job.title, first_line(error))
    if isinstance(error, SmacError):
        return Failure(job.title, str(error))
    said = plugins.line_of(error) if plugins.is_of_a_plugin(error) else first_line(error)
    return Failure(job.title, f"{said} (see {path})")


def run_job(
    job: Job, options: CheckpointOptions, progress: Progress | bool, interrupts: Interrupts | None = None
) -> None:
    """:func:`smac_jax.sweep.job.run_job`."""
    from smac_jax.sweep.job import run_job

    run_job(job, options, progress, interrupts)


def run_jobs(job: Job, options: CheckpointOptions, bar: Progress, interrupts: Interrupts) -> Failure | None:
    """Trains what is left of a job; what goes wrong is noted, and the other jobs have nothing to do with it.

    Raises:
      Interrupted: asked to stop; all is saved.
    """
    try:
        (job.folder / "error.txt").unlink(missing_ok=True)
        run_job(job, options, bar, interrupts)
    except Interrupted:
        raise
    except Exception as error:  # any: see above
        return failure_of(job, error)
    return None


def run_jobs_here(job: Job, options: CheckpointOptions, interrupts: Interrupts, threads: int) -> Failure | None:
    """The same in a process of its own, which somebody else's machine may run beside other jobs.

    Args:
      job, options: what to do.
      interrupts: asks to save and stop.
      threads: of the CPU; all that compute, before JAX computes anything.
    """
    from smac_jax.sweep.program import set_up
    from smac_jax.train.progress import Progress

    os.environ |= {"NPROC": str(threads), "OMP_NUM_THREADS": str(threads)}  # NPROC: XLA's and, through it, MuJoCo's
    set_up()
    with Progress() as bar:
        return run_jobs(job, options, bar, interrupts)


def need(module: str, extra: str) -> Any:
    """Imports what only one launcher needs.

    Raises:
      ConfigError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"--launcher={extra} needs {module} ({error}): pip install '{module}', or pip install -e '.[{extra}]'."
        ) from error


def pairs(name: str, texts: list[str]) -> dict[str, str]:
    """``["a=1"]`` as ``{"a": "1"}``.

    Args:
      name: of the flag.
      texts: its values.

    Raises:
      ConfigError: not of that form.
    """
    for text in texts:
        if not all(text.partition("=")):
            raise ConfigError(f"--{name}={text}: must be KEY=VALUE.")
    return dict(text.split("=", 1) for text in texts)
