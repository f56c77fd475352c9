r"""Wall time of a complete run, including compilation: pre-training, transfer and fine-tuning.

    python -m benchmarks.pretrain_to_finetune --offline=smac --online=sac --config=quickstart

The run is a job of `smac-jax sweep`, without the evaluations during training.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from absl import flags

import smac_jax
from benchmarks.measure import Report
from smac_jax.presets.base import online_section
from smac_jax.sweep.program import define_config, run
from smac_jax.text import count

FLAGS = flags.FLAGS
flags.DEFINE_string("data", "hopper-medium-replay", "An embedded data set or a D4RL file.")
flags.DEFINE_string("env", "hopper", "The environment.")
flags.DEFINE_string("offline", "smac", "Offline algorithm.")
flags.DEFINE_string("online", "sac", "Online algorithm.")
flags.DEFINE_integer("seeds", 4, "Seeds trained at once.", lower_bound=1)
define_config("quickstart")


def main(argv: Sequence[str]) -> int:
    """Measures and reports."""
    del argv
    config, seeds = FLAGS.config, FLAGS.seeds
    updates, steps, warm = config.pretrain.num_updates, config.finetune.num_steps, config.finetune.warm_start
    report = Report(
        "A complete run",
        f"{FLAGS.offline} for {updates:,} updates, then {FLAGS.online} for {warm:,} + {steps:,} steps, "
        f"{count(seeds, 'seed')}",
    )
    data, env = smac_jax.load_dataset(FLAGS.data), smac_jax.make_env(FLAGS.env)
    started = time.perf_counter()
    off = smac_jax.pretrain(
        FLAGS.offline, data, seeds=seeds, num_updates=updates, config=config[FLAGS.offline], eval_every=updates
    )
    transfer = time.perf_counter()
    smac_jax.finetune(
        FLAGS.online,
        off.actor_critic,
        env,
        data,
        seeds=seeds,
        num_steps=steps,
        config=config[online_section(FLAGS.online)],
        warm_start=warm,
        eval_every=steps,
        eval_episodes=1,
        final_episodes=1,
        training_state=off.training_state,
    )
    ended = time.perf_counter()
    report.table(
        "wall time",
        [
            {
                "phase": "pre-training",
                "seconds": transfer - started,
                "seed-updates/s": seeds * updates / (transfer - started),
            },
            {
                "phase": "fine-tuning",
                "seconds": ended - transfer,
                "seed-updates/s": seeds * steps / (ended - transfer),
            },
            {"phase": "both", "seconds": ended - started},
        ],
    )
    report.finish()
    return 0


if __name__ == "__main__":
    run(main)
