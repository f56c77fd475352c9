"""What a data set's name means: the one place that takes names apart."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from smac_jax.errors import DatasetError, SmacError
from smac_jax.files import local_path

if TYPE_CHECKING:
    from smac_jax.data.dataset import Dataset


def load(name: str | os.PathLike, embedded: dict[str, Path]) -> Dataset:
    """As :func:`smac_jax.data.load_dataset` says; ``embedded`` are the package's own, by name."""
    from smac_jax.data.d4rl_statistics import published_name
    from smac_jax.data.readers.d4rl import read_d4rl
    from smac_jax.data.readers.d4rl_files import d4rl_files
    from smac_jax.data.readers.demonstrations import SUFFIXES, read_demonstrations

    text = str(name)
    prefix, colon, rest = text.partition(":")
    if colon and prefix in PREFIXES:
        return PREFIXES[prefix](rest)
    if text in embedded:
        return read_d4rl(embedded[text])
    if text in d4rl_files():
        return _d4rl(text)
    path = local_path(name)
    if path.exists():
        if path.suffix in SUFFIXES:
            return read_demonstrations(path)
        data = read_d4rl(path)
        _compare_with_printed(path, published_name(path.name))
        return data
    raise DatasetError(
        f"{text!r} is neither an embedded data set, nor one of D4RL's, nor minari:ID, ogbench:NAME or "
        f"part:FRACTION:NAME, nor a file. "
        f"Embedded: {', '.join(embedded) or 'none'}. {_similar(text, list(d4rl_files()))}"
        "Give one of these or the path of a D4RL .hdf5 file, or of demonstrations (.npy, .pickle); "
        "`smac-jax make-dataset` makes one."
    )


def is_at_hand(name: str) -> bool:
    """Whether a data set with one of D4RL's names is on this machine, so that nothing has to be fetched.

    Raises:
      DatasetError: half of it is.
    """
    from smac_jax.data.readers.awac import awac_files
    from smac_jax.data.readers.d4rl_files import is_on_disk

    return awac_files(name) is not None or is_on_disk(name)


def files_of(name: str | os.PathLike) -> tuple[Path, ...]:
    """The files on this machine that a data set is read from; none for Minari's, which its package reads.

    Raises:
      DatasetError: of D4RL's names, a file that cannot be fetched.
    """
    from smac_jax.data import embedded_datasets
    from smac_jax.data.readers.awac import awac_files
    from smac_jax.data.readers.d4rl_files import d4rl_file, d4rl_files

    prefix, colon, rest = str(name).partition(":")
    if colon and prefix == "part":
        return files_of(rest.partition(":")[2])
    if colon and prefix in PREFIXES:
        return ()
    if str(name) in embedded_datasets():
        return (embedded_datasets()[str(name)],)
    if str(name) in d4rl_files():
        return awac_files(str(name)) or (d4rl_file(str(name)),)
    return (local_path(name),)


def is_file_name(name: str | os.PathLike) -> bool:
    """Whether a name is that of a file of the user's: none that this package, D4RL or a prefix gives a meaning to."""
    from smac_jax.data import embedded_datasets
    from smac_jax.data.readers.d4rl_files import d4rl_files

    prefix, colon, _ = str(name).partition(":")
    return not (colon and prefix in PREFIXES) and str(name) not in {*embedded_datasets(), *d4rl_files()}


def short_name(name: str | os.PathLike) -> str:
    """What a data set is called where there is little room: a file without its folder and suffix, a name as it is."""
    prefix, colon, rest = str(name).partition(":")
    if colon and prefix == "part":
        fraction, _, whole = rest.partition(":")
        return f"{short_name(whole)}-part-{fraction}"
    return str(name) if colon and prefix in PREFIXES else Path(name).stem


def _d4rl(name: str) -> Dataset:
    from smac_jax.data.readers.awac import NAMES as PUBLISHED_AS_PAIRS
    from smac_jax.data.readers.awac import awac_files, read_awac
    from smac_jax.data.readers.d4rl import read_d4rl
    from smac_jax.data.readers.d4rl_files import HOST, d4rl_file, d4rl_files, is_d4rls
    from smac_jax.tasks import parse_name

    if files := awac_files(name):
        return read_awac(name, files)
    # file names such as walker_mixed.hdf5 do not say the task
    path = d4rl_file(name)
    data = read_d4rl(path, task=parse_name(name).task)
    _compare_with_printed(path, name)
    theirs = is_d4rls(path, name)
    source = ("source", f"D4RL, {HOST}{d4rl_files()[name].path}" if theirs else f"{path}, which is not D4RL's file")
    notes = [*data.metadata, source]
    if name in PUBLISHED_AS_PAIRS:
        notes.append(("alone", "the human demonstrations alone, without the clones' rollouts of AWAC's pair of files"))
    return dataclasses.replace(data, name=name, metadata=tuple(sorted(notes)))


def _compare_with_printed(path: Path, name: str | None) -> None:
    """Warns where a file under a published name is not what others printed of it."""
    from smac_jax.data.d4rl_statistics import count, printed_statistics, warn_of_differences
    from smac_jax.data.readers.d4rl import read_columns

    if name in printed_statistics():
        import numpy as np

        logged = read_columns(path, ("rewards", "terminals", "timeouts"))
        ended = logged.get("terminals", np.zeros(len(logged["rewards"])))
        warn_of_differences(str(name), count(logged["rewards"], ended, logged.get("timeouts")))


def _minari(name: str) -> Dataset:
    from smac_jax.data.readers.minari import read_minari

    return read_minari(name)


def _part(rest: str) -> Dataset:
    from smac_jax.data import load_dataset

    fraction, _, name = rest.partition(":")
    try:
        return load_dataset(name).part(float(fraction))
    except ValueError as error:
        if isinstance(error, SmacError):
            raise
        raise DatasetError(f"'part:{rest}': expected part:FRACTION:NAME, such as part:0.1:{name or 'NAME'}.") from error


def _ogbench(name: str) -> Dataset:
    from smac_jax.data.readers.ogbench import read_ogbench

    return read_ogbench(name)


PREFIXES: dict[str, Callable[[str], Dataset]] = {"minari": _minari, "ogbench": _ogbench, "part": _part}
"""Readers of what follows the colon in a name such as ``minari:ID``."""


def _similar(name: str, known: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, n=3)
    return f"D4RL's with names like this: {', '.join(near)}. " if near else ""
