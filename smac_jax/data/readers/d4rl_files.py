"""D4RL's files by the names of its data sets: on this machine already, or fetched.

Source: the table of URLs in D4RL's code (``d4rl/infos.py``); sizes and checksums as TensorFlow Datasets lists them (the
size of antmaze-medium-play-v2, whose checksum nobody wrote down, is the one that D4RL's server is said to give).
"""

from __future__ import annotations

import csv
import dataclasses
import os
import warnings
from functools import cache
from pathlib import Path

from smac_jax.data.readers.download import check_file, download
from smac_jax.errors import DatasetError
from smac_jax.files import cache_folder, in_home, local_path
from smac_jax.tasks import binary_tasks, dense_of

HOST = "http://rail.eecs.berkeley.edu/datasets/offline_rl/"
"""Where D4RL's files lie."""


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A file on D4RL's server: its path there, its size in bytes, its SHA-256; None where nobody wrote it down."""

    path: str
    size: int | None
    sha256: str | None

    @property
    def name(self) -> str:
        """As D4RL itself calls it on disk."""
        return self.path.rpartition("/")[2]


@cache
def d4rl_files() -> dict[str, RemoteFile]:
    """D4RL's data sets by name, such as ``hopper-medium-replay-v2``.

    ``door-binary-v0`` and its like, which D4RL has not, are its human demonstrations of the hand, whose rewards
    :func:`smac_jax.data.readers.binary.to_binary` makes binary; the published sets of these names, which hold rollouts
    of clones, too, come first where they are at hand (:mod:`smac_jax.data.readers.awac`).
    """
    text = Path(__file__).with_name("d4rl_files.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t")
    found = {
        row["name"]: RemoteFile(
            row["path"],
            None if row["bytes"] == "-" else int(row["bytes"]),
            None if row["sha256"] == "-" else row["sha256"],
        )
        for row in rows
    }
    return found | {f"{task}-v0": found[f"{dense_of(task)}-human-v1"] for task in binary_tasks()}


def data_folder() -> Path:
    """Where fetched data lie: ``$SMAC_JAX_DATA``, or ``~/.cache/smac_jax/data``.

    Data that are in a home directory already are read there, whether anything can be written to it or not; where new
    ones go then, :func:`smac_jax.files.cache_folder` says.
    """
    if given := os.environ.get("SMAC_JAX_DATA"):
        return local_path(given)
    at_home = in_home(".cache", "smac_jax", "data")
    return at_home if at_home is not None and at_home.is_dir() else cache_folder() / "data"


def is_on_disk(name: str) -> bool:
    """Whether the file of a D4RL data set is on this machine."""
    return any(path.is_file() for path in _places(d4rl_files()[name]))


def _places(file: RemoteFile) -> list[Path]:
    given = os.environ.get("D4RL_DATASET_DIR")
    theirs = local_path(given) if given else in_home(".d4rl", "datasets")
    return [folder / file.name for folder in (data_folder(), theirs) if folder is not None]


def is_d4rls(path: Path, name: str) -> bool:
    """Whether a file has the size and the checksum of a D4RL data set's, as far as they are known."""
    try:
        check_file(path, d4rl_files()[name].size, d4rl_files()[name].sha256)
    except DatasetError:
        return False
    return True


def d4rl_file(name: str) -> Path:
    """The file of a D4RL data set; fetched where it is neither in :func:`data_folder` nor where D4RL keeps its own.

    D4RL keeps them in ``$D4RL_DATASET_DIR``, or ``~/.d4rl/datasets``.

    A file on the disk of another size or checksum is somebody's own, perhaps repacked: it is used, with a warning, and
    :func:`is_d4rls` tells.

    Args:
      name: a key of :func:`d4rl_files`.

    Raises:
      DatasetError: it cannot be fetched.
    """
    file = d4rl_files()[name]
    for path in _places(file):
        if path.is_file():
            try:
                check_file(path, file.size, file.sha256)
            except DatasetError as error:
                warnings.warn(
                    f"{error} So this is not D4RL's {name}; it is read all the same, and what comes of it says so. "
                    "Remove it, and D4RL's is fetched.",
                    stacklevel=2,
                )
            return path
    path = data_folder() / file.name
    download(HOST + file.path, path, size=file.size, sha256=file.sha256)
    return path
