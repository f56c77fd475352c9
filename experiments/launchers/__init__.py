"""Where blocks run: each launcher is a function of them, in a file of its own, with its flags.

Nothing here imports JAX until blocks run: a mistyped flag is refused at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.launchers import local, on_ray, on_slurm
from experiments.launchers.base import Failure

if TYPE_CHECKING:
    from experiments.block import Keeping
    from experiments.grid import Block

__all__ = ["LAUNCHERS", "Failure"]

LAUNCHERS: dict[str, Callable[[Sequence["Block"], "Keeping", Path], list[Failure] | None]] = {
    "local": local.launch,
    "ray": on_ray.launch,
    "slurm": on_slurm.launch,
}
"""Each takes the blocks, how they are kept, and the sweep's folder; gives None where it did not wait for them."""
