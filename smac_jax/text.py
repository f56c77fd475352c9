"""Text for users: names of algorithms, counts, durations and rates."""

from __future__ import annotations

import re
from collections.abc import Sized
from typing import Any

NAMES = {
    "smac": "SMAC",
    "td3_bc": "TD3+BC",
    "rebrac": "ReBRAC",
    "fql": "FQL",
    "iql": "IQL",
    "cql": "CQL",
    "cal_ql": "Cal-QL",
    "awac": "AWAC",
    "bc": "BC",
    "none": "no offline training",
    "sac": "SAC",
    "td3": "TD3",
    "awr": "AWR",
    "rlpd": "RLPD",
    "same": "itself",
}
"""The names of the algorithms in tables, figures, pages and the progress bar."""


def name_of(label: str) -> str:
    """Returns the name of an algorithm or a variant for display: ``SMAC, kappa = 5`` for ``smac kappa=5``.

    The label begins with the algorithm, as in ``td3_bc, smac's critics``, or with several, as in ``cal_ql/cql``. Labels
    without an algorithm of :data:`NAMES` are not changed.
    """
    variant, *changes = re.split(r" (?=[\w.]+=)", label)
    algorithm = re.match(r"[\w/]*", variant)[0]  # type: ignore[index]
    name = "/".join(NAMES.get(part, part) for part in algorithm.split("/")) + variant[len(algorithm) :]
    fields = (change.partition("=") for change in changes)
    return ", ".join([name, *(f"{field.rpartition('.')[2].replace('_', ' ')} = {x}" for field, _, x in fields)])


def start_of(label: str, checkpoint: int | None) -> str:
    """Returns the start of a transfer for display: ``SMAC at 3,000 updates``, ``SMAC, kappa = 5, at 3,000 updates``.

    Args:
      label: the label of the offline algorithm or variant (:func:`name_of`).
      checkpoint: the number of offline updates at the transfer; None for the end of offline training.
    """
    name = name_of(label)
    return name if checkpoint is None else f"{name}{',' if ',' in name else ''} at {checkpoint:,} updates"


def count(number: int | Sized, noun: str, plural: str = "") -> str:
    """Returns a count with its noun: ``1 seed``, ``2 seeds``, ``1,000 steps``.

    Args:
      number: the number, or a collection whose elements are counted.
      noun: the singular noun.
      plural: the plural noun; default: the singular with an s.
    """
    n = number if isinstance(number, int) else len(number)  # type: ignore[arg-type]
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """Returns a duration for display: ``42 s``, ``2 min 05 s``, ``12 min``, ``1 h 05 min``, ``2 d 3 h``."""
    if (rounded := max(round(seconds), int(seconds > 0))) < 60:
        return f"{rounded} s"
    if rounded < 600:
        return f"{rounded // 60} min {rounded % 60:02} s"
    if (minutes := round(seconds / 60)) < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours // 24} d {hours % 24} h" if hours >= 24 else f"{hours} h {minutes:02} min"


def rate_text(rate: float) -> str:
    """Returns a rate in steps per second for display, which is never ``0`` for a positive rate."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def mean_over(seeds: int | Sized) -> str:
    """Returns an explanation of the lines and bands for a number of seeds. One seed has no interval."""
    n = seeds if isinstance(seeds, int) else len(seeds)  # type: ignore[arg-type]
    return "one seed" if n == 1 else f"mean and 95 % interval over {n:,} seeds"


def seeds_text(seeds: Any) -> str:
    """Returns ``1 seed (number 0)`` or ``4 seeds (numbers 0, 1, 2, 3)``, and other values than a list as text."""
    if not isinstance(seeds, (list, tuple)) or not seeds:
        return str(seeds)
    return f"{count(seeds, 'seed')} ({'number' if len(seeds) == 1 else 'numbers'} {', '.join(map(str, seeds))})"
