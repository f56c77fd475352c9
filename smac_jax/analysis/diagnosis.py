"""Is a transfer sound? What a run has logged by the time of its transfer, judged.

Pure functions from logged numbers to a verdict: sound, not sound, or unknown, each with the figure that it rests on and
with one sentence that says what to do. What each number means, and how far to trust it:
``docs/pages/is-my-transfer-sound.md``.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

SOUND, NOT_SOUND, UNKNOWN = "sound", "not sound", "unknown"
"""Verdicts."""


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """What one run, of one seed, has logged by its transfer. NaN where it was not logged.

    Attributes:
      cosine: between ``grad_a Q`` and ``alpha * score``, the mean of the policy's and of uniform actions.
      residual: of the identity ``grad_a Q = alpha * score``, squared, over what it would be for a flat Q.
      pull: size of the penalty's gradient over that of the temporal differences (``gradient_ratio``).
      optimism: of the critics at the transfer, as a share of the discounted return.
      final_optimism: the same at the end of fine-tuning.
      share: what the control with ``kappa = 0`` earns offline over what this run does, both above a random policy.
      td_error: root mean square of the temporal differences over the mean value, along offline training.
    """

    cosine: float = math.nan
    residual: float = math.nan
    pull: float = math.nan
    optimism: float = math.nan
    final_optimism: float = math.nan
    share: float = math.nan
    td_error: Float[np.ndarray, " point"] = dataclasses.field(default_factory=lambda: np.zeros(0))


class Finding(NamedTuple):
    """The outcome of one check.

    Attributes:
      verdict: :data:`SOUND`, :data:`NOT_SOUND` or :data:`UNKNOWN`.
      figure: what it rests on.
      advice: what to do, a sentence; empty where there is nothing to do.
    """

    verdict: str
    figure: str
    advice: str = ""
