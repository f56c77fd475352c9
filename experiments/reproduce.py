r"""Make the paper's tables and figures again, from whichever data are at hand, beside the paper's own numbers.

    python -m experiments.reproduce --scale=tiny                       # some minutes: does everything run?
    python -m experiments.reproduce --scale=small --table=1,tasks      # 4 x 4 on the CPU
    python -m experiments.reproduce --scale=paper --task=hopper-medium-replay-v2,data/walker2d.hdf5 --figure=kappa,muon

Tables: 1 (mean normalized regret of every offline with every online algorithm over the paper's six tasks, or those of
--task), aggregate (interquartile means over all tasks, how likely SMAC is the better, performance profiles), tasks
(transfer, dip, final return and regret, a table and a figure of learning curves for each task).

Figures, all of SMAC: kappa, muon, condition (with and without), size (a twentieth and a fifth of the data), transfer
(learning curves), residual (of the identity, through training), line and plane (the return between its policies),
embedding (t-SNE of the policies along training); coverage (of the data); or all.

--also=rebrac,fql adds offline algorithms that the paper does not compare to the tables aggregate and tasks, each with
the online algorithms that can follow it.

--task names data sets, as for smac-jax sweep; by default every task of the suite whose data are at hand. Tables
and figures share their plain cells, each is trained once, and what a stopped run has done is not done again: repeat the
command. --dry-run shows the cells, then measures what they will cost.
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
    from experiments.paper.grid import Task
    from smac_jax.data.dataset import Dataset

TABLES = ("1", "aggregate", "tasks")
# by name alone, so that a mistyped flag is refused before JAX is imported
SCALES = ("paper", "small", "tiny")
FIGURES = (*("kappa", "muon", "condition", "residual", "coverage", "size", "transfer", "line", "plane", "embedding"),)
ALSO = ("rebrac", "fql", "awac", "bc")

FLAGS = flags.FLAGS
flags.DEFINE_enum("scale", "small", list(SCALES), "Sizes of networks, steps and evaluations.")
flags.DEFINE_list("table", [], f"Tables: {', '.join(TABLES)}; default: all, unless figures are asked for.")
flags.DEFINE_list("figure", [], f"Figures: {', '.join(FIGURES)}, or all.")
flags.DEFINE_list("also", [], f"Offline algorithms beside the paper's: {', '.join(ALSO)}, or all.")
flags.DEFINE_list("task", [], "Data sets: names or paths; default: those of the suite that are at hand.")
flags.DEFINE_bool("download", False, "Fetch what is not at hand of the suite's data from D4RL's server.")
flags.DEFINE_integer("seeds", None, "How many seeds; default: the scale's.", lower_bound=1)
flags.DEFINE_enum("physics", "auto", ENGINES, "Engine; auto is mujoco on the CPU and mjx elsewhere.")
flags.DEFINE_enum("launcher", "local", list(LAUNCHERS), "Where the jobs run: in this process, on Ray, on Slurm.")
flags.DEFINE_float("save_every", 300.0, "Seconds between snapshots of the training state.", lower_bound=0.0)
flags.DEFINE_bool("dry_run", False, "Only show the cells, their cost, and what is there already.")
flags.DEFINE_string("results", None, "Folder for what comes out; default: results/reproduce-SCALE.")


def main(argv: Sequence[str]) -> int:
    """Trains what is not there yet, then writes what was asked for."""
    del argv
    set_up()
    from experiments.paper.figures import FIGURES as EVIDENCE
    from experiments.paper.figures import Found
    from experiments.paper.grid import curves_of, grid_of
    from experiments.paper.tables import over_all_tasks
    from experiments.paper.tasks import SCALES as SIZES
    from smac_jax.sweep.datasets import references
    from smac_jax.sweep.job import CheckpointOptions, already_done, trained_by
    from smac_jax.sweep.provenance import caption, describe
    from smac_jax.sweep.report import write_report
    from smac_jax.sweep.results import write_results

    tables, figures = wanted(FLAGS.table, TABLES, "table"), wanted(FLAGS.figure, FIGURES, "figure")
    also = wanted(FLAGS.also, ALSO, "offline algorithm beside the paper's")
    if not tables and not figures:
        tables = list(TABLES)
    if "embedding" in figures and importlib.util.find_spec("sklearn") is None:
        raise ConfigError("--figure=embedding needs scikit-learn: pip install 'smac_jax[analysis]'.")
    scale = SIZES[FLAGS.scale]
    folder = results_folder(FLAGS.results or f"results/reproduce-{FLAGS.scale}")
    tasks = at_hand(FLAGS.task, paper_alone=tables == ["1"] and not figures)
    seeds = list(range(FLAGS.seeds or scale.seeds))
    grids = {
        task.source: grid_of(task, folder, scale, seeds, FLAGS.physics, tables=bool(tables), figures=figures, also=also)
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
        scale=f"{FLAGS.scale} ({scale.says})",
        seeds=seeds,
        data={task.source: describe(task.data) for task in tasks},
        references={task.source: references(task.data) for task in tasks},
        jobs=[{"folder": str(b.folder.relative_to(folder)), "title": b.title, "runs": b.runs} for b in every],
    )
    print(f"{FLAGS.scale} scale: {scale.says}. {count(every, 'job')}; results in {folder}")
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
        for name, cells in grid.figures.items():
            if not all(job.done for job in cells.values()):
                print(f"not drawn: the figure {name} of {task.source}, of whose cells some failed", file=sys.stderr)
                continue
            try:
                found = Found(
                    folder / task.folder, task.data, cells, curves_of(cells), caption(about), scale.resolution
                )
                drawn = EVIDENCE[name].draw(name, found)
                print(f'{name}: {drawn}. What the paper says, or asks: "{EVIDENCE[name].claim}"')
            except SmacError as error:  # the others are drawn all the same
                undrawn = True
                print(f"failed: the figure {name} of {task.source}: {error}", file=sys.stderr)
    if {"1", "aggregate"} & {*tables}:
        cells_of = {source: grid.table for source, grid in grids.items()}
        over_all_tasks(folder, tables, tasks, cells_of, provenance, every_task=bool(FLAGS.task))
    page = write_report(folder)
    took = duration(time.monotonic() - started)
    print(f"Done in {took}. Tables and figures are in {folder}; to look at: {page}")
    return 1 if failures or undrawn else 0


def wanted(asked: Sequence[str], known: Sequence[str], kind: str) -> list[str]:
    """What was asked for; ``all`` is everything.

    Raises:
      UnknownNameError: something else.
    """
    for name in asked:
        if name not in (*known, "all"):
            raise UnknownNameError(kind, name, (*known, "all"))
    return list(known) if "all" in asked else list(asked)


def at_hand(asked: Sequence[str], paper_alone: bool) -> list[Task]:
    """The tasks whose data can be read; says which of the suite cannot.

    Args:
      asked: for by name; none: those of the suite.
      paper_alone: of the suite, only the paper's, if any of them is there.

    Raises:
      DatasetError: an asked-for one cannot be read, or there is none at all.
      ConfigError: one belongs to no family of the paper.
    """
    import smac_jax
    from experiments.paper.tasks import SUITE
    from smac_jax.sweep.grid import distinct_names

    if asked:
        named = distinct_names(asked)
        return [_task(source, smac_jax.load_dataset(source), name) for source, name in named.items()]
    found = []
    for task in SUITE:
        plain = re.sub(r"-v\d+$", "", task.data)
        places = [task.data] if FLAGS.download or is_available_offline(task.data) else []
        places += [f"data/{name}.hdf5" for name in (task.data, plain) if Path(f"data/{name}.hdf5").exists()]
        places += [plain] if plain in embedded_datasets() else []
        if places:
            found.append(_task(places[0], smac_jax.load_dataset(places[0])))
        else:
            is_binary = task_info(task.data).rewards.only_success
            pair = ", or as it is published: AWAC's pair of files, see README" if is_binary else ""
            print(f"not at hand: {task.data} (--download fetches D4RL's{pair})", file=sys.stderr)
    if not found:
        raise DatasetError("No data of the suite are at hand; name some with --task.")
    return [task for task in found if task.of.in_paper or not paper_alone] or found


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
    raise ConfigError(f"{source}: the environment {env} belongs to none of the paper's families.")


if __name__ == "__main__":
    run(main)
