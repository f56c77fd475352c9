"""The spread of numbers, which is 0 if they differ only by rounding. Code that divides by a spread uses this one."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

ROUNDING = 1e-6
"""Numbers that differ by at most this share of the largest one count as equal. Sums in float32 are not more precise."""


def spread(values: Float[np.ndarray, "*any"]) -> float:
    """Returns the largest minus the smallest value; 0.0 if that is no more than rounding."""
    low, high = float(np.min(values)), float(np.max(values))
    return high - low if high - low > ROUNDING * max(abs(low), abs(high)) else 0.0
