"""Draws a mean with its 95 % interval as a band, in the same way in all figures."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from smac_jax.analysis.statistics import bootstrap_interval

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette, which color-blind readers can distinguish."""

DOTTED = (0, (1, 1.2))
"""Line style of comparisons, such as a control."""


def intervals_of(values: Float[np.ndarray, "seed point"]) -> Float[np.ndarray, "point 3"]:
    """Mean, low and high at each point, over its finite values."""
    return np.array([_interval(tuple(column)) for column in np.asarray(values, float).T]).reshape(-1, 3)


@functools.lru_cache(maxsize=100_000)  # the same curve is drawn in several figures
def _interval(values: tuple[float, ...]) -> tuple[float, float, float]:
    return bootstrap_interval(values, resamples=2000)


def draw_band(
    ax: Axes,
    x: Float[np.ndarray, " point"],
    intervals: Float[np.ndarray, "point 3"],
    color: str,
    *,
    label: str | None = None,
    seeds: Float[np.ndarray, "seed point"] | None = None,
) -> None:
    """Draws the mean as a line and the interval as a band.

    Args:
      ax: the axes.
      x: the positions of the points.
      intervals: mean, low and high (:func:`intervals_of`).
      color: the color of line and band.
      label: the label in the legend.
      seeds: values of each seed, which are drawn as thin lines.
    """
    mean, low, high = np.asarray(intervals).T
    ax.fill_between(x, low, high, color=color, alpha=0.2, lw=0)
    if seeds is not None:
        ax.plot(x, np.asarray(seeds).T, color=color, lw=0.5, alpha=0.35)
    named: dict[str, Any] = {} if label is None else {"label": label}
    ax.plot(x, mean, color=color, lw=2.0, zorder=3, **named)
