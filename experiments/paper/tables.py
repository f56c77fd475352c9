"""Tables over all tasks: the paper's table 1; and interquartile means, probabilities and performance profiles."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from rich.text import Text

from experiments.paper import tasks
from experiments.paper.grid import Task, curves_of
from smac_jax.algorithms.continuation import SAME
from smac_jax.analysis import tables
from smac_jax.analysis.bands import COLORS, draw_band
from smac_jax.analysis.captions import save
from smac_jax.analysis.curves import TransferCurve
from smac_jax.analysis.fitting import Cell, Column, FittedTable, console_for_tables
from smac_jax.analysis.metrics import normalized_regret_intervals
from smac_jax.analysis.statistics import (
    Interval,
    interquartile_mean_over_tasks,
    performance_profile,
    probability_of_improvement,
)
from smac_jax.files import write_text
from smac_jax.sweep.grid import Job
from smac_jax.sweep.job import trained_by
from smac_jax.sweep.provenance import caption
from smac_jax.tasks import normalized_score, task_info
from smac_jax.text import count, name_of

Pair = tuple[str, str]
PerSeed = Float[np.ndarray, " seed"]


class Measured(NamedTuple):
    """The results of each pair on each task, one number for each seed.

    Attributes:
      at_transfer, final: D4RL's normalized score.
      regret: in units of return, comparable within a task only.
    """

    at_transfer: dict[Pair, dict[str, PerSeed]]
    final: dict[Pair, dict[str, PerSeed]]
    regret: dict[Pair, dict[str, PerSeed]]


def measure(by_task: Mapping[str, Sequence[TransferCurve]]) -> Measured:
    """Computes the results from the curves of all tasks; pairs have the names of the paper's rows."""
    measured = Measured({}, {}, {})
    for source, curves in by_task.items():
        environment = curves[0].task
        for row in tables.rows(curves, task_info(environment).random_return):
            if row.online == SAME:  # of the leaderboard alone
                continue
            pair = (merged(row.offline), row.online)
            measured.at_transfer.setdefault(pair, {})[source] = normalized_score(environment, row.at_transfer)
            measured.final.setdefault(pair, {})[source] = normalized_score(environment, row.final)
            measured.regret.setdefault(pair, {})[source] = row.regret
    return measured


def merged(offline: str) -> str:
    """The row of the paper's table for an offline algorithm."""
    return "cal_ql/cql" if offline in ("cql", "cal_ql") else offline


def over_all_tasks(
    folder: Path,
    tables: Sequence[str],
    tasks: Sequence[Task],
    jobs: Mapping[str, dict[str, Job]],
    provenance: dict[str, Any],
    every_task: bool,
) -> None:
    """Writes the tables over the tasks whose jobs are all done; prints which tasks are left out.

    Args:
      folder: where the tables are written.
      tables: the names of the tables: 1, aggregate.
      tasks: all tasks.
      jobs: the jobs of each task, by its source.
      provenance: the provenance record.
      every_task: whether table 1 is over all tasks; otherwise it is over the paper's tasks if there are any.
    """
    complete = [task for task in tasks if all(job.done for job in jobs[task.source].values())]
    for task in tasks:
        if task not in complete:
            print(f"left out of the tables over all tasks: {task.source}, because some jobs failed", file=sys.stderr)
    papers = [task for task in complete if every_task or task.of.in_paper] or complete
    for name, some, write in (("1", papers, table_1), ("aggregate", complete, aggregate)):
        if name in tables and some:
            sources = [task.source for task in some]
            about = provenance | {
                "data": {source: provenance["data"][source] for source in sources},
                "trained_by": trained_by(job for source in sources for job in jobs[source].values()),
            }
            write(folder, measure({s: list(curves_of(jobs[s]).values()) for s in sources}), about)


def table_1(folder: Path, measured: Measured, provenance: dict[str, Any]) -> None:
    """Writes ``table-1.md`` and ``table-1.csv``: the mean normalized regret of each pair, beside the paper's."""
    sources = list(next(iter(measured.regret.values())))
    intervals = normalized_regret_intervals(
        {source: {pair: values[source] for pair, values in measured.regret.items()} for source in sources}
    )
    lines = [["offline \\ online", *map(name_of, tasks.ONLINE)]]
    narrow = [lines[0]]
    records = ["offline,online,normalized_regret,low,high,paper"]
    for offline, paper in tasks.PAPER_TABLE_1.items():
        line, short = [name_of(offline)], [name_of(offline)]
        for online, published in zip(tasks.ONLINE, paper, strict=True):
            mean, low, high = intervals[offline, online]
            line.append(f"{mean:.3f} [{low:.3f}, {high:.3f}] ({published:.3f})")
            short.append(f"{mean:.2f} [{low:.2f}, {high:.2f}]\n({published:.2f})")
            records.append(f"{offline},{online},{mean:.6g},{low:.6g},{high:.6g},{published}")
        lines.append(line)
        narrow.append(short)
    paper_tasks = ", ".join(t.data for t in tasks.SUITE if t.in_paper)
    _write(
        folder / "table-1",
        lines,
        records,
        f"Mean normalized regret over {count(sources, 'task')}, where 0 is the best and 1 the worst pair of a task, "
        "with 95 % intervals (bootstrap over seeds, stratified by task and pair). In parentheses: the paper's values "
        f"over its tasks ({paper_tasks}).",
        provenance,
        narrow,
    )


def aggregate(folder: Path, measured: Measured, provenance: dict[str, Any]) -> None:
    """Writes ``aggregate.md``, ``aggregate.csv`` and ``profiles.png``, as Agarwal et al. 2021 recommend.

    They have interquartile means, probabilities of improvement and performance profiles.
    """
    lines = [["offline", "online", "at transfer", "final", "SMAC's regret is lower"]]
    records = ["offline,online,quantity,estimate,low,high"]
    for pair in measured.final:
        found = {
            "at transfer": interquartile_mean_over_tasks(measured.at_transfer[pair]),
            "final": interquartile_mean_over_tasks(measured.final[pair]),
        }
        ours = ("smac", pair[1])
        if pair != ours and ours in measured.regret:
            # a lower regret is better, so the order of the arguments is reversed
            found["SMAC's regret is lower"] = probability_of_improvement(measured.regret[pair], measured.regret[ours])
        lines.append([*map(name_of, pair), *(_text(found[name]) if name in found else "" for name in lines[0][2:])])
        records += [f"{pair[0]},{pair[1]},{name},{a:.6g},{b:.6g},{c:.6g}" for name, (a, b, c) in found.items()]
    tasks = len(next(iter(measured.final.values())))
    _write(
        folder / "aggregate",
        lines,
        records,
        f"Over {count(tasks, 'task')}: the interquartile mean of D4RL's normalized score of all runs, and the "
        "probability that a run of SMAC under the same online algorithm has the lower regret, with 95 % intervals "
        "(bootstrap over seeds, stratified by task; Agarwal et al. 2021).",
        provenance,
    )
    _draw_profiles(folder / "profiles", measured.final, provenance)


def _draw_profiles(path: Path, final: Mapping[Pair, Mapping[str, PerSeed]], provenance: dict[str, Any]) -> None:
    every = np.concatenate([values for by_task in final.values() for values in by_task.values()])
    thresholds = np.linspace(every.min(), every.max(), 60)
    onlines = list(dict.fromkeys(online for _, online in final))
    figure = Figure(figsize=(3.1 * len(onlines), 3.1), layout="constrained")
    panels = figure.subplots(1, len(onlines), sharex=True, sharey=True, squeeze=False)[0]
    for axis, online in zip(panels, onlines, strict=True):
        rows = [offline for offline, other in final if other == online]
        for color, offline in zip(COLORS, rows, strict=False):
            profile = np.array(performance_profile(final[offline, online], thresholds))
            draw_band(axis, thresholds, profile, color, label=name_of(offline))
        axis.set_title(f"under {name_of(online)}", fontsize=10)
        axis.set_xlabel("final normalized score")
        axis.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("share of runs above this score")
    panels[-1].legend(frameon=False, fontsize=8)
    save(figure, path, caption(provenance | {"data": ", ".join(provenance["data"])}))


def _text(interval: Interval) -> str:
    estimate, low, high = interval
    return f"{estimate:.3g}" if np.isnan(low) else f"{estimate:.3g} [{low:.3g}, {high:.3g}]"


def _write(
    path: Path,
    lines: Sequence[Sequence[str]],
    records: Sequence[str],
    note: str,
    provenance: dict[str, Any],
    narrow: Sequence[Sequence[str]] | None = None,
) -> None:
    """Writes ``.md`` and ``.csv``, and prints the table; ``narrow`` has the lines for terminals with little room."""
    record = provenance | {"data": "; ".join(provenance["data"].values())}
    rows = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    text = "\n".join(
        [
            *("| " + " | ".join(row) + " |" for row in rows),
            "",
            note,
            "",
            tables.provenance_text(record),
        ]
    )
    write_text(path.with_suffix(".md"), text + "\n")
    write_text(path.with_suffix(".csv"), "\n".join(records) + "\n")
    columns = [Column(head, head.replace(" regret is", "\nregret is"), rank=i) for i, head in enumerate(lines[0])]
    columns[0] = Column(lines[0][0], justify="left")
    cells = [list(map(Cell, *pair)) for pair in zip(lines[1:], (narrow or lines)[1:], strict=True)]
    console = console_for_tables()
    console.print(FittedTable(columns, cells, elsewhere=str(path.with_suffix(".md"))))
    console.print(Text(note))
