"""The seed axis over the devices of this process: as many seeds as devices cost the time of one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from smac_jax.train.compilation import Program
from smac_jax.types import Key

Tree = TypeVar("Tree")
SEED = PartitionSpec("seed")
EVERYWHERE = PartitionSpec()


@dataclasses.dataclass(frozen=True)
class SeedLayout:
    """Which seeds run where.

    Each device gets equally many, next to each other. Where the number of seeds is no multiple, the last seed is
    repeated to fill up, and its repetitions are dropped again from all that comes out. No device talks to another:
    what a seed computes depends on the number of devices only through the rounding of batched matrix products.

    Attributes:
      seeds: the seeds' numbers.
      devices: those that are used; as few as do not lengthen the run.
    """

    seeds: tuple[int, ...]
    devices: tuple[jax.Device, ...]

    @classmethod
    def over(cls, seeds: Sequence[int], devices: Sequence[jax.Device] | None = None) -> SeedLayout:
        """Lays seeds over devices; default: all of this process."""
        available = tuple(jax.local_devices() if devices is None else devices)
        each = math.ceil(len(seeds) / len(available))
        return cls(tuple(seeds), available[: math.ceil(len(seeds) / each)])

    @property
    def padded(self) -> tuple[int, ...]:
        """The seeds with the repetitions of the last one."""
        each = math.ceil(len(self.seeds) / len(self.devices))
        return self.seeds + self.seeds[-1:] * (each * len(self.devices) - len(self.seeds))

    @cached_property
    def mesh(self) -> Mesh:
        """One axis, ``seed``."""
        return Mesh(np.array(self.devices), ("seed",))

    def shard(self, tree: Tree) -> Tree:
        """Puts leaves ``[seed, ...]`` where their seeds run, with the repetitions."""
        extra = len(self.padded) - len(self.seeds)

        def one(x: jax.Array) -> jax.Array:
            if extra:
                x = jax.numpy.concatenate([x, jax.numpy.repeat(x[-1:], extra, axis=0)])
            return x

        return jax.device_put(jax.tree.map(one, tree), NamedSharding(self.mesh, SEED))

    def replicate(self, tree: Tree) -> Tree:
        """Puts a copy on each device."""
        return jax.device_put(tree, NamedSharding(self.mesh, EVERYWHERE))

    def unpad(self, tree: Tree) -> Tree:
        """Drops the repetitions: leaves ``[seed, ...]`` of the seeds that were asked for."""
        count = len(self.seeds)
        return tree if count == len(self.padded) else jax.tree.map(lambda x: x[:count], tree)

    def keys(self, stream: str) -> Key:
        """:func:`smac_jax.train.keys.stream_keys`, in place."""
        from smac_jax.train.keys import stream_keys

        return self.shard(stream_keys(self.seeds, stream))

    def map(self, one_seed: Callable[..., Any], in_axes: Sequence[int | None], donate: Sequence[int] = ()) -> Program:
        """Compiles a function of one seed for all of them.

        Args:
          one_seed: takes and returns pytrees.
          in_axes: for each argument 0 (leaves ``[seed, ...]``) or None (the same for all seeds).
          donate: arguments whose memory may be reused.
        """
        return self.spread(jax.vmap(one_seed, in_axes=tuple(in_axes)), in_axes, donate)

    def spread(self, seeds: Callable[..., Any], in_axes: Sequence[int | None], donate: Sequence[int] = ()) -> Program:
        """Compiles a function of several seeds, each device taking its own; arguments as in :meth:`map`."""
        if len(self.devices) > 1:
            # by hand: left to itself, the compiler would gather all seeds for a call into the C engine
            seeds = jax.shard_map(
                seeds,
                mesh=self.mesh,
                in_specs=tuple(SEED if axis == 0 else EVERYWHERE for axis in in_axes),
                out_specs=SEED,
                check_vma=False,
            )
        return Program(seeds, donate)
