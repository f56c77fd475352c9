"""Dip and regret of a transfer.

Source: SMAC, section 5 (regret, normalized regret). The paper gives no formula for the drop after the transfer. The
dip, its excess over a control without a transfer, and the threshold of a smooth transfer are defined here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Real

from smac_jax.analysis.statistics import Interval, bootstrap_interval
from smac_jax.spread import ROUNDING, spread

EARLY = 0.25
"""The share of online training, from its beginning, over which the dip is measured."""

SMOOTH_BELOW = 0.10
"""A transfer is smooth if the upper end of the 95 % interval of its mean dip is below this."""


def dip(
    steps: Real[np.ndarray, " evaluation"],
    returns: Float[np.ndarray, "seed evaluation"],
    random_return: float,
    warm_start: float = 0.0,
    horizon: float | None = None,
) -> Float[np.ndarray, " seed"]:
    """``(J(transfer) - min J(t)) / (J(transfer) - J(random))`` over the first quarter of training, for each seed.

    The quarter is counted after the warm start, in which there are no updates.

    The dip is at least 0, since ``t`` includes the transfer itself; it is 1 if the return drops to that of a random
    policy. A minimum over noisy evaluations is positive even without a drop, so it should be compared with a control
    (:func:`excess_dip`).

    The dip is undefined (NaN) if the transferred policy is not better than a random one (up to rounding), or if an
    evaluation in the window is NaN, because it may have been the lowest.

    Args:
      steps: the steps of the evaluations since the transfer; the first is 0.
      returns: the returns at these steps.
      random_return: the return of a random policy on this task.
      warm_start: the number of steps before the first update.
      horizon: the last step of the window; default: the warm start and a quarter of the steps after it.
    """
    steps, returns = _checked(steps, returns)
    horizon = warm_start + early_updates(steps, warm_start) if horizon is None else horizon
    start = returns[:, 0]
    lowest = returns[:, steps <= horizon].min(axis=1)
    above_random = start - random_return
    defined = above_random > ROUNDING * np.maximum(np.abs(start), abs(random_return))
    return np.where(defined, (start - lowest) / np.where(defined, above_random, 1.0), np.nan)


def early_updates(online_steps: Real[np.ndarray, " evaluation"], warm_start: float = 0.0) -> float:
    """Returns the number of updates in the first quarter of online training, one per environment step after the warm
    start.
    """
    return EARLY * float(np.asarray(online_steps)[-1] - warm_start)


def control_dip(
    online_steps: Real[np.ndarray, " evaluation"],
    control_steps: Real[np.ndarray, " control_evaluation"],
    control_returns: Float[np.ndarray, "seed control_evaluation"],
    random_return: float,
    warm_start: float = 0.0,
) -> Float[np.ndarray, " seed"]:
    """Returns the dip of the control, which continues offline training, over as many updates as the dip of the
    transfer.
    """
    return dip(control_steps, control_returns, random_return, horizon=early_updates(online_steps, warm_start))


def excess_dip(
    online_steps: Real[np.ndarray, " evaluation"],
    online_returns: Float[np.ndarray, "seed evaluation"],
    control_steps: Real[np.ndarray, " control_evaluation"],
    control_returns: Float[np.ndarray, "seed control_evaluation"],
    random_return: float,
    warm_start: float = 0.0,
) -> Float[np.ndarray, " seed"]:
    """Returns the dip of a transfer minus the dip of its control, for each seed: the part that the transfer causes.

    Seeds are paired, because a seed's transfer and its control start from the same policy. The excess is negative if
    the control dips more.
    """
    transfer = dip(online_steps, online_returns, random_return, warm_start)
    return transfer - control_dip(online_steps, control_steps, control_returns, random_return, warm_start)


def cumulative_regret(
    steps: Real[np.ndarray, " evaluation"], returns: Float[np.ndarray, "seed evaluation"], best_return: float
) -> Float[np.ndarray, " seed"]:
    """Returns the area between ``R*`` and ``R_t`` (trapezoid rule) for each seed, in units of return times steps."""
    steps, returns = _checked(steps, returns)
    return np.trapezoid(best_return - returns, steps, axis=1)


def regret(
    steps: Real[np.ndarray, " evaluation"], returns: Float[np.ndarray, "seed evaluation"], best_return: float
) -> Float[np.ndarray, " seed"]:
    """Returns the mean of ``R* - R_t`` over online training for each seed, in units of return."""
    steps, returns = _checked(steps, returns)
    if len(steps) == 1:
        return best_return - returns[:, 0]
    return cumulative_regret(steps, returns, best_return) / (steps[-1] - steps[0])


def normalized_regret(
    regrets: Mapping[str, Mapping[tuple[str, str], float]],
) -> dict[tuple[str, str], float]:
    """Returns the regret normalized to [0, 1] over all pairs within each task (0 is best), then averaged over tasks.

    Args:
      regrets: ``{task: {(offline, online): regret}}``. If all pairs of a task are equal (up to rounding), each of them
        has 0.

    Raises:
      ValueError: a pair is missing in a task, or its regret is not finite, so that the means are not comparable.
    """
    pairs = list(dict.fromkeys(pair for task in regrets.values() for pair in task))
    total = dict.fromkeys(pairs, 0.0)
    for task, values in regrets.items():
        unknown = [pair for pair in pairs if not np.isfinite(values.get(pair, np.nan))]
        if unknown:
            raise ValueError(f"normalized_regret: no finite regret in task {task!r} for the pairs {unknown}.")
        low, width = min(values.values()), spread(np.array(list(values.values())))
        for pair in pairs:
            total[pair] += (values[pair] - low) / width if width > 0 else 0.0
    return {pair: value / len(regrets) for pair, value in total.items()}


def normalized_regret_intervals(
    regrets: Mapping[str, Mapping[tuple[str, str], Float[np.ndarray, " seed"]]],
    level: float = 0.95,
    resamples: int = 2_000,
    seed: int = 0,
) -> dict[tuple[str, str], Interval]:
    """:func:`normalized_regret` of the means over seeds, with percentile intervals of a stratified bootstrap.

    Seeds are resampled within each task and pair. Every resample is normalized again, because the best and the worst
    pair are uncertain, too. Source: Agarwal et al. 2021, section 4.2.

    Args:
      regrets: ``{task: {(offline, online): regret of each seed}}``.
      level: the confidence level.
      resamples: the number of bootstrap resamples.
      seed: the seed of the resampling.

    Raises:
      ValueError: as for :func:`normalized_regret`.
    """
    rng = np.random.default_rng(seed)
    means = {task: {pair: float(np.mean(x)) for pair, x in values.items()} for task, values in regrets.items()}
    estimate = normalized_regret(means)
    drawn = []
    for _ in range(resamples):
        again = {
            task: {pair: float(np.mean(rng.choice(x, len(x)))) for pair, x in values.items()}
            for task, values in regrets.items()
        }
        drawn.append([normalized_regret(again)[pair] for pair in estimate])
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {pair: Interval(value, low[i], high[i]) for i, (pair, value) in enumerate(estimate.items())}


def is_smooth(dips: Sequence[float] | Float[np.ndarray, " seed"]) -> bool:
    """Returns whether the mean dip is below 10 % with 95 % confidence, over the seeds with a defined dip.

    Always false for fewer than two defined dips, because they have no interval.
    """
    return bool(bootstrap_interval(dips).high < SMOOTH_BELOW)


def _checked(steps: np.ndarray, returns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    steps, returns = np.asarray(steps, float), np.asarray(returns, float)
    if steps.ndim != 1 or steps.size == 0 or returns.ndim != 2 or returns.shape[1] != steps.size:
        raise ValueError(f"Expected returns [seed, n] at n > 0 steps, got {returns.shape} at {steps.shape}.")
    return steps, returns
