"""Measures compiled programs on a device that is present."""

from __future__ import annotations

import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.devices.facts import Compiled
from benchmarks.devices.programs import LENGTH
from smac_jax.data.dataset import Dataset

ROUNDS = 5
"""Timed calls of a program; the median counts."""
SECONDS = 5.0
"""After this time no further call begins."""


def seconds_of_an_update(made: Compiled, data: Dataset) -> float:
    """The measured seconds of an update of all seeds, from arguments that a run could have."""
    _, arguments = made.program.build(made.target)
    given: list[Any] = [_plausible(argument) for argument in arguments[:4]]
    given.append(
        jax.tree.map(lambda shape, x: jax.device_put(x, shape.sharding), arguments[4], _fill(arguments[4], data))
    )
    found: list[float] = []
    for _ in range(ROUNDS + 1):  # the first call is not counted
        started = time.perf_counter()
        given[0], _, metrics = made.executable(*given)
        jax.block_until_ready((given[0], metrics))
        found.append((time.perf_counter() - started) / LENGTH)
        if len(found) > 1 and sum(found) * LENGTH > SECONDS:
            break
    return statistics.median(found[1:])


def _plausible(tree: Any) -> Any:
    """Small numbers of the shapes of a tree: no seed diverges from them, and none of them is special."""

    def one(shape: jax.ShapeDtypeStruct) -> jax.Array:
        if jnp.issubdtype(shape.dtype, jax.dtypes.prng_key):
            keys = jax.random.split(jax.random.key(0), shape.shape)
            return jax.device_put(keys, shape.sharding)
        if jnp.issubdtype(shape.dtype, jnp.floating):
            # positive, because an optimizer takes the root of some of them
            values = 1e-2 * jax.random.uniform(jax.random.key(1), shape.shape, shape.dtype, 0.5, 1.5)
            return jax.device_put(values, shape.sharding)
        return jax.device_put(jnp.zeros(shape.shape, shape.dtype), shape.sharding)

    return jax.tree.map(one, tree)


def _fill(shapes: Any, data: Dataset) -> Any:
    """The data set, in the structure of an argument."""
    return jax.tree.unflatten(jax.tree.structure(shapes), jax.tree.leaves(data))
