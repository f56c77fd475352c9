"""Published statistics of the public data sets (rows, episodes, returns), against which a file is compared.

A file that carries the name of a public data set and has other statistics is a different file, or an incomplete one.
The numbers are in ``d4rl_statistics.tsv``, with the source of each line. The sources count in different ways. Here all
numbers are converted to one definition:

* ``rows`` are those of the *file*. Most published numbers are of D4RL's ``qlearning_dataset``, which leaves out every
  time-out and the last row, so the file has ``its rows + omitted time-outs + 1``. The omitted time-outs were counted as
  the places where the next observation of a row is not the observation of the next row.
* ``episodes`` include a last episode that the end of the log cut. Their number is the number of terminals and time-outs
  among all rows except the last one, plus 1, whether or not the last row ends an episode. For D4RL's -v0 data no number
  of episodes is given: these files need not mark time-outs, so that D4RL's code and ours may count differently.
* ``return_*`` are statistics of *complete* episodes, which end with a terminal or a time-out. The deviation is that of
  the population.

For example, for hopper-medium-replay-v2 a source gives 401,598 rows of ``qlearning_dataset`` with 1,639 terminals, and
401 time-outs were omitted. So the file has 402,000 rows and 2,041 episodes.
"""

from __future__ import annotations

import csv
import warnings
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from smac_jax.data.readers.d4rl_files import d4rl_files

TOLERANCE = 1e-3
"""The tolerance of returns, relative to their own size. Other programs summed the rewards in float32."""


class Counts(NamedTuple):
    """Rows, episodes and returns of a data set. A number that is not known is None.

    Attributes:
      rows: all rows of the file.
      episodes: the episodes that end with a terminal or a time-out, and a last one that the end of the log cuts.
      return_mean, return_std, return_max, return_min: undiscounted returns of the complete episodes of the log.
      tail: the number of rows of a last episode that the end of the log cuts. No source gives it.
    """

    rows: int | None
    episodes: int | None
    return_mean: float | None
    return_std: float | None
    return_max: float | None
    return_min: float | None
    tail: int = 0


_PUBLISHED_FIELDS = Counts._fields[:-1]


class Published(NamedTuple):
    """The published statistics of a data set, and their source."""

    counts: Counts
    source: str


@cache
def published_statistics() -> dict[str, Published]:
    """Returns the published statistics by the name of the data set in ``load_dataset``."""
    text = Path(__file__).with_name("d4rl_statistics.tsv").read_text(encoding="utf-8")

    def number(field: str, kind: type) -> float | int | None:
        return None if field == "-" else kind(field)

    return {
        row["name"]: Published(
            Counts(*(number(row[key], int if key in ("rows", "episodes") else float) for key in _PUBLISHED_FIELDS)),  # type: ignore[arg-type]
            row["source"],
        )
        for row in csv.DictReader(text.splitlines(), delimiter="\t")
    }


def published_name(name: str) -> str | None:
    """Returns the published data set that a name or a file name refers to; None if no statistics of it are known.

    A file name counts only if it is D4RL's own and has a version (``hopper_medium_replay-v2.hdf5``), because a name
    such as ``hopper_medium.hdf5`` is too common.
    """
    known = published_statistics()
    if name in known:
        return name
    path = Path(name)
    if path.suffix != ".hdf5":
        return None
    if path.stem in known and not path.stem.startswith("minari:"):
        return path.stem
    files = {file.name: of for of, file in d4rl_files().items() if of in known and not of.endswith("-v0")}
    return files.get(path.name)


def count(rewards: np.ndarray, terminals: np.ndarray, timeouts: np.ndarray | None) -> Counts:
    """Computes the statistics of logged rows. The returns are None if no episode is complete.

    Args:
      rewards: ``[row]``, of all rows of the file.
      terminals: ``[row]``, as they were logged, so that an episode that the end of the log cuts has no flag.
      timeouts: ``[row]``, in the same way. If it is None (D4RL's -v0), only the rows are counted.
    """
    rewards = np.asarray(rewards, np.float64).reshape(-1)
    if timeouts is None:
        return Counts(len(rewards), None, None, None, None, None)
    last = (np.asarray(terminals).reshape(-1) > 0.5) | (np.asarray(timeouts).reshape(-1) > 0.5)
    ends = np.flatnonzero(last)
    if not len(ends):
        return Counts(len(rewards), min(len(rewards), 1), None, None, None, None, len(rewards))
    returns = np.add.reduceat(rewards[: ends[-1] + 1], np.append(0, ends[:-1] + 1))
    tail = len(rewards) - 1 - int(ends[-1])
    statistics = (float(returns.mean()), float(returns.std()), float(returns.max()), float(returns.min()))
    return Counts(len(rewards), len(ends) + (tail > 0), *statistics, tail)


def differences(name: str, counts: Counts) -> list[str]:
    """Lists the statistics that differ from the published ones, such as ``"2,040 episodes, not 2,041"``.

    Returns are compared only if the numbers of rows and episodes agree, because other rows have other returns.

    Args:
      name: a key of :func:`published_statistics`.
      counts: the statistics of the data set.
    """
    of_sizes: list[str] = []
    of_returns: list[str] = []
    expected = published_statistics()[name].counts
    for key, ours, published in zip(_PUBLISHED_FIELDS, counts, expected, strict=False):
        if ours is None or published is None:
            continue
        if key in ("rows", "episodes"):
            if ours != published:
                of_sizes.append(f"{ours:,} {key}, not {published:,}")
        elif abs(ours - published) > TOLERANCE * (10.0 + abs(published)):
            of_returns.append(f"{key.replace('_', ' ')} {ours:.2f}, not {published:.2f}")
    return of_sizes or of_returns


def warn_of_differences(name: str, counts: Counts) -> None:
    """Warns if a data set with the name of a published one has other statistics. The warning gives both numbers."""
    if name not in published_statistics():
        return
    if lines := differences(name, counts):
        warnings.warn(
            f"{name}: this data set has {'; '.join(lines)}, which the published data set has "
            f"({published_statistics()[name].source}). It is a different data set, or it is incomplete.",
            stacklevel=2,
        )
