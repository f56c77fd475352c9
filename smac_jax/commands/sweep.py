r"""Pre-train on a data set, transfer, fine-tune in the simulator: every offline algorithm with every online one.

    smac-jax sweep --task=hopper-medium-replay --offline=smac,td3_bc --online=sac --seeds=4 \
        --config=quickstart

The grid: tasks x offline x online x seeds, times the values of every --vary (--vary=smac.kappa=1,5,20). Each offline
algorithm is trained once and shared by all online algorithms that start from it. --dry-run shows the jobs, what they
cost, and what is there already. A sweep can be kept in a file, a flag a line: --flagfile=sweep.flags. Any field of the
configuration can be overridden for all jobs, e.g. --config.smac.kappa=20 --config.finetune.num_steps=50000.

--checkpoints=3000,6000,12000 transfers from each of these offline updates, not only from the last: how does the length
of pre-training change the transfer? Training goes on from checkpoint to checkpoint; policy and training state of each
are kept, and each transfer has a control of its own that goes on offline. Later checkpoints may be added afterwards.

A configuration may name variants of an algorithm (experiments/configs/transfer_study.py does); then these are what
--offline means by default, and it may name some of them.

Stopped at any moment, by Ctrl-C, a scheduler or a crash, the same command goes on where it was, and ends with the same
numbers as if it had never stopped. `smac-jax status FOLDER` shows how far it is.

Results are written to --results: what was run and where (provenance.json), each run with its metrics as they come and
its snapshots (runs/TASK/OFFLINE/SEEDS/), and at the end a table (table.md, table.csv), a figure (transfer.png,
transfer.pdf), the learning curves (curves/) and a page of all that (report.html); of more than one task, a folder each,
files of one name with their own folders in front. A job is its data, too: where a file has changed since it was trained
on, the same --results is refused, whether the job is done or not. `smac-jax compare` makes a table and a figure of
curves of several sweeps.
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
    "task", ["hopper-medium-replay"], "The data: names or files, as load_dataset takes them; several make a grid."
)
flags.DEFINE_string("env", None, "The environment; default: the one that each data set names.")
flags.DEFINE_enum("physics", "auto", ENGINES, "Engine; auto is mujoco on the CPU and mjx elsewhere.")
flags.DEFINE_enum("version", "v4", VERSIONS, "Version of the task, as in make_env; v4 is D4RL's.")
flags.DEFINE_list(
    "offline",
    None,
    "Offline algorithms, or variants that the configuration names; default: its variants, or else smac,td3_bc.",
)
flags.DEFINE_list("online", ["sac"], "Online algorithms.")
flags.DEFINE_multi_string(
    "vary", [], "A field of the configuration and its values, such as smac.kappa=1,5,20; repeat it for a grid of them."
)
flags.DEFINE_list(
    "checkpoints",
    [],
    "Offline updates after which to transfer, in increasing order; offline training goes on to the last of them, "
    "whatever pretrain.num_updates says. Default: once, after pretrain.num_updates.",
)
flags.DEFINE_integer("seeds", 4, "How many seeds.", lower_bound=1)
flags.DEFINE_integer("first_seed", 0, "Number of the first seed.", lower_bound=0)
flags.DEFINE_integer(
    "seeds_per_job",
    0,
    "Seeds trained side by side; 0: as many as fit the device's memory; all on Ray and Slurm, where it is unknown. "
    "There, on processors without GPU, 1 lets seeds run at the same time.",
    lower_bound=0,
)
flags.DEFINE_bool("control", True, "Also go on training offline with no transfer: how much of a dip is the transfer's?")
flags.DEFINE_bool("dry_run", False, "Only show the jobs, their cost, and what is there already.")
flags.DEFINE_enum(
    "launcher",
    "local",
    list(LAUNCHERS),
    "Where jobs run: one after the other in this process; side by side on Ray or Slurm (see experiments/README.md).",
)
flags.DEFINE_float("save_every", 300.0, "Seconds between snapshots of the training state.", lower_bound=0.0)
flags.DEFINE_integer("keep", 2, "Snapshots of each run that stay.", lower_bound=1)
flags.DEFINE_bool("policies", False, "Keep the policy of every evaluation, in each run's policies/.")
flags.DEFINE_bool("other_versions", False, "Go on from snapshots that other versions of JAX and the rest have made.")
flags.DEFINE_bool("arithmetic", False, "At the end, say how much was computed, and how fast this machine computes.")
flags.DEFINE_list(
    "tracker",
    None,
    "Where metrics are also shown while the sweep trains: some of tensorboard, wandb, trackio, or one of yours "
    "(--import). Default: tensorboard where tensorboardX is installed; empty (--tracker=): nowhere.",
)
flags.DEFINE_string("project", PROJECT, "The project that trackers put the runs into.")
flags.DEFINE_string("results", None, "Folder for what comes out; default: results/ and a name made from the request.")
define_config("base")


def main(argv: Sequence[str]) -> int:
    """Runs what is left of the grid, then writes tables and figures."""
    del argv
    set_up()
    check_launcher()
    hosts.join()
    import smac_jax
    from smac_jax.presets.base import as_run
    from smac_jax.runs.provenance import write_provenance
    from smac_jax.sweep.datasets import check_fits, environment_of, references
    from smac_jax.sweep.grid import distinct_names, make_jobs, offline_names, parse_checkpoints, parse_vary
    from smac_jax.sweep.job import CheckpointOptions, already_done, trained_by
    from smac_jax.sweep.provenance import describe, scale_of_jobs

    # everything that can be wrong is looked at before anything is trained
    for flag in ("task", "offline", "online"):
        if FLAGS[flag].value is not None and "" in (FLAGS[flag].value or [""]):
            raise ConfigError(f"--{flag} names nothing.")
    offline = offline_names(FLAGS.config, FLAGS.offline)
    checkpoints = parse_checkpoints(FLAGS.checkpoints)
    if checkpoints:  # so that what is written down of the configuration is what runs
        FLAGS.config.pretrain.num_updates = checkpoints[-1]
    folder = results_folder(FLAGS.results or default_folder(offline))
    trackers = None if FLAGS.tracker is None else tuple(FLAGS.tracker)
    connections(trackers)
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
    whole = make_jobs(folder, tasks, offline, FLAGS.online, FLAGS.config, vary, seeds, len(seeds), **grid)
    size = FLAGS.seeds_per_job or earlier_size(folder) or fitting(whole, datasets)
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
            jobs=[{"folder": str(b.folder.relative_to(folder)), "title": b.title, "runs": b.runs} for b in jobs],
        )
    print("\n".join([*(data.summary() for data in datasets.values()), f"results in {folder}"]))
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
        print(f"Done in {took}. Everything is in {folder}; to look at: {folder / 'report.html'}")
    return say(failures)


def called(source: str, label: str, data: Any) -> Any:
    """A data set under a name that no other of this sweep has; its own, where its short name is unique."""
    return data if label == short_name(source) else dataclasses.replace(data, name=label)


def check_launcher() -> None:
    """Refuses flags that do not go together, and leaves the devices to the jobs where they run elsewhere.

    Raises:
      ConfigError: it does.
    """
    if FLAGS.launcher != "local" and FLAGS.distributed:
        raise ConfigError(f"--distributed shares jobs among hosts, and so does --launcher={FLAGS.launcher}: give one.")
    if FLAGS.launcher != "slurm" and FLAGS.detach:
        raise ConfigError("--detach is for --launcher=slurm: other jobs end with the process that watches them.")
    if FLAGS.launcher != "local" and not FLAGS.dry_run:
        import jax

        jax.config.update("jax_platforms", "cpu")


def default_folder(offline: Sequence[str]) -> str:
    """The same for the same request, so that repeating the command goes on with it."""
    from smac_jax.sweep.grid import path_name

    before = [FLAGS[name].value for name in ("task", "env", "physics", "version")]
    after = [FLAGS[name].value for name in ("online", "vary", "seeds", "first_seed", "control")]
    checkpoints = [FLAGS.checkpoints] if FLAGS.checkpoints else []
    values = [*before, offline, *after, *checkpoints, FLAGS.config.to_dict()]
    asked = json.dumps(values, sort_keys=True, default=str)
    first = short_name(FLAGS.task[0])
    return f"results/{path_name(first)}-{hashlib.blake2b(asked.encode(), digest_size=3).hexdigest()}"


def earlier_size(folder: Path) -> int | None:
    """Seeds per job when this sweep began: what is there is found again, on a machine with other memory too."""
    try:
        return int(json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["seeds_per_job"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def fitting(jobs: Sequence[Job], datasets: dict[str, Any]) -> int:
    """How many seeds of the largest job fit in the memory of the devices, where they are this process's."""
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
    """Tables and figures of all pairs that are there, a task at a time, and the page of all."""
    from smac_jax.sweep.datasets import references
    from smac_jax.sweep.grid import path_name
    from smac_jax.sweep.report import write_report
    from smac_jax.sweep.results import curve_file, joined_curves, write_results

    for name, data in datasets.items():
        place = folder if len(datasets) == 1 else folder / path_name(labels[name])
        curves = joined_curves(job for job in jobs if job.data == name)
        for curve in curves:
            curve.to_json(place / "curves" / curve_file(curve))
        if curves:
            about = provenance | {"data": provenance["data"][name]}
            write_results(place, curves, about, data.name, references(data))
    write_report(folder)


def arithmetic_text(jobs: Sequence[Job], datasets: dict[str, Any]) -> str:
    """How much the sweep computes, and how long this machine needs for that at the least."""
    from smac_jax.sweep.flops import flops_of_jobs, machine_rate

    flops, rate = flops_of_jobs(jobs, datasets), machine_rate()
    return (
        f"{flops / 1e12:.3g} TFLOP in matrix products, evaluations left out; this machine makes {rate / 1e9:.0f} "
        f"GFLOP/s of them in XLA, which is {duration(flops / rate)} at the least."
    )


def say(failures: Sequence[Failure]) -> int:
    """The exit code, and what went wrong, a line each."""
    import sys

    for failure in failures:
        print(f"failed: {failure.title}: {failure.error}", file=sys.stderr)
    if failures:
        print("The other jobs are not affected; the same command tries these again.", file=sys.stderr)
    return 1 if failures else 0
