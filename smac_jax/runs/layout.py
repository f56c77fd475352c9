"""What a run's folder must know of the seed axis: which seeds there are, and where their arrays lie."""

from __future__ import annotations

from typing import Protocol, TypeVar, runtime_checkable

Tree = TypeVar("Tree")


@runtime_checkable
class Layout(Protocol):
    """Seeds over devices, as :class:`smac_jax.train.sharding.SeedLayout` lays them.

    Attributes:
      seeds: the numbers of the seeds that were asked for.
    """

    @property
    def seeds(self) -> tuple[int, ...]: ...

    def shard(self, tree: Tree) -> Tree:
        """Puts leaves ``[seed, ...]`` on the devices on which their seeds run."""

    def unpad(self, tree: Tree) -> Tree:
        """Leaves ``[seed, ...]`` of the seeds that were asked for, without those that fill up the devices."""
