"""Data sets: embedded ones and D4RL's by name, files by path."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smac_jax.data.dataset import Dataset

__all__ = ["Dataset", "embedded_datasets", "load_dataset"]


def embedded_datasets() -> dict[str, Path]:
    """The data sets that come with the package, by name."""
    folder = Path(str(resources.files("smac_jax.data"))) / "embedded"
    return {path.stem: path for path in sorted(folder.glob("*.hdf5"))}


def load_dataset(name_or_path: str | os.PathLike) -> Dataset:
    """A data set by its name, or from a file.

    Args:
      name_or_path: one of these, the first that fits:

        * a name of :func:`embedded_datasets`, such as ``hopper-medium-replay`` (no version: this project's own data);
        * a name of D4RL's with its version, such as ``hopper-medium-replay-v2``, ``kitchen-partial-v0``: D4RL's own
          file, taken from ``$SMAC_JAX_DATA`` (default ``~/.cache/smac_jax/data``) or from where D4RL keeps it
          (``~/.d4rl/datasets``), or else fetched into the former and checked. ``pen-binary-v0`` and its like are
          AWAC's pair of files (``pen2_sparse.npy``, ``pen_bc_sparse4.npy``) where these are at hand
          (:func:`smac_jax.data.readers.awac.folders` says where), or else made of D4RL's human demonstrations;
        * ``minari:ID``, such as ``minari:D4RL/pen/human-v2`` (:func:`smac_jax.data.readers.minari.read_minari`);
        * ``ogbench:NAME``, such as ``ogbench:antmaze-large-navigate-singletask-v0``
          (:func:`smac_jax.data.readers.ogbench.read_ogbench`);
        * ``part:FRACTION:NAME``, such as ``part:0.1:hopper-medium-replay``: whole episodes of one of the others
          (:meth:`Dataset.part`);
        * the path of a D4RL file. Its task is what its ``metadata/task`` says, or else what its name says
          (``hopper_medium_replay-v2.hdf5``);
        * the path of a release of demonstrations, ``.npy`` or ``.pickle``
          (:func:`smac_jax.data.readers.demonstrations.read_demonstrations`).

    A file under a published name is compared with what others printed of it (rows, episodes, returns), and differences
    are warned of (:mod:`smac_jax.data.d4rl_statistics`).

    Raises:
      DatasetError: none of these, a file that cannot be fetched, or one that cannot be read (see
        :func:`smac_jax.data.readers.d4rl.read_d4rl`).
    """
    from smac_jax.data.sources import load

    return load(name_or_path, embedded_datasets())


def __getattr__(name: str) -> object:
    # JAX is imported only when a data set is
    if name == "Dataset":
        from smac_jax.data.dataset import Dataset

        return Dataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
