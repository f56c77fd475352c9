"""The interface of a run's folder to the seed axis: the seeds, and the devices of their arrays."""

from __future__ import annotations

from typing import Protocol, TypeVar, runtime_checkable

Tree = TypeVar("Tree")


@runtime_checkable
class Layout(Protocol):
    """The assignment of seeds to devices, implemented by :class:`smac_jax.train.sharding.SeedLayout`.

    Attributes:
      seeds: the numbers of the seeds.
    """

    @property
    def seeds(self) -> tuple[int, ...]: ...

    def shard(self, tree: Tree) -> Tree:
        """Distributes leaves ``[seed, ...]`` over the devices."""

    def unpad(self, tree: Tree) -> Tree:
        """Removes the seeds that were added as padding from leaves ``[seed, ...]``."""
