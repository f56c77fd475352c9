"""What people read, in one place: names of algorithms, numbers of things, times and rates."""

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
    "sac": "SAC",
    "td3": "TD3",
    "awr": "AWR",
}
"""What tables, figures, pages and the progress bar call the algorithms."""


def name_of(label: str) -> str:
    """The name of an algorithm or a variant of it for people: ``SMAC, kappa = 5`` for ``smac kappa=5``.

    It stands at the beginning, as in ``td3_bc, smac's critics``. Of several, as ``cal_ql/cql``, each has its name. What
    is no algorithm of :data:`NAMES` stays as it is.
    """
    variant, *changes = re.split(r" (?=[\w.]+=)", label)
    algorithm = re.match(r"[\w/]*", variant)[0]  # type: ignore[index]
    name = "/".join(NAMES.get(part, part) for part in algorithm.split("/")) + variant[len(algorithm) :]
    fields = (change.partition("=") for change in changes)
    return ", ".join([name, *(f"{field.rpartition('.')[2].replace('_', ' ')} = {x}" for field, _, x in fields)])


def start_of(label: str, checkpoint: int | None) -> str:
    """What a transfer starts from, for people: ``SMAC at 3,000 updates``, ``SMAC, kappa = 5, at 3,000 updates``.

    Args:
      label: of the offline algorithm or variant (:func:`name_of`).
      checkpoint: offline updates after which it was transferred; None: after all of them.
    """
    name = name_of(label)
    return name if checkpoint is None else f"{name}{',' if ',' in name else ''} at {checkpoint:,} updates"


def count(number: int | Sized, noun: str, plural: str = "") -> str:
    """``1 seed``, ``2 seeds``, ``1,000 steps``.

    Args:
      number: how many; or what is counted.
      noun: of one.
      plural: of any other number; default: with an s.
    """
    n = number if isinstance(number, int) else len(number)  # type: ignore[arg-type]
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """A time as people say it: ``42 s``, ``2 min 05 s``, ``12 min``, ``1 h 05 min``, ``2 d 3 h``."""
    if (whole := max(round(seconds), int(seconds > 0))) < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60:02} s"
    if (minutes := round(seconds / 60)) < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours // 24} d {hours % 24} h" if hours >= 24 else f"{hours} h {minutes:02} min"


def rate_text(rate: float) -> str:
    """Steps a second: never 0 where there is any."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def mean_over(seeds: int | Sized) -> str:
    """What lines and bands of so many seeds are: of one seed there is no interval."""
    n = seeds if isinstance(seeds, int) else len(seeds)  # type: ignore[arg-type]
    return "one seed" if n == 1 else f"mean and 95 % interval over {n:,} seeds"


def seeds_text(seeds: Any) -> str:
    """``1 seed (number 0)``, ``4 seeds (numbers 0, 1, 2, 3)``; anything but a list of numbers as it is."""
    if not isinstance(seeds, (list, tuple)) or not seeds:
        return str(seeds)
    return f"{count(seeds, 'seed')} ({'number' if len(seeds) == 1 else 'numbers'} {', '.join(map(str, seeds))})"
