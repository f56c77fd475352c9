"""Whether numbers differ by more than rounding: what divides by their spread must ask first."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

ROUNDING = 1e-6
"""Numbers that differ by less than this share of the largest one are the same: sums of float32 do not say more."""


def spread(values: Float[np.ndarray, "*any"]) -> float:
    """Highest minus lowest; 0.0 where that is no more than rounding."""
    low, high = float(np.min(values)), float(np.max(values))
    return high - low if high - low > ROUNDING * max(abs(low), abs(high)) else 0.0
