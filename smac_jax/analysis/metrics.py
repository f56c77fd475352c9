"""Dip and regret of a hand-over.

Source: SMAC section 5 (regret, normalised regret). The paper speaks of drops and gives no formula; the dip is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from smac_jax.analysis.statistics import bootstrap_interval

EARLY = 0.25
"""Share of online training in which a dip is looked for."""

SMOOTH_BELOW = 0.10
"""A transfer is smooth when the upper end of the 95 % interval of the mean dip is below this."""


def dip(
    steps: Float[np.ndarray, "evaluation"],
    returns: Float[np.ndarray, "seed evaluation"],
    random_return: float,
    horizon: float | None = None,
) -> Float[np.ndarray, "seed"]:
    """``(J(hand-over) - min J(t)) / (J(hand-over) - J(random))`` over the first quarter of training, of each seed.

    At least 0, since the hand-over itself is among the ``t``; 1 means down to a random policy. NaN where the policy that
    was handed over is no better than random, and so has nothing to lose.

    Args:
      steps: since the hand-over, the first is 0.
      returns: at these steps.
      random_return: of a random policy in this task.
      horizon: look up to this step; default: a quarter of the last.
    """
    horizon = EARLY * steps[-1] if horizon is None else horizon
    start = returns[:, 0]
    lowest = returns[:, steps <= horizon].min(axis=1)
    above_random = start - random_return
    return np.where(above_random > 0, (start - lowest) / np.where(above_random > 0, above_random, 1.0), np.nan)


def regret(
    steps: Float[np.ndarray, "evaluation"], returns: Float[np.ndarray, "seed evaluation"], best_return: float
) -> Float[np.ndarray, "seed"]:
    """Mean of ``R* - R_t`` over online time (trapezoid rule), of each seed; in units of return."""
    if len(steps) < 2:
        return best_return - returns[:, 0]
    return np.trapezoid(best_return - returns, steps, axis=1) / (steps[-1] - steps[0])


def normalized_regret(
    regrets: Mapping[str, Mapping[tuple[str, str], float]],
) -> dict[tuple[str, str], float]:
    """Min-max normalised over all pairs within each task (0 best, 1 worst), then the mean over tasks.

    Args:
      regrets: ``{task: {(offline, online): regret}}``. A task in which all pairs are equal counts 0 for each.
    """
    scores: dict[tuple[str, str], list[float]] = {}
    for pairs in regrets.values():
        low, high = min(pairs.values()), max(pairs.values())
        for pair, value in pairs.items():
            scores.setdefault(pair, []).append((value - low) / (high - low) if high > low else 0.0)
    return {pair: float(np.mean(values)) for pair, values in scores.items()}


def is_smooth(dips: Sequence[float] | Float[np.ndarray, "seed"]) -> bool:
    """Whether the mean dip is below 10 % with 95 % confidence."""
    _, _, high = bootstrap_interval(dips)
    return bool(high < SMOOTH_BELOW)
