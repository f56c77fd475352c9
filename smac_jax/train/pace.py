"""How fast a run goes, and when it will be there: from the steps that it reports."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


class Pace:
    """Counts the seconds that each phase takes.

    A phase's rate is over all of it but the first report, so that compilation is left out and evaluations are not.

    Args:
      took: of earlier processes of the same run, seconds.
      clock: gives seconds.

    Attributes:
      took: by phase, seconds so far.
    """

    def __init__(self, took: Mapping[str, float] | None = None, clock: Callable[[], float] = time.monotonic):
        self.took = dict(took or {})
        self._clock = clock
        self._phase: str | None = None
        self._began = self._last = 0.0
        self._before = self._done = self._total = 0

    def report(self, phase: str, done: int, total: int) -> None:
        """Says that so many steps of a phase are done."""
        now = self._clock()
        if phase != self._phase:
            self._phase, self._began, self._last, self._before = phase, now, now, done
        self.took[phase] = self.took.get(phase, 0.0) + now - self._last
        self._last, self._done, self._total = now, done, total

    @property
    def rate(self) -> float | None:
        """Steps a second, from the second report of a phase on."""
        steps, seconds = self._done - self._before, self._last - self._began
        return steps / seconds if steps > 0 and seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Of this phase."""
        rate = self.rate
        return None if rate is None else (self._total - self._done) / rate
