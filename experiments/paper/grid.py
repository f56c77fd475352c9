"""The jobs that the paper's tables and figures of a task need, shared where possible."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from experiments.paper import tasks
from experiments.paper.figures import FIGURES
from smac_jax.algorithms.continuation import SAME
from smac_jax.algorithms.make import can_follow, make_offline, make_online
from smac_jax.analysis.curves import TransferCurve
from smac_jax.data.dataset import Dataset
from smac_jax.data.sources import short_name
from smac_jax.presets.base import online_section
from smac_jax.sweep.grid import Job, make_jobs, parse_vary, path_name


@dataclasses.dataclass(frozen=True)
class Task:
    """A task with its data.

    Attributes:
      source: the name or path of the data set, as given to ``load_dataset``.
      data: the data set.
      env: the name of its environment.
      of: the task of the suite.
      name: the name in titles and paths; empty for the short name of the data set.
    """

    source: str
    data: Dataset
    env: str
    of: tasks.SuiteTask
    name: str = ""

    @property
    def folder(self) -> str:
        """The name of the task's folder in the results."""
        return path_name(self.name or short_name(self.source))


class Pairs(NamedTuple):
    """The algorithms of the leaderboard: each offline algorithm is combined with each online algorithm."""

    offline: tuple[str, ...]
    online: tuple[str, ...]


class Grid(NamedTuple):
    """The jobs of a task, by label.

    Attributes:
      table: the jobs of the tables, one for each offline algorithm.
      figures: the jobs of each figure.
      leaderboard: the jobs of the leaderboard, one for each of its offline algorithms.
    """

    table: dict[str, Job]
    figures: dict[str, dict[str, Job]]
    leaderboard: dict[str, Job]

    @property
    def jobs(self) -> list[Job]:
        """All jobs."""
        return [job for jobs in (self.table, self.leaderboard, *self.figures.values()) for job in jobs.values()]


def grid_of(
    task: Task,
    folder: Path,
    scale: tasks.Scale,
    seeds: Sequence[int],
    physics: str,
    *,
    tables: bool,
    figures: Sequence[str],
    leaderboard: Pairs | None = None,
) -> Grid:
    """The jobs to train. They share the job of the unchanged SMAC, which has every online algorithm that any needs.

    The leaderboard also shares the jobs of the tables.
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

    requested = {name: FIGURES[name] for name in figures}
    needed = {*(tasks.ONLINE if tables else ()), *(end for figure in requested.values() for end in figure.online)}
    board = leaderboard or Pairs((), ())
    needed |= {*board.online} if "smac" in board.offline else set()
    ends = [end for end in dict.fromkeys([*tasks.ONLINE, *board.online]) if end in needed]
    plain = make(("smac",), ends, tables or any(figure.control for figure in requested.values()))["smac"]
    more = [end for end in board.online if end not in tasks.ONLINE]
    table = make(task.of.offline, (*tasks.ONLINE, *more), control=True) | {"smac": plain} if tables else {}
    known = table | {"smac": plain}
    others = [name for name in board.offline if name not in known]
    shown = known
    for offline in others:
        shown = shown | make((offline,), followers(config, offline, board.online), control=False)
    figure_jobs: dict[str, dict[str, Job]] = {}
    for name, figure in requested.items():
        if not figure.trains:
            figure_jobs[name] = {}
            continue
        parts = {
            f"{fraction:.0%} of the data": job
            for fraction in figure.parts
            for job in make(("smac",), figure.online, False, fraction).values()
        }
        unchanged = {"100% of the data" if parts else "smac": plain}
        varied = make(("smac",), figure.online, False, vary=figure.vary(config)) if figure.vary else unchanged
        figure_jobs[name] = parts | {
            # the variant with the configuration's own value is the job of the unchanged SMAC
            label: plain if job.offline.config == plain.offline.config else job
            for label, job in varied.items()
        }
    return Grid(table, figure_jobs, {name: shown[name] for name in board.offline})


def followers(config: ConfigDict, offline: str, online: Sequence[str]) -> list[str]:
    """The online algorithms that can follow an offline one.

    SAC cannot take FQL's policy, which has no density; and cloning has no online form of its own.
    """
    before = make_offline(offline, config[offline])
    network = getattr(before.config, "network", None)

    def can(end: str) -> bool:
        if end == SAME:
            return before.continue_online is not None
        return can_follow(network, make_online(end, config[online_section(end)]))

    return [end for end in online if can(end)]


def curves_of(jobs: Mapping[str, Job]) -> dict[tuple[str, str], TransferCurve]:
    """The learning curves that exist, by the labels of the job and of the online algorithm."""
    return {
        (label, end.label): TransferCurve.from_json(job.curve(end))
        for label, job in jobs.items()
        for end in job.online
        if job.curve(end).exists()
    }
