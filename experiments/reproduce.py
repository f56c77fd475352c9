r"""Reproduce the paper's tables and figures from the available data, beside the paper's own numbers.

    python -m experiments.reproduce --scale=tiny                       # some minutes: checks that everything runs
    python -m experiments.reproduce --scale=small --table=1,tasks      # 4 x 4 on the CPU
    python -m experiments.reproduce --scale=paper --task=hopper-medium-replay-v2,data/walker2d.hdf5 --figure=kappa,muon

Tables: 1 (mean normalized regret of every offline with every online algorithm over the paper's six tasks, or those of
--task), aggregate (interquartile means over all tasks, the probability that SMAC is better, performance profiles),
tasks (a table with transfer, dip, final return and regret, and a figure of learning curves, for each task), leaderboard
(normalized scores of all algorithms on all available data sets, offline and after fine-tuning, beside published scores;
--offline and --online select its algorithms, which may be your own: --import).

Figures, all of SMAC: kappa, muon, condition (with and without), size (a twentieth and a fifth of the data), transfer
(learning curves), residual (of the identity, during training), line and plane (the return between its policies),
embedding (t-SNE of the policies during training); coverage (of the data); or all.

--task names data sets, as for smac-jax sweep; the default is every task of the suite whose data are available. Tables
and figures share their jobs, so that each job is trained once. Repeat the command to resume after an interruption.
--dry-run shows the jobs, then measures how long they will take.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from smac_jax.data import embedded_datasets
from smac_jax.data.sources import is_available_offline, short_name
from smac_jax.envs import ENGINES
from smac_jax.errors import ConfigError, DatasetError, SmacError, UnknownNameError
from smac_jax.files import write_json
from smac_jax.sweep.launchers import LAUNCHERS
from smac_jax.sweep.program import results_folder, run, set_up
from smac_jax.tasks import parse_name, task_info
from smac_jax.text import count, duration

if TYPE_CHECKING:
    from experiments.paper.grid import Pairs, Task
    from smac_jax.data.dataset import Dataset

TABLES = ("1", "aggregate", "tasks", "leaderboard")
DEFAULT_TABLES = TABLES[:3]
"""Without the leaderboard, which needs many more jobs."""
# names only, so that a mistyped flag is reported before JAX is imported
SCALES = ("paper", "small", "tiny")
FIGURES = (*("kappa", "muon", "condition", "residual", "coverage", "size", "transfer", "line", "plane", "embedding"),)

FLAGS = flags.FLAGS
flags.DEFINE_enum("scale", "small", list(SCALES), "Sizes of networks, steps and evaluations.")
flags.DEFINE_list(
    "table",
    [],
    f"Tables: {', '.join(TABLES)}, or all; default: {', '.join(DEFAULT_TABLES)}, unless --figure is given.",
)
flags.DEFINE_list("offline", [], "Offline algorithms of the leaderboard; default: all of this package.")
flags.DEFINE_list("online", [], "Online algorithms of the leaderboard; same continues the offline one. Default: all.")
flags.DEFINE_list("figure", [], f"Figures: {', '.join(FIGURES)}, or all.")
flags.DEFINE_list("task", [], "Data sets: names or paths; default: those of the suite that are available.")
flags.DEFINE_bool("download", False, "Download missing data of the suite from D4RL's server.")
flags.DEFINE_integer("seeds", None, "Number of seeds; default: that of the scale.", lower_bound=1)
flags.DEFINE_enum("physics", "auto", ENGINES, "Physics engine; auto is mjx on a TPU and mujoco elsewhere.")
flags.DEFINE_enum("launcher", "local", list(LAUNCHERS), "Where the jobs run: in this process, on Ray, on Slurm.")
flags.DEFINE_float("save_every", 300.0, "Seconds between snapshots of the training state.", lower_bound=0.0)
flags.DEFINE_bool("dry_run", False, "Only show the jobs, their cost and their state.")
flags.DEFINE_string("results", None, "Folder of the results; default: results/reproduce-SCALE.")


def main(argv: Sequence[str]) -> int:
    """Runs the jobs that are not done, then writes the tables and figures."""
    del argv
    set_up()
    from experiments.paper.figures import FIGURES as PAPER_FIGURES
    from experiments.paper.figures import FigureData
    from experiments.paper.grid import curves_of, grid_of
    from experiments.paper.leaderboard import write_leaderboard
    from experiments.paper.tables import over_all_tasks
    from experiments.paper.tasks import SCALES as SIZES
    from smac_jax.sweep.datasets import references
    from smac_jax.sweep.job import CheckpointOptions, already_done, trained_by
    from smac_jax.sweep.provenance import caption, describe
    from smac_jax.sweep.report import write_report
    from smac_jax.sweep.results import write_results

    tables, figures = selected(FLAGS.table, TABLES, "table"), selected(FLAGS.figure, FIGURES, "figure")
    if not tables and not figures:
        tables = list(DEFAULT_TABLES)
    if "embedding" in figures and importlib.util.find_spec("sklearn") is None:
        raise ConfigError("--figure=embedding needs scikit-learn: pip install 'smac_jax[analysis]'.")
    scale = SIZES[FLAGS.scale]
    folder = results_folder(FLAGS.results or f"results/reproduce-{FLAGS.scale}")
    pairs = leaderboard_pairs(FLAGS.offline, FLAGS.online) if "leaderboard" in tables else None
    only_leaderboard = tables == ["leaderboard"] and not figures
    tasks = available_tasks(FLAGS.task, paper_only=tables == ["1"] and not figures, published_too=only_leaderboard)
    seeds = list(range(FLAGS.seeds or scale.seeds))
    grids = {
        task.source: grid_of(
            *(task, folder, scale, seeds, FLAGS.physics),
            tables=bool({*tables} - {"leaderboard"}),
            figures=figures,
            leaderboard=pairs,
        )
        for task in tasks
    }
    every = list({job.folder: job for grid in grids.values() for job in grid.jobs}.values())
    for job in every:
        already_done(job)
    if FLAGS.dry_run:
        from smac_jax.sweep.cost import show

        show(every, {job.data: task.data for task in tasks for job in grids[task.source].jobs})
        return 0
    from smac_jax.runs.provenance import write_provenance

    started = time.monotonic()
    provenance = write_provenance(
        folder,
        scale=f"{FLAGS.scale} ({scale.description})",
        seeds=seeds,
        data={task.source: describe(task.data) for task in tasks},
        references={task.source: references(task.data) for task in tasks},
        jobs=[{"folder": str(b.folder.relative_to(folder)), "title": b.title, "runs": b.runs} for b in every],
    )
    print(f"{FLAGS.scale} scale: {scale.description}. {count(every, 'job')}; results in {folder}")
    failures = LAUNCHERS[FLAGS.launcher](
        every, CheckpointOptions(FLAGS.save_every, policies="embedding" in figures), folder
    )
    if failures is None:
        return 0
    for failure in failures:
        print(f"failed: {failure.title}: {failure.error}", file=sys.stderr)

    provenance |= {"trained_by": trained_by(every)}
    write_json(folder / "provenance.json", provenance)
    undrawn = False
    for task in tasks:
        grid = grids[task.source]
        about = provenance | {"data": provenance["data"][task.source], "trained_by": trained_by(grid.jobs)}
        if "tasks" in tables and (done := list(curves_of(grid.table).values())):
            write_results(folder / task.folder, done, about, task.data.name, references(task.data))
        for name, jobs in grid.figures.items():
            if not all(job.done for job in jobs.values()):
                print(
                    f"not drawn: the figure {name} of {task.source}, because some of its jobs failed", file=sys.stderr
                )
                continue
            try:
                found = FigureData(
                    folder / task.folder, task.data, jobs, curves_of(jobs), caption(about), scale.resolution
                )
                drawn = PAPER_FIGURES[name].draw(name, found)
                print(f'{name}: {drawn}. The paper\'s claim or question: "{PAPER_FIGURES[name].claim}"')
            except SmacError as error:  # the other figures are still drawn
                undrawn = True
                print(f"failed: the figure {name} of {task.source}: {error}", file=sys.stderr)
    if {"1", "aggregate"} & {*tables}:
        jobs_of = {source: grid.table for source, grid in grids.items()}
        over_all_tasks(folder, tables, tasks, jobs_of, provenance, every_task=bool(FLAGS.task))
    if pairs is not None:
        write_leaderboard(folder, tasks, {source: grid.leaderboard for source, grid in grids.items()}, provenance)
    page = write_report(folder)
    took = duration(time.monotonic() - started)
    print(f"Done in {took}. Tables and figures are in {folder}; open {page} in a browser.")
    return 1 if failures or undrawn else 0


def selected(given: Sequence[str], known: Sequence[str], kind: str) -> list[str]:
    """The names in ``given``; all known names if it contains ``all``.

    Raises:
      UnknownNameError: a name is not known.
    """
    for name in given:
        if name not in (*known, "all"):
            raise UnknownNameError(kind, name, (*known, "all"))
    return list(known) if "all" in given else list(given)


def leaderboard_pairs(offline: Sequence[str], online: Sequence[str]) -> Pairs:
    """The algorithms of the leaderboard; by default all algorithms of this package, and each continued by itself.

    Raises:
      UnknownNameError: a name is not known.
    """
    from experiments.paper.grid import Pairs
    from smac_jax.algorithms.continuation import SAME
    from smac_jax.algorithms.none import NONE
    from smac_jax.registry import OFFLINE, ONLINE

    for given, registry, more in ((offline, OFFLINE, ()), (online, ONLINE, (SAME,))):
        for name in given:
            if name not in (*registry, *more):
                raise UnknownNameError(registry.kind, name, (*registry, *more))
    scratch = (NONE, "rlpd")  # which is no transfer
    ours = [
        tuple(name for name in known if known.is_built_in(name) and name not in scratch) for known in (OFFLINE, ONLINE)
    ]
    return Pairs(tuple(offline) or ours[0], tuple(online) or (*ours[1], SAME))


def available_tasks(given: Sequence[str], paper_only: bool, published_too: bool = False) -> list[Task]:
    """The tasks whose data can be read; prints which tasks of the suite are missing.

    Args:
      given: names of data sets; empty for the tasks of the suite.
      paper_only: whether to use only the paper's tasks of the suite, if any of them is available.
      published_too: whether to add the data sets with published scores to those of the suite.

    Raises:
      DatasetError: a given data set cannot be read, or no data set is available.
      ConfigError: a data set belongs to no family of tasks with a preset.
    """
    import smac_jax
    from experiments.paper.published import published
    from experiments.paper.tasks import FAMILIES, SUITE
    from smac_jax.sweep.grid import distinct_names

    if given:
        named = distinct_names(given)
        return [_task(source, smac_jax.load_dataset(source), name) for source, name in named.items()]
    found = []
    suite = [task.data for task in SUITE]
    others = dict.fromkeys(score.data for score in published()) if published_too else ()
    more = [name for name in others if name not in suite and task_info(name).family in FAMILIES]
    for data in [*suite, *more]:
        plain = re.sub(r"-v\d+$", "", data)
        places = [data] if FLAGS.download or is_available_offline(data) else []
        places += [f"data/{name}.hdf5" for name in (data, plain) if Path(f"data/{name}.hdf5").exists()]
        places += [plain] if plain in embedded_datasets() else []
        if places:
            found.append(_task(places[0], smac_jax.load_dataset(places[0])))
        elif data in suite:
            is_binary = task_info(data).rewards.only_success
            pair = "; or use the published pair of AWAC's files, see docs/pages/data.md" if is_binary else ""
            print(f"not available: {data} (--download downloads D4RL's data{pair})", file=sys.stderr)
    if more and (missing := len(suite) + len(more) - len(found)):
        print(f"not available: {missing} of {count([*suite, *more], 'data set')} of the leaderboard", file=sys.stderr)
    if not found:
        raise DatasetError("No data of the suite are available. Name data sets with --task.")
    return [task for task in found if task.of.in_paper or not paper_only] or found


def _task(source: str, data: Dataset, name: str = "") -> Task:
    from experiments.paper.grid import Task
    from experiments.paper.tasks import FAMILIES, SUITE, SuiteTask
    from smac_jax.sweep.datasets import environment_of

    data = data if name in ("", short_name(source)) else dataclasses.replace(data, name=name)
    env = environment_of(data, None)
    for task in SUITE:
        if env == parse_name(task.data).task:
            return Task(source, data, env, task, name)
    family = task_info(env).family
    if family in FAMILIES:
        return Task(source, data, env, SuiteTask(source, family, in_paper=False), name)
    raise ConfigError(f"{source}: the environment {env} belongs to none of the families {', '.join(FAMILIES)}.")


if __name__ == "__main__":
    run(main)
