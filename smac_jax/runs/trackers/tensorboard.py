"""TensorBoard: event files in the run's folder, which ``tensorboard --logdir FOLDER`` shows."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from typing import Any

from smac_jax.runs.trackers.base import TrackedRun, require


class TensorBoard:
    """Writes ``tensorboard/`` in the run's folder; a run that is resumed writes it anew, so that it has each step once.

    Raises:
      ConfigError: tensorboardX is not installed.
    """

    def __init__(self) -> None:
        require("tensorboardX", "tensorboard")
        self._writer: Any = None

    def open(self, run: TrackedRun) -> int:
        """Begins the files anew."""
        # not SummaryWriter: its thread ends at the first error, and then every tenth point waits for it forever
        from tensorboardX.event_file_writer import EventsWriter

        folder = run.folder / "tensorboard"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._writer = EventsWriter(str(folder / "events"))
        return 0

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes a point to the disk."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        for name, value in metrics.items():
            self._writer.write_event(Event(wall_time=time.time(), step=step, summary=scalar(name, value)))
        self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()
