"""Saves snapshots with orbax: asynchronously and atomically; only the newest snapshots are kept.

The checksum of each array is saved with it. If a file was damaged after it was written, the previous snapshot is used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from smac_jax.errors import CheckpointError
from smac_jax.files import as_json, json_checksum
from smac_jax.runs.arrays_handler import ArraysHandler, ArraysRestore, ArraysSave, single_process_options
from smac_jax.runs.history import dump_metrics, load_metrics
from smac_jax.runs.layout import Layout
from smac_jax.runs.snapshots import Position, Snapshot, checksums, first_line, from_named_leaves, named_leaves


class SnapshotStore:
    """The snapshots of one run.

    Args:
      folder: the folder of the snapshots, which holds nothing else.
      keep: the number of newest snapshots to keep.
    """

    def __init__(self, folder: Path, keep: int = 2):
        self._folder, self._keep = folder.absolute(), keep
        self._manager = self._open()

    def _open(self) -> ocp.CheckpointManager:
        self._folder.mkdir(parents=True, exist_ok=True)
        one_process = single_process_options()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=self._keep, create=False, cleanup_tmp_directories=True, multiprocessing_options=one_process
        )
        handlers = {
            "arrays": ArraysHandler(),
            "about": ocp.JsonCheckpointHandler(multiprocessing_options=one_process),
        }
        logging.getLogger("absl").addFilter(not_of_orbax)
        return ocp.CheckpointManager(self._folder, options=options, item_handlers=handlers)

    def save(self, snapshot: Snapshot) -> None:
        """Begins to save a snapshot; returns when its arrays are copied and the run may continue.

        Raises:
          OSError, ValueError: this snapshot or the previous one could not be written.
        """
        # a copy, because orbax writes in the background while the next chunk reuses the arrays' memory
        arrays = named_leaves((snapshot.state, snapshot.diverged))
        leaves = {name: np.array(array) for name, array in arrays.items()}
        # converted to plain values, so that a NumPy number among the metrics cannot make the save fail
        about = as_json(
            {
                "position": [snapshot.position.item, snapshot.position.done],
                "parts": [(length, dump_metrics(values)) for length, values in snapshot.position.parts],
                "history": snapshot.history,
                "arrays": {name: [x.dtype.name, list(x.shape)] for name, x in leaves.items()},
                "checksums": checksums(leaves),
            }
        )
        about["checksum"] = json_checksum(about)
        number = (self._manager.latest_step() or 0) + 1
        arguments = ocp.args.Composite(
            arrays=ArraysSave({str(i): x for i, x in enumerate(leaves.values())}),
            about=ocp.args.JsonSave(about),
        )
        self._manager.save(number, args=arguments, force=True)

    def wait(self) -> None:
        """Waits until the snapshot is on disk, and raises the error if this failed."""
        self._manager.wait_until_finished()
        self._manager.check_for_errors()

    def close(self) -> None:
        """Ends the background thread."""
        self._manager.close()

    def newest(self, like: Any, layout: Layout, warn: Callable[[str], None]) -> Snapshot | None:
        """The newest snapshot that can be read. Damaged snapshots are renamed, with a warning.

        Args:
          like: the shapes and types of the state, with leaves ``[seed, ...]`` without padding.
          layout: the layout of the seeds over devices.
          warn: a function for the warning about each damaged snapshot.

        Returns:
          The snapshot; None if nothing was ever saved.

        Raises:
          CheckpointError: there are snapshots, but none can be read, or another program wrote them.
        """
        template = (like, jax.ShapeDtypeStruct((len(layout.seeds),), jnp.int32))
        numbers = sorted(self._manager.all_steps(), reverse=True)
        set_aside = list(self._folder.parent.glob(f"damaged-{self._folder.name}-*"))
        for number in numbers:
            try:
                about, arrays = self._read(number, named_leaves(template), layout)
            except CheckpointError:
                raise
            except Exception as error:  # any: the errors of orbax depend on the damage
                renamed = self._set_aside(number)
                warn(
                    f"snapshot {number} is damaged ({first_line(error)}) and was renamed to {renamed}; the previous "
                    "snapshot is used."
                )
                continue
            state, diverged = from_named_leaves(template, arrays)
            item, done = about["position"]
            return Snapshot(
                state=layout.shard(state),
                diverged=layout.shard(diverged),
                position=Position(item, done, [(length, load_metrics(values)) for length, values in about["parts"]]),
                history=about["history"],
            )
        if numbers or set_aside:
            raise CheckpointError(
                f"{self._folder}: no snapshot can be read. The damaged ones are beside this folder, as damaged-*. "
                f"Remove {self._folder.parent} to start this run from the beginning."
            )
        return None

    def _read(self, number: int, expected: dict[str, Any], layout: Layout) -> tuple[dict[str, Any], Any]:
        """The description and the arrays of a snapshot; raises various errors if they are damaged."""
        about = self._manager.restore(number, args=ocp.args.Composite(about=ocp.args.JsonRestore()))["about"]
        if json_checksum({name: value for name, value in about.items() if name != "checksum"}) != about["checksum"]:
            raise ValueError("the checksum of its metrics is wrong")
        there, here = about["arrays"], {name: [x.dtype.name, list(x.shape)] for name, x in expected.items()}
        if there != here:
            wrong = min(name for name in there | here if there.get(name) != here.get(name))
            raise CheckpointError(
                f"{self._folder}: snapshot {number} was written by another version of the program: {wrong} is "
                f"{there.get(wrong, 'missing')} in the snapshot and {here.get(wrong, 'missing')} now. Nothing was "
                "changed. Resume with the version that wrote it, or give another folder."
            )
        arguments = ArraysRestore({str(i): x for i, x in enumerate(expected.values())})
        stored = self._manager.restore(number, args=ocp.args.Composite(arrays=arguments))["arrays"]
        arrays = dict(zip(expected, stored.values(), strict=True))
        changed = [name for name, found in checksums(arrays).items() if found != about["checksums"][name]]
        if changed:
            raise ValueError(f"the checksum of {changed[0]} is wrong")
        return about, arrays

    def _set_aside(self, number: int) -> str:
        self._manager.close()
        found = self._folder / str(number)
        aside = self._folder.parent / f"damaged-{self._folder.name}-{number}"
        attempt = 0
        while aside.exists():
            attempt += 1
            aside = aside.with_name(f"damaged-{self._folder.name}-{number}-{attempt}")
        found.rename(aside)
        self._manager = self._open()
        return str(aside)


def not_of_orbax(record: logging.LogRecord) -> bool:
    """A log filter that suppresses orbax's messages, whose errors are reported as one line instead."""
    return "orbax" not in record.pathname
