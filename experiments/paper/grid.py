"""What tables and figures of a task need trained: its cells, of which they share as many as they can."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from experiments.paper import tasks
from experiments.paper.figures import FIGURES
from smac_jax.algorithms.make import can_follow, make_offline, make_online
from smac_jax.analysis.curves import TransferCurve
from smac_jax.data.dataset import Dataset
from smac_jax.data.sources import short_name
from smac_jax.presets.base import online_section
from smac_jax.sweep.grid import Job, make_jobs, parse_vary, path_name


@dataclasses.dataclass(frozen=True)
class Task:
    """One row of the evidence: data that are at hand, and where they belong.

    Attributes:
      source: as given to ``load_dataset``.
      data: the data set.
      env: its environment.
      of: its place in the suite.
      name: what it is called in titles and paths; empty: its short name.
    """

    source: str
    data: Dataset
    env: str
    of: tasks.SuiteTask
    name: str = ""

    @property
    def folder(self) -> str:
        """Its own, below the results."""
        return path_name(self.name or short_name(self.source))


class Grid(NamedTuple):
    """The cells of a task, by label.

    Attributes:
      table: of the tables: a cell for each offline algorithm.
      figures: of each figure.
    """

    table: dict[str, Job]
    figures: dict[str, dict[str, Job]]

    @property
    def jobs(self) -> list[Job]:
        """All of them."""
        return [job for cells in (self.table, *self.figures.values()) for job in cells.values()]


def grid_of(
    task: Task,
    folder: Path,
    scale: tasks.Scale,
    seeds: Sequence[int],
    physics: str,
    *,
    tables: bool,
    figures: Sequence[str],
    also: Sequence[str] = (),
) -> Grid:
    """What must be trained; all share SMAC's plain cell, with every end that any of them needs.

    Args:
      task: what is trained on.
      folder: of all results.
      scale: of networks, steps and evaluations.
      seeds: all of them.
      physics: the engine.
      tables: whether the cells of tables are needed.
      figures: names.
      also: offline algorithms beside the paper's, for the tables.
    """
    config = scale.config(task.of.family)
    name = task.name or short_name(task.source)

    def make(
        offline: Sequence[str],
        online: Sequence[str],
        control: bool,
        fraction: float | None = None,
        vary: Sequence[str] = (),
    ) -> dict[str, Job]:
        source = task.source if fraction is None else f"part:{fraction:g}:{task.source}"
        data = task.data if fraction is None else task.data.part(fraction)
        return {
            job.offline.label: job
            for job in make_jobs(
                folder,
                [(source, task.env)],
                offline,
                online,
                config,
                parse_vary(vary),
                seeds,
                len(seeds),
                physics=physics,
                version="v4",
                control=control,
                names={source: name if fraction is None else f"{name}-part-{fraction:g}"},
                fingerprints={source: data.fingerprint()},
            )
        }

    asked = {name: FIGURES[name] for name in figures}
    needed = {*(tasks.ONLINE if tables else ()), *(end for figure in asked.values() for end in figure.online)}
    ends = [end for end in tasks.ONLINE if end in needed]
    plain = make(("smac",), ends, tables or any(figure.control for figure in asked.values()))["smac"]
    table = make(task.of.offline, tasks.ONLINE, control=True) | {"smac": plain} if tables else {}
    for offline in also if tables else ():
        table |= make((offline,), followers(config, offline), control=True)
    cells: dict[str, dict[str, Job]] = {}
    for name, figure in asked.items():
        if not figure.trains:
            cells[name] = {}
            continue
        parts = {
            f"{fraction:.0%} of the data": job
            for fraction in figure.parts
            for job in make(("smac",), figure.online, False, fraction).values()
        }
        whole = {"100% of the data" if parts else "smac": plain}
        varied = make(("smac",), figure.online, False, vary=figure.vary(config)) if figure.vary else whole
        cells[name] = parts | {
            # the variant whose value is the configuration's own is the plain cell
            label: plain if job.offline.config == plain.offline.config else job
            for label, job in varied.items()
        }
    return Grid(table, cells)


def followers(config: ConfigDict, offline: str) -> list[str]:
    """Those of the paper's online algorithms that can follow an offline one."""
    network = getattr(make_offline(offline, config[offline]).config, "network", None)
    return [end for end in tasks.ONLINE if can_follow(network, make_online(end, config[online_section(end)]))]


def curves_of(cells: Mapping[str, Job]) -> dict[tuple[str, str], TransferCurve]:
    """By the label of the cell and of what it was handed to, of those that are done."""
    return {
        (label, end.label): TransferCurve.from_json(job.curve(end))
        for label, job in cells.items()
        for end in job.online
        if job.curve(end).exists()
    }
