"""In this process, one block after the other, each with all devices."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.block import Keeping, run_block
from experiments.grid import Block
from experiments.launchers.base import Failure, failure_of
from smac_jax.train.interrupts import Interrupted, Interrupts
from smac_jax.train.progress import Progress


def launch(blocks: Sequence[Block], keeping: Keeping) -> list[Failure]:
    """Carries out the blocks; one that fails does not stop the others.

    Raises:
      Interrupted: SIGTERM or SIGINT came; all is saved.
    """
    failures = []
    with Progress() as bar, Interrupts() as interrupts:
        for i, block in enumerate(blocks):
            bar.part(block.title, i + 1, len(blocks))
            try:
                run_block(block, keeping, bar, interrupts)
            except Interrupted:
                raise
            except Exception as error:  # any: the other blocks have nothing to do with it
                failures.append(failure_of(block, error))
    return failures
