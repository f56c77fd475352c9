"""An orbax handler for NumPy arrays that differ between processes.

Orbax's own handlers assume that a NumPy array is the same in every process, and let only the first process write it.
Under ``jax.distributed`` the seeds of the other processes would be lost. This handler writes its arrays in every
process. Orbax still provides atomic and asynchronous saves and the removal of old checkpoints.
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
    """Options with which each process of a distributed run saves its own arrays without waiting for the others."""
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    process = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=process, active_processes={process}, barrier_sync_key_prefix=str(process)
    )


class ArraysHandler(ocp.AsyncCheckpointHandler):
    """Saves ``{name: array}`` as one uncompressed ``.npz`` of bytes. The caller must know the types and shapes."""

    async def async_save(self, directory: Any, args: ArraysSave) -> list[ocp.future.Future]:
        """Writes in a thread; the arrays must not be changed in the meantime."""

        async def write() -> None:
            numbers = {name: np.ascontiguousarray(x).reshape(-1).view(np.uint8) for name, x in args.arrays.items()}
            with (directory / FILE).open("wb") as file:
                np.savez(file, allow_pickle=False, **numbers)

        return [ocp.future.CommitFutureAwaitingContractedSignals(write(), name="arrays")]

    def save(self, directory: Any, *, args: ArraysSave) -> None:
        """Writes and waits for the end."""
        import asyncio

        for written in asyncio.run(self.async_save(directory, args)):
            written.result()

    def restore(self, directory: Any, *, args: ArraysRestore) -> dict[str, np.ndarray]:
        """Reads the arrays with the expected types and shapes.

        Raises:
          KeyError, ValueError, OSError: the file is damaged, or has other arrays.
        """
        with (directory / FILE).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name].view(x.dtype).reshape(x.shape) for name, x in args.like.items()}


@ocp.args.register_with_handler(ArraysHandler, for_save=True)
@dataclasses.dataclass
class ArraysSave(ocp.args.CheckpointArgs):
    """The arrays to save."""

    arrays: Mapping[str, np.ndarray]


@ocp.args.register_with_handler(ArraysHandler, for_restore=True)
@dataclasses.dataclass
class ArraysRestore(ocp.args.CheckpointArgs):
    """The expected arrays: for each name an object with a ``dtype`` and a ``shape``."""

    like: Mapping[str, Any]
