"""Where jobs run: each launcher is a function of them, in a file of its own, with its flags.

Nothing here imports JAX until jobs run: a mistyped flag is refused at once.
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
"""Each takes the jobs, how they are kept, and the sweep's folder; gives None where it did not wait for them."""
