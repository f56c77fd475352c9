"""What a sweep will cost, from rates measured just now on this machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

import smac_jax
from experiments.block import leg_states
from experiments.grid import Block, Variant
from experiments.state import duration
from smac_jax.algorithms import make_offline, make_online
from smac_jax.algorithms.base import OfflineAlgorithm
from smac_jax.analysis.fitting import Column, FittedTable, console_for_tables
from smac_jax.data.dataset import Dataset
from smac_jax.data.replay import init as init_buffer
from smac_jax.data.tasks import time_limit
from smac_jax.envs import AutoReset
from smac_jax.train import offline, online
from smac_jax.train.compilation import listening
from smac_jax.train.evaluate import make_evaluator
from smac_jax.train.health import WELL
from smac_jax.train.logger import device_description
from smac_jax.train.pace import COMPILATION, TRAINING, Pace
from smac_jax.train.progress import Progress
from smac_jax.train.sharding import SeedLayout
from smac_jax.wording import count

LENGTH = 20
"""Steps of the chunk that is timed."""


def show(blocks: Sequence[Block], datasets: Mapping[str, Dataset]) -> None:
    """Prints each run of each block, and whether it is there; then measures, and prints what is left to pay.

    Args:
      blocks: of the sweep.
      datasets: by the blocks' names for them; of one task any will do for all.
    """
    left = [block for block in blocks if not block.done]
    rows = [
        [block.title if i == 0 else "", leg, state, f"{leg_steps(block, leg):,}"]
        for block in blocks
        for i, (leg, state) in enumerate(leg_states(block).items())
    ]
    words = Column("block", justify="left", wraps=True), Column("run", justify="left"), Column("state", justify="left")
    title = f"{count(blocks, 'block')}, {len(blocks) - len(left)} of them done"
    console = console_for_tables()
    console.print(FittedTable([*words, Column("steps")], rows, title))
    if not left:
        return
    rates, total = Rates({block.task: datasets[block.data] for block in left}), 0.0
    rows = []
    with Progress() as bar:
        bar.phase("measuring rates, block by block", len(left), steady=False)  # blocks share programs
        for block in left:
            states = leg_states(block)
            seconds = sum(leg_seconds(block, leg, rates) for leg in block.legs if states[leg] != "done")
            total += seconds
            rows.append([block.title, duration(seconds)])
            bar.advance(1)
    table = FittedTable([Column("left to pay", justify="left", wraps=True), Column("time")], rows)
    console.print(f"At rates measured now on {device_description()}:", table)
    console.print(
        f"In all at most {duration(total)} one after the other, every evaluation episode counted at full length; and "
        f"compilation, which took {duration(rates.compilation)} here."
    )


def leg_variant(block: Block, leg: str) -> Variant:
    """The online variant of a leg that hands over."""
    return block.online[block.legs.index(leg) - 1 - block.control]


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
    steps, episode = leg_steps(block, leg), rates.episode_length(block)
    if leg in ("offline", "control"):
        phases = rates.phases(block)
        built = make_offline(block.offline.algorithm, block.offline.config)
        before = sum(r * (p.num_updates or 0) for r, p in zip(phases, built.phases, strict=True))
        schedule = block.offline.schedule
        if leg == "control":
            schedule = max(block.online, key=lambda v: v.schedule["num_steps"]).schedule
        evaluations = 1 + math.ceil(steps / schedule["eval_every"])
        return (
            (before if leg == "offline" else 0.0) + steps * phases[-1] + evaluations * episode * rates.evaluation(block)
        )
    variant = leg_variant(block, leg)
    schedule = variant.schedule
    evaluations = 2 + math.ceil(schedule["num_steps"] / schedule["eval_every"])
    learning = schedule["num_steps"] * rates.online(block, variant, True)
    waiting = schedule["warm_start"] * rates.online(block, variant, False)
    return waiting + learning + evaluations * episode * rates.evaluation(block)


class Rates:
    """Seconds of a step, for all seeds of a block together: each program that several blocks share is measured once.

    Attributes:
      compilation: seconds that went into making the programs, some of them perhaps from the cache.
    """

    def __init__(self, datasets: Mapping[str, Dataset]) -> None:
        """``datasets``: one for each task; its size does not change what a step costs."""
        self._datasets = datasets
        self._known: dict[Any, Any] = {}
        self.compilation = 0.0

    def phases(self, block: Block) -> tuple[float, ...]:
        """An update of each phase of offline training."""

        def measure() -> tuple[float, ...]:
            built, layout = _built(block), SeedLayout.over(block.seeds)
            prepared, state = self._begun(block)
            state = jax.tree.map(jnp.copy, state)  # a chunk takes its state's memory
            seconds = []
            for phase in built.phases:
                chunk = offline.make_chunk(phase, layout, math.inf, LENGTH)
                rate, state = self._timed(chunk, state, *_driven(layout), prepared)
                seconds.append(rate)
            return tuple(seconds)

        return self._once(("phases", *_program(block, block.offline)), measure)

    def online(self, block: Block, variant: Variant, learn: bool) -> float:
        """An environment step of fine-tuning, with its update or (``learn`` false) without."""
        # what acts while nothing is learned costs the same whatever will learn
        asked = _program(block, variant) if learn else _world(block)

        def measure() -> float:
            layout, world = SeedLayout.over(block.seeds), self._auto_reset(block)
            algorithm = make_online(variant.algorithm, variant.config)
            state = self._begun(block)[1]
            actor_critic = jax.tree.map(jnp.copy, _built(block).actor_critic(state))
            carried = jax.tree.map(jnp.copy, jax.vmap(_built(block).training_state)(state))

            def begin(key: Any, actor_critic: Any, carried: Any) -> online.LoopState:
                buffer = init_buffer(1000, world.observation_size, world.action_size)
                return online.LoopState(algorithm.init(key, actor_critic, carried), world.reset(key), buffer)

            loop = layout.map(begin, (0, 0, 0))(layout.keys("online"), actor_critic, carried)
            fraction = variant.schedule.get("data_fraction", 0.5)
            chunk = online.make_chunk(algorithm, world, layout, learn, fraction, math.inf, LENGTH)
            rate, _ = self._timed(chunk, loop, *_driven(layout), layout.everywhere(self._datasets[block.task]))
            return rate

        return self._once(("online", learn, _networks(block), *asked), measure)

    def evaluation(self, block: Block) -> float:
        """A step of all episodes of an evaluation."""
        episodes = block.offline.schedule["eval_episodes"]

        def measure() -> float:
            layout = SeedLayout.over(block.seeds)
            actor_critic = _built(block).actor_critic(self._begun(block)[1])
            evaluator = make_evaluator(self._auto_reset(block).env, episodes, LENGTH, True, layout)

            return self._timed(lambda ac, keys: (ac, evaluator(ac, keys)), actor_critic, layout.keys("online"))[0]

        return self._once(("evaluation", _networks(block), episodes, *_world(block)), measure)

    def episode_length(self, block: Block) -> int:
        """In steps."""
        return self._auto_reset(block).episode_length

    def _auto_reset(self, block: Block) -> AutoReset:
        def make() -> AutoReset:
            env = smac_jax.make_env(block.task, physics=block.physics, version=block.version)
            return AutoReset(env, time_limit(block.task, env))

        return self._once(("environment", *_world(block)), make)

    def _begun(self, block: Block) -> tuple[Any, Any]:
        """What offline training prepares of the data, and its state before the first update."""

        def begin() -> tuple[Any, Any]:
            pace, built, layout = Pace(), _built(block), SeedLayout.over(block.seeds)
            prepared = layout.everywhere(built.prepare(self._datasets[block.task]))
            with listening(pace.compiling):
                state = jax.block_until_ready(layout.map(built.init, (0, None))(layout.keys("init"), prepared))
            self.compilation += pace.took.get(COMPILATION, 0.0)
            return prepared, state

        asked = "begun", *_program(block, block.offline)
        if asked not in self._known:  # one at a time: a state may be large
            self._known = {key: value for key, value in self._known.items() if key[0] != "begun"}
        return self._once(asked, begin)

    def _once(self, key: tuple[Any, ...], measure: Callable[[], Any]) -> Any:
        if key not in self._known:
            self._known[key] = measure()
        return self._known[key]

    def _timed(self, chunk: Any, state: Any, *inputs: Any) -> tuple[float, Any]:
        """Seconds of a step, compilation left out, and the state after."""
        pace = Pace()
        with listening(pace.compiling):
            state, *_ = jax.block_until_ready(chunk(state, *inputs))
        self.compilation += pace.took.get(COMPILATION, 0.0)
        with pace.measure(TRAINING, LENGTH):
            state, *_ = jax.block_until_ready(chunk(state, *inputs))
        return pace.took[TRAINING] / LENGTH, state


def _built(block: Block) -> OfflineAlgorithm:
    return make_offline(block.offline.algorithm, block.offline.config)


def _driven(layout: SeedLayout) -> tuple[Any, int, Any]:
    """What a chunk takes beside its state: seeds that are well, the first step, keys."""
    return layout.place(jnp.full(len(layout.seeds), WELL)), 0, layout.keys("online")


def _world(block: Block) -> tuple[Any, ...]:
    return block.task, block.physics, block.version, len(block.seeds)


def _networks(block: Block) -> tuple[Any, ...]:
    """What of the networks tells in the cost of a step: their sizes, and how many."""
    network = block.offline.config["network"]
    return tuple(repr(network[name]) for name in ("actor_hidden", "critic_hidden", "num_critics"))


def _program(block: Block, variant: Variant) -> tuple[Any, ...]:
    """What a step's program depends on: everything but the values of what is a fraction, unless it is 0."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(item) for name, item in value.items()}
        return value != 0.0 if isinstance(value, float) else value

    return variant.algorithm, repr(plain(variant.config)), *_world(block)
