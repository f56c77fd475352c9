"""Scores that others have published, with where each is from: ``published.tsv``.

A score stands there only where it was read at its source. Means and standard deviations are D4RL's normalized score.
"""

from __future__ import annotations

import csv
import dataclasses
from functools import cache
from pathlib import Path
from typing import NamedTuple

from smac_jax.errors import UnknownNameError
from smac_jax.tasks import parse_name

FILE = Path(__file__).with_name("published.tsv")


class Score(NamedTuple):
    """A normalized score: mean and standard deviation over seeds."""

    mean: float
    std: float


@dataclasses.dataclass(frozen=True)
class Source:
    """Where scores were published.

    Attributes:
      name: in the file.
      citation: authors, year, title, and the place in it.
      address: of what was read.
      protocol: seeds, evaluations and length of training.
    """

    name: str
    citation: str
    address: str
    protocol: str


@dataclasses.dataclass(frozen=True)
class Published:
    """The scores of an algorithm on a data set.

    Attributes:
      data: the data set, with its version.
      algorithm: its name in this package.
      offline: after offline training.
      online: after fine-tuning with the same algorithm; None where that was not published.
      source: where they are from.
    """

    data: str
    algorithm: str
    offline: Score
    online: Score | None
    source: Source


@cache
def published() -> tuple[Published, ...]:
    """All of them, in the order of the file."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    notes = [line[2:].split(" | ") for line in lines if line.startswith("# ") and " | " in line]
    sources = {name: Source(name, *rest) for name, *rest in notes}
    rows = csv.DictReader([line for line in lines if not line.startswith("#")], delimiter="\t")
    return tuple(
        Published(
            row["data"],
            row["algorithm"],
            Score(float(row["offline"]), float(row["offline_std"])),
            Score(float(row["online"]), float(row["online_std"])) if row["online"] else None,
            sources[row["source"]],
        )
        for row in rows
    )


def peers_of(data: str) -> list[Published]:
    """What was published on the data set of this name, whatever its version: ``Published.data`` says which it was.

    Args:
      data: the name of a data set or of its file; one that is no task's has no peers.
    """
    try:
        name = parse_name(data)
    except UnknownNameError:
        return []
    return [found for found in published() if parse_name(found.data) == name]


def is_same(data: str, other: str) -> bool:
    """Whether two names are of one data set, its version included: ``hopper_medium-v2`` is ``hopper-medium-v2``."""
    return data.lower().replace("_", "-") == other.lower().replace("_", "-")
