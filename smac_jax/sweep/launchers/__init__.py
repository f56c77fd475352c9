"""The launchers of a sweep's jobs. Each launcher is a function of the jobs, in its own file together with its flags.

These modules do not import JAX until jobs run, so that a mistyped flag is reported at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from smac_jax.sweep.launchers import local, ray, slurm
from smac_jax.sweep.launchers.base import Failure

if TYPE_CHECKING:
    from smac_jax.sweep.grid import Job
    from smac_jax.sweep.job import CheckpointOptions

__all__ = ["LAUNCHERS", "Failure"]

LAUNCHERS: dict[str, Callable[[Sequence["Job"], "CheckpointOptions", Path], list[Failure] | None]] = {
    "local": local.launch,
    "ray": ray.launch,
    "slurm": slurm.launch,
}
"""Each takes the jobs, their checkpoint options and the sweep's folder. It returns the jobs that failed, or None if it
does not wait for the jobs."""
