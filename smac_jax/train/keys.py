"""Random keys: ``fold_in(seed key, stream, global step)``. The numbers of a seed depend neither on the division of the
run into chunks nor on the other seeds of the run.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from smac_jax.config import seed_number, whole_number
from smac_jax.errors import ConfigError
from smac_jax.types import Key

STREAMS = ("init", "offline", "online", "environment", "evaluation", "diagnostics", "further evaluation")


def seed_numbers(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """Returns the numbers of the seeds: a count ``4`` means 0, 1, 2, 3; a sequence holds the numbers themselves.

    Raises:
      ConfigError: there are no seeds, a seed is not an integer of 32 bits, or a seed appears twice.
    """
    if np.ndim(seeds) == 0:  # true for text, too, which is then refused
        return tuple(range(whole_number("seeds", seeds, 1)))
    numbers = tuple(seed_number(f"seeds[{i}]", seed) for i, seed in enumerate(seeds))  # type: ignore[arg-type]
    if not numbers:
        raise ConfigError(f"seeds = {seeds!r}: must be a positive count, or at least one number.")
    twice = sorted({seed for seed in numbers if numbers.count(seed) > 1})
    if twice:
        raise ConfigError(f"seeds = {seeds!r}: {twice[0]} is there more than once; every seed is one run.")
    return numbers


def stream_keys(seeds: Sequence[int], stream: str) -> Key:
    """Returns the keys of the seeds, ``[seed]``, for one of ``STREAMS``."""
    number = STREAMS.index(stream)
    return jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), number))(jnp.asarray(seeds, jnp.uint32))


def fold_in(keys: Key, step: int) -> Key:
    """Returns the keys of the seeds for a step, ``[seed]``."""
    return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, step)
