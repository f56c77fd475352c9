"""The interface of trackers, which users can implement."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from smac_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class TrackedRun:
    """A run, as a tracker sees it.

    Attributes:
      name: a name for people. In a sweep it is ``TASK/OFFLINE/SEEDS/RUN``, and runs of two sweeps may share it.
      id: 16 hexadecimal digits, which differ between runs. A resumed run keeps them.
      project: the project of the run (``--project``).
      folder: the folder of the run. A tracker that writes files writes them to a subfolder of its own.
      config: the algorithm, its configuration, seeds, data, environment, schedule and versions, as JSON values.
      logged: how many points earlier processes of this run have logged with this tracker; 0 for a new run.
    """

    name: str
    id: str
    project: str
    folder: Path
    config: Mapping[str, Any]
    logged: int = 0


@runtime_checkable
class Tracker(Protocol):
    """Shows the metrics of one run during training.

    Every process of a run, including one that resumes it after a crash, logs the points of the run in the same order.
    It skips those that :meth:`open` says are there already. An error in :meth:`log` causes a warning and does not end
    the run: the tracker is closed, opened again after the next chunk of training, and receives the missing points.
    """

    def open(self, run: TrackedRun) -> int:
        """Starts or resumes a run.

        Returns:
          The number of points of this run that are there already, and will not be logged again: ``run.logged`` if the
          logged points are kept, 0 if the tracker starts again, or the number that a server knows.

        Raises:
          Exception: the run cannot be shown. At the start of a run, it ends the run before anything is trained.
        """

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Logs one point.

        Args:
          step: the step in its phase of training.
          metrics: the mean over the seeds by ``PHASE/NAME``, such as ``offline/td_loss`` and ``evaluation/return``.
            Metrics without a finite value are left out.
        """

    def close(self) -> None:
        """Ends or pauses the run, after everything is written. :meth:`open` may be called again."""


def require(package: str, tracker: str) -> None:
    """Checks that the package of a tracker is installed.

    Raises:
      ConfigError: it is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise ConfigError(
            f"The tracker {tracker!r} needs the package {package}, which is not installed: pip install {package}"
        )
