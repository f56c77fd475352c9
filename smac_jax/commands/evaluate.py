r"""Measure the returns of a trained policy over episodes in the simulator, for every seed.

    smac-jax evaluate results/NAME/runs/TASK/OFFLINE/seeds-0-3/to-sac --env=hopper --episodes=20

RUN is a run's folder, or its actor_critic folder. The environment is the one in which the run was trained; --env names
another one. The policy acts as in the evaluations during its training: with its mode, or for FQL with samples; --sample
and --nosample choose. The program prints the mean return of each seed, the mean over seeds with a bootstrap interval,
and D4RL's normalized score if the task has one. With --out, it also writes the return of every episode as JSON.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from smac_jax.envs import ENGINES, VERSIONS
from smac_jax.errors import CheckpointError, ConfigError, UnknownNameError
from smac_jax.files import local_path, write_json
from smac_jax.sweep.program import set_up
from smac_jax.text import count

ARGUMENTS = 1
FLAGS = flags.FLAGS
flags.DEFINE_string("env", None, "The environment; default: the one in which the run was trained.")
flags.DEFINE_enum("physics", "auto", ENGINES, "Physics engine; auto is mjx on a TPU and mujoco elsewhere.")
flags.DEFINE_enum("version", None, VERSIONS, "Version of the task, as in make_env; default: the run's.")
flags.DEFINE_integer("episodes", 20, "Episodes of each seed.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Seed of the starting states and, with --sample, of the actions.", lower_bound=0)
flags.DEFINE_bool(
    "sample", None, "Sample actions from the policy, or use its mode; default: as in the evaluations of the run."
)
flags.DEFINE_string("out", None, "Also write every episode's return to this file, as JSON.")


def main(argv: Sequence[str]) -> int:
    """Evaluates and prints."""
    set_up()
    if len(argv) != 2:
        raise ConfigError("Give one RUN: smac-jax evaluate RUN")
    import smac_jax
    from smac_jax.analysis.statistics import bootstrap_interval
    from smac_jax.runs.checkpoint import is_evaluated_with_draws, load_actor_critic
    from smac_jax.tasks import normalized_score, time_limit

    run = local_path(argv[1])
    place = run if run.name == "actor_critic" else run / "actor_critic"
    actor_critic, job = load_actor_critic(place), job_of(place)
    task = FLAGS.env or job.get("task")
    if task is None:
        raise ConfigError(f"{run} does not record its environment. Name one with --env.")
    env = smac_jax.make_env(task, physics=FLAGS.physics, version=FLAGS.version or job.get("version", "v4"))
    length = time_limit(task, env)
    samples = is_evaluated_with_draws(place) if FLAGS.sample is None else FLAGS.sample
    returns = smac_jax.evaluate(
        actor_critic, env, FLAGS.episodes, seed=FLAGS.seed, episode_length=length, deterministic=not samples
    )
    seeds = job.get("seeds", list(range(len(returns))))
    for seed, of_seed in zip(seeds, returns, strict=True):
        print(f"seed {seed}: {of_seed.mean():,.1f} (episodes from {of_seed.min():,.1f} to {of_seed.max():,.1f})")
    mean, low, high = bootstrap_interval(returns.mean(axis=1))
    interval = f", 95 % interval {low:,.1f} to {high:,.1f}" if len(returns) > 1 else ""
    print(f"{task}: {mean:,.1f}{interval}, over {count(len(returns), 'seed')} of {count(FLAGS.episodes, 'episode')}")
    with contextlib.suppress(UnknownNameError):  # the task has no reference returns, so no score
        print(f"normalized score: {normalized_score(task, mean):.1f}")
    if FLAGS.out:
        write_json(local_path(FLAGS.out), {"task": task, "seeds": seeds, "returns": returns.tolist()})
    return 0


def job_of(place: Path) -> dict[str, Any]:
    """The content of ``job.json`` above a checkpoint; empty if there is none."""
    from smac_jax.sweep.landscape import described

    try:
        return described(place.parent)
    except CheckpointError:
        return {}
