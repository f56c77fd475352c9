"""Where randomness comes from: ``fold_in(seed key, stream, global step)``, so that a run's numbers do not depend on
where it was cut into chunks, nor on which other seeds ran beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from smac_jax.errors import ConfigError
from smac_jax.types import Key

STREAMS = ("init", "offline", "online", "environment", "evaluation", "diagnostics")


def seed_numbers(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """``4`` means seeds 0, 1, 2, 3; a sequence means itself.

    Raises:
      ConfigError: none, a negative one, or the same one twice.
    """
    numbers = tuple(range(seeds)) if isinstance(seeds, (int, np.integer)) else tuple(int(s) for s in seeds)
    if not numbers or min(numbers) < 0 or len(set(numbers)) != len(numbers):
        raise ConfigError(f"seeds = {seeds!r}: must be a positive count, or different non-negative numbers.")
    return numbers


def stream_keys(seeds: Sequence[int], stream: str) -> Key:
    """One key a seed, ``[seed]``, for one of ``STREAMS``."""
    number = STREAMS.index(stream)
    return jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), number))(jnp.asarray(seeds, jnp.uint32))


def fold_in(keys: Key, step: int) -> Key:
    """Each seed's key for a step, ``[seed]``."""
    return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, step)
