"""Where blocks run: each launcher is a function of them, in a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from experiments.block import Keeping
from experiments.grid import Block
from experiments.launchers import local, on_ray, on_slurm
from experiments.launchers.base import Failure

__all__ = ["LAUNCHERS", "Failure"]

LAUNCHERS: dict[str, Callable[[Sequence[Block], Keeping], list[Failure]]] = {
    "local": local.launch,
    "ray": on_ray.launch,
    "slurm": on_slurm.launch,
}
