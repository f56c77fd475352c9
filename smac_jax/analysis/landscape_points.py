"""The points of a landscape, and how far the return falls along a line of them.

Source: SMAC section 6. Every point of a line or a plane is a weighted sum of the given policies' parameters, with
weights that add up to one; :mod:`smac_jax.train.landscape` evaluates them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from smac_jax.analysis.statistics import Interval, bootstrap_interval
from smac_jax.errors import ConfigError


class Spanned(NamedTuple):
    """The two directions of a plane in the space of the actors' parameters, for each seed.

    Attributes:
      u, v: their Euclidean lengths.
      angle: between them, in radians.
    """

    u: Float[np.ndarray, " seed"]
    v: Float[np.ndarray, " seed"]
    angle: Float[np.ndarray, " seed"]


def positions(count: int, beyond: float) -> Float[np.ndarray, " count"]:
    """Where to look along a line from a policy at 0 to another at 1: evenly from ``-beyond`` to ``1 + beyond``.

    The policies are always among the points: where even steps would miss one, the nearest point is moved onto it.

    Raises:
      ConfigError: fewer than 2 points, or a negative ``beyond``.
    """
    if count < 2 or beyond < 0:
        raise ConfigError(
            f"landscape: {count} points with {beyond} beyond the policies: there must be 2 points at least, one for "
            f"each policy, and no less than 0 beyond."
        )
    even = np.linspace(-beyond, 1 + beyond, count)
    first = int(np.argmin(np.round(np.abs(even), 9)))
    last = count - 1 - int(np.argmin(np.round(np.abs(even[::-1] - 1), 9)))
    even[[first, last]] = 0.0, 1.0
    return even


def line_weights(t: Float[np.ndarray, " point"]) -> Float[np.ndarray, "point 2"]:
    """Weights of ``theta + t u``: the first policy at 0, the second at 1."""
    t = np.asarray(t, float)
    return np.stack([1 - t, t], axis=1)


def plane_weights(x: Float[np.ndarray, " x"], y: Float[np.ndarray, " y"]) -> Float[np.ndarray, "xy 3"]:
    """Weights of ``theta + x u + y v`` over a grid, ``y`` fastest: the three policies at (0,0), (1,0), (0,1)."""
    first, second = (axis.reshape(-1) for axis in np.meshgrid(x, y, indexing="ij"))
    return np.stack([1 - first - second, first, second], axis=1)


def largest_fall(returns: Float[np.ndarray, "point seed"]) -> Interval:
    """How far the mean return falls, at most, below an earlier point of a line; seeds are paired.

    The interval is that of the two points found, and so says too little of a line of many points: a fall whose interval
    holds 0 is not told from noise, one whose interval does not may still be chosen noise. 0 where the mean never falls.
    """
    returns = np.asarray(returns)
    mean = returns.mean(axis=1)
    low = int(np.argmax(np.maximum.accumulate(mean) - mean))
    high = int(np.argmax(mean[: low + 1]))
    return bootstrap_interval(returns[high] - returns[low])
