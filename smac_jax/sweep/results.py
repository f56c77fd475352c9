"""What a transfer leaves: its learning curve, and of several a table and a figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from smac_jax.analysis import tables
from smac_jax.analysis.curves import TransferCurve, joined
from smac_jax.analysis.fitting import console_for_tables
from smac_jax.analysis.plots import plot_transfer
from smac_jax.files import write_text
from smac_jax.sweep.grid import Job, path_name
from smac_jax.sweep.provenance import caption
from smac_jax.tasks import task_info
from smac_jax.text import count, mean_over
from smac_jax.train.divergence import NOT_DIVERGED
from smac_jax.train.offline import PretrainResult
from smac_jax.train.online import FinetuneResult


def transfer_curve(
    task: str,
    offline: str,
    off: PretrainResult,
    online: str,
    on: FinetuneResult,
    warm_start: int,
    control: PretrainResult | None,
    checkpoint: int | None = None,
) -> TransferCurve:
    """Returns of one pair, means and every episode: before the transfer, after it, and of the control without one.

    Args:
      task: the environment.
      offline: label of the offline algorithm.
      off: what it was trained to.
      online: label of the online algorithm.
      on: what it made of that.
      warm_start: steps without an update at its beginning.
      control: what offline training made of the same.
      checkpoint: as in :class:`TransferCurve`.
    """
    extra: dict[str, Any] = {}
    if control is not None:
        extra = {
            "control_steps": control.evaluation_steps - off.updates,
            "control_returns": control.mean_returns,
            "control_episodes": control.evaluations.episodes,
        }
    return TransferCurve(
        task=task,
        offline=offline,
        online=online,
        offline_updates=off.evaluation_steps,
        offline_returns=off.mean_returns,
        online_steps=on.evaluation_steps,
        online_returns=on.mean_returns,
        warm_start=warm_start,
        seeds=tuple(off.seeds),
        diverged=tuple(_divergence(before, after) for before, after in zip(off.diverged, on.diverged, strict=True)),
        checkpoint=checkpoint,
        offline_episodes=off.evaluations.episodes,
        online_episodes=on.evaluations.episodes,
        **extra,
    )


def _divergence(offline: int, online: int) -> str:
    if offline != NOT_DIVERGED:
        return f"offline at step {offline:,}"
    return f"online at step {online:,}" if online != NOT_DIVERGED else ""


def joined_curves(jobs: Iterable[Job]) -> list[TransferCurve]:
    """The learning curves of jobs that are there, those of one pair's seeds joined.

    Raises:
      DatasetError: one is damaged, or seeds of one pair were not evaluated at the same steps.
    """
    pairs: dict[tuple[str, str, int | None], list[TransferCurve]] = {}
    for path in (path for job in jobs for path in job.curves if path.exists()):
        curve = TransferCurve.from_json(path)
        pairs.setdefault(curve.key, []).append(curve)
    return [joined(found) for found in pairs.values()]


def curve_file(curve: TransferCurve) -> str:
    """What the file of a pair's learning curve is called among those of others: ``smac-at-3000_sac.json``."""
    at = "" if curve.checkpoint is None else f"-at-{curve.checkpoint}"
    return f"{path_name(curve.offline)}{at}_{path_name(curve.online)}.json"


def write_results(
    folder: Path,
    curves: Sequence[TransferCurve],
    provenance: Mapping[str, Any],
    title: str,
    reference: Mapping[str, float] | None = None,
) -> None:
    """Writes ``table.md``, ``table.csv``, ``transfer.png`` and ``transfer.pdf``, and prints the table.

    Args:
      folder: for them.
      curves: of one task.
      provenance: as :func:`smac_jax.analysis.tables.provenance_text` wants it.
      title: of table and figure.
      reference: returns to compare with, by label.
    """
    rows = tables.rows(curves, task_info(curves[0].task).random_return)
    write_text(folder / "table.md", tables.markdown(rows, provenance))
    write_text(folder / "table.csv", tables.comma_separated(rows))
    seeds = max(len(row.at_transfer) for row in rows)
    plot_transfer(
        curves,
        folder / "transfer",
        title=f"{title}: {mean_over(seeds)}",
        reference=reference,
        caption=caption(provenance),
    )
    console = console_for_tables()
    console.print(tables.terminal(rows, f"{title}, {count(seeds, 'seed')}", elsewhere=str(folder / "table.md")))
    for note in (note for row in rows for note in row.diverged):
        console.print(Text(note))
