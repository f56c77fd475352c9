"""Tables of transfers: as Markdown, as CSV, and for the terminal."""

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
from smac_jax.analysis.metrics import dip, is_smooth, regret
from smac_jax.analysis.statistics import bootstrap_interval
from smac_jax.errors import DatasetError
from smac_jax.text import name_of, seeds_text, start_of


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """The results of one pair.

    Quantities have one number for each seed. Dips are shares; ``control_dip`` is None if there was no control.
    ``diverged`` has a line for each seed that diverged and was frozen, and ``unfinished`` is a sentence if the curve is
    not complete. ``transfer_episodes`` and ``final_episodes`` are
    the returns of the episodes of which ``at_transfer`` and ``final`` are the means; None if they were not recorded.
    ``checkpoint`` is as in :class:`~smac_jax.analysis.curves.TransferCurve`.
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
    unfinished: str = ""
    transfer_episodes: Float[np.ndarray, "seed episode"] | None = None
    final_episodes: Float[np.ndarray, "seed episode"] | None = None

    @property
    def transfer_sample(self) -> Float[np.ndarray, " sample"]:
        """Returns the sample of the interval of ``at_transfer``: the seeds, or the episodes of a single seed if they
        are known.

        With several seeds, the spread of their means already includes that of their episodes.
        """
        return _sample(self.at_transfer, self.transfer_episodes)

    @property
    def final_sample(self) -> Float[np.ndarray, " sample"]:
        """Returns the sample of the interval of ``final``, as :attr:`transfer_sample`."""
        return _sample(self.final, self.final_episodes)

    @property
    def excess_dip(self) -> Float[np.ndarray, " seed"] | None:
        """See :func:`smac_jax.analysis.metrics.excess_dip`."""
        return None if self.control_dip is None else self.dip - self.control_dip

    @property
    def smooth(self) -> str:
        """``"yes"``, ``"no"``, or ``"unknown"`` if fewer than two seeds have a defined dip."""
        if np.isfinite(self.dip).sum() < 2:
            return "unknown"
        return "yes" if is_smooth(self.dip) else "no"


def _sample(
    means: Float[np.ndarray, " seed"], episodes: Float[np.ndarray, "seed episode"] | None
) -> Float[np.ndarray, " sample"]:
    return episodes[0] if len(means) == 1 and episodes is not None else means


def best_return(curves: Sequence[TransferCurve]) -> float:
    """``R*`` of the regret: the highest mean return of any evaluation in the curves, before or after the transfer."""
    every = [
        c.ravel() for curve in curves for c in (curve.offline_returns, curve.online_returns, curve.control_returns)
    ]
    joined = np.concatenate(every)
    return float(joined[np.isfinite(joined)].max(initial=-np.inf))


def rows(curves: Sequence[TransferCurve], random_return: float, best: float | None = None) -> list[Row]:
    """Returns the row of each curve.

    Args:
      curves: learning curves of one task.
      random_return: the return of a random policy on this task.
      best: ``R*`` of the regret; default: the best return of these curves.

    Raises:
      DatasetError: the curves are from more than one task, so that their returns are not comparable.
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
            control = dip(curve.control_steps, curve.control_returns, random_return, horizon=curve.early_updates)
        made.append(
            Row(
                offline=curve.offline,
                online=curve.online,
                checkpoint=curve.checkpoint,
                at_transfer=returns[:, 0],
                dip=dip(steps, returns, random_return, horizon=curve.early_steps),
                control_dip=control,
                final=returns[:, -1],
                regret=regret(steps, returns, best),
                diverged=tuple(
                    f"{curve.pair}, seed {seed}: diverged {note} and was frozen"
                    for seed, note in zip(curve.seeds or range(len(returns)), curve.diverged, strict=False)
                    if note
                ),
                unfinished=curve.note,
                transfer_episodes=curve.online_episodes[0] if curve.online_episodes else None,
                final_episodes=curve.online_episodes[-1] if curve.online_episodes else None,
            )
        )
    return made


HEADER = (
    *("offline", "online", "seeds", "at transfer", "dip %", "control's dip %", "excess dip %"),
    *("smooth", "final", "regret"),
)
"""The columns of every table; a terminal may show fewer."""


def cells(row: Row) -> list[str]:
    """Returns a row as text, with means and 95 % intervals."""
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
    """``mean [low, high]``, or ``mean`` for one seed; and the number of seeds without a value.

    Args:
      values: one value for each seed.
      decimals: whether to show three significant digits instead of two; numbers of 100 and more are rounded to
        integers.
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
    """Returns the table as Markdown, with its provenance below."""
    lines = [HEADER, ["---"] * len(HEADER), *(cells(row) for row in made)]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    notes = "".join(f"- {note}\n" for row in made for note in row.diverged)
    heading = "Seeds that diverged. Their later returns are those of the frozen policy:"
    notes = f"{heading}\n\n{notes}\n" if notes else ""
    notes += "".join(f"- {row.unfinished}\n" for row in made if row.unfinished)
    notes += "\n" if any(row.unfinished for row in made) else ""
    return f"{table}\n\n{intervals_note(made)}\n\n{notes}{provenance_text(provenance)}\n"


def intervals_note(made: Sequence[Row]) -> str:
    """Returns a sentence that explains the intervals of a table."""
    if any(len(row.at_transfer) > 1 for row in made):
        return "Mean and 95 % bootstrap interval over seeds."
    if any(row.transfer_episodes is not None for row in made):
        return (
            "One seed: the intervals at the transfer and at the end are over its evaluation episodes. They show how "
            "precisely this seed was measured, and nothing about other seeds."
        )
    return "One seed, therefore without intervals."


def provenance_text(provenance: Mapping[str, Any]) -> str:
    """Returns the provenance of a table, one line for each entry; ``unknown`` for entries that are missing.

    Args:
      provenance: a record of :func:`smac_jax.runs.provenance.write_provenance`, with ``data``, ``scale`` and ``seeds``;
        and ``trained_by`` if other processes trained.
    """
    versions = ", ".join(f"{name} {version}" for name, version in provenance.get("versions", {}).items())
    command = provenance.get("command")
    found = {
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
        found["Trained by"] = "; ".join(provenance["trained_by"])
    return "\n".join(f"- {name}: {value or 'unknown'}" for name, value in found.items())


def comma_separated(made: Sequence[Row]) -> str:
    """Returns the table as CSV, one line for each pair, with mean and interval of each quantity; empty if undefined.

    Dips are shares. ``updates`` is the checkpoint, empty if the transfer was at the end of offline training.
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
    """Returns the table for a terminal; ``elsewhere`` is the file with the complete table."""
    rows = [[Cell(*pair) for pair in zip(cells(row), _cells(row, decimals=False), strict=True)] for row in made]
    # the title mentions intervals over episodes, because they are over seeds elsewhere
    over_episodes = all(len(row.at_transfer) == 1 for row in made) and any(
        row.transfer_episodes is not None for row in made
    )
    return FittedTable(COLUMNS, rows, f"{title}, intervals over its episodes" if over_episodes else title, elsewhere)
