"""What a sweep will cost, from rates measured just now on this machine."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Table

import smac_jax
from experiments.block import leg_states
from experiments.grid import Block, Variant
from experiments.state import duration
from smac_jax.algorithms import make_offline, make_online
from smac_jax.data.dataset import Dataset
from smac_jax.data.replay import init as init_buffer
from smac_jax.data.tasks import time_limit
from smac_jax.envs import AutoReset
from smac_jax.train import offline, online
from smac_jax.train.evaluate import make_evaluator
from smac_jax.train.health import WELL
from smac_jax.train.logger import device_description
from smac_jax.train.progress import Progress
from smac_jax.train.sharding import SeedLayout

LENGTH = 20
"""Steps of the chunk that is timed."""


class Rates(NamedTuple):
    """Seconds of a step, for all seeds of a block together.

    Attributes:
      phases: an update of each phase of offline training.
      online: for each online variant, an environment step with its update.
      warm_start: an environment step without.
      evaluation: a step of all episodes of an evaluation.
      episode_length: in steps.
      compilation: of all these programs, as it was just now, some of it perhaps from the cache.
    """

    phases: tuple[float, ...]
    online: tuple[float, ...]
    warm_start: float
    evaluation: float
    episode_length: int
    compilation: float


def show(blocks: Sequence[Block], datasets: Mapping[str, Dataset]) -> None:
    """Prints each run of each block: what it is, whether it is there, and what is left to pay."""
    table = Table(title=f"{len(blocks)} blocks; rates measured now on {device_description()}", title_justify="left")
    for name, justify in {"block": "left", "run": "left", "state": "left", "steps": "right", "time": "right"}.items():
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    measured: dict[Any, Rates] = {}
    total = 0.0
    with Progress() as bar:
        bar.phase("measuring rates", len(blocks))
        for block in blocks:
            key = (block.data, repr(block.offline), repr(block.online), len(block.seeds))
            if key not in measured and not block.done:
                measured[key] = measure(block, datasets[block.data])
            bar.advance(1)
            for i, (leg, state) in enumerate(leg_states(block).items()):
                steps = leg_steps(block, leg)
                seconds = 0.0 if state == "done" else leg_seconds(block, leg, measured[key])
                total += seconds
                time_text = "" if state == "done" else duration(seconds)
                table.add_row(block.title if i == 0 else "", leg, state, f"{steps:,}", time_text)
    console = Console()
    console.print(table)
    compilation = sum(rates.compilation for rates in measured.values())
    console.print(
        f"Left: at most {duration(total)} one after the other, every evaluation episode counted at full length; and "
        f"compilation, which took {duration(compilation)} here."
    )


def leg_variant(block: Block, leg: str) -> Variant:
    """The online variant of a leg that hands over."""
    return block.online[block.legs.index(leg) - (len(block.legs) - len(block.online))]


def leg_steps(block: Block, leg: str) -> int:
    """Updates, or environment steps."""
    if leg == "offline":
        return block.offline.schedule["num_updates"]
    if leg == "control":
        return max(v.schedule["num_steps"] for v in block.online)
    schedule = leg_variant(block, leg).schedule
    return schedule["num_steps"] + schedule["warm_start"]


def leg_seconds(block: Block, leg: str, rates: Rates) -> float:
    """What a leg takes from beginning to end."""
    steps, episode = leg_steps(block, leg), rates.episode_length
    if leg in ("offline", "control"):
        built = make_offline(block.offline.algorithm, block.offline.config)
        before = sum(r * (p.num_updates or 0) for r, p in zip(rates.phases, built.phases, strict=True))
        longest = max(block.online, key=lambda v: v.schedule["num_steps"]).schedule
        every = (block.offline.schedule if leg == "offline" else longest)["eval_every"]
        evaluations = 1 + math.ceil(steps / every)
        return (
            (before if leg == "offline" else 0.0) + steps * rates.phases[-1] + evaluations * episode * rates.evaluation
        )
    variant = leg_variant(block, leg)
    schedule = variant.schedule
    evaluations = 2 + math.ceil(schedule["num_steps"] / schedule["eval_every"])
    learning = schedule["num_steps"] * rates.online[block.online.index(variant)]
    return schedule["warm_start"] * rates.warm_start + learning + evaluations * episode * rates.evaluation


def measure(block: Block, data: Dataset) -> Rates:
    """Compiles and times a short piece of everything that a block does."""
    layout = SeedLayout.over(block.seeds)
    built = make_offline(block.offline.algorithm, block.offline.config)
    prepared = layout.everywhere(built.prepare(data))
    env = smac_jax.make_env(block.task, physics=block.physics, version=block.version)
    world = AutoReset(env, time_limit(block.task, env))
    well, keys = layout.place(jnp.full(len(layout.seeds), WELL)), layout.keys("online")
    state = layout.map(built.init, (0, None))(layout.keys("init"), prepared)
    actor_critic = jax.tree.map(jnp.copy, built.actor_critic(state))

    phases, started = [], time.perf_counter()
    for phase in built.phases:
        seconds, state = timed(offline.make_chunk(phase, layout, math.inf, LENGTH), state, well, 0, keys, prepared)
        phases.append(seconds)
    warm_start, learning = 0.0, []
    for variant in block.online:
        algorithm = make_online(variant.algorithm, variant.config)

        def begin(key: Any, actor_critic: Any, algorithm: Any = algorithm) -> online.LoopState:
            buffer = init_buffer(1000, env.observation_size, env.action_size)
            return online.LoopState(algorithm.init(key, actor_critic), world.reset(key), buffer)

        loop = layout.map(begin, (0, 0))(keys, actor_critic)
        fraction = variant.schedule.get("data_fraction", 0.5)
        for learn in (False, True):
            chunk = online.make_chunk(algorithm, world, layout, learn, fraction, math.inf, LENGTH)
            seconds, loop = timed(chunk, loop, well, 0, keys, layout.everywhere(data))
            if learn:
                learning.append(seconds)
            else:
                warm_start = seconds
    episodes = block.offline.schedule["eval_episodes"]
    evaluator = make_evaluator(env, episodes, LENGTH, True, layout)
    jax.block_until_ready(evaluator(actor_critic, keys))
    compilation, started = time.perf_counter() - started, time.perf_counter()
    jax.block_until_ready(evaluator(actor_critic, keys))
    evaluation = (time.perf_counter() - started) / LENGTH
    return Rates(tuple(phases), tuple(learning), warm_start, evaluation, world.episode_length, compilation)


def timed(chunk: Any, state: Any, *inputs: Any) -> tuple[float, Any]:
    """Seconds of a step, compilation left out, and the state after."""
    state, *_ = jax.block_until_ready(chunk(state, *inputs))
    started = time.perf_counter()
    state, *_ = jax.block_until_ready(chunk(state, *inputs))
    return (time.perf_counter() - started) / LENGTH, state
