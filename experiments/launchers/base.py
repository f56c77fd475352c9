"""What launchers have in common."""

from __future__ import annotations

import importlib
import os
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from experiments.block import Keeping, run_block
from experiments.grid import Block
from smac_jax.errors import ConfigError, SmacError
from smac_jax.train.interrupts import Interrupted, Interrupts
from smac_jax.train.progress import Progress
from smac_jax.train.snapshots import first_line


class Failure(NamedTuple):
    """A block that could not be carried out, and why."""

    title: str
    error: str


def failure_of(block: Block, error: BaseException) -> Failure:
    """Notes an error in ``error.txt`` of the block, with where it came from, and as a line."""
    text = "".join(traceback.format_exception(error))
    path = Path(block.folder) / "error.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError:
        return Failure(block.title, first_line(error))
    return Failure(block.title, str(error) if isinstance(error, SmacError) else f"{first_line(error)} (see {path})")


def carry_out(block: Block, keeping: Keeping, bar: Progress, interrupts: Interrupts) -> Failure | None:
    """Trains what is left of a block; what goes wrong is noted, and the other blocks have nothing to do with it.

    Raises:
      Interrupted: asked to stop; all is saved.
    """
    try:
        (block.folder / "error.txt").unlink(missing_ok=True)
        run_block(block, keeping, bar, interrupts)
    except Interrupted:
        raise
    except Exception as error:  # any: see above
        return failure_of(block, error)
    return None


def carry_out_here(block: Block, keeping: Keeping, interrupts: Interrupts, threads: int) -> Failure | None:
    """The same in a process of its own, which somebody else's machine may run beside other blocks.

    Args:
      block, keeping: what to do.
      interrupts: asks to save and stop.
      threads: of the CPU; all that compute, before JAX computes anything.
    """
    from experiments.setup import set_up

    os.environ |= {"NPROC": str(threads), "OMP_NUM_THREADS": str(threads)}  # NPROC: XLA's and, through it, MuJoCo's
    set_up()
    with Progress() as bar:
        return carry_out(block, keeping, bar, interrupts)


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
