"""The points of a landscape, and the largest decrease of the return along a line.

Source: SMAC, section 6. Every point of a line or a plane is a weighted sum of the given policies' parameters, with
weights that add up to one; :mod:`smac_jax.train.landscape` evaluates the points.
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
      u, v: the Euclidean lengths of the directions.
      angle: the angle between them, in radians.
    """

    u: Float[np.ndarray, " seed"]
    v: Float[np.ndarray, " seed"]
    angle: Float[np.ndarray, " seed"]


def positions(count: int, beyond: float) -> Float[np.ndarray, " count"]:
    """Evenly spaced positions from ``-beyond`` to ``1 + beyond`` on a line with one policy at 0 and another at 1.

    Both policies are always among the points: if no point is at a policy, the nearest one is moved there.

    Raises:
      ConfigError: there are fewer than 2 points, or ``beyond`` is negative.
    """
    if count < 2 or beyond < 0:
        raise ConfigError(
            f"landscape: points = {count} must be at least 2, one for each policy, and beyond = {beyond} must not be "
            "negative."
        )
    even = np.linspace(-beyond, 1 + beyond, count)
    first = int(np.argmin(np.round(np.abs(even), 9)))
    last = count - 1 - int(np.argmin(np.round(np.abs(even[::-1] - 1), 9)))
    even[[first, last]] = 0.0, 1.0
    return even


def line_weights(t: Float[np.ndarray, " point"]) -> Float[np.ndarray, "point 2"]:
    """Returns the policies' weights for the points ``theta + t u``: the first policy is at 0, the second at 1."""
    t = np.asarray(t, float)
    return np.stack([1 - t, t], axis=1)


def plane_weights(x: Float[np.ndarray, " x"], y: Float[np.ndarray, " y"]) -> Float[np.ndarray, "xy 3"]:
    """Returns the policies' weights for the points ``theta + x u + y v`` of a grid, with ``y`` as the last axis.

    The three policies are at (0, 0), (1, 0) and (0, 1).
    """
    first, second = (axis.reshape(-1) for axis in np.meshgrid(x, y, indexing="ij"))
    return np.stack([1 - first - second, first, second], axis=1)


def largest_fall(returns: Float[np.ndarray, "point seed"]) -> Interval:
    """Returns the largest decrease of the mean return from an earlier to a later point of a line; 0 if it never
    decreases.

    The interval is for the difference between the two points that were found, with paired seeds. It does not account
    for the choice of these points among many. If it contains 0, the decrease cannot be distinguished from noise; if it
    does not, the decrease may still be noise.
    """
    returns = np.asarray(returns)
    mean = returns.mean(axis=1)
    low = int(np.argmax(np.maximum.accumulate(mean) - mean))
    high = int(np.argmax(mean[: low + 1]))
    return bootstrap_interval(returns[high] - returns[low])
