"""The host's loop of offline and online training, which runs compiled chunks, evaluates, saves and resumes."""

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
"""The largest number of steps of a compiled call. Progress is shown, and a run can be saved, between two calls."""


class Train(NamedTuple):
    """Some steps of training, whose mean metrics become one point of the history.

    Attributes:
      title: the title on the progress bar, which consecutive items share.
      total: the number of steps of all items with this title.
      phase: the phase of the metrics.
      start, stop: the range of steps, counted from the first step with this title.
      offset: the index of the title's first step among all steps of the run.
      shown: the number to add to ``stop`` to get the step of the metrics.
      make: compiles a chunk of a given number of steps, ``(state, diverged, first step, *inputs) -> (state, diverged,
        metrics)``.
      inputs: the further inputs of the chunk.
      stride: the number of steps that are done together; the length of a chunk is a multiple of it.
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
    """An evaluation, with diagnostics.

    Attributes:
      step: the step in the metrics.
      rounds: how often the evaluator is run.
    """

    step: int
    rounds: int = 1


def rounds_for(episodes: int, eval_episodes: int) -> int:
    """How often an evaluation of ``eval_episodes`` must be repeated to have at least ``episodes`` episodes."""
    return math.ceil(episodes / eval_episodes)


@dataclasses.dataclass
class Outcome:
    """The final state of a plan, and the steps of divergence of its seeds."""

    state: Any
    diverged: np.ndarray

    __repr__ = brief


def run_plan(
    plan: Sequence[Train | Evaluate],
    begin: Callable[[], Any],
    evaluate_at: Callable[[Any, Evaluate], bool],
    history: History,
    layout: SeedLayout,
    bar: Progress,
    folder: RunFolder | None,
    frozen: np.ndarray | None = None,
) -> Outcome:
    """Runs a plan; resumes from the newest snapshot if the run's folder has one.

    Args:
      plan: the items, in order.
      begin: makes the initial state, with leaves ``[seed, ...]``.
      evaluate_at: ``(state, item) -> stop`` evaluates and writes into the history; ``stop`` skips the rest of the plan.
      history: an empty history, to which metrics are added.
      layout: the layout of the seeds over devices.
      bar: the progress display.
      folder: the run's folder; None neither saves nor resumes.
      frozen: ``diverged`` of the result from which this run continues; None if there is none.

    Raises:
      Interrupted: the process was asked to stop; the state is saved.
      CheckpointError: the snapshot does not fit this run.
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
        if folder:  # the bar has its own listener
            folder.show(standing(COMPILATION if begins else doing))

    def snapshot() -> Snapshot:
        return Snapshot(layout.unpad(state), layout.unpad(diverged), position, history.dump())

    with listening(compiling), as_raised_on_host():
        show(TRAINING)
        state = begin() if found is None else found.state
        chunks: dict[tuple[Callable, int], Any] = {}
        stop = False
        while position.item < len(plan) and not stop:
            item = plan[position.item]
            if isinstance(item, Evaluate):
                show(EVALUATION)
                with pace.measure(EVALUATION, item.rounds):
                    stop = evaluate_at(state, item)
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
            position = Position(len(plan) if stop else position.item + 1, 0, [])
            following = plan[position.item] if position.item < len(plan) else None
            if folder and not isinstance(following, Evaluate):  # an evaluation adds to the point of the training before
                folder.log(history)
            if isinstance(item, Evaluate):
                show(TRAINING)  # shows the new return
    if folder:
        folder.log(history)  # in case an earlier attempt to write it failed
        folder.finish(snapshot)
    return Outcome(layout.unpad(state), np.asarray(layout.unpad(diverged)))


def chunk_lengths(plan: Sequence[Train | Evaluate]) -> dict[Callable[[int], Any], int]:
    """Returns the number of steps in a compiled call of each kind of chunk: at most :data:`CHUNK`.

    If possible, one compiled program is enough: 1,200 steps in chunks of 500 would need two programs (500 and 200
    steps), but in chunks of 400 they need one.
    """
    lengths: dict[tuple[Callable[[int], Any], int], list[int]] = {}
    for item in plan:
        if isinstance(item, Train):
            lengths.setdefault((item.make, item.stride), []).append((item.stop - item.start) // item.stride)
    found = {}
    for (make, stride), calls in lengths.items():
        longest = max(1, CHUNK // stride)
        common = math.gcd(*calls)
        divisor = max(n for n in range(1, min(longest, common) + 1) if common % n == 0)
        # short chunks are slow, because the host synchronizes after each one
        found[make] = stride * (divisor if divisor >= longest // 4 or divisor == max(calls) else longest)
    return found


def _nothing(length: int) -> Any:
    raise AssertionError("a plan without training compiles no training")


_NO_TRAINING = Train("evaluation", 0, EVALUATION, 0, 0, 0, 0, _nothing, ())


class _Schedule:
    """The remaining steps of a plan at each of its items, for a :class:`~smac_jax.runs.pace.Standing`.

    Args:
      plan: the plan of the run.
      history: the history of the run.
    """

    def __init__(self, plan: Sequence[Train | Evaluate], history: History):
        self._history = history
        self._training = [item for item in plan if isinstance(item, Train)] or [_NO_TRAINING]
        # for each item, from the last to the first: the training item whose title is shown and its completed steps; and
        # the remaining steps of the title and of the plan
        shown: list[tuple[Train, int]] = []
        of_title: list[dict[str, int]] = [{}]
        of_plan: list[dict[str, int]] = [{}]
        before = len(self._training)
        following: Train | None = None
        for item in reversed(plan):
            if isinstance(item, Train):
                before -= 1
                following = item
                at, done, stage, steps = item, item.start, item.phase, item.stop - item.start
            else:  # an evaluation between two titles belongs to the second one
                at = following or self._training[before - 1]
                done, stage, steps = (at.start if following else at.stop), EVALUATION, item.rounds
            same = bool(shown) and shown[-1][0].title == at.title
            of_title.append(_more(of_title[-1] if same else {}, stage, steps))
            of_plan.append(_more(of_plan[-1], stage, steps))
            shown.append((at, done))
        self._shown, self._of_title, self._of_plan = shown[::-1], of_title[:0:-1], of_plan[:0:-1]

    def standing(self, position: Position, pace: Pace, doing: str) -> Standing:
        """Returns the progress of a run at a position of the plan."""
        i = position.item
        if i < len(self._shown):
            (at, done), ahead = self._shown[i], (self._of_title[i], self._of_plan[i])
        else:  # the run is done, possibly before the end of the plan
            ahead = {}, {}
            last = self._history.last_point
            trained_last = (t for t in reversed(self._training) if (t.phase, t.stop + t.shown) == last)
            at = next(trained_last, self._training[-1])
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
    """Returns a chunk's means and counts, ``[2, seed]`` for each metric; the mean of a frozen seed is NaN."""
    return {
        name: np.stack([np.where(diverged == NOT_DIVERGED, value, np.float32(np.nan)), count])
        for name, (value, count) in metrics.items()
    }


def weighted_mean(parts: Sequence[tuple[int, dict[str, np.ndarray]]]) -> dict[str, np.ndarray]:
    """Returns the mean of each metric over chunks ``(length, metrics)``; NaN for a metric that no step had."""
    means = {}
    for name in parts[0][1]:
        value, count = np.moveaxis(np.stack([found[name] for _, found in parts]), 1, 0)  # [part, seed]
        total = count.sum(axis=0)
        means[name] = np.where(total > 0, (value * count).sum(axis=0) / np.maximum(total, 1), np.float32(np.nan))
    return means
