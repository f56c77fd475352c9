"""Snapshots on disk, through orbax: in the background, whole or not at all, the newest few kept.

Each array's checksum lies beside it, so that a file that was damaged after it was written is noticed, and the snapshot
before is used.
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
      folder: theirs alone.
      keep: how many of the newest ones stay.
    """

    def __init__(self, folder: Path, keep: int = 2):
        self._folder, self._keep = folder.absolute(), keep
        self._manager = self._open()

    def _open(self) -> ocp.CheckpointManager:
        self._folder.mkdir(parents=True, exist_ok=True)
        alone = single_process_options()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=self._keep, create=False, cleanup_tmp_directories=True, multiprocessing_options=alone
        )
        handlers = {
            "arrays": ArraysHandler(),
            "about": ocp.JsonCheckpointHandler(multiprocessing_options=alone),
        }
        logging.getLogger("absl").addFilter(not_of_orbax)
        return ocp.CheckpointManager(self._folder, options=options, item_handlers=handlers)

    def save(self, snapshot: Snapshot) -> None:
        """Begins to save; returns when the arrays are copied, and the run may go on.

        Raises:
          OSError, ValueError: this one, or the one before, could not be written.
        """
        # a copy: orbax writes in the background, and the next chunk is given the arrays' memory
        arrays = named_leaves((snapshot.state, snapshot.diverged))
        leaves = {name: np.array(array) for name, array in arrays.items()}
        # as it will be read: a number of NumPy's anywhere in what was measured must not lose the run
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
        """Returns when all is on disk, or raises what went wrong."""
        self._manager.wait_until_finished()
        self._manager.check_for_errors()

    def close(self) -> None:
        """Ends the background thread."""
        self._manager.close()

    def newest(self, like: Any, layout: Layout, warn: Callable[[str], None]) -> Snapshot | None:
        """The newest snapshot that can be read; damaged ones are set aside, and reported.

        Args:
          like: the state's shapes and types, leaves ``[seed, ...]`` for the seeds that were asked for.
          layout: where the arrays shall lie.
          warn: told of each damaged snapshot.

        Returns:
          None where nothing was ever saved.

        Raises:
          CheckpointError: snapshots are there, but none of them can be read, or they are of another program.
        """
        template = (like, jax.ShapeDtypeStruct((len(layout.seeds),), jnp.int32))
        numbers = sorted(self._manager.all_steps(), reverse=True)
        set_aside = list(self._folder.parent.glob(f"damaged-{self._folder.name}-*"))
        for number in numbers:
            try:
                about, arrays = self._read(number, named_leaves(template), layout)
            except CheckpointError:
                raise
            except Exception as error:  # any: what orbax raises depends on where the damage is
                aside = self._set_aside(number)
                warn(f"snapshot {number} is damaged ({first_line(error)}); it is now {aside}, the one before is used.")
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
                f"{self._folder}: no snapshot can be read. They were kept beside it, under damaged-*; remove "
                f"{self._folder.parent} to start this run from the beginning."
            )
        return None

    def _read(self, number: int, expected: dict[str, Any], layout: Layout) -> tuple[dict[str, Any], Any]:
        """What lies beside the arrays, and the arrays by name; raises whatever, if they are damaged."""
        about = self._manager.restore(number, args=ocp.args.Composite(about=ocp.args.JsonRestore()))["about"]
        if json_checksum({name: value for name, value in about.items() if name != "checksum"}) != about["checksum"]:
            raise ValueError("the checksum of what was measured is not what it was")
        there, here = about["arrays"], {name: [x.dtype.name, list(x.shape)] for name, x in expected.items()}
        if there != here:
            wrong = min(name for name in there | here if there.get(name) != here.get(name))
            raise CheckpointError(
                f"{self._folder}: snapshot {number} is of another program: {wrong} is {there.get(wrong, 'missing')} "
                f"there, and {here.get(wrong, 'missing')} here. Nothing was changed; go on with the version that wrote "
                f"it, or give another folder."
            )
        arguments = ArraysRestore({str(i): x for i, x in enumerate(expected.values())})
        stored = self._manager.restore(number, args=ocp.args.Composite(arrays=arguments))["arrays"]
        arrays = dict(zip(expected, stored.values(), strict=True))
        changed = [name for name, found in checksums(arrays).items() if found != about["checksums"][name]]
        if changed:
            raise ValueError(f"the checksum of {changed[0]} is not what it was")
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
    """Keeps orbax from telling of every file, and pages of what we report in a line."""
    return "orbax" not in record.pathname
