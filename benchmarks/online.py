r"""The online loop and its parts: environment steps and updates per second, and the share of each part.

    python -m benchmarks.online --task=hopper --seeds=4 --size=field --json=online.json

The complete loop acts, steps the physics, stores the transition, samples a batch (half from the data set) and updates.
Its parts are the same loop without updates (act, physics, store), and the same updates without an environment. The rest
of the time is the overhead of the loop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags

import smac_jax
from benchmarks.learners import SIZES, Learner, case
from benchmarks.measure import Case, Report, in_turns, rows
from smac_jax.algorithms import make_online
from smac_jax.algorithms.actor_critic import NetworkConfig, new_actor_critic
from smac_jax.algorithms.contracts import Phase
from smac_jax.data.replay import init as init_buffer
from smac_jax.envs import ENGINES, AutoReset
from smac_jax.errors import ConfigError
from smac_jax.sweep.program import run
from smac_jax.text import count
from smac_jax.train.data_fraction import DataFraction
from smac_jax.train.divergence import NOT_DIVERGED
from smac_jax.train.online import LoopState, make_chunk
from smac_jax.train.sharding import SeedLayout

FLAGS = flags.FLAGS
flags.DEFINE_string("task", "hopper", "The environment.")
flags.DEFINE_enum("physics", "auto", ENGINES, "Physics engine.")
flags.DEFINE_enum("size", "field", list(SIZES), "Sizes of networks and batches.")
flags.DEFINE_integer("seeds", 1, "Seeds trained at once.", lower_bound=1)
flags.DEFINE_integer("length", 100, "Environment steps per compiled call.", lower_bound=1)


def main(argv: Sequence[str]) -> int:
    """Measures and reports."""
    del argv
    size, seeds, length = SIZES[FLAGS.size], FLAGS.seeds, FLAGS.length
    report = Report(
        "The online loop", f"SAC on {FLAGS.task}, {count(seeds, 'seed')}, one update per environment step; {size}"
    )
    data = smac_jax.load_dataset("hopper-medium-replay")
    env = smac_jax.make_env(FLAGS.task, physics=FLAGS.physics)
    if env.observation_size != data.observations.shape[-1]:
        raise ConfigError(f"--task={FLAGS.task}: half of each batch is from hopper's data; give a task of its sizes.")
    built = make_online("sac", {"batch_size": size.online_batch})
    network = NetworkConfig(actor_hidden=size.hidden, critic_hidden=size.hidden, num_critics=size.members)
    mean, std = data.observation_statistics()

    def begin(key: jax.Array) -> Any:
        return built.init(key, new_actor_critic(network, key, mean, std, env.action_size))

    training_env = AutoReset(env)

    def loop_state(key: jax.Array) -> LoopState:
        buffer = init_buffer(100_000, env.observation_size, env.action_size)
        return LoopState(begin(key), training_env.reset(key), buffer)

    layout = SeedLayout.over(range(seeds), jax.devices()[:1])
    keys, diverged = layout.keys("online"), jnp.full(seeds, NOT_DIVERGED)

    def loop(name: str, learn: bool) -> Case:
        chunk = make_chunk(built, training_env, layout, learn, DataFraction.constant(0.5), math.inf, length)
        held = {"state": jax.jit(jax.vmap(loop_state))(keys), "step": 0}

        def call() -> None:
            held["state"], _, metrics = chunk(held["state"], diverged, held["step"], keys, data)
            held["step"] += length
            jax.block_until_ready(metrics)

        return Case(name, call, units=length * seeds)

    learner = Learner(Phase("online", built.update, built.batch_size), jax.jit(jax.vmap(begin))(keys), data)
    cases = [loop("complete loop", True), loop("act, physics, store", False), case("updates only", learner, length)]
    timings = in_turns(cases)
    total = timings[0].seconds
    made = rows(report, timings, "steps/s")
    for line, timing in zip(made, timings, strict=True):
        line["% of the loop's time"] = 100.0 * timing.seconds / total
    report.table(f"{FLAGS.task}, {env.backend}", made)
    overhead = 100.0 * (total - timings[1].seconds - timings[2].seconds) / total
    report.say(f"overhead of the loop beyond its parts: {overhead:.1f} % of its time")
    report.finish()
    return 0


if __name__ == "__main__":
    run(main)
