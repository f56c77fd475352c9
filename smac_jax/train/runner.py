"""The loop around compiled chunks, the same for both phases: what is done between them is done here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from smac_jax.brief import brief
from smac_jax.train.health import WELL
from smac_jax.train.history import History
from smac_jax.train.progress import Progress
from smac_jax.train.run_folder import Position, RunFolder, Snapshot
from smac_jax.train.sharding import SeedLayout
from smac_jax.types import Array, Metrics, Sometimes

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


class Look(NamedTuple):
    """A diagnosis and an evaluation at a step."""

    step: int


@dataclasses.dataclass
class Outcome:
    """What is left when a plan is done."""

    state: Any
    diverged: np.ndarray

    __repr__ = brief


def carry_out(
    plan: Sequence[Train | Look],
    begin: Callable[[], Any],
    look: Callable[[Any, int], bool],
    history: History,
    layout: SeedLayout,
    bar: Progress,
    folder: RunFolder | None,
) -> Outcome:
    """Works through a plan, from where an earlier process left it if there is a folder that says so.

    Args:
      plan: what to do, in order.
      begin: makes the state, leaves ``[seed, ...]``.
      look: ``(state, step) -> enough``, writes into the history; ``enough`` drops the rest of the plan.
      history: what is measured, empty.
      layout: of the seeds.
      bar: where progress is shown.
      folder: of the run; None neither saves nor resumes.

    Raises:
      Interrupted: the process was asked to stop; all that was done is saved.
      CheckpointError: what was saved does not fit this run.
    """
    found = folder.restore(begin, layout) if folder else None
    if found is None:
        state, position = begin(), Position(0, 0, [])
        diverged = layout.place(jnp.full(len(layout.seeds), WELL, jnp.int32))
    else:
        state, diverged, position = found.state, found.diverged, found.position
        history.load(found.history)
    if folder:
        folder.begin(history)
    chunks: dict[tuple[Callable, int], Any] = {}
    title = None

    def snapshot() -> Snapshot:
        return Snapshot(layout.trim(state), layout.trim(diverged), position, history.dump())

    def named() -> dict[int, int]:
        steps = np.asarray(layout.trim(diverged)).tolist()
        return {seed: step for seed, step in zip(layout.seeds, steps, strict=True) if step != WELL}

    enough = False
    while position.item < len(plan) and not enough:
        item = plan[position.item]
        if isinstance(item, Look):
            enough = look(state, item.step)
            if title is not None:
                bar.advance(0, history.last_return)
        else:
            if item.title != title:
                title = item.title
                bar.phase(title, item.total, item.start + position.done)
            while item.start + position.done < item.stop:
                first = item.start + position.done
                length = min(CHUNK, item.stop - first)
                if (item.make, length) not in chunks:
                    chunks[item.make, length] = item.make(length)
                chunk = chunks[item.make, length]
                state, diverged, metrics = chunk(state, diverged, item.offset + first, *item.inputs)
                found_metrics = jax.tree.map(np.asarray, layout.trim(metrics))
                parts = [*position.parts, (length, measured(found_metrics, np.asarray(layout.trim(diverged))))]
                position = Position(position.item, position.done + length, parts)
                bar.advance(length, history.last_return)
                if folder:
                    folder.after_chunk(snapshot, title, first + length, item.total, history.last_return, named())
            history.add(item.phase, item.stop + item.shown, weighted_mean(position.parts))
        position = Position(len(plan) if enough else position.item + 1, 0, [])
        coming = plan[position.item] if position.item < len(plan) else None
        if folder and not isinstance(coming, Look):  # a look adds to the point that the stretch before it made
            folder.log(history)
    if folder:
        folder.log(history)  # in case it could not be written before
        folder.finish(snapshot)
    return Outcome(layout.trim(state), np.asarray(layout.trim(diverged)))


def mean_over_steps(metrics: Metrics) -> dict[str, Sometimes]:
    """Each metric's mean over the steps of a chunk that have it, from leaves ``[step]``."""

    def one(metric: Array | Sometimes) -> Sometimes:
        if not isinstance(metric, Sometimes):
            return Sometimes(metric.mean(), jnp.full((), len(metric), jnp.float32))
        steps = metric.steps.sum()
        return Sometimes((metric.value * metric.steps).sum() / jnp.maximum(steps, 1.0), steps)

    return {name: one(metric) for name, metric in metrics.items()}


def measured(metrics: Mapping[str, Sometimes], diverged: np.ndarray) -> dict[str, np.ndarray]:
    """A chunk's means and counts, ``[2, seed]`` for each metric; the mean is NaN where a seed is frozen."""
    return {
        name: np.stack([np.where(diverged == WELL, value, np.float32(np.nan)), count])
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
