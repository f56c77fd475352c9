"""The loop around compiled chunks, the same for both phases: what is done between them is done here."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from smac_jax.envs.host_errors import as_raised_on_host
from smac_jax.runs.folder import Position, RunFolder, Snapshot
from smac_jax.runs.history import History
from smac_jax.runs.pace import COMPILATION, EVALUATION, TRAINING, Pace, Standing
from smac_jax.short_repr import brief
from smac_jax.train.compilation import listening
from smac_jax.train.divergence import NOT_DIVERGED
from smac_jax.train.progress import Progress
from smac_jax.train.sharding import SeedLayout
from smac_jax.types import Sometimes

CHUNK = 500
"""Steps a compiled call, at most: what lies between two movements of the progress bar, and two chances to save."""


class Train(NamedTuple):
    """A stretch of training that makes one point of the metrics.

    Attributes:
      title: on the progress bar, over all stretches of the same title.
      total: steps of all these stretches.
      phase: under which the metrics stand.
      start, stop: steps since the title began.
      offset: the number of the title's first step among all steps of the run.
      shown: what is added to ``stop`` to give the step of the metrics.
      make: compiles a chunk of so many steps, ``(state, diverged, first step, *inputs) -> (state, diverged, metrics)``.
      inputs: what else the chunk takes.
      stride: steps that are done at once; a chunk has a multiple of them.
    """

    title: str
    total: int
    phase: str
    start: int
    stop: int
    offset: int
    shown: int
    make: Callable[[int], Any]
    inputs: tuple[Any, ...]
    stride: int = 1


class Evaluate(NamedTuple):
    """A diagnosis and an evaluation at a step.

    Attributes:
      step: in the metrics.
      rounds: how often the episodes of an ordinary evaluation are run.
    """

    step: int
    rounds: int = 1


def rounds_for(episodes: int, eval_episodes: int) -> int:
    """How many ordinary evaluations have so many episodes, or more."""
    return math.ceil(episodes / eval_episodes)


@dataclasses.dataclass
class Outcome:
    """What is left when a plan is done."""

    state: Any
    diverged: np.ndarray

    __repr__ = brief


def run_plan(
    plan: Sequence[Train | Evaluate],
    begin: Callable[[], Any],
    look: Callable[[Any, Evaluate], bool],
    history: History,
    layout: SeedLayout,
    bar: Progress,
    folder: RunFolder | None,
    frozen: np.ndarray | None = None,
) -> Outcome:
    """Works through a plan, from where an earlier process left it if there is a folder that says so.

    Args:
      plan: what to do, in order.
      begin: makes the state, leaves ``[seed, ...]``.
      look: ``(state, evaluate) -> enough``, writes into the history; ``enough`` drops the rest of the plan.
      history: what is measured, empty.
      layout: of the seeds.
      bar: where progress is shown.
      folder: of the run; None neither saves nor resumes.
      frozen: ``diverged`` of the result that this run goes on from; None where it goes on from none.

    Raises:
      Interrupted: the process was asked to stop; all that was done is saved.
      CheckpointError: what was saved does not fit this run.
    """
    found = folder.restore(begin, layout) if folder else None
    position = found.position if found else Position(0, 0, [])
    if found:
        history.load(found.history)
    if folder:
        folder.begin(history)
    pace = Pace(folder.took if folder else None)
    schedule, length_of = _Schedule(plan, history), chunk_lengths(plan)
    frozen = np.full(len(layout.seeds), NOT_DIVERGED) if frozen is None else frozen
    diverged = layout.shard(jnp.asarray(frozen, jnp.int32)) if found is None else found.diverged
    doing = TRAINING

    def named() -> dict[int, int]:
        steps = np.asarray(layout.unpad(diverged)).tolist()
        return {seed: step for seed, step in zip(layout.seeds, steps, strict=True) if step != NOT_DIVERGED}

    def standing(doing: str) -> Standing:
        return schedule.standing(position, pace, doing)._replace(
            last_return=history.last_return, diverged=named() if folder else {}
        )

    def show(what: str) -> None:
        nonlocal doing
        doing = what
        bar.show(standing(what))
        if folder:
            folder.show(standing(what))

    def compiling(begins: bool) -> None:
        pace.compiling(begins)
        if folder:  # the bar listens itself
            folder.show(standing(COMPILATION if begins else doing))

    def snapshot() -> Snapshot:
        return Snapshot(layout.unpad(state), layout.unpad(diverged), position, history.dump())

    with listening(compiling), as_raised_on_host():
        show(TRAINING)
        state = begin() if found is None else found.state
        chunks: dict[tuple[Callable, int], Any] = {}
        enough = False
        while position.item < len(plan) and not enough:
            item = plan[position.item]
            if isinstance(item, Evaluate):
                show(EVALUATION)
                with pace.measure(EVALUATION, item.rounds):
                    enough = look(state, item)
            else:
                doing = TRAINING
                while item.start + position.done < item.stop:
                    first = item.start + position.done
                    length = min(length_of[item.make], item.stop - first)
                    if (item.make, length) not in chunks:
                        chunks[item.make, length] = item.make(length)
                    chunk = chunks[item.make, length]
                    with pace.measure(item.phase, length):
                        state, diverged, metrics = chunk(state, diverged, item.offset + first, *item.inputs)
                        found_metrics = jax.tree.map(np.asarray, layout.unpad(metrics))
                        of_chunk = measured(found_metrics, np.asarray(layout.unpad(diverged)))
                        parts = [*position.parts, (length, of_chunk)]
                    position = Position(position.item, position.done + length, parts)
                    bar.show(standing(TRAINING))
                    if folder:
                        folder.after_chunk(snapshot, standing(TRAINING))
                history.add(item.phase, item.stop + item.shown, weighted_mean(position.parts))
            position = Position(len(plan) if enough else position.item + 1, 0, [])
            coming = plan[position.item] if position.item < len(plan) else None
            if folder and not isinstance(coming, Evaluate):  # a look adds to the point that the stretch before it made
                folder.log(history)
            if isinstance(item, Evaluate):
                show(TRAINING)  # the return that was just measured
    if folder:
        folder.log(history)  # in case it could not be written before
        folder.finish(snapshot)
    return Outcome(layout.unpad(state), np.asarray(layout.unpad(diverged)))


def chunk_lengths(plan: Sequence[Train | Evaluate]) -> dict[Callable[[int], Any], int]:
    """Steps a compiled call of each kind of chunk: at most :data:`CHUNK`, and if possible such that one program serves.

    A stretch of 1,200 steps in chunks of 500 would compile two programs, of 500 and of 200 steps; in chunks of 400 it
    compiles one.
    """
    stretches: dict[tuple[Callable[[int], Any], int], list[int]] = {}
    for item in plan:
        if isinstance(item, Train):
            stretches.setdefault((item.make, item.stride), []).append((item.stop - item.start) // item.stride)
    found = {}
    for (make, stride), times in stretches.items():
        longest = max(1, CHUNK // stride)
        common = math.gcd(*times)
        divisor = max(n for n in range(1, min(longest, common) + 1) if common % n == 0)
        # short chunks are slow: the host waits between them
        found[make] = stride * (divisor if divisor >= longest // 4 or divisor == max(times) else longest)
    return found


class _Schedule:
    """What of a plan lies ahead at each of its items, for a :class:`~smac_jax.runs.pace.Standing`.

    Args:
      plan: of the run.
      history: of the run, as far as it is done.
    """

    def __init__(self, plan: Sequence[Train | Evaluate], history: History):
        self._history = history
        self._stretches = [item for item in plan if isinstance(item, Train)]
        # of each item, from the last to the first: the stretch whose title is shown there and its steps done; what is
        # left from there on, of the title and in all
        shown: list[tuple[Train, int]] = []
        of_title: list[dict[str, int]] = [{}]
        in_all: list[dict[str, int]] = [{}]
        before = len(self._stretches)
        following: Train | None = None
        for item in reversed(plan):
            if isinstance(item, Train):
                before -= 1
                following = item
                at, done, stage, steps = item, item.start, item.phase, item.stop - item.start
            else:  # an evaluation between two titles is of the one that begins
                at = following or self._stretches[before - 1]
                done, stage, steps = (at.start if following else at.stop), EVALUATION, item.rounds
            same = bool(shown) and shown[-1][0].title == at.title
            of_title.append(_more(of_title[-1] if same else {}, stage, steps))
            in_all.append(_more(in_all[-1], stage, steps))
            shown.append((at, done))
        self._shown, self._of_title, self._in_all = shown[::-1], of_title[:0:-1], in_all[:0:-1]

    def standing(self, position: Position, pace: Pace, doing: str) -> Standing:
        """How far a run is that has come to a position."""
        i = position.item
        if i < len(self._shown):
            (at, done), ahead = self._shown[i], (self._of_title[i], self._in_all[i])
        else:  # done, perhaps before the end of the plan
            ahead = {}, {}
            last = self._history.last_point
            trained_last = (t for t in reversed(self._stretches) if (t.phase, t.stop + t.shown) == last)
            at = next(trained_last, self._stretches[-1])
            done = at.stop
        phase_left, run_left = (pace.left(_more(steps, at.phase, -position.done)) for steps in ahead)
        return Standing(
            phase=at.title,
            done=done + position.done,
            total=at.total,
            doing=doing,
            rate=pace.rate(at.phase),
            phase_left=phase_left,
            run_left=run_left,
            took=dict(pace.took),
        )


def _more(counts: Mapping[str, int], stage: str, steps: int) -> dict[str, int]:
    return {**counts, stage: counts.get(stage, 0) + steps}


def measured(metrics: Mapping[str, Sometimes], diverged: np.ndarray) -> dict[str, np.ndarray]:
    """A chunk's means and counts, ``[2, seed]`` for each metric; the mean is NaN where a seed is frozen."""
    return {
        name: np.stack([np.where(diverged == NOT_DIVERGED, value, np.float32(np.nan)), count])
        for name, (value, count) in metrics.items()
    }


def weighted_mean(parts: Sequence[tuple[int, dict[str, np.ndarray]]]) -> dict[str, np.ndarray]:
    """Mean over chunks ``(length, what was measured)`` of each metric; NaN where no step of any of them had it."""
    means = {}
    for name in parts[0][1]:
        value, count = np.moveaxis(np.stack([found[name] for _, found in parts]), 1, 0)  # [part, seed]
        total = count.sum(axis=0)
        means[name] = np.where(total > 0, (value * count).sum(axis=0) / np.maximum(total, 1), np.float32(np.nan))
    return means
