"""The data set that most tests train on."""

from __future__ import annotations

import numpy as np

import smac_jax


def noise_of_hopper(rows: int = 500) -> smac_jax.Dataset:
    """Returns a data set of noise with the shapes of hopper, in episodes of 50 steps."""
    rng = np.random.default_rng(0)
    return smac_jax.Dataset.from_arrays(
        rng.normal(size=(rows, 11)),
        rng.uniform(-1, 1, (rows, 3)),
        rng.normal(size=rows),
        np.arange(rows) % 50 == 49,
        next_observations=rng.normal(size=(rows, 11)),
        task="hopper",
    )
