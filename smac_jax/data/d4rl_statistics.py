"""What others printed of the published data sets (rows, episodes, returns), to tell another file from the one meant.

The numbers are in ``d4rl_statistics.tsv``, with the source of each line. What they count differs between sources, and
here all of them are brought to one meaning:

* ``rows``: of the *file*. D4RL's ``qlearning_dataset``, of which most numbers were printed, leaves out every time-out
  and the last row, so the file has ``its rows + time-outs left out + 1``. Where one of its rows ends elsewhere than the
  next begins, a time-out was left out between them, which is how these were counted.
* ``episodes``: a last one that the end of the log cut counts, too. It is the terminals and time-outs among all rows but
  the last, plus 1, whether that last row ends an episode or not. For D4RL's -v0, whose files need not mark time-outs,
  no number of episodes is given, because D4RL's code and ours need not find the same ones.
* ``return_*``: of *whole* episodes alone, those that a terminal or a time-out ends; the deviation is the population's.

For example, of hopper-medium-replay-v2 401,598 rows of ``qlearning_dataset`` were printed, with 1,639 terminals and
401 time-outs left out: 402,000 rows of the file, and 2,041 episodes.
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
"""Of returns, in units of their own size; others summed them in float32."""


class Counts(NamedTuple):
    """Rows, episodes and returns of a data set; None where nobody printed the number.

    Attributes:
      rows: of the file, none left out.
      episodes: those that a terminal or a time-out ends, and a last one that the end of the log cuts.
      return_mean, return_std, return_max, return_min: undiscounted, of the former alone.
      tail: rows of the latter; nobody printed it.
    """

    rows: int | None
    episodes: int | None
    return_mean: float | None
    return_std: float | None
    return_max: float | None
    return_min: float | None
    tail: int = 0


_PRINTED = Counts._fields[:-1]


class Printed(NamedTuple):
    """What was printed of a published data set, and where."""

    counts: Counts
    source: str


@cache
def printed_statistics() -> dict[str, Printed]:
    """The printed numbers by the name of the data set, as ``load_dataset`` takes it."""
    text = Path(__file__).with_name("d4rl_statistics.tsv").read_text(encoding="utf-8")

    def number(field: str, kind: type) -> float | int | None:
        return None if field == "-" else kind(field)

    return {
        row["name"]: Printed(
            Counts(*(number(row[key], int if key in ("rows", "episodes") else float) for key in _PRINTED)),  # type: ignore[arg-type]
            row["source"],
        )
        for row in csv.DictReader(text.splitlines(), delimiter="\t")
    }


def published_name(name: str) -> str | None:
    """The published data set that a name, or a file by its own name, claims to be; None if we know no numbers of it.

    Of files only D4RL's own names count, and only with a version (``hopper_medium_replay-v2.hdf5``), as anybody may
    call a file ``hopper_medium.hdf5``.
    """
    known = printed_statistics()
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
    """The same numbers of rows at hand; returns are None without a whole episode.

    Args:
      rewards, terminals, timeouts: of all rows of the file; flags as they were logged, so that an episode that the end
        of the log cut carries none. Without ``timeouts`` (D4RL's -v0) only rows are counted.
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


def differences(name: str, found: Counts) -> list[str]:
    """Where counted numbers are not the printed ones of a data set of that name: ``"2,040 episodes, not 2,041"``.

    Returns are compared only where rows and episodes are the same: of other rows they are others.
    """
    lines: list[str] = []
    of_returns: list[str] = []
    expected = printed_statistics()[name].counts
    for key, here, there in zip(_PRINTED, found, expected, strict=False):
        if here is None or there is None:
            continue
        if key in ("rows", "episodes"):
            if here != there:
                lines.append(f"{here:,} {key}, not {there:,}")
        elif abs(here - there) > TOLERANCE * (10.0 + abs(there)):
            of_returns.append(f"{key.replace('_', ' ')} {here:.2f}, not {there:.2f}")
    return lines or of_returns


def warn_of_differences(name: str, found: Counts) -> None:
    """One warning with both numbers, where a data set under a published name is not what was printed of that."""
    if name not in printed_statistics():
        return
    if lines := differences(name, found):
        warnings.warn(
            f"{name}: this data set has {'; '.join(lines)}, as printed of the published data set "
            f"({printed_statistics()[name].source}). It is another one, or not whole.",
            stacklevel=2,
        )
