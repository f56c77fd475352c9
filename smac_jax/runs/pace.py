"""The pace of a run and the time left, measured for each stage and without compilation.

The speeds of stages differ by a factor of ten and more (training, warm start, evaluation), so each stage has its own
rate, which is measured over its newest chunks.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from smac_jax.text import duration

TRAINING = "training"
COMPILATION = "compilation"
EVALUATION = "evaluation"
RECENT = 10
"""The number of newest measurements over which the rate of a stage is averaged."""


class TimeLeft(NamedTuple):
    """An estimate of the remaining time.

    Attributes:
      seconds: the time of the stages whose rate is known.
      at_least: whether a stage is left out because its rate is not known yet.
    """

    seconds: float = 0.0
    at_least: bool = False

    @property
    def known(self) -> bool:
        """Whether there is an estimate."""
        return self.seconds > 0 or not self.at_least

    @property
    def text(self) -> str:
        """``12 min``, or ``12 min+`` if a stage is left out; empty if there is no time left or no estimate."""
        return f"{duration(self.seconds)}{'+' if self.at_least else ''}" if 0 < self.seconds < math.inf else ""

    @property
    def words(self) -> str:
        """The text within a sentence: ``12 min``, ``at least 12 min``."""
        return f"{'at least ' if self.at_least else ''}{duration(self.seconds)}" if 0 < self.seconds < math.inf else ""

    def __add__(self, other: TimeLeft) -> TimeLeft:  # type: ignore[override]
        return TimeLeft(self.seconds + other.seconds, self.at_least or other.at_least)


class Standing(NamedTuple):
    """The progress of a run, as the progress bar, the log and ``status.json`` show it.

    Attributes:
      phase: the title of the current phase.
      done, total: the steps of that phase.
      doing: the activity: training, compilation or evaluation.
      rate: steps per second in the current stage.
      phase_left: the time left of this phase, including its evaluations.
      run_left: the time left of the run.
      took: seconds so far, by stage.
      last_return: the mean return of the newest evaluation over seeds.
      diverged: the seeds that have diverged, each with the step.
    """

    phase: str
    done: int
    total: int
    doing: str = TRAINING
    rate: float | None = None
    phase_left: TimeLeft = TimeLeft(0.0, True)
    run_left: TimeLeft = TimeLeft(0.0, True)
    took: Mapping[str, float] = {}
    last_return: float | None = None
    diverged: Mapping[int, int] = {}


class Pace:
    """Measures the time of a step in each stage.

    Args:
      took: seconds of earlier processes of the same run, by stage.
      clock: a function that gives the time in seconds.

    Attributes:
      took: seconds so far, by stage; compilation is a stage of its own.
    """

    def __init__(self, took: Mapping[str, float] | None = None, clock: Callable[[], float] = time.monotonic):
        self.took = dict(took or {})
        self._clock = clock
        self._recent: dict[str, deque[tuple[int, float]]] = {}
        self._compiling_since: float | None = None
        self._compiled = 0.0

    def compiling(self, begins: bool) -> None:
        """Records that a compilation begins or ends; a listener of :func:`smac_jax.train.compilation.listening`."""
        now = self._clock()
        if begins:
            self._compiling_since = now
        elif self._compiling_since is not None:
            seconds = now - self._compiling_since
            self._compiling_since = None
            self._compiled += seconds
            self.took[COMPILATION] = self.took.get(COMPILATION, 0.0) + seconds

    @contextlib.contextmanager
    def measure(self, stage: str, steps: int) -> Iterator[None]:
        """Measures the code inside as a number of steps of a stage."""
        began, compiled = self._clock(), self._compiled
        yield
        self.add(stage, steps, self._clock() - began - (self._compiled - compiled))

    def add(self, stage: str, steps: int, seconds: float) -> None:
        """Adds a measurement: the seconds of a number of steps of a stage."""
        self.took[stage] = self.took.get(stage, 0.0) + seconds
        if steps > 0:
            self._recent.setdefault(stage, deque(maxlen=RECENT)).append((steps, seconds))

    def seconds_per_step(self, stage: str) -> float | None:
        """Seconds per step of a stage, over its newest measurements; None if there are none."""
        recent = self._recent.get(stage)
        return sum(seconds for _, seconds in recent) / sum(steps for steps, _ in recent) if recent else None

    def rate(self, stage: str) -> float | None:
        """Steps per second of a stage."""
        seconds = self.seconds_per_step(stage)
        return 1.0 / seconds if seconds else None

    def left(self, ahead: Mapping[str, int]) -> TimeLeft:
        """The estimated time of a number of steps of each stage."""
        found = TimeLeft()
        for stage, steps in ahead.items():
            seconds = self.seconds_per_step(stage)
            found += TimeLeft(0.0, steps > 0) if seconds is None else TimeLeft(steps * seconds)
        return found
