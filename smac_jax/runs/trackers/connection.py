"""A tracker and what it has been told: each point of a run once, over all processes of the run."""

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
"""The project of runs whose user names none."""


def default_trackers() -> tuple[str, ...]:
    """TensorBoard's files where tensorboardX is installed."""
    return ("tensorboard",) if importlib.util.find_spec("tensorboardX") is not None else ()


class Connection:
    """One tracker of one run.

    Attributes:
      is_open: whether the tracker can be told.
      held: how many points of the run it has; None before it was open.

    Args:
      tracker: the name of one, or one.

    Raises:
      UnknownNameError: there is none of this name.
      RegistrationError: it lacks a function of :class:`Tracker`.
      ConfigError: its package is missing, or its class raises another error.
    """

    def __init__(self, tracker: str | Tracker):
        self.name = tracker if isinstance(tracker, str) else type(tracker).__name__
        self._tracker = _made(tracker) if isinstance(tracker, str) else tracker
        for function in FUNCTIONS:
            if not callable(getattr(self._tracker, function, None)):
                raise RegistrationError(
                    f"The tracker {self.name!r} is {of_value(self._tracker)}, which has no function {function!r}. It "
                    f"needs: {', '.join(FUNCTIONS)} (smac_jax.extend.Tracker says what they are given)."
                )
        self.is_open = False
        self.held: int | None = None

    def open(self, run: TrackedRun) -> None:
        """Opens the tracker where it is not open.

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
        """Passes on the point number ``index`` of the run, where the tracker does not have it.

        Raises:
          TrackerError: the tracker raised an error. It is closed then.
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
        """Closes the tracker; what goes wrong then concerns nobody."""
        if self.is_open:
            self.is_open = False
            with contextlib.suppress(Exception):
                self._tracker.close()


def connections(trackers: Sequence[str | Tracker] | None) -> list[Connection]:
    """A connection for each tracker, none of which is open.

    Args:
      trackers: names of trackers, or trackers; None: :func:`default_trackers`.

    Raises:
      UnknownNameError, RegistrationError: as for :class:`Connection`.
      ConfigError: as for :class:`Connection`; or one name instead of a list, or a name that is given twice.
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
        raise ConfigError(f"The tracker {name!r} cannot be made: {plugins.line_of(error)}") from error


def _count(held: Any) -> int:
    if isinstance(held, bool) or not isinstance(held, int) or held < 0:
        raise ValueError(f"open() returned {of_value(held)}, and must return how many points are there, such as 0")
    return held
