"""The comparison as a table: Markdown, CSV, and for the terminal."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from smac_jax.analysis.curves import TransferCurve
from smac_jax.analysis.fitting import Cell, Column, FittedTable
from smac_jax.analysis.metrics import control_dip, dip, is_smooth, regret
from smac_jax.analysis.statistics import bootstrap_interval
from smac_jax.errors import DatasetError
from smac_jax.text import name_of, seeds_text, start_of


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """One pair.

    Quantities hold one number a seed; dips are shares, ``control_dip`` None where there was no control. ``diverged``
    holds a line for each seed that diverged and was frozen. ``transfer_episodes`` and ``final_episodes`` are the
    episodes that ``at_transfer`` and ``final`` are the means of, None where they were not recorded. ``checkpoint`` is
    as in :class:`~smac_jax.analysis.curves.TransferCurve`.
    """

    offline: str
    online: str
    checkpoint: int | None
    at_transfer: Float[np.ndarray, " seed"]
    dip: Float[np.ndarray, " seed"]
    control_dip: Float[np.ndarray, " seed"] | None
    final: Float[np.ndarray, " seed"]
    regret: Float[np.ndarray, " seed"]
    diverged: tuple[str, ...] = ()
    transfer_episodes: Float[np.ndarray, "seed episode"] | None = None
    final_episodes: Float[np.ndarray, "seed episode"] | None = None

    @property
    def transfer_sample(self) -> Float[np.ndarray, " sample"]:
        """What the interval of ``at_transfer`` is over: seeds; of one seed, its episodes where they are kept.

        With several seeds the spread of their means holds that of their episodes already.
        """
        return _sample(self.at_transfer, self.transfer_episodes)

    @property
    def final_sample(self) -> Float[np.ndarray, " sample"]:
        """The same of ``final``."""
        return _sample(self.final, self.final_episodes)

    @property
    def excess_dip(self) -> Float[np.ndarray, " seed"] | None:
        """See :func:`smac_jax.analysis.metrics.excess_dip`."""
        return None if self.control_dip is None else self.dip - self.control_dip

    @property
    def smooth(self) -> str:
        """``"yes"``, ``"no"``, or ``"unknown"`` where fewer than two seeds have a dip."""
        if np.isfinite(self.dip).sum() < 2:
            return "unknown"
        return "yes" if is_smooth(self.dip) else "no"


def _sample(
    means: Float[np.ndarray, " seed"], episodes: Float[np.ndarray, "seed episode"] | None
) -> Float[np.ndarray, " sample"]:
    return episodes[0] if len(means) == 1 and episodes is not None else means


def best_return(curves: Sequence[TransferCurve]) -> float:
    """``R*`` of the regret: the highest return of any agent at any time, before or after the transfer."""
    every = [
        c.ravel() for curve in curves for c in (curve.offline_returns, curve.online_returns, curve.control_returns)
    ]
    joined = np.concatenate(every)
    return float(joined[np.isfinite(joined)].max(initial=-np.inf))


def rows(curves: Sequence[TransferCurve], random_return: float, best: float | None = None) -> list[Row]:
    """The quantities of each curve.

    Args:
      curves: of one task.
      random_return: of a random policy in this task.
      best: ``R*`` of the regret, where other runs have seen a higher one; default: the best of these curves.

    Raises:
      DatasetError: curves of more than one task, whose returns are not to be compared.
    """
    tasks = {curve.task for curve in curves}
    if len(tasks) != 1:
        raise DatasetError(f"rows: expected curves of one task, got {sorted(tasks)}.")
    best = best_return(curves) if best is None else best
    made = []
    for curve in curves:
        steps, returns = curve.online_steps, curve.online_returns
        control = None
        if curve.has_control:
            control = control_dip(steps, curve.control_steps, curve.control_returns, random_return, curve.warm_start)
        made.append(
            Row(
                offline=curve.offline,
                online=curve.online,
                checkpoint=curve.checkpoint,
                at_transfer=returns[:, 0],
                dip=dip(steps, returns, random_return, curve.warm_start),
                control_dip=control,
                final=returns[:, -1],
                regret=regret(steps, returns, best),
                diverged=tuple(
                    f"{curve.pair}, seed {seed}: diverged {note}, frozen as it was there"
                    for seed, note in zip(curve.seeds or range(len(returns)), curve.diverged, strict=False)
                    if note
                ),
                transfer_episodes=curve.online_episodes[0] if curve.online_episodes else None,
                final_episodes=curve.online_episodes[-1] if curve.online_episodes else None,
            )
        )
    return made


HEADER = (
    *("offline", "online", "seeds", "at transfer", "dip %", "control's dip %", "excess dip %"),
    *("smooth", "final", "regret"),
)
"""Of every table, whatever a terminal has room for."""


def cells(row: Row) -> list[str]:
    """A row as text: mean and 95 % interval over seeds."""
    return _cells(row, decimals=True)


def _cells(row: Row, decimals: bool) -> list[str]:
    dips = (
        "" if share is None else interval_text(100.0 * share, decimals)
        for share in (row.dip, row.control_dip, row.excess_dip)
    )
    return [
        start_of(row.offline, row.checkpoint),
        name_of(row.online),
        str(len(row.at_transfer)) + (f" ({len(row.diverged)} diverged)" if row.diverged else ""),
        interval_text(row.transfer_sample, decimals),
        *dips,
        row.smooth,
        interval_text(row.final_sample, decimals),
        interval_text(row.regret, decimals),
    ]


def interval_text(values: Float[np.ndarray, " seed"], decimals: bool = True) -> str:
    """``mean [low, high]`` to three digits or whole numbers, and how many seeds had no value; ``mean`` for one seed.

    Args:
      values: one a seed.
      decimals: False shows two digits or whole numbers.
    """
    interval = bootstrap_interval(values)
    undefined = len(values) - int(np.isfinite(values).sum())
    if math.isnan(interval.estimate):
        return "undefined"
    largest = np.nanmax(np.abs(interval))
    digits = 2 if largest < 10 else 1 if largest < 100 else 0
    digits = digits if decimals else max(0, digits - 1)
    # + 0.0 after rounding turns -0.0 into 0.0
    mean, low, high = (f"{round(value, digits) + 0.0:.{digits}f}" for value in interval)
    note = f" ({undefined} undefined)" if undefined else ""
    return (mean if math.isnan(interval.low) else f"{mean} [{low}, {high}]") + note


def markdown(made: Sequence[Row], provenance: Mapping[str, Any]) -> str:
    """The table with its provenance below."""
    lines = [HEADER, ["---"] * len(HEADER), *(cells(row) for row in made)]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    notes = "".join(f"- {note}\n" for row in made for note in row.diverged)
    notes = f"Seeds that diverged, counted as they were frozen:\n\n{notes}\n" if notes else ""
    return f"{table}\n\n{intervals_note(made)}\n\n{notes}{provenance_text(provenance)}\n"


def intervals_note(made: Sequence[Row]) -> str:
    """What the intervals of a table are over, for people."""
    if any(len(row.at_transfer) > 1 for row in made):
        return "Mean and 95 % bootstrap interval over seeds."
    if any(row.transfer_episodes is not None for row in made):
        return (
            "One seed: the intervals at the transfer and at the end are over its evaluation episodes. They say how "
            "well this seed was measured, and nothing of other seeds."
        )
    return "One seed, so without intervals."


def provenance_text(provenance: Mapping[str, Any]) -> str:
    """What a table or figure needs beside it, a line each; unknown where nothing is said.

    Args:
      provenance: as :func:`smac_jax.runs.provenance.write_provenance` gives it, with ``data``, ``scale`` and ``seeds``
        added, and ``trained_by`` where other processes did.
    """
    versions = ", ".join(f"{name} {version}" for name, version in provenance.get("versions", {}).items())
    command = provenance.get("command")
    said = {
        "Command": f"`{command}`" if command else None,
        "Data": provenance.get("data"),
        "Scale": provenance.get("scale"),
        "Seeds": seeds_text(provenance.get("seeds") or "unknown"),
        "Device": provenance.get("device"),
        "Versions": versions,
        "Commit": provenance.get("commit"),
        "Date": provenance.get("date"),
    }
    if provenance.get("trained_by"):
        said["Trained by"] = "; ".join(provenance["trained_by"])
    return "\n".join(f"- {name}: {value or 'unknown'}" for name, value in said.items())


def comma_separated(made: Sequence[Row]) -> str:
    """One line a pair: mean and both ends of the interval of each quantity, empty where undefined; dips are shares.

    ``updates`` is the checkpoint, empty where the transfer began at the end of offline training.
    """
    quantities = ("at_transfer", "dip", "control_dip", "excess_dip", "final", "regret")
    columns = [f"{name}{end}" for name in quantities for end in ("", "_low", "_high")]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["offline", "updates", "online", "seeds", "diverged", "undefined_dips", "smooth", *columns])
    for row in made:
        values = [row.transfer_sample, row.dip, row.control_dip, row.excess_dip, row.final_sample, row.regret]
        numbers = [x for v in values for x in bootstrap_interval([] if v is None else v)]
        undefined = int(np.isnan(row.dip).sum())
        texts = ("" if math.isnan(x) else f"{x:.6g}" for x in numbers)
        counts = len(row.at_transfer), len(row.diverged), undefined
        checkpoint = "" if row.checkpoint is None else row.checkpoint
        writer.writerow([row.offline, checkpoint, row.online, *counts, row.smooth, *texts])
    return out.getvalue()


COLUMNS = (
    Column("offline", justify="left", wraps=True),
    Column("online", justify="left", wraps=True),
    Column("seeds", rank=4),
    Column("at transfer", "at\ntransfer"),
    Column("dip %"),
    Column("control's dip %", "control's\ndip %", rank=6),
    Column("excess dip %", "excess\ndip %", rank=2),
    Column("smooth", rank=5),
    Column("final", rank=1),
    Column("regret", rank=3),
)


def terminal(made: Sequence[Row], title: str, elsewhere: str = "") -> FittedTable:
    """The table for a terminal, as wide as that lets it be; ``elsewhere`` is the file with all of it."""
    rows = [[Cell(*pair) for pair in zip(cells(row), _cells(row, decimals=False), strict=True)] for row in made]
    # of several seeds they are over seeds, as everywhere
    over_episodes = all(len(row.at_transfer) == 1 for row in made) and any(
        row.transfer_episodes is not None for row in made
    )
    return FittedTable(COLUMNS, rows, f"{title}, intervals over its episodes" if over_episodes else title, elsewhere)
