"""Data sets: embedded data sets and those of D4RL by name, files by path."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smac_jax.data.chunks import in_chunks
    from smac_jax.data.dataset import Dataset

__all__ = ["Dataset", "embedded_datasets", "in_chunks", "load_dataset"]


def embedded_datasets() -> dict[str, Path]:
    """Returns the files of the data sets that come with the package, by name."""
    folder = Path(str(resources.files("smac_jax.data"))) / "embedded"
    return {path.stem: path for path in sorted(folder.glob("*.hdf5"))}


def load_dataset(name_or_path: str | os.PathLike) -> Dataset:
    """Loads a data set by its name, or from a file.

    Args:
      name_or_path: one of the following; the first that fits is used:

        * a name in :func:`embedded_datasets`, such as ``hopper-medium-replay`` (without a version: this project's own
          data);
        * a name of a D4RL data set with its version, such as ``hopper-medium-replay-v2`` or ``kitchen-partial-v0``.
          D4RL's file is read from ``$SMAC_JAX_DATA`` (default ``~/.cache/smac_jax/data``) or from D4RL's own folder
          (``~/.d4rl/datasets``). If it is in neither, it is downloaded to the former and checked. ``pen-binary-v0`` and
          the like are AWAC's pairs of files (``pen2_sparse.npy``, ``pen_bc_sparse4.npy``) if these are on this machine
          (:func:`smac_jax.data.readers.awac.folders` lists the places), or else made from D4RL's human demonstrations;
        * ``minari:ID``, such as ``minari:D4RL/pen/human-v2`` (:func:`smac_jax.data.readers.minari.read_minari`);
        * ``ogbench:NAME``, such as ``ogbench:antmaze-large-navigate-singletask-v0``
          (:func:`smac_jax.data.readers.ogbench.read_ogbench`);
        * ``part:FRACTION:NAME``, such as ``part:0.1:hopper-medium-replay``: complete episodes of one of the others
          (:meth:`Dataset.part`);
        * ``chunks:LENGTH:NAME``, such as ``chunks:5:hopper-medium-replay``: one of the others, whose actions are
          ``LENGTH`` actions in a row (:func:`smac_jax.data.chunks.in_chunks`);
        * the path of a D4RL file. Its task follows from its ``metadata/task``, or else from its name
          (``hopper_medium_replay-v2.hdf5``);
        * the path of a release of demonstrations, ``.npy`` or ``.pickle``
          (:func:`smac_jax.data.readers.demonstrations.read_demonstrations`).

    A file with the name of a public data set is compared with the published statistics (rows, episodes, returns). If
    they differ, a warning says how (:mod:`smac_jax.data.d4rl_statistics`).

    Raises:
      DatasetError: the name is none of these, or the file cannot be downloaded or read (see
        :func:`smac_jax.data.readers.d4rl.read_d4rl`).
    """
    from smac_jax.data.sources import load

    return load(name_or_path, embedded_datasets())


def __getattr__(name: str) -> object:
    # imported on first use, because it imports JAX
    if name == "Dataset":
        from smac_jax.data.dataset import Dataset

        return Dataset
    if name == "in_chunks":
        from smac_jax.data.chunks import in_chunks

        return in_chunks
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
