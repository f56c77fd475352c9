"""How fast a run goes, and how long it still takes: measured stage by stage, without the time of compilation.

Stages differ in speed by a factor of ten and more (a warm start only collects, an evaluation is no training), so each
has its own rate, taken from its newest chunks.
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
"""Measurements of a stage that its rate is the mean of."""


class TimeLeft(NamedTuple):
    """How long something still takes.

    Attributes:
      seconds: of the stages whose rate is known.
      at_least: whether a stage to come is left out, since its rate is not known yet.
    """

    seconds: float = 0.0
    at_least: bool = False

    @property
    def known(self) -> bool:
        """Whether there is anything to say."""
        return self.seconds > 0 or not self.at_least

    @property
    def text(self) -> str:
        """``12 min``, ``12 min+`` where a stage is left out; empty where there is nothing to wait for, or to say."""
        return f"{duration(self.seconds)}{'+' if self.at_least else ''}" if 0 < self.seconds < math.inf else ""

    @property
    def words(self) -> str:
        """The same within a sentence: ``12 min``, ``at least 12 min``."""
        return f"{'at least ' if self.at_least else ''}{duration(self.seconds)}" if 0 < self.seconds < math.inf else ""

    def __add__(self, other: TimeLeft) -> TimeLeft:  # type: ignore[override]
        return TimeLeft(self.seconds + other.seconds, self.at_least or other.at_least)


class Standing(NamedTuple):
    """How far a run is: what the progress bar, the log and ``status.json`` show.

    Attributes:
      phase: what it is at.
      done, total: steps of that phase.
      doing: training, compilation or evaluation.
      rate: steps a second, of what it is at.
      phase_left: of this phase, its evaluations included.
      run_left: of the whole run.
      took: seconds so far, by stage.
      last_return: of the newest evaluation, the mean over seeds.
      diverged: seeds that have, and at which step.
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
    """Measures what a step of each stage takes.

    Args:
      took: of earlier processes of the same run, seconds.
      clock: gives seconds.

    Attributes:
      took: by stage, seconds so far; those of compilation apart.
    """

    def __init__(self, took: Mapping[str, float] | None = None, clock: Callable[[], float] = time.monotonic):
        self.took = dict(took or {})
        self._clock = clock
        self._recent: dict[str, deque[tuple[int, float]]] = {}
        self._compiling_since: float | None = None
        self._compiled = 0.0

    def compiling(self, begins: bool) -> None:
        """Says that the compilation of a program begins or ends (:func:`smac_jax.train.compilation.listening`)."""
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
        """Takes the time of what is done inside for that of so many steps of a stage."""
        began, compiled = self._clock(), self._compiled
        yield
        self.add(stage, steps, self._clock() - began - (self._compiled - compiled))

    def add(self, stage: str, steps: int, seconds: float) -> None:
        """Says that so many steps of a stage took so many seconds."""
        self.took[stage] = self.took.get(stage, 0.0) + seconds
        if steps > 0:
            self._recent.setdefault(stage, deque(maxlen=RECENT)).append((steps, seconds))

    def seconds_per_step(self, stage: str) -> float | None:
        """Of the newest measurements of a stage; None where there is none."""
        recent = self._recent.get(stage)
        return sum(seconds for _, seconds in recent) / sum(steps for steps, _ in recent) if recent else None

    def rate(self, stage: str) -> float | None:
        """Steps a second of a stage."""
        seconds = self.seconds_per_step(stage)
        return 1.0 / seconds if seconds else None

    def left(self, ahead: Mapping[str, int]) -> TimeLeft:
        """How long so many steps of each stage will take."""
        found = TimeLeft()
        for stage, steps in ahead.items():
            seconds = self.seconds_per_step(stage)
            found += TimeLeft(0.0, steps > 0) if seconds is None else TimeLeft(steps * seconds)
        return found
