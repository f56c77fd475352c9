"""Distributes the seeds over the devices of this process."""

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
    """The assignment of seeds to devices.

    Each device has the same number of consecutive seeds. If the number of seeds is not a multiple of the number of
    devices, the last seed is repeated, and the repetitions are removed from all results. Devices do not communicate.
    The numbers of a seed depend on the number of devices only through the rounding of batched matrix products.

    Attributes:
      seeds: the numbers of the seeds.
      devices: the devices in use, as few as possible without making the run longer.
    """

    seeds: tuple[int, ...]
    devices: tuple[jax.Device, ...]

    @classmethod
    def over(cls, seeds: Sequence[int], devices: Sequence[jax.Device] | None = None) -> SeedLayout:
        """Returns the layout of seeds over devices; default: all devices of this process."""
        available = tuple(jax.local_devices() if devices is None else devices)
        each = math.ceil(len(seeds) / len(available))
        return cls(tuple(seeds), available[: math.ceil(len(seeds) / each)])

    def on_host(self) -> SeedLayout:
        """The same seeds on the processor of this machine; this layout if JAX may not use the processor."""
        if all(device.platform == "cpu" for device in self.devices):
            return self
        try:
            return SeedLayout.over(self.seeds, jax.local_devices(backend="cpu"))
        except RuntimeError:  # JAX_PLATFORMS excludes it
            return self

    def moved(self, tree: Tree, old: SeedLayout) -> Tree:
        """Distributes leaves ``[seed, ...]`` by this layout, which another layout of the same seeds has distributed."""
        return tree if self == old else self.shard(jax.device_get(old.unpad(tree)))

    @property
    def padded(self) -> tuple[int, ...]:
        """Returns the seeds, including the repetitions of the last one."""
        each = math.ceil(len(self.seeds) / len(self.devices))
        return self.seeds + self.seeds[-1:] * (each * len(self.devices) - len(self.seeds))

    @cached_property
    def mesh(self) -> Mesh:
        """Returns the mesh of the devices, with one axis ``seed``."""
        return Mesh(np.array(self.devices), ("seed",))

    def shard(self, tree: Tree) -> Tree:
        """Pads leaves ``[seed, ...]`` with the repetitions and distributes them over the devices."""
        extra = len(self.padded) - len(self.seeds)

        def one(x: jax.Array) -> jax.Array:
            if extra:
                x = jax.numpy.concatenate([x, jax.numpy.repeat(x[-1:], extra, axis=0)])
            return x

        return jax.device_put(jax.tree.map(one, tree), NamedSharding(self.mesh, SEED))

    def replicate(self, tree: Tree) -> Tree:
        """Puts a copy of a tree on each device."""
        return jax.device_put(tree, NamedSharding(self.mesh, EVERYWHERE))

    def unpad(self, tree: Tree) -> Tree:
        """Removes the repetitions from leaves ``[seed, ...]``."""
        count = len(self.seeds)
        return tree if count == len(self.padded) else jax.tree.map(lambda x: x[:count], tree)

    def keys(self, stream: str) -> Key:
        """:func:`smac_jax.train.keys.stream_keys`, distributed over the devices."""
        from smac_jax.train.keys import stream_keys

        return self.shard(stream_keys(self.seeds, stream))

    def map(self, one_seed: Callable[..., Any], in_axes: Sequence[int | None], donate: Sequence[int] = ()) -> Program:
        """Compiles a function of one seed for all seeds.

        Args:
          one_seed: a function of pytrees.
          in_axes: for each argument 0 (leaves ``[seed, ...]``) or None (the same value for all seeds).
          donate: indices of the arguments whose memory may be reused.
        """
        return self.spread(jax.vmap(one_seed, in_axes=tuple(in_axes)), in_axes, donate)

    def spread(self, seeds: Callable[..., Any], in_axes: Sequence[int | None], donate: Sequence[int] = ()) -> Program:
        """Compiles a function of several seeds so that each device computes its own; arguments as in :meth:`map`."""
        if len(self.devices) > 1:
            # an explicit shard_map, because the compiler would gather all seeds for a call into the C engine
            seeds = jax.shard_map(
                seeds,
                mesh=self.mesh,
                in_specs=tuple(SEED if axis == 0 else EVERYWHERE for axis in in_axes),
                out_specs=SEED,
                check_vma=False,
            )
        return Program(seeds, donate)
