r"""Pre-train on data sets, transfer, and fine-tune in the simulator: every offline with every online algorithm.

    smac-jax sweep --task=hopper-medium-replay --offline=smac,td3_bc --online=sac --seeds=4 \
        --config=quickstart

The grid is tasks x offline algorithms x online algorithms x seeds, times the values of every --vary
(--vary=smac.kappa=1,5,20). Each offline algorithm is trained once, and all online algorithms start from its result.
--dry-run shows the jobs, their cost and their state. A file can hold the flags, one per line: --flagfile=sweep.flags.
Any field of the configuration can be overridden for all jobs, for example --config.smac.kappa=20
--config.finetune.num_steps=50000.

--online=same continues the offline algorithm online with its own update, and --online=iql (cql, cal_ql, awac, rebrac,
fql, smac) this one; --config.finetune.carry says with how much of its state. The fields that differ online are in the
section online_iql, for example --config.online_iql.beta=1. --offline=none trains from scratch. --config=rlpd,
--config=wsrl and --config=qc also name their algorithms.

--checkpoints=3000,6000,12000 transfers after each of these numbers of offline updates, to show how the length of
pre-training changes the transfer (length.png). Training continues from checkpoint to checkpoint. The policy and the
training state of each checkpoint are kept, and each transfer has its own control, which continues offline training. You
may add later checkpoints afterwards.

A configuration may define variants of an algorithm (see experiments/configs/transfer_study.py). Then --offline may name
some of these variants, and its default is all of them.

The command may be stopped at any time, by Ctrl-C, a scheduler or a crash. The same command then resumes, and ends with
the same numbers as an uninterrupted one. `smac-jax status FOLDER` shows the progress.

The results are written to --results: the provenance (provenance.json), the metrics and snapshots of each run
(runs/TASK/OFFLINE/SEEDS/), and at the end a table (table.md, table.csv), a figure (transfer.png, transfer.pdf), the
learning curves (curves/) and a report (report.html). With more than one task, each has its own folder. A job depends on
its data: if a data file has changed since a job was trained on it, the command refuses to use the same --results.
`smac-jax compare` makes a table and a figure of the curves of several sweeps.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from smac_jax.data.sources import short_name
from smac_jax.envs import ENGINES, VERSIONS
from smac_jax.errors import ConfigError
from smac_jax.files import write_json
from smac_jax.runs.trackers.connection import PROJECT, connections
from smac_jax.sweep.launchers import LAUNCHERS, Failure, hosts
from smac_jax.sweep.program import define_config, results_folder, set_up
from smac_jax.text import duration

if TYPE_CHECKING:
    from smac_jax.sweep.grid import Job

FLAGS = flags.FLAGS
flags.DEFINE_list(
    "task", ["hopper-medium-replay"], "Data sets, by names or files that load_dataset accepts; several make a grid."
)
flags.DEFINE_string("env", None, "The environment; default: the one that each data set records.")
flags.DEFINE_enum("physics", "auto", ENGINES, "Physics engine; auto is mjx on a TPU and mujoco elsewhere.")
flags.DEFINE_enum("version", "v4", VERSIONS, "Version of the task, as in make_env; v4 is D4RL's.")
flags.DEFINE_list(
    "offline",
    None,
    "Offline algorithms, or variants that the configuration defines; none trains from scratch. Default: the variants "
    "of the configuration if it has any, else smac,td3_bc.",
)
flags.DEFINE_list(
    "online",
    None,
    "Online algorithms; default: sac. An offline algorithm's name (iql, cql, cal_ql, awac, rebrac, fql, smac), or same "
    "for whatever was trained offline, continues it online.",
)
flags.DEFINE_multi_string(
    "vary", [], "A field of the configuration and its values, such as smac.kappa=1,5,20; may be repeated for a grid."
)
flags.DEFINE_list(
    "checkpoints",
    [],
    "Numbers of offline updates after which to transfer, in increasing order. The last one replaces "
    "pretrain.num_updates. Default: transfer once, after pretrain.num_updates.",
)
flags.DEFINE_integer("seeds", 4, "Number of seeds.", lower_bound=1)
flags.DEFINE_integer("first_seed", 0, "Number of the first seed.", lower_bound=0)
flags.DEFINE_integer(
    "seeds_per_job",
    0,
    "Seeds that one job trains in parallel. 0: as many as fit in the memory of the devices; on Ray and Slurm, where it "
    "is unknown, all. With these launchers and no GPU, 1 runs the seeds as separate jobs at the same time.",
    lower_bound=0,
)
flags.DEFINE_bool(
    "control",
    True,
    "Also continue offline training without a transfer, to tell how much of a dip is caused by the transfer.",
)
flags.DEFINE_bool("dry_run", False, "Only show the jobs, their cost and their state.")
flags.DEFINE_enum(
    "launcher",
    "local",
    list(LAUNCHERS),
    "Where jobs run: local runs one after the other in this process; ray and slurm run several at once.",
)
flags.DEFINE_float("save_every", 300.0, "Seconds between snapshots of the training state.", lower_bound=0.0)
flags.DEFINE_integer("keep", 2, "Number of newest snapshots of each run to keep.", lower_bound=1)
flags.DEFINE_bool("policies", False, "Save the policy at every evaluation, in each run's policies/.")
flags.DEFINE_bool("other_versions", False, "Resume from snapshots that other versions of JAX and its libraries wrote.")
flags.DEFINE_bool(
    "arithmetic", False, "At the end, print the number of floating-point operations and the rate of this machine."
)
flags.DEFINE_list(
    "tracker",
    None,
    "Trackers that show the metrics during training: tensorboard, wandb, trackio, or your own (--import). Default: "
    "tensorboard if tensorboardX is installed; --tracker= for none.",
)
flags.DEFINE_string("project", PROJECT, "The project of the runs in the trackers.")
flags.DEFINE_string("results", None, "Folder of the results; default: results/ and a name derived from the flags.")
define_config("base")


def main(argv: Sequence[str]) -> int:
    """Runs the jobs that are not done, then writes tables and figures."""
    del argv
    set_up()
    check_launcher()
    hosts.join()
    import smac_jax
    from smac_jax.presets.base import as_run
    from smac_jax.runs.provenance import write_provenance
    from smac_jax.sweep.datasets import check_fits, environment_of, references
    from smac_jax.sweep.grid import (
        distinct_names,
        make_jobs,
        offline_names,
        online_names,
        parse_checkpoints,
        parse_vary,
    )
    from smac_jax.sweep.job import CheckpointOptions, already_done, trained_by
    from smac_jax.sweep.provenance import describe, scale_of_jobs

    # check everything before anything is trained
    for flag in ("task", "offline", "online"):
        if FLAGS[flag].value is not None and "" in (FLAGS[flag].value or [""]):
            raise ConfigError(f"--{flag} is empty, or has an empty name in its list.")
    offline = offline_names(FLAGS.config, FLAGS.offline)
    FLAGS["online"].value = online_names(FLAGS.config, FLAGS.online)
    checkpoints = parse_checkpoints(FLAGS.checkpoints)
    if checkpoints:  # so that the recorded configuration is the one that runs
        FLAGS.config.pretrain.num_updates = checkpoints[-1]
    folder = results_folder(FLAGS.results or default_folder(offline))
    trackers = None if FLAGS.tracker is None else tuple(FLAGS.tracker)
    connections(trackers)  # reports unknown trackers and missing packages
    vary = parse_vary(FLAGS.vary)
    labels = distinct_names(FLAGS.task)
    datasets = {name: called(name, label, smac_jax.load_dataset(name)) for name, label in labels.items()}
    tasks = [(name, environment_of(data, FLAGS.env)) for name, data in datasets.items()]
    for name, task in tasks:
        check_fits(datasets[name], task, smac_jax.make_env(task, physics=FLAGS.physics, version=FLAGS.version))
    seeds = list(range(FLAGS.first_seed, FLAGS.first_seed + FLAGS.seeds))
    grid: dict[str, Any] = {"physics": FLAGS.physics, "version": FLAGS.version, "control": FLAGS.control}
    grid |= {"names": labels, "fingerprints": {name: data.fingerprint() for name, data in datasets.items()}}
    grid |= {"checkpoints": checkpoints}
    full_jobs = make_jobs(folder, tasks, offline, FLAGS.online, FLAGS.config, vary, seeds, len(seeds), **grid)
    size = FLAGS.seeds_per_job or earlier_size(folder) or fitting(full_jobs, datasets)
    jobs = make_jobs(folder, tasks, offline, FLAGS.online, FLAGS.config, vary, seeds, size, **grid)
    for job in jobs:
        already_done(job)
    if FLAGS.dry_run:
        from smac_jax.sweep.cost import show

        show(jobs, datasets)
        return 0

    started = time.monotonic()
    if hosts.is_first():
        names = ("task", "online", "checkpoints", "vary", "seeds", "first_seed", "control")
        provenance = write_provenance(
            folder,
            data={name: describe(data) for name, data in datasets.items()},
            references={name: references(data) for name, data in datasets.items()},
            scale=scale_of_jobs(jobs),
            seeds=seeds,
            seeds_per_job=size,
            flags={name: FLAGS[name].value for name in names} | {"offline": offline},
            config=as_run(FLAGS.config, sorted({job.offline.algorithm for job in jobs}), FLAGS.online),
            carried=carried(jobs),
            jobs=[{"folder": str(b.folder.relative_to(folder)), "title": b.title, "runs": b.runs} for b in jobs],
        )
    print("\n".join([*(data.summary() for data in datasets.values()), f"Results: {folder}"]))
    options = CheckpointOptions(
        FLAGS.save_every, FLAGS.keep, FLAGS.policies, FLAGS.other_versions, trackers, FLAGS.project
    )
    failures = LAUNCHERS[FLAGS.launcher](hosts.share(jobs), options, folder)
    if failures is None:
        return 0
    hosts.wait_for_all()
    if hosts.is_first():
        provenance |= {"trained_by": trained_by(jobs)}
        write_json(folder / "provenance.json", provenance)
        report_all(folder, jobs, datasets, provenance, labels)
        if FLAGS.arithmetic:
            print(arithmetic_text(jobs, datasets))
        took = duration(time.monotonic() - started)
        print(f"Done in {took}. The results are in {folder}; open {folder / 'report.html'} in a browser.")
    return print_failures(failures)


def called(source: str, label: str, data: Any) -> Any:
    """The data set, renamed to its label if its short name is not unique in this sweep."""
    return data if label == short_name(source) else dataclasses.replace(data, name=label)


def carried(jobs: Sequence[Job]) -> dict[str, str]:
    """What each online algorithm takes from each offline one, by ``OFFLINE to ONLINE``."""
    from smac_jax.algorithms.continuation import what_is_carried
    from smac_jax.sweep.grid import online_of

    pairs = {f"{job.offline.label} to {end.label}": (job.offline, end) for job in jobs for end in job.online}
    return {pair: what_is_carried(online_of(*variants)) for pair, variants in pairs.items()}


def check_launcher() -> None:
    """Refuses flags that exclude each other. Keeps this process off the devices if jobs run in other processes.

    Raises:
      ConfigError: two flags exclude each other.
    """
    if FLAGS.launcher != "local" and FLAGS.distributed:
        raise ConfigError(
            f"--distributed and --launcher={FLAGS.launcher} both distribute the jobs among hosts. Give only one."
        )
    if FLAGS.launcher != "slurm" and FLAGS.detach:
        raise ConfigError("--detach needs --launcher=slurm: the jobs of other launchers end with this process.")
    if FLAGS.launcher != "local" and not FLAGS.dry_run:
        import jax

        jax.config.update("jax_platforms", "cpu")


def default_folder(offline: Sequence[str]) -> str:
    """A folder name derived from the flags, so that repeating the command resumes the sweep."""
    from smac_jax.presets.base import LATER_SECTIONS, without_unset
    from smac_jax.sweep.grid import path_name

    before = [FLAGS[name].value for name in ("task", "env", "physics", "version")]
    after = [FLAGS[name].value for name in ("online", "vary", "seeds", "first_seed", "control")]
    checkpoints = [FLAGS.checkpoints] if FLAGS.checkpoints else []
    unused = {*LATER_SECTIONS} - {*offline, *FLAGS.online}
    config = {name: value for name, value in without_unset(FLAGS.config).items() if name not in unused}
    values = [*before, offline, *after, *checkpoints, config]
    request = json.dumps(values, sort_keys=True, default=str)
    first = short_name(FLAGS.task[0])
    return f"results/{path_name(first)}-{hashlib.blake2b(request.encode(), digest_size=3).hexdigest()}"


def earlier_size(folder: Path) -> int | None:
    """The seeds per job with which the sweep began, so that a machine with other memory finds the same jobs."""
    try:
        return int(json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["seeds_per_job"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def fitting(jobs: Sequence[Job], datasets: dict[str, Any]) -> int:
    """How many seeds of every job fit in the memory of the devices; all if the jobs run in other processes."""
    if FLAGS.launcher != "local":
        return len(jobs[0].seeds)
    from smac_jax.sweep.memory import seeds_that_fit

    return min(seeds_that_fit(job, datasets[job.data]) for job in jobs)


def report_all(
    folder: Path,
    jobs: Sequence[Job],
    datasets: dict[str, Any],
    provenance: dict[str, Any],
    labels: dict[str, str],
) -> None:
    """Writes tables and figures of all pairs that are done, by task, and the report."""
    from smac_jax.sweep.datasets import references
    from smac_jax.sweep.grid import path_name
    from smac_jax.sweep.report import write_report
    from smac_jax.sweep.results import curve_file, joined_curves, write_results

    for name, data in datasets.items():
        task_folder = folder if len(datasets) == 1 else folder / path_name(labels[name])
        curves = joined_curves(job for job in jobs if job.data == name)
        for curve in curves:
            curve.to_json(task_folder / "curves" / curve_file(curve))
        if curves:
            about = provenance | {"data": provenance["data"][name]}
            write_results(task_folder, curves, about, data.name, references(data))
    write_report(folder)


def arithmetic_text(jobs: Sequence[Job], datasets: dict[str, Any]) -> str:
    """The number of floating-point operations of the sweep, and the least time that this machine needs for them."""
    from smac_jax.sweep.flops import flops_of_jobs, machine_rate

    flops, rate = flops_of_jobs(jobs, datasets), machine_rate()
    return (
        f"{flops / 1e12:.3g} TFLOP in matrix products, without evaluations. XLA computes them at {rate / 1e9:.0f} "
        f"GFLOP/s on this machine, so they take at least {duration(flops / rate)}."
    )


def print_failures(failures: Sequence[Failure]) -> int:
    """Prints the failures, one line each, and returns the exit code."""
    import sys

    for failure in failures:
        print(f"failed: {failure.title}: {failure.error}", file=sys.stderr)
    if failures:
        print("The other jobs are not affected. Repeat the command to try the failed jobs again.", file=sys.stderr)
    return 1 if failures else 0
