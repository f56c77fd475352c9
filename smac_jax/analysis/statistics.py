"""Confidence intervals over a small number of seeds.

Source: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (2021), sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats


class Interval(NamedTuple):
    """An estimate with its confidence interval."""

    estimate: float
    low: float
    high: float


def interquartile_mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Returns the mean of the middle half of the values; for fewer than four values it is the mean of all."""
    return stats.trim_mean(values, 0.25, axis=axis)


def bootstrap_interval(
    values: Sequence[float] | Float[np.ndarray, " seed"],
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    statistic: Callable[..., np.ndarray] = np.mean,
) -> Interval:
    """Returns a statistic over seeds with its percentile bootstrap interval; values that are not finite are ignored.

    Without values, estimate and interval are NaN. For one value, the interval is NaN. If all values are equal, both
    ends of the interval are this value. For few seeds the percentile interval is too narrow (for 4 seeds it covers
    about 80 % instead of 95 %), but it is the interval that is usually reported.

    Args:
      values: one value for each seed.
      level: the confidence level.
      resamples: the number of bootstrap resamples.
      seed: the seed of the resampling, which makes tables reproducible.
      statistic: a function of an array and ``axis``, such as :func:`interquartile_mean`.
    """
    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)]
    if finite.size == 0:
        return Interval(np.nan, np.nan, np.nan)
    estimate = float(statistic(finite, axis=-1))
    if finite.size == 1:
        return Interval(estimate, np.nan, np.nan)
    if np.ptp(finite) == 0:
        return Interval(estimate, estimate, estimate)
    interval = stats.bootstrap(
        (finite,),
        statistic,
        confidence_level=level,
        n_resamples=resamples,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(estimate, float(interval.low), float(interval.high))


def stratified_interval(
    strata: Sequence[Float[np.ndarray, "_"]],
    statistic: Callable[..., np.ndarray],
    level: float = 0.95,
    resamples: int = 5_000,
    seed: int = 0,
) -> Interval:
    """Returns a statistic of several groups of seeds with its percentile interval. Seeds are resampled within each
    group.

    Source: Agarwal et al. 2021, section 4.2, where the groups are tasks. The interval is NaN if a group has fewer than
    two seeds.

    Args:
      strata: the groups, with finite values.
      statistic: a function of the groups and ``axis``.
      level, resamples, seed: as for :func:`bootstrap_interval`.
    """
    groups = [np.asarray(group, float) for group in strata]
    estimate = float(statistic(*groups, axis=-1))
    if min(len(group) for group in groups) < 2:
        return Interval(estimate, np.nan, np.nan)
    if all(np.ptp(group) == 0 for group in groups):
        return Interval(estimate, estimate, estimate)
    interval = stats.bootstrap(
        groups,
        statistic,
        confidence_level=level,
        n_resamples=resamples,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(estimate, float(interval.low), float(interval.high))


def interquartile_mean_over_tasks(scores: Mapping[str, Float[np.ndarray, "_"]]) -> Interval:
    """Returns the interquartile mean over all runs of all tasks (Agarwal et al. 2021, section 4.3).

    Args:
      scores: the scores of the runs by task, which must be comparable between tasks.
    """

    def of_all(*groups: np.ndarray, axis: int) -> np.ndarray:
        return interquartile_mean(np.concatenate(groups, axis), axis)

    return stratified_interval(list(scores.values()), of_all)


def probability_of_improvement(
    ours: Mapping[str, Float[np.ndarray, "_"]], theirs: Mapping[str, Float[np.ndarray, "_"]]
) -> Interval:
    """Returns the probability that a run of one algorithm is better than a run of another, averaged over tasks.

    Ties count half. Source: Agarwal et al. 2021, section 4.3.

    Args:
      ours, theirs: the scores of the two algorithms' runs by task, for the same tasks.

    Raises:
      ValueError: the tasks differ.
    """
    if set(ours) != set(theirs):
        raise ValueError(f"probability_of_improvement: the tasks {sorted(ours)} and {sorted(theirs)} must be equal.")
    tasks = list(ours)

    def mean_over_tasks(*groups: np.ndarray, axis: int) -> np.ndarray:
        del axis  # always the last one
        shares = []
        for x, y in zip(groups[: len(tasks)], groups[len(tasks) :], strict=True):
            x, y = x[..., :, None], y[..., None, :]
            shares.append(((x > y) + 0.5 * (x == y)).mean(axis=(-2, -1)))
        return np.mean(shares, axis=0)

    return stratified_interval([*(ours[t] for t in tasks), *(theirs[t] for t in tasks)], mean_over_tasks)


def performance_profile(
    scores: Mapping[str, Float[np.ndarray, "_"]], thresholds: Float[np.ndarray, " threshold"]
) -> list[Interval]:
    """Returns the share of runs above each threshold, with equal weights of the tasks (Agarwal et al. 2021, section
    4.1).
    """

    def above(threshold: float) -> Callable[..., np.ndarray]:
        def share(*groups: np.ndarray, axis: int) -> np.ndarray:
            return np.mean([(group > threshold).mean(axis=axis) for group in groups], axis=0)

        return share

    return [stratified_interval(list(scores.values()), above(t), resamples=1_000) for t in thresholds]
