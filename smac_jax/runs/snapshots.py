"""Snapshots: the complete state of a training run as data, with names and checksums of its arrays.

A snapshot has everything on which the rest of the run depends: parameters, optimizers, environments, replay buffers,
keys, and metrics. :mod:`smac_jax.runs.snapshot_store` keeps snapshots on disk.
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
    """A position in a plan (:mod:`smac_jax.train.plan`).

    Attributes:
      item: the index of the current item.
      done: the completed steps of this item.
      parts: ``(steps, metrics)`` of the chunks of this item; metrics are means and counts ``[2, seed]``.
    """

    item: int
    done: int
    parts: list[tuple[int, dict[str, np.ndarray]]]


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """Everything on which the rest of a run depends.

    Attributes:
      state: the training state, with leaves ``[seed, ...]``.
      diverged: the step at which each seed diverged and was frozen, or -1.
      position: the position in the plan.
      history: the values of :meth:`smac_jax.runs.history.History.dump`.
    """

    state: Any
    diverged: Array
    position: Position
    history: dict[str, Any]

    def __repr__(self) -> str:
        return f"Snapshot({of_value(self.state)}, item {self.position.item}, done {self.position.done})"


def named_leaves(tree: Any) -> dict[str, Array]:
    """The arrays of a tree by their paths, with the data of random keys."""

    def plain(x: Any) -> Any:
        if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return x
        return jax.eval_shape(jax.random.key_data, x) if isinstance(x, jax.ShapeDtypeStruct) else jax.random.key_data(x)

    return {jax.tree_util.keystr(path): plain(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def from_named_leaves(like: Any, arrays: dict[str, Array]) -> Any:
    """The tree from the arrays of :func:`named_leaves`, with the structure of ``like``."""

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
    """CRC-32 of all arrays of a tree."""
    return zlib.crc32(repr(sorted(checksums(named_leaves(tree)).items())).encode())


def first_line(error: BaseException) -> str:
    """The first line of an error's message, shortened."""
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
