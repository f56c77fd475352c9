"""AWAC's release of data for Adroit's binary tasks, which has a pair of files for each task.

Source: AWAC (Nair et al. 2020). The files are read as Cal-QL and WSRL read them: human demonstrations
(``pen2_sparse.npy``), then rollouts of policies that were cloned from them (``pen_bc_sparse4.npy``). The release is a
folder ``offpolicy_hand_data`` on a file-sharing site, so it cannot be downloaded from here.
"""

from __future__ import annotations

import os
from pathlib import Path

from smac_jax.data.dataset import Dataset
from smac_jax.data.readers.d4rl_files import data_folder
from smac_jax.data.readers.demonstrations import binary_episodes, read_episodes
from smac_jax.errors import DatasetError
from smac_jax.files import in_home, local_path
from smac_jax.tasks import dense_of, parse_name

NAMES = ("pen-binary-v0", "door-binary-v0", "relocate-binary-v0")


def folders() -> tuple[Path, ...]:
    """Returns the folders that may hold the release: this package's, WSRL's (``$DATA_DIR_PREFIX``) and RLPD's."""
    given = os.environ.get("DATA_DIR_PREFIX")
    wsrl = local_path(given) if given else in_home("adroit_data")
    places = (
        data_folder() / "offpolicy_hand_data",
        data_folder(),
        wsrl and wsrl / "offpolicy_hand_data",
        in_home(".datasets", "awac-data"),
    )
    return tuple(place for place in places if place is not None)


def awac_files(name: str) -> tuple[Path, Path] | None:
    """Returns the pair of files of a task, from the first folder that holds one of them; None if no folder does.

    Raises:
      DatasetError: that folder holds only one of the two files.
    """
    if name not in NAMES:
        return None
    hand = dense_of(parse_name(name).task)
    for folder in folders():
        demonstrations, clones = folder / f"{hand}2_sparse.npy", folder / f"{hand}_bc_sparse4.npy"
        missing = [path.name for path in (demonstrations, clones) if not path.is_file()]
        if len(missing) == 1:
            raise DatasetError(
                f"{name}: {folder} holds only one of the two files of AWAC's release; {missing[0]} is missing. Put it "
                "there, or give the path of the other file to use it alone."
            )
        if not missing:
            return demonstrations, clones
    return None


def read_awac(name: str, files: tuple[Path, Path]) -> Dataset:
    """Reads both files of a task as one data set.

    Args:
      name: one of :data:`NAMES`.
      files: the pair that :func:`awac_files` returns.

    Raises:
      DatasetError: a file cannot be read, or the two do not fit together.
    """
    task = parse_name(name).task
    arrays, notes = binary_episodes(task, read_episodes(*files), name)
    metadata = {"source": "AWAC, " + " and ".join(path.name for path in files), **notes}
    return Dataset.from_arrays(**arrays, name=name, task=task, metadata=metadata)
