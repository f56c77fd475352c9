"""D4RL's files by the names of its data sets. Files that are not on this machine are downloaded.

Source: the table of URLs in D4RL's code (``d4rl/infos.py``), and the sizes and checksums in TensorFlow Datasets. For
antmaze-medium-play-v2 no checksum has been published; its size is the one that D4RL's server reports.
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
"""The folder of D4RL's files on its server."""


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A file on D4RL's server.

    Attributes:
      path: its path below :data:`HOST`.
      size: its size in bytes; None if it is not known.
      sha256: its SHA-256 in hexadecimal digits; None if it is not known.
    """

    path: str
    size: int | None
    sha256: str | None

    @property
    def name(self) -> str:
        """The name that D4RL itself gives the file on disk."""
        return self.path.rpartition("/")[2]


@cache
def d4rl_files() -> dict[str, RemoteFile]:
    """Returns the files of D4RL's data sets by name, such as ``hopper-medium-replay-v2``.

    D4RL has no ``door-binary-v0`` and the like. These names stand for its human demonstrations of the hand, whose
    rewards :func:`smac_jax.data.readers.binary.to_binary` makes binary. The published data sets of these names, which
    also hold rollouts of cloned policies, take precedence if they are on this machine
    (:mod:`smac_jax.data.readers.awac`).
    """
    text = Path(__file__).with_name("d4rl_files.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t")
    files = {
        row["name"]: RemoteFile(
            row["path"],
            None if row["bytes"] == "-" else int(row["bytes"]),
            None if row["sha256"] == "-" else row["sha256"],
        )
        for row in rows
    }
    return files | {f"{task}-v0": files[f"{dense_of(task)}-human-v1"] for task in binary_tasks()}


def data_folder() -> Path:
    """Returns the folder for downloaded data: ``$SMAC_JAX_DATA``, or ``~/.cache/smac_jax/data``.

    The latter is used if it exists, even if it cannot be written. If it does not exist, the folder is in
    :func:`smac_jax.files.cache_folder`.
    """
    if given := os.environ.get("SMAC_JAX_DATA"):
        return local_path(given)
    at_home = in_home(".cache", "smac_jax", "data")
    return at_home if at_home is not None and at_home.is_dir() else cache_folder() / "data"


def is_on_disk(name: str) -> bool:
    """Returns whether the file of a D4RL data set is on this machine."""
    return any(path.is_file() for path in _candidates(d4rl_files()[name]))


def _candidates(file: RemoteFile) -> list[Path]:
    given = os.environ.get("D4RL_DATASET_DIR")
    folder_of_d4rl = local_path(given) if given else in_home(".d4rl", "datasets")
    return [folder / file.name for folder in (data_folder(), folder_of_d4rl) if folder is not None]


def is_original(path: Path, name: str) -> bool:
    """Returns whether a file has the size and the checksum of D4RL's file, as far as they are known."""
    try:
        check_file(path, d4rl_files()[name].size, d4rl_files()[name].sha256)
    except DatasetError:
        return False
    return True


def d4rl_file(name: str) -> Path:
    """Returns the file of a D4RL data set.

    The file is looked for in :func:`data_folder` and in D4RL's own folder (``$D4RL_DATASET_DIR``, or
    ``~/.d4rl/datasets``). If it is in neither, it is downloaded to the former.

    A file on disk with another size or checksum is not D4RL's; it may have been repacked. It is used, with a warning;
    :func:`is_original` tells whether a file is D4RL's.

    Args:
      name: a key of :func:`d4rl_files`.

    Raises:
      DatasetError: the file cannot be downloaded.
    """
    file = d4rl_files()[name]
    for path in _candidates(file):
        if path.is_file():
            try:
                check_file(path, file.size, file.sha256)
            except DatasetError as error:
                warnings.warn(
                    f"{error} So this is not D4RL's {name}. It is used all the same, and the metadata of the data set "
                    "say so. If you remove it, D4RL's file is downloaded.",
                    stacklevel=2,
                )
            return path
    path = data_folder() / file.name
    download(HOST + file.path, path, size=file.size, sha256=file.sha256)
    return path
