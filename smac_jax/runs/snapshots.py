"""The full state of a training run as data: what a snapshot holds, by name, and the checksums of it.

A snapshot holds everything that the rest of the run depends on: parameters, optimizers, environments, replay buffers,
keys, and what was measured. :mod:`smac_jax.runs.snapshot_store` keeps snapshots on disk.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from smac_jax.short_repr import of_value
from smac_jax.types import Array


class Position(NamedTuple):
    """How far a plan is carried out.

    Attributes:
      item: of the plan.
      done: steps of this item.
      parts: ``(steps, what was measured)`` of the chunks that did them, means and counts ``[2, seed]``.
    """

    item: int
    done: int
    parts: list[tuple[int, dict[str, np.ndarray]]]


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """Everything that the rest of a run depends on.

    Attributes:
      state: leaves ``[seed, ...]``.
      diverged: the step at which each seed was frozen, -1 where it was not.
      position: in the plan.
      history: :meth:`smac_jax.runs.history.History.dump`.
    """

    state: Any
    diverged: Array
    position: Position
    history: dict[str, Any]

    def __repr__(self) -> str:
        return f"Snapshot({of_value(self.state)}, item {self.position.item}, done {self.position.done})"


def named_leaves(tree: Any) -> dict[str, Array]:
    """A tree's arrays under their paths, random keys as the numbers that they are."""

    def plain(x: Any) -> Any:
        if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return x
        return jax.eval_shape(jax.random.key_data, x) if isinstance(x, jax.ShapeDtypeStruct) else jax.random.key_data(x)

    return {jax.tree_util.keystr(path): plain(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def from_named_leaves(like: Any, arrays: dict[str, Array]) -> Any:
    """The tree of :func:`named_leaves`, in the form of ``like``."""

    def one(path: Any, template: Any) -> Array:
        array = arrays[jax.tree_util.keystr(path)]
        if not jnp.issubdtype(template.dtype, jax.dtypes.prng_key):
            return array
        return jax.random.wrap_key_data(array)

    return jax.tree_util.tree_map_with_path(one, like)


def checksums(arrays: Mapping[str, Array | np.ndarray]) -> dict[str, int]:
    """CRC-32 of each array's bytes."""
    return {name: zlib.crc32(np.ascontiguousarray(x).tobytes()) for name, x in arrays.items()}


def checksum(tree: Any) -> int:
    """CRC-32 of a whole tree."""
    return zlib.crc32(repr(sorted(checksums(named_leaves(tree)).items())).encode())


def first_line(error: BaseException) -> str:
    """What an error says, short enough for a line."""
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
