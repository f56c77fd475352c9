"""What launchers have in common."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import NamedTuple

from experiments.grid import Block


class Failure(NamedTuple):
    """A block that could not be carried out, and why."""

    title: str
    error: str


def failure_of(block: Block, error: BaseException) -> Failure:
    """Notes an error in ``error.txt`` of the block, with where it came from, and as a line."""
    from smac_jax.errors import SmacError
    from smac_jax.train.snapshots import first_line

    text = "".join(traceback.format_exception(error))
    path = Path(block.folder) / "error.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError:
        return Failure(block.title, first_line(error))
    return Failure(block.title, str(error) if isinstance(error, SmacError) else f"{first_line(error)} (see {path})")
