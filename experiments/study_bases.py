r"""Which difference between this project's base and WSRL's base matters for SMAC's transfer? Adds and removes each.

    python -m experiments.study_bases --task=hopper-medium-replay --results=results/bases/hopper-medium-replay

The program trains SMAC on this project's base and on WSRL's base; on this project's base with each single difference of
:mod:`smac_jax.presets.bases` added; on WSRL's base with each single difference removed; and on both bases with each
addition (a target of zero for the action gradient, Muon, other weights of the penalty). Each result is fine-tuned with
SAC, and has a control that continues offline training. The table has one row for each of --variants, in their order.
The program can be stopped at any time: repeating it, also with fewer variants, does not train a completed variant again
and resumes an interrupted one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from absl import flags

import smac_jax
from smac_jax.envs import ENGINES
from smac_jax.errors import ConfigError
from smac_jax.presets.bases import ADDITIONS, DIFFERENCES, get_base
from smac_jax.runs.provenance import write_provenance
from smac_jax.sweep.datasets import check_fits, environment_of, references
from smac_jax.sweep.grid import Job, make_jobs
from smac_jax.sweep.job import CheckpointOptions, already_done, trained_by
from smac_jax.sweep.launchers import local
from smac_jax.sweep.program import results_folder, run, set_up
from smac_jax.sweep.provenance import describe, scale_of_jobs
from smac_jax.sweep.results import curve_file, joined_curves, write_results

BASES = ("ours", "wsrl_base")
FLAGS = flags.FLAGS
flags.DEFINE_string("task", "hopper-medium-replay", "Data set: an embedded one, or the path of a D4RL .hdf5 file.")
flags.DEFINE_string("env", None, "The environment; default: the one that the data set records.")
flags.DEFINE_enum("physics", "auto", ENGINES, "Physics engine; auto is mjx on a TPU and mujoco elsewhere.")
flags.DEFINE_list("variants", [], "Variants, such as ours,ours+utd,wsrl_base-random2; default: all.")
flags.DEFINE_list("online", ["sac"], "Online algorithms.")
flags.DEFINE_integer("seeds", 4, "Number of seeds, which are trained in parallel.", lower_bound=1)
flags.DEFINE_integer("first_seed", 0, "Number of the first seed.", lower_bound=0)
flags.DEFINE_bool("paper", False, "Use the paper's lengths and network sizes.")
flags.DEFINE_integer("num_updates", 0, "Offline updates; 0 for the number of the base.", lower_bound=0)
flags.DEFINE_integer("num_steps", 0, "Online steps; 0 for the number of the base.", lower_bound=0)
flags.DEFINE_bool("only_report", False, "Train nothing; write the table of the completed variants.")
flags.DEFINE_string("results", None, "Folder of the results; default: results/bases/TASK.")


def all_variants() -> list[str]:
    """All variants, the most informative first: both bases, a decaying penalty, a target of zero, then the others."""
    first = ("kappa_decay", "alpha_zero")
    decisive = [f"{base}+{name}" for name in first for base in BASES]
    others = [f"{base}+{name}" for name in ADDITIONS if name not in first for base in BASES]
    added, removed = ([f"ours+{name}" for name in DIFFERENCES], [f"wsrl_base-{name}" for name in DIFFERENCES])
    alternating = [variant for pair in zip(added, removed, strict=True) for variant in pair]
    return [*BASES, *decisive, *alternating, *others]


def job_of(
    variant: str, folder: Path, data: str, task: str, seeds: Sequence[int], fingerprint: str | None = None
) -> Job:
    """The job of a variant such as ``"wsrl_base-random2"``.

    Raises:
      ConfigError: there is no such variant.
    """
    base = next((name for name in BASES if variant.startswith(name)), None)
    if base is None:
        raise ConfigError(f"--variants={variant}: must begin with {' or '.join(BASES)}.")
    variant_of_base = ("paper" if FLAGS.paper else "") + variant.removeprefix(base)
    config = get_base(base, variant_of_base, FLAGS.num_updates or None)
    if FLAGS.num_steps:
        config.finetune.update({"num_steps": FLAGS.num_steps})
    (job,) = make_jobs(
        folder / "runs" / variant,
        [(data, task)],
        ["smac"],
        FLAGS.online,
        config,
        {},
        seeds,
        len(seeds),
        physics=FLAGS.physics,
        version="v4",
        control=True,
        fingerprints={} if fingerprint is None else {data: fingerprint},
    )
    return job


def main(argv: Sequence[str]) -> int:
    """Trains the variants that are not done, one after the other, and writes the table after each."""
    del argv
    set_up()
    variants = FLAGS.variants or all_variants()
    data = smac_jax.load_dataset(FLAGS.task)
    task = environment_of(data, FLAGS.env)
    check_fits(data, task, smac_jax.make_env(task, physics=FLAGS.physics))
    folder = results_folder(FLAGS.results or f"results/bases/{data.name}")
    seeds = list(range(FLAGS.first_seed, FLAGS.first_seed + FLAGS.seeds))
    fingerprint = data.fingerprint()
    jobs = {variant: job_of(variant, folder, FLAGS.task, task, seeds, fingerprint) for variant in variants}
    for job in jobs.values():
        already_done(job)  # raises if the folder holds results of other data
    print(f"{data.summary()}\n{len(jobs)} variants; results: {folder}")
    failures = []
    for variant, job in jobs.items():
        if not FLAGS.only_report and not job.done:
            print(f"{variant}:")
            failures += local.launch([job], CheckpointOptions(), folder)
            write_table(folder, jobs, data, seeds)
    write_table(folder, jobs, data, seeds)
    for failure in failures:
        print(f"failed: {failure.title}: {failure.error}")
    return 1 if failures else 0


def write_table(folder: Path, jobs: dict[str, Job], data: smac_jax.Dataset, seeds: Sequence[int]) -> None:
    """Writes the table and the figure of the variants that are done."""
    done = {variant: job for variant, job in jobs.items() if job.done}
    # every variant is called SMAC in its own job; in the table it has the variant's name
    curves = [dataclasses.replace(c, offline=variant) for variant, job in done.items() for c in joined_curves([job])]
    if not curves:
        return
    for curve in curves:
        curve.to_json(folder / "curves" / curve_file(curve))
    provenance = write_provenance(
        folder,
        data=describe(data),
        scale=scale_of_jobs(list(done.values())),
        seeds=list(seeds),
        trained_by=trained_by(done.values()),
        config={variant: job.offline.config for variant, job in done.items()},
    )
    write_results(folder, curves, provenance, f"{data.name}: SMAC on two bases", references(data))


if __name__ == "__main__":
    run(main)
