"""The comparison as a table: Markdown, CSV, and for the terminal."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.table import Table

from smac_jax.analysis.curves import TransferCurve
from smac_jax.analysis.metrics import EARLY, dip, is_smooth, regret
from smac_jax.analysis.statistics import bootstrap_interval


@dataclasses.dataclass(frozen=True)
class Row:
    """One pair. Every quantity is one number a seed."""

    offline: str
    online: str
    handover: Float[np.ndarray, "seed"]
    dip: Float[np.ndarray, "seed"]
    control_dip: Float[np.ndarray, "seed"] | None
    final: Float[np.ndarray, "seed"]
    regret: Float[np.ndarray, "seed"]


def rows(curves: Sequence[TransferCurve], random_return: float) -> list[Row]:
    """The quantities of each curve; the best return of the regret is the highest of any seed of any pair.

    Raises:
      ValueError: curves of more than one task, whose returns are not to be compared.
    """
    tasks = {curve.task for curve in curves}
    if len(tasks) != 1:
        raise ValueError(f"rows: one task at a time, got {sorted(tasks)}.")
    best = max(float(np.nanmax(curve.online_returns)) for curve in curves)
    made = []
    for curve in curves:
        steps, returns = curve.online_steps, curve.online_returns
        control = None
        if curve.has_control:
            control = dip(curve.control_steps, curve.control_returns, random_return, horizon=EARLY * steps[-1])
        made.append(
            Row(
                offline=curve.offline,
                online=curve.online,
                handover=returns[:, 0],
                dip=dip(steps, returns, random_return),
                control_dip=control,
                final=returns[:, -1],
                regret=regret(steps, returns, best),
            )
        )
    return made


HEADER = ("offline", "online", "seeds", "at hand-over", "dip %", "control's dip %", "excess dip %", "smooth", "final", "regret")


def cells(row: Row) -> list[str]:
    """A row as text: mean and 95 % interval over seeds."""
    percent = 100.0 * row.dip
    control = "" if row.control_dip is None else interval_text(100.0 * row.control_dip)
    excess = "" if row.control_dip is None else interval_text(percent - 100.0 * row.control_dip)
    return [
        row.offline,
        row.online,
        str(len(row.handover)),
        interval_text(row.handover),
        interval_text(percent),
        control,
        excess,
        "yes" if is_smooth(row.dip) else "no",
        interval_text(row.final),
        interval_text(row.regret),
    ]


def interval_text(values: Float[np.ndarray, "seed"]) -> str:
    """``mean [low, high]``, and how many seeds had no value."""
    mean, low, high = bootstrap_interval(values)
    digits = 1 if max(abs(x) for x in (mean, low, high) if np.isfinite(x) or x == mean) < 100 else 0
    undefined = int(np.isnan(values).sum())
    note = f" ({undefined} undefined)" if undefined else ""
    return "undefined" if np.isnan(mean) else f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]{note}"


def markdown(made: Sequence[Row], provenance: Mapping[str, Any]) -> str:
    """The table with its provenance below."""
    lines = [HEADER, ["---"] * len(HEADER), *(cells(row) for row in made)]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{table}\n\n{provenance_text(provenance)}\n"


def provenance_text(provenance: Mapping[str, Any]) -> str:
    """What a figure needs beside it: command, device, versions, data, date."""
    versions = provenance.get("versions", {})
    shown = ", ".join(f"{key} {versions[key]}" for key in ("python", "jax", "flax", "mujoco") if key in versions)
    return (
        f"Mean and 95 % bootstrap interval over seeds. Data: {provenance.get('data', 'unknown')}. "
        f"Command: `{provenance.get('command', 'unknown')}`. Device: {provenance.get('device', 'unknown')}. "
        f"Versions: {shown}. Commit: {provenance.get('commit') or 'unknown'}. Date: {provenance.get('date', 'unknown')}."
    )


def comma_separated(made: Sequence[Row]) -> str:
    """One line a seed, every quantity in full."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["offline", "online", "seed_index", "handover", "dip", "control_dip", "final", "regret"])
    for row in made:
        control = row.control_dip if row.control_dip is not None else np.full(len(row.handover), np.nan)
        for i, values in enumerate(zip(row.handover, row.dip, control, row.final, row.regret, strict=True)):
            writer.writerow([row.offline, row.online, i, *(f"{v:.6g}" for v in values)])
    return out.getvalue()


def terminal(made: Sequence[Row], title: str) -> Table:
    """The table for a terminal."""
    table = Table(title=title, title_justify="left")
    for name in HEADER:
        table.add_column(name, justify="left" if name in ("offline", "online") else "right", overflow="fold")
    for row in made:
        table.add_row(*cells(row))
    return table
