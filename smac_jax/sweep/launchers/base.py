"""Functions that the launchers share."""

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
    """A job that failed, and its error message."""

    title: str
    error: str


def failure_of(job: Job, error: BaseException) -> Failure:
    """Writes an error with its traceback to ``error.txt`` of the job, and returns its message."""
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
    """:func:`smac_jax.sweep.job.run_job`, imported when it is called because it imports JAX."""
    from smac_jax.sweep.job import run_job

    run_job(job, options, progress, interrupts)


def try_job(job: Job, options: CheckpointOptions, bar: Progress, interrupts: Interrupts) -> Failure | None:
    """Trains the runs of a job that are not done. An error is recorded and returned, and does not stop other jobs.

    Raises:
      Interrupted: the process was asked to stop; the state is saved.
    """
    try:
        (job.folder / "error.txt").unlink(missing_ok=True)
        run_job(job, options, bar, interrupts)
    except Interrupted:
        raise
    except Exception as error:  # any: see above
        return failure_of(job, error)
    return None


def run_job_in_worker(job: Job, options: CheckpointOptions, interrupts: Interrupts, threads: int) -> Failure | None:
    """:func:`try_job` in a worker process, which may share its machine with other jobs.

    Args:
      job: the job.
      options: what the job saves.
      interrupts: the signals that ask to save and stop.
      threads: the number of CPU threads. It must be set before JAX computes anything.
    """
    from smac_jax.sweep.program import set_up
    from smac_jax.train.progress import Progress

    os.environ |= {"NPROC": str(threads), "OMP_NUM_THREADS": str(threads)}  # NPROC sets XLA's and MuJoCo's threads
    set_up()
    with Progress() as bar:
        return try_job(job, options, bar, interrupts)


def need(module: str, extra: str) -> Any:
    """Imports a module that only one launcher needs.

    Raises:
      ConfigError: the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"--launcher={extra} needs {module} ({error}): pip install '{module}', or pip install -e '.[{extra}]'."
        ) from error


def pairs(name: str, texts: list[str]) -> dict[str, str]:
    """Parses a flag of ``KEY=VALUE`` pairs: ``["a=1"]`` becomes ``{"a": "1"}``.

    Args:
      name: the name of the flag.
      texts: its values.

    Raises:
      ConfigError: a value does not have this form.
    """
    for text in texts:
        if not all(text.partition("=")):
            raise ConfigError(f"--{name}={text}: must be KEY=VALUE.")
    return dict(text.split("=", 1) for text in texts)
