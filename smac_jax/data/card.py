"""The card of a data set: the statistics of its rows that need no simulator."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from smac_jax.data.dataset import Dataset
from smac_jax.tasks import normalized_score

EDGE = 0.99
"""An action counts as at the edge of the action box if its magnitude is at least this."""


@dataclasses.dataclass(frozen=True)
class Statistics:
    """The lowest, mean and highest of some numbers, and their (population) standard deviation."""

    lowest: float
    mean: float
    highest: float
    deviation: float


@dataclasses.dataclass(frozen=True)
class Card:
    """The statistics of a data set.

    Attributes:
      name: the name of the data set.
      task: its task, or None.
      rows, episodes: the rows and episodes that algorithms are trained on. The file may hold more: rows without a next
        observation are dropped, and episodes of binary tasks are cut after the last success.
      observation_size, action_size: how many numbers an observation and an action have.
      terminals, timeouts: how many episodes terminated, and how many were cut.
      returns: of the episodes, see :meth:`Dataset.episode_returns`.
      lengths: of the episodes, in steps.
      score: D4RL's normalized score of the mean episode; None without a task.
      successes: the share of the episodes that end with a success, for Adroit's binary tasks; else None.
      rewards: of the rows.
      actions: of all numbers of the actions together.
      at_the_edge: the share of the actions' numbers whose magnitude is at least :data:`EDGE`.
      duplicates: how many rows have the observation and action of an earlier row, bit for bit.
      constant_observations, constant_actions: the columns that are equal in every row, as pairs of index and value.
    """

    name: str
    task: str | None
    rows: int
    episodes: int
    observation_size: int
    action_size: int
    terminals: int
    timeouts: int
    returns: Statistics
    lengths: Statistics
    score: float | None
    successes: float | None
    rewards: Statistics
    actions: Statistics
    at_the_edge: float
    duplicates: int
    constant_observations: tuple[tuple[int, float], ...]
    constant_actions: tuple[tuple[int, float], ...]


def make_card(data: Dataset) -> Card:
    """Returns the card of a data set."""
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
        returns=statistics(data.episode_returns()),
        lengths=statistics(np.diff(ends, prepend=-1)),
        score=None if data.task is None else float(normalized_score(data.task, data.episode_scores().mean())),
        successes=float(terminals[ends].mean()) if data.reward_rule.only_success else None,
        rewards=statistics(np.asarray(data.rewards)),
        actions=statistics(actions),
        at_the_edge=float(np.mean(np.abs(actions) >= EDGE)),
        duplicates=count_duplicate_rows(observations, actions),
        constant_observations=constant_columns(observations),
        constant_actions=constant_columns(actions),
    )


def statistics(values: np.ndarray) -> Statistics:
    """Returns the statistics of at least one number."""
    mean, deviation = np.mean(values, dtype=np.float64), np.std(values, dtype=np.float64)
    return Statistics(float(np.min(values)), float(mean), float(np.max(values)), float(deviation))


def count_duplicate_rows(*columns: Float[np.ndarray, "row _"]) -> int:
    """Returns how many rows are exact copies of an earlier row in all columns."""
    # adding 0 turns -0.0 into 0.0, which is the same number with other bytes
    rows = np.ascontiguousarray(np.concatenate(columns, axis=1) + 0.0)
    return len(rows) - len(np.unique(rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))))


def constant_columns(values: Float[np.ndarray, "row number"]) -> tuple[tuple[int, float], ...]:
    """Returns index and value of each column that is equal in every row."""
    same = (values == values[0]).all(axis=0)
    return tuple((int(i), float(values[0, i])) for i in np.flatnonzero(same))
