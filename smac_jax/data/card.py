"""A data set's card: what can be said of its rows without a simulator."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from smac_jax.data.dataset import Dataset
from smac_jax.tasks import normalized_score

EDGE = 0.99
"""An action of at least this size counts as at the edge of the box."""


@dataclasses.dataclass(frozen=True)
class Spread:
    """Lowest, mean and highest of some numbers, and their (population) standard deviation."""

    lowest: float
    mean: float
    highest: float
    deviation: float


@dataclasses.dataclass(frozen=True)
class Card:
    """What a data set is.

    Attributes:
      name, task: of the data set; the task may be None.
      rows, episodes: those that algorithms are given; a file may hold more (rows without a next observation are left
        out; binary tasks are cut at the last success).
      observation_size, action_size: numbers in a row.
      terminals, timeouts: how many episodes ended, and how many were cut.
      returns, lengths: of the episodes; returns as :meth:`Dataset.episode_returns` has them.
      score: D4RL's normalized score of the mean episode; None without a task.
      successes: share of the episodes that a success ends, of the hand's binary tasks; else None.
      rewards, actions: of the rows, all numbers of the actions together.
      at_the_edge: share of the actions' numbers that are at least :data:`EDGE` away from zero.
      duplicates: rows whose observation and action are those of an earlier row, bit for bit.
      constant_observations, constant_actions: columns that are the same in every row: their index and the number.
    """

    name: str
    task: str | None
    rows: int
    episodes: int
    observation_size: int
    action_size: int
    terminals: int
    timeouts: int
    returns: Spread
    lengths: Spread
    score: float | None
    successes: float | None
    rewards: Spread
    actions: Spread
    at_the_edge: float
    duplicates: int
    constant_observations: tuple[tuple[int, float], ...]
    constant_actions: tuple[tuple[int, float], ...]


def card_of(data: Dataset) -> Card:
    """The card of a data set."""
    observations, actions = np.asarray(data.observations), np.asarray(data.actions)
    terminals, timeouts = np.asarray(data.terminals) > 0.5, np.asarray(data.timeouts) > 0.5
    ends = np.flatnonzero(terminals | timeouts)
    return Card(
        name=data.name,
        task=data.task,
        rows=data.size,
        episodes=len(ends),
        observation_size=observations.shape[1],
        action_size=actions.shape[1],
        terminals=int(terminals.sum()),
        timeouts=int(timeouts.sum()),
        returns=spread(data.episode_returns()),
        lengths=spread(np.diff(ends, prepend=-1)),
        score=None if data.task is None else float(normalized_score(data.task, data.episode_scores().mean())),
        successes=float(terminals[ends].mean()) if data.reward_rule.only_success else None,
        rewards=spread(np.asarray(data.rewards)),
        actions=spread(actions),
        at_the_edge=float(np.mean(np.abs(actions) >= EDGE)),
        duplicates=duplicate_rows(observations, actions),
        constant_observations=constant_columns(observations),
        constant_actions=constant_columns(actions),
    )


def spread(values: np.ndarray) -> Spread:
    """Of at least one number."""
    mean, deviation = np.mean(values, dtype=np.float64), np.std(values, dtype=np.float64)
    return Spread(float(np.min(values)), float(mean), float(np.max(values)), float(deviation))


def duplicate_rows(*columns: Float[np.ndarray, "row _"]) -> int:
    """How many rows are exact copies of an earlier row in all columns."""
    # adding 0 turns -0.0 into 0.0, which are the same number and other bytes
    rows = np.ascontiguousarray(np.concatenate(columns, axis=1) + 0.0)
    return len(rows) - len(np.unique(rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))))


def constant_columns(values: Float[np.ndarray, "row number"]) -> tuple[tuple[int, float], ...]:
    """Index and number of each column that is the same in every row."""
    same = (values == values[0]).all(axis=0)
    return tuple((int(i), float(values[0, i])) for i in np.flatnonzero(same))
