"""NumPy arrays in orbax, each process's own.

Orbax's handlers take a NumPy array for the same in every process, and let the first one write it; under
``jax.distributed`` the others' seeds would be lost. This one writes what it is given, in whatever process. Whole or not
at all, in the background, the newest few: all that stays orbax's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

FILE = "arrays.npz"


def single_process_options() -> ocp.options.MultiprocessingOptions:
    """What tells orbax that each process of a distributed run saves what is its own, and waits for nobody."""
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    process = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=process, active_processes={process}, barrier_sync_key_prefix=str(process)
    )


class ArraysHandler(ocp.AsyncCheckpointHandler):
    """Keeps ``{name: array}`` as one uncompressed ``.npz`` of their bytes; types and shapes are the caller's."""

    async def async_save(self, directory: Any, args: ArraysSave) -> list[ocp.future.Future]:
        """Writes in a thread; the arrays must not change meanwhile."""

        async def write() -> None:
            numbers = {name: np.ascontiguousarray(x).reshape(-1).view(np.uint8) for name, x in args.arrays.items()}
            with (directory / FILE).open("wb") as file:
                np.savez(file, allow_pickle=False, **numbers)

        return [ocp.future.CommitFutureAwaitingContractedSignals(write(), name="arrays")]

    def save(self, directory: Any, *, args: ArraysSave) -> None:
        """The same, and waits."""
        import asyncio

        for written in asyncio.run(self.async_save(directory, args)):
            written.result()

    def restore(self, directory: Any, *, args: ArraysRestore) -> dict[str, np.ndarray]:
        """The arrays, in the types and shapes that are expected of them.

        Raises:
          KeyError, ValueError, OSError: damaged, or other arrays.
        """
        with (directory / FILE).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name].view(x.dtype).reshape(x.shape) for name, x in args.like.items()}


@ocp.args.register_with_handler(ArraysHandler, for_save=True)
@dataclasses.dataclass
class ArraysSave(ocp.args.CheckpointArgs):
    """What to save."""

    arrays: Mapping[str, np.ndarray]


@ocp.args.register_with_handler(ArraysHandler, for_restore=True)
@dataclasses.dataclass
class ArraysRestore(ocp.args.CheckpointArgs):
    """What to expect: anything with a ``dtype`` and a ``shape`` under each name."""

    like: Mapping[str, Any]
