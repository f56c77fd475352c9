"""The results of transfers: the learning curve of each pair, and a table and a figure of several curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from smac_jax.analysis import tables
from smac_jax.analysis.curves import TransferCurve, joined
from smac_jax.analysis.fitting import console_for_tables
from smac_jax.analysis.length import plot_length
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
    """Returns the learning curve of one pair: its returns before and after the transfer, and those of the control.

    Args:
      task: the name of the environment.
      offline: label of the offline algorithm.
      off: the result of offline training.
      online: label of the online algorithm.
      on: the result of fine-tuning.
      warm_start: the number of environment steps before the first online update.
      control: the result of continued offline training, if there is one.
      checkpoint: the number of offline updates at the transfer, as in :class:`TransferCurve`.
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
    """Returns the learning curves of the pairs that are done. Curves of one pair with different seeds are joined.

    Raises:
      DatasetError: a file is damaged, or the seeds of a pair were not evaluated at the same steps.
    """
    pairs: dict[tuple[str, str, int | None], list[TransferCurve]] = {}
    for path in (path for job in jobs for path in job.curves if path.exists()):
        curve = TransferCurve.from_json(path)
        pairs.setdefault(curve.key, []).append(curve)
    return [joined(found) for found in pairs.values()]


def curve_file(curve: TransferCurve) -> str:
    """Returns the file name of a pair's learning curve in ``curves/``, such as ``smac-at-3000_sac.json``."""
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

    If a pair was transferred after several numbers of updates, it also writes ``length.png`` and ``length.pdf``.

    Args:
      folder: where the files are written.
      curves: learning curves of one task.
      provenance: the record that :func:`smac_jax.analysis.tables.provenance_text` takes.
      title: the title of table and figure.
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
    plot_length(curves, folder / "length", title=f"{title}: {mean_over(seeds)}", caption=caption(provenance))
    console = console_for_tables()
    console.print(tables.terminal(rows, f"{title}, {count(seeds, 'seed')}", elsewhere=str(folder / "table.md")))
    for note in (note for row in rows for note in (*row.diverged, row.unfinished) if note):
        console.print(Text(note))
