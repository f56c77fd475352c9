"""Data sets: embedded ones by name, D4RL files by path."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from smac_jax.errors import DatasetError

if TYPE_CHECKING:
    from smac_jax.data.dataset import Dataset

__all__ = ["Dataset", "embedded_datasets", "load_dataset"]


def embedded_datasets() -> dict[str, Path]:
    """The data sets that come with the package, by name."""
    folder = Path(str(resources.files("smac_jax.data"))) / "embedded"
    return {path.stem: path for path in sorted(folder.glob("*.hdf5"))}


def load_dataset(name_or_path: str | os.PathLike) -> Dataset:
    """An embedded data set by its name, or a D4RL file by its path.

    Args:
      name_or_path: a name of :func:`embedded_datasets`, or a file. A file's task is what its ``metadata/task`` says, or
        else what its name says (``hopper_medium_replay-v2.hdf5``).

    Raises:
      DatasetError: neither, or a file that cannot be read (see :func:`smac_jax.data.d4rl.read_d4rl`).
    """
    from smac_jax.data.d4rl import read_d4rl

    embedded = embedded_datasets()
    if str(name_or_path) in embedded:
        return read_d4rl(embedded[str(name_or_path)])
    path = Path(name_or_path).expanduser()
    if path.exists():
        return read_d4rl(path)
    raise DatasetError(
        f"{str(name_or_path)!r} is neither an embedded data set nor a file. Embedded: {', '.join(embedded) or 'none'}. "
        "Give one of these or the path of a D4RL .hdf5 file; `python -m experiments.make_dataset` makes one."
    )


def __getattr__(name: str) -> object:
    # JAX is imported only when a data set is
    if name == "Dataset":
        from smac_jax.data.dataset import Dataset

        return Dataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
