"""Interprets the names of data sets. No other module does."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from smac_jax.chunk_names import parse_chunks
from smac_jax.errors import DatasetError, RegistrationError, SmacError
from smac_jax.files import local_path
from smac_jax.registry import READERS

if TYPE_CHECKING:
    from smac_jax.data.dataset import Dataset


def load(name: str | os.PathLike, embedded: dict[str, Path]) -> Dataset:
    """Implements :func:`smac_jax.data.load_dataset`. ``embedded`` holds the package's own files by name."""
    from smac_jax.data.d4rl_statistics import published_name
    from smac_jax.data.readers.d4rl import read_d4rl
    from smac_jax.data.readers.d4rl_files import d4rl_files
    from smac_jax.data.readers.demonstrations import SUFFIXES, read_demonstrations

    text = str(name)
    if text in embedded:
        return read_d4rl(embedded[text])
    prefix, _, rest = text.partition(":")
    if has_reader(text):
        return _checked(READERS[prefix](rest), text)
    if text in d4rl_files():
        return _d4rl(text)
    path = local_path(name)
    if path.exists():
        if path.suffix in SUFFIXES:
            return read_demonstrations(path)
        data = read_d4rl(path)
        _compare_with_published(path, published_name(path.name))
        return data
    raise DatasetError(
        f"{text!r} is neither an embedded data set, nor one of D4RL's, nor minari:ID, ogbench:NAME, "
        f"part:FRACTION:NAME or chunks:LENGTH:NAME, nor a file. "
        f"Embedded: {', '.join(embedded) or 'none'}. {_similar(text, list(d4rl_files()))}{_registered()}"
        "Give one of these or the path of a D4RL .hdf5 file, or of demonstrations (.npy, .pickle); "
        "`smac-jax make-dataset` makes one."
    )


def is_available_offline(name: str) -> bool:
    """Returns whether a data set with one of D4RL's names is on this machine, so that no download is needed.

    Raises:
      DatasetError: only one file of a pair is on this machine.
    """
    from smac_jax.data.readers.awac import awac_files
    from smac_jax.data.readers.d4rl_files import is_on_disk

    return awac_files(name) is not None or is_on_disk(name)


def files_of(name: str | os.PathLike) -> tuple[Path, ...]:
    """Returns the files that a data set is read from. A file of D4RL's is downloaded if it is not on this machine.

    The result is empty for data sets that Minari or a registered reader reads.

    Raises:
      DatasetError: a file of D4RL's cannot be downloaded.
    """
    from smac_jax.data import embedded_datasets
    from smac_jax.data.readers.awac import awac_files
    from smac_jax.data.readers.d4rl_files import d4rl_file, d4rl_files

    prefix, colon, rest = str(name).partition(":")
    if colon and prefix in ("part", "chunks"):
        return files_of(rest.partition(":")[2])
    if has_reader(name):
        return ()
    if str(name) in embedded_datasets():
        return (embedded_datasets()[str(name)],)
    if str(name) in d4rl_files():
        return awac_files(str(name)) or (d4rl_file(str(name)),)
    return (local_path(name),)


def is_file_name(name: str | os.PathLike) -> bool:
    """Returns whether a name refers to a user's file: it is neither an embedded name, nor D4RL's, nor a reader's."""
    from smac_jax.data import embedded_datasets
    from smac_jax.data.readers.d4rl_files import d4rl_files

    return str(name) not in {*embedded_datasets(), *d4rl_files()} and not has_reader(name)


def has_reader(name: str | os.PathLike) -> bool:
    """Returns whether a name refers to a reader: ``READER:REST``, or ``READER`` alone for a registered reader."""
    reader, colon, _ = str(name).partition(":")
    return bool(reader) and reader in READERS and (bool(colon) or not READERS.is_built_in(reader))


def short_name(name: str | os.PathLike) -> str:
    """Returns a short form of a name, for folders and figures: a file loses its folder and its suffix."""
    prefix, colon, rest = str(name).partition(":")
    if colon and prefix in ("part", "chunks"):
        number, _, full = rest.partition(":")
        return f"{short_name(full)}-{prefix}-{number}"
    return str(name) if has_reader(name) else Path(name).stem


def _d4rl(name: str) -> Dataset:
    from smac_jax.data.readers.awac import NAMES as PUBLISHED_AS_PAIRS
    from smac_jax.data.readers.awac import awac_files, read_awac
    from smac_jax.data.readers.d4rl import read_d4rl
    from smac_jax.data.readers.d4rl_files import HOST, d4rl_file, d4rl_files, is_original
    from smac_jax.tasks import parse_name

    if files := awac_files(name):
        return read_awac(name, files)
    # the task must come from the name, because files such as walker_mixed.hdf5 do not contain it
    path = d4rl_file(name)
    data = read_d4rl(path, task=parse_name(name).task)
    _compare_with_published(path, name)
    original = is_original(path, name)
    source = f"D4RL, {HOST}{d4rl_files()[name].path}" if original else f"{path}, which is not D4RL's file"
    notes = [*data.metadata, ("source", source)]
    if name in PUBLISHED_AS_PAIRS:
        notes.append(
            ("alone", "the human demonstrations alone, without the rollouts of cloned policies in AWAC's pair of files")
        )
    return dataclasses.replace(data, name=name, metadata=tuple(sorted(notes)))


def _compare_with_published(path: Path, name: str | None) -> None:
    """Warns if a file with the name of a published data set has other statistics."""
    from smac_jax.data.d4rl_statistics import count, published_statistics, warn_of_differences
    from smac_jax.data.readers.d4rl import read_columns

    if name in published_statistics():
        import numpy as np

        logged = read_columns(path, ("rewards", "terminals", "timeouts"))
        ended = logged.get("terminals", np.zeros(len(logged["rewards"])))
        warn_of_differences(str(name), count(logged["rewards"], ended, logged.get("timeouts")))


def read_minari(name: str) -> Dataset:
    """Reads the data set ``minari:NAME``."""
    from smac_jax.data.readers import minari

    return minari.read_minari(name)


def read_ogbench(name: str) -> Dataset:
    """Reads the data set ``ogbench:NAME``."""
    from smac_jax.data.readers import ogbench

    return ogbench.read_ogbench(name)


def read_part(rest: str) -> Dataset:
    """Reads the data set ``part:FRACTION:NAME``."""
    from smac_jax.data import load_dataset

    fraction, _, name = rest.partition(":")
    try:
        return load_dataset(name).part(float(fraction))
    except ValueError as error:
        if isinstance(error, SmacError):
            raise
        raise DatasetError(f"'part:{rest}': expected part:FRACTION:NAME, such as part:0.1:{name or 'NAME'}.") from error


def read_chunks(rest: str) -> Dataset:
    """Reads the data set ``chunks:LENGTH:NAME``."""
    from smac_jax.data import load_dataset
    from smac_jax.data.chunks import in_chunks

    length, name = parse_chunks(rest)
    return in_chunks(load_dataset(name), length)


def _checked(data: Dataset, name: str) -> Dataset:
    """Returns what a reader returned.

    Raises:
      RegistrationError: it is not a data set.
    """
    from smac_jax.data.dataset import Dataset

    if not isinstance(data, Dataset):
        raise RegistrationError(
            f"The data source {name.partition(':')[0]!r} returned a {type(data).__name__} for {name!r}, but it must "
            "return a smac_jax.Dataset: smac_jax.Dataset.from_arrays makes one from arrays, and checks them."
        )
    return data


def _registered() -> str:
    others = [f"{name}:NAME" for name in READERS.added()]
    return f"Registered: {', '.join(others)}. " if others else ""


def _similar(name: str, known: list[str]) -> str:
    import difflib

    similar = difflib.get_close_matches(name, known, n=3)
    return f"D4RL's data sets with similar names: {', '.join(similar)}. " if similar else ""
