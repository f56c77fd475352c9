"""In this process, one block after the other, each with all devices."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from experiments.block import Keeping
from experiments.grid import Block
from experiments.launchers.base import Failure, carry_out
from experiments.state import NoSweepError, duration, read_sweep
from smac_jax.train.interrupts import Interrupts
from smac_jax.train.progress import Progress


def launch(blocks: Sequence[Block], keeping: Keeping, results: Path) -> list[Failure]:
    """Carries out the blocks; one that fails does not stop the others.

    Raises:
      Interrupted: SIGTERM or SIGINT came; all is saved.
    """
    with Progress() as bar, Interrupts() as interrupts:
        outcomes = []
        for i, block in enumerate(blocks):
            bar.part(block.title, i + 1, len(blocks), _time_left(results) if i else "")
            outcomes.append(carry_out(block, keeping, bar, interrupts))
    return [outcome for outcome in outcomes if outcome]


def _time_left(results: Path) -> str:
    """Of the whole sweep, in parentheses; empty where its files do not say."""
    with contextlib.suppress(NoSweepError, OSError, ValueError):
        left = read_sweep(results).left
        at_least = "at least " if left.at_least else ""
        return f"({at_least}{duration(left.seconds)} left in all)" if left.seconds else ""
    return ""
