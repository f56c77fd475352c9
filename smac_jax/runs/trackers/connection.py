"""The connection of a run to a tracker, which logs each point of the run once, over all its processes."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from smac_jax import plugins
from smac_jax.errors import ConfigError, RegistrationError, SmacError, TrackerError
from smac_jax.registry import TRACKERS
from smac_jax.runs.trackers.base import TrackedRun, Tracker
from smac_jax.short_repr import of_value

FUNCTIONS = ("open", "log", "close")
PROJECT = "smac_jax"
"""The default project."""


def default_trackers() -> tuple[str, ...]:
    """TensorBoard, if tensorboardX is installed."""
    return ("tensorboard",) if importlib.util.find_spec("tensorboardX") is not None else ()


class Connection:
    """The connection of a run to one tracker.

    Attributes:
      is_open: whether the tracker is open.
      held: the number of points of the run that the tracker has; None before it was opened.

    Args:
      tracker: a tracker, or the name of one.

    Raises:
      UnknownNameError: the name is not known.
      RegistrationError: the tracker lacks a function of :class:`Tracker`.
      ConfigError: its package is not installed, or its class raises another error.
    """

    def __init__(self, tracker: str | Tracker):
        self.name = tracker if isinstance(tracker, str) else type(tracker).__name__
        self._tracker = _made(tracker) if isinstance(tracker, str) else tracker
        for function in FUNCTIONS:
            if not callable(getattr(self._tracker, function, None)):
                raise RegistrationError(
                    f"The tracker {self.name!r} is {of_value(self._tracker)}, which has no function {function!r}. It "
                    f"needs: {', '.join(FUNCTIONS)} (see smac_jax.extend.Tracker)."
                )
        self.is_open = False
        self.held: int | None = None

    def open(self, run: TrackedRun) -> None:
        """Opens the tracker if it is not open.

        Raises:
          ConfigError: it cannot be opened.
        """
        if self.is_open:
            return
        try:
            self.held = _count(self._tracker.open(run))
        except SmacError:
            raise
        except Exception as error:
            raise ConfigError(f"The tracker {self.name!r} cannot be opened: {plugins.line_of(error)}") from error
        self.is_open = True

    def log(self, index: int, step: int, metrics: Mapping[str, float]) -> None:
        """Logs the point number ``index`` of the run if the tracker is open and does not have it.

        Raises:
          TrackerError: the tracker raised an error. It is closed.
        """
        if not self.is_open or index < (self.held or 0):
            return
        try:
            self._tracker.log(step, metrics)
        except Exception as error:
            self.close()
            raise TrackerError(f"the tracker {self.name!r} raised an error ({plugins.line_of(error)})") from error
        self.held = index + 1

    def close(self) -> None:
        """Closes the tracker, and ignores its errors."""
        if self.is_open:
            self.is_open = False
            with contextlib.suppress(Exception):
                self._tracker.close()


def connections(trackers: Sequence[str | Tracker] | None) -> list[Connection]:
    """A connection for each tracker. None of them is open.

    Args:
      trackers: trackers or their names; None for :func:`default_trackers`.

    Raises:
      UnknownNameError, RegistrationError: as in :class:`Connection`.
      ConfigError: as in :class:`Connection`; a name instead of a list of names; or the same name twice.
    """
    if isinstance(trackers, str):
        raise ConfigError(f"trackers = {trackers!r}: give a list, such as [{trackers!r}].")
    made = [Connection(tracker) for tracker in (default_trackers() if trackers is None else trackers)]
    names = [connection.name for connection in made]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"The tracker {name!r} is given twice.")
    return made


def _made(name: str) -> Any:
    make = TRACKERS[name]
    try:
        return make()
    except SmacError:
        raise
    except Exception as error:
        raise ConfigError(f"The tracker {name!r} cannot be created: {plugins.line_of(error)}") from error


def _count(held: Any) -> int:
    if isinstance(held, bool) or not isinstance(held, int) or held < 0:
        raise ValueError(f"open() returned {of_value(held)}, and must return the number of points that are there")
    return held
