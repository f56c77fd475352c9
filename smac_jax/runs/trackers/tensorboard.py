"""TensorBoard: event files in the folder of the run. ``tensorboard --logdir FOLDER`` shows them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from typing import Any

from smac_jax.runs.trackers.base import TrackedRun, require


class TensorBoard:
    """Writes ``tensorboard/`` in the folder of the run. A resumed run writes it again, so that each step is there once.

    Raises:
      ConfigError: tensorboardX is not installed.
    """

    def __init__(self) -> None:
        require("tensorboardX", "tensorboard")
        self._writer: Any = None

    def open(self, run: TrackedRun) -> int:
        """Deletes the files of earlier processes. The first point creates new ones, so a full disk ends no run."""
        self._folder = run.folder / "tensorboard"
        shutil.rmtree(self._folder, ignore_errors=True)
        return 0

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes a point to disk."""
        # not SummaryWriter: after an error its thread ends, and later every tenth point would wait for it forever
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._writer = EventsWriter(str(self._folder / "events"))
        for name, value in metrics.items():
            self._writer.write_event(Event(wall_time=time.time(), step=step, summary=scalar(name, value)))
        self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
