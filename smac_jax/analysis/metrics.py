"""Dip and regret of a transfer.

Source: SMAC section 5 (regret, normalized regret). The paper speaks of drops and gives no formula; the dip, its excess
over a control that is not transferred, and the threshold of a smooth transfer are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Real

from smac_jax.analysis.statistics import Interval, bootstrap_interval
from smac_jax.spread import ROUNDING, spread

EARLY = 0.25
"""Share of online training in which a dip is looked for."""

SMOOTH_BELOW = 0.10
"""A transfer is smooth when the upper end of the 95 % interval of the mean dip is below this."""


def dip(
    steps: Real[np.ndarray, " evaluation"],
    returns: Float[np.ndarray, "seed evaluation"],
    random_return: float,
    warm_start: float = 0.0,
    horizon: float | None = None,
) -> Float[np.ndarray, " seed"]:
    """``(J(transfer) - min J(t)) / (J(transfer) - J(random))`` over the first quarter of training, of each seed.

    Training begins after the warm start, which only collects.

    At least 0, since the transfer itself is among the ``t``; 1 is down to a random policy. A minimum over noisy
    evaluations is positive even where nothing happened: compare with a control (:func:`excess_dip`).

    NaN (undefined) where the policy that was transferred is no better than random (but for rounding), and so has
    nothing to lose; and
    where an evaluation in the window is NaN, since it may have been the lowest.

    Args:
      steps: since the transfer; the first is 0.
      returns: at these steps.
      random_return: of a random policy in this task.
      warm_start: steps without an update at the start of ``steps``.
      horizon: look up to this step; default: the warm start and a quarter of what comes after it.
    """
    steps, returns = _checked(steps, returns)
    horizon = warm_start + early_updates(steps, warm_start) if horizon is None else horizon
    start = returns[:, 0]
    lowest = returns[:, steps <= horizon].min(axis=1)
    above_random = start - random_return
    defined = above_random > ROUNDING * np.maximum(np.abs(start), abs(random_return))
    return np.where(defined, (start - lowest) / np.where(defined, above_random, 1.0), np.nan)


def early_updates(online_steps: Real[np.ndarray, " evaluation"], warm_start: float = 0.0) -> float:
    """How many updates online training makes in its first quarter, at one an environment step after the warm start."""
    return EARLY * float(np.asarray(online_steps)[-1] - warm_start)


def control_dip(
    online_steps: Real[np.ndarray, " evaluation"],
    control_steps: Real[np.ndarray, " control_evaluation"],
    control_returns: Float[np.ndarray, "seed control_evaluation"],
    random_return: float,
    warm_start: float = 0.0,
) -> Float[np.ndarray, " seed"]:
    """Dip of the control that went on training offline, over the same number of updates as the dip of the transfer."""
    return dip(control_steps, control_returns, random_return, horizon=early_updates(online_steps, warm_start))


def excess_dip(
    online_steps: Real[np.ndarray, " evaluation"],
    online_returns: Float[np.ndarray, "seed evaluation"],
    control_steps: Real[np.ndarray, " control_evaluation"],
    control_returns: Float[np.ndarray, "seed control_evaluation"],
    random_return: float,
    warm_start: float = 0.0,
) -> Float[np.ndarray, " seed"]:
    """How much more a transfer dips than its control: what the transfer itself costs, of each seed.

    Seeds are paired: a seed's transfer and control start from the same policy. Below 0 where the control dips more.
    """
    transfer = dip(online_steps, online_returns, random_return, warm_start)
    return transfer - control_dip(online_steps, control_steps, control_returns, random_return, warm_start)


def cumulative_regret(
    steps: Real[np.ndarray, " evaluation"], returns: Float[np.ndarray, "seed evaluation"], best_return: float
) -> Float[np.ndarray, " seed"]:
    """Area between ``R*`` and ``R_t`` (trapezoid rule), of each seed; in units of return times steps."""
    steps, returns = _checked(steps, returns)
    return np.trapezoid(best_return - returns, steps, axis=1)


def regret(
    steps: Real[np.ndarray, " evaluation"], returns: Float[np.ndarray, "seed evaluation"], best_return: float
) -> Float[np.ndarray, " seed"]:
    """Mean of ``R* - R_t`` over online time, of each seed; in units of return. At a single evaluation the gap there."""
    steps, returns = _checked(steps, returns)
    if len(steps) == 1:
        return best_return - returns[:, 0]
    return cumulative_regret(steps, returns, best_return) / (steps[-1] - steps[0])


def normalized_regret(
    regrets: Mapping[str, Mapping[tuple[str, str], float]],
) -> dict[tuple[str, str], float]:
    """Min-max normalized over all pairs within each task (0 best, 1 worst), then the mean over tasks.

    Args:
      regrets: ``{task: {(offline, online): regret}}``. A task in which all pairs are equal (but for rounding) counts 0
        for each.

    Raises:
      ValueError: a pair is missing in a task or its regret is not finite; the means would not be comparable.
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

    Seeds are resampled within each task and pair, and every resample is normalized anew: which pairs are best and worst
    is uncertain, too. Source: Agarwal et al. 2021, section 4.2.

    Args:
      regrets: ``{task: {(offline, online): regret of each seed}}``.
      level: of confidence.
      resamples: of the bootstrap.
      seed: of the resampling.

    Raises:
      ValueError: as :func:`normalized_regret`.
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
    """Whether the mean dip is below 10 % with 95 % confidence; seeds with an undefined dip do not count.

    Never true of fewer than two defined dips, which support no interval.
    """
    return bool(bootstrap_interval(dips).high < SMOOTH_BELOW)


def _checked(steps: np.ndarray, returns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    steps, returns = np.asarray(steps, float), np.asarray(returns, float)
    if steps.ndim != 1 or steps.size == 0 or returns.ndim != 2 or returns.shape[1] != steps.size:
        raise ValueError(f"Expected returns [seed, n] at n > 0 steps, got {returns.shape} at {steps.shape}.")
    return steps, returns
