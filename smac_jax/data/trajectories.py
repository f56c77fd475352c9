"""Trajectories in logged rows: where episodes end, which rows follow each other, returns and conditions.

Throughout this module ``last`` is a boolean vector ``[row]`` that is true at the last row of each trajectory.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Shaped

from smac_jax.errors import DatasetError
from smac_jax.spread import spread
from smac_jax.tasks import reward_rule

BREAK_TOLERANCE = 1e-5
"""A next observation equals the next row's observation if no number differs by more than this share of the range of its
column, plus a tenth of this share of the column's largest magnitude (which allows for float32's rounding)."""

MIN_FOLLOWED_SHARE = 0.1
"""The smallest share of the rows inside episodes whose next observation must equal the next row's observation. Below
it, the rows are not in the order of steps or the observations are noisy, so that no break can be detected."""

Rows = Bool[np.ndarray, " row"]


def episode_ends(terminals: np.ndarray, timeouts: np.ndarray | None) -> tuple[Rows, Rows]:
    """Returns the last rows of the episodes that terminated, and those of the episodes that were cut.

    The last row of the log always ends an episode. A row that is both a terminal and a time-out is a terminal.
    """
    terminal = terminals > 0.5
    timeout = np.zeros_like(terminal) if timeouts is None else (timeouts > 0.5) & ~terminal
    timeout[-1] = ~terminal[-1]
    return terminal, timeout


def mark_breaks(arrays: Mapping[str, np.ndarray], notes: dict[str, str]) -> dict[str, np.ndarray]:
    """Marks a time-out at every row inside an episode whose next observation is not the next row's observation.

    Without ``next_observations`` no break can be detected, and nothing is marked.

    Args:
      arrays: columns in D4RL's layout, as :func:`smac_jax.data.validation.check_arrays` returns them.
      notes: is given the number of breaks (``unmarked_breaks``), or the reason why none can be detected
        (``not_in_order``).
    """
    if "next_observations" not in arrays:
        return dict(arrays)
    terminal, timeout = episode_ends(arrays["terminals"], arrays.get("timeouts"))
    follows, _ = compare_next_observations(arrays["observations"], arrays["next_observations"])
    inside = ~terminal & ~timeout
    breaks = ~follows & inside
    if not breaks.any():
        return dict(arrays)
    if np.sum(follows & inside) < MIN_FOLLOWED_SHARE * np.sum(inside):
        notes["not_in_order"] = (
            f"next observations are not the next rows' in {np.sum(breaks):,} of {np.sum(inside):,} rows inside "
            "episodes, so episode ends that are not marked cannot be found"
        )
        return dict(arrays)
    add_to_count(notes, "unmarked_breaks", int(breaks.sum()))
    marked = {**arrays, "timeouts": (timeout | breaks).astype(arrays["terminals"].dtype)}
    marked.pop("trajectory_returns", None)  # they are the returns of the episodes before the split
    return marked


def compare_next_observations(
    observations: Float[np.ndarray, "row observation"], next_observations: Float[np.ndarray, "row observation"]
) -> tuple[Rows, Rows]:
    """Compares each row's next observation with the observations of the next row and of the row itself.

    Returns:
      ``follows``, true where the next observation equals the next row's observation (:data:`BREAK_TOLERANCE`); and
      ``moves``, true where it differs from the row's own observation.
    """
    largest = np.maximum(np.abs(observations).max(axis=0), np.abs(next_observations).max(axis=0))
    tolerance = BREAK_TOLERANCE * (np.ptp(observations, axis=0) + 0.1 * largest)
    follows, moves = np.zeros(len(observations), bool), np.zeros(len(observations), bool)
    for start in range(0, len(observations), 1 << 16):  # the differences of all rows would be as large as the data
        rows = slice(start, start + (1 << 16))
        now, after = observations[start : start + (1 << 16) + 1], next_observations[rows]
        follows[start : start + len(now) - 1] = (np.abs(after[: len(now) - 1] - now[1:]) <= tolerance).all(axis=1)
        moves[rows] = (np.abs(after - now[: len(after)]) > tolerance).any(axis=1)
    follows[-1] = False
    return follows, moves


def next_within_episode(
    observations: Float[np.ndarray, "row observation"],
    terminal: Rows,
    timeout: Rows,
    next_observations: Float[np.ndarray, "row observation"] | None = None,
) -> tuple[Float[np.ndarray, "row observation"], Rows, Rows]:
    """Returns next observations from the same episode, and which rows have one.

    If the log has no next observations:

    * A row inside an episode takes the next row's observation.
    * A terminal row takes its own observation. No algorithm reads it, and it does not come from another episode (D4RL's
      ``qlearning_dataset`` puts the first observation of the next episode there).
    * The last row of an episode that was cut would have to bootstrap from an observation that was not logged. The row
      is dropped, and the row before it becomes the last row of the episode.

    If the log has next observations, a row at which an episode was cut is dropped in the same way if it holds the next
    row's observation, because that observation is from the next episode. It is kept if the observation did not change
    in this step, or if every row ends an episode, because then the rows do not show episodes.

    Returns:
      The next observations, the time-outs, and the rows to keep. All three have the rows of ``observations``.
    """
    last = terminal | timeout
    if next_observations is None:
        following = np.concatenate([observations[1:], observations[-1:]])
        following[last] = observations[last]
        dropped = timeout
    else:
        following = next_observations
        follows, moves = compare_next_observations(observations, next_observations)
        dropped = timeout & follows & moves & ~last.all()
    before_dropped = np.append(dropped[1:] & ~last[:-1], False)
    return following, (timeout & ~dropped) | before_dropped, ~dropped


def returns_by_row(
    arrays: Mapping[str, np.ndarray], last: Rows, task: str | None, where: str
) -> Float[np.ndarray, " row"]:
    """Returns the undiscounted return of each row's trajectory.

    Args:
      arrays: ``rewards``, and optionally ``trajectory_returns``, which take precedence over the rewards.
      last: the last rows of the trajectories.
      task: decides whether a return is a sum of rewards or the highest one (``RewardRule.return_is_highest``).
      where: the name of the data in error messages.

    Raises:
      DatasetError: two rows of one trajectory have different ``trajectory_returns``.
    """
    given = arrays.get("trajectory_returns")
    if given is None:
        aggregate = highest_in_trajectory if reward_rule(task).return_is_highest else sum_in_trajectory
        return aggregate(arrays["rewards"], last)
    inside = ~last[:-1] & (given[1:] != given[:-1])
    if inside.any():
        row = int(np.argmax(inside))
        raise DatasetError(
            f"{where}: trajectory_returns changes inside an episode, from {given[row]:g} to {given[row + 1]:g} after "
            f"row {row}. Give each row the return of its episode."
        )
    return given


def sum_in_trajectory(rewards: Shaped[np.ndarray, " row"], last: Rows) -> Float[np.ndarray, " row"]:
    """Returns the sum of the rewards of each row's trajectory."""
    trajectory = np.cumsum(last) - last
    returns: np.ndarray = np.bincount(trajectory, weights=rewards)[trajectory]
    return returns


def highest_in_trajectory(rewards: Shaped[np.ndarray, " row"], last: Rows) -> Float[np.ndarray, " row"]:
    """Returns the highest reward of each row's trajectory."""
    trajectory = np.cumsum(last) - last
    highest = np.full(trajectory[-1] + 1, -np.inf)
    np.maximum.at(highest, trajectory, rewards)
    returns: np.ndarray = highest[trajectory]
    return returns


def returns_to_go(
    rewards: Float[np.ndarray, " row"],
    terminal: Rows,
    last: Rows,
    discount: float,
    sparse: bool = True,
    dropped: Float[np.ndarray, " episode"] | None = None,
) -> Float[np.ndarray, " row"]:
    """Returns the discounted sum of each row's own and later rewards in its trajectory.

    The rewards after a cut (a last row that is not a terminal) were not logged. They count as zero, with one exception:
    if rewards are sparse and a trajectory was cut before it earned more than the data's lowest reward, the trajectory
    counts as a failure that continues forever, ``lowest / (1 - discount)``. With zero it would be the best trajectory
    of all.

    Args:
      rewards: the rewards in the units in which the critics are trained.
      terminal: the rows after which nothing is bootstrapped.
      last: the last rows of the trajectories.
      discount: the discount factor.
      sparse: whether every reward says no more than success or failure.
      dropped: the reward of the row that was dropped after the last row of each trajectory; NaN if none was.

    Source: ``calc_return_to_go`` in Cal-QL's code (Nakamoto et al. 2023), which has this rule for AntMaze and for
    Adroit's binary tasks; and WSRL's code, which has no such rule for the kitchen.
    """
    from scipy.signal import lfilter  # here, because it takes longer to import than everything else in this module

    ends = np.flatnonzero(last)
    starts = np.append(0, ends[:-1] + 1)
    tails = np.zeros(len(ends))  # what follows the last reward of each trajectory
    lost = np.full(len(ends), np.nan) if dropped is None else dropped
    if sparse and discount < 1.0:
        lowest = np.fmin(rewards.min(), np.nanmin(lost, initial=np.inf))
        failed = (np.fmax(np.maximum.reduceat(rewards, starts), lost) <= lowest) & ~terminal[ends]
        tails[failed] = lowest / (1.0 - discount)
    tails = np.where(np.isnan(lost), tails, lost + discount * tails)
    returns = np.empty_like(rewards)
    for start, end, tail in zip(starts, ends, tails, strict=True):
        # y[t] = r[t] + discount * y[t + 1] is a first-order filter that runs backwards
        backwards = rewards[start : end + 1][::-1]
        filtered, _ = lfilter([1.0], [1.0, -discount], backwards, zi=[discount * tail])
        returns[start : end + 1] = filtered[::-1]
    return returns


def min_max_normalized(values: Float[np.ndarray, " row"]) -> Float[np.ndarray, " row"]:
    """Scales values to ``[0, 1]``. If they differ by no more than rounding, every value becomes 1."""
    width = spread(values)
    return (values - values.min()) / width if width > 0 else np.ones_like(values)


def add_to_count(notes: dict[str, str], key: str, number: int) -> None:
    """Adds a number to a count in the metadata, which an earlier reading of the data may have written."""
    earlier = notes.get(key, "")
    total = number + (int(earlier) if earlier.isdecimal() else 0)
    if total:
        notes[key] = str(total)
