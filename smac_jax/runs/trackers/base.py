"""The interface of a tracker, which users implement too."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from smac_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told about a run when it begins.

    Attributes:
      name: for people; of a run of a sweep ``TASK/OFFLINE/SEEDS/RUN``. Runs of two sweeps may have the same name.
      id: 16 hexadecimal digits that no other run has. A run that is resumed has the same ones again.
      project: that the run belongs to: ``--project``.
      folder: of the run on disk. A tracker that writes files writes them there, in a folder of its own name.
      config: what the run is: algorithm, configuration, seeds, data, environment, schedule and versions, as JSON has
        them.
      told: how many points earlier processes of this run have logged with this tracker; 0 for a new run.
    """

    name: str
    id: str
    project: str
    folder: Path
    config: Mapping[str, Any]
    told: int = 0


@runtime_checkable
class Tracker(Protocol):
    """Shows the metrics of one run while it trains.

    The points of a run come in the same order in every process, also in one that resumes it after a crash: from the
    first point on, except for those that :meth:`open` says are there. An error in :meth:`log` is a warning, and the
    tracker is opened again after the next chunk of training; what was missed is logged then. It never ends a run.
    """

    def open(self, run: TrackedRun) -> int:
        """Begins to show a run, or continues.

        Returns:
          How many points of this run are there already, which are not logged again: ``run.told`` where what was
          logged stays, 0 where the tracker begins anew, or what a server says.

        Raises:
          Exception: the run cannot be shown. At the beginning of a run, this ends it before anything is trained.
        """

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Shows one point.

        Args:
          step: of the phase that the metrics are of.
          metrics: ``{"PHASE/NAME": mean over the seeds}``, such as ``offline/td_loss`` and ``evaluation/return``. What
            has no finite value is left out.
        """

    def close(self) -> None:
        """Ends the run, or pauses it; what was logged is written when this returns. :meth:`open` may follow."""


def require(package: str, tracker: str) -> None:
    """Checks that the package of a tracker is installed.

    Raises:
      ConfigError: it is not.
    """
    if importlib.util.find_spec(package) is None:
        raise ConfigError(
            f"The tracker {tracker!r} needs the package {package}, which is not installed: pip install {package}"
        )
