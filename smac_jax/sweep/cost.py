"""What a sweep will cost, from rates measured just now on this machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

import smac_jax
from smac_jax.algorithms import make_offline, make_online
from smac_jax.algorithms.contracts import OfflineAlgorithm
from smac_jax.analysis.fitting import Column, FittedTable, console_for_tables
from smac_jax.data.dataset import Dataset
from smac_jax.data.replay import init as init_buffer
from smac_jax.envs import AutoReset
from smac_jax.registry import OFFLINE
from smac_jax.runs.pace import COMPILATION, TRAINING, Pace
from smac_jax.runs.provenance import device_description
from smac_jax.sweep.grid import Job, Run, Variant
from smac_jax.sweep.job import run_states
from smac_jax.tasks import time_limit
from smac_jax.text import count, duration
from smac_jax.train import collection, offline, online
from smac_jax.train.compilation import listening
from smac_jax.train.divergence import NOT_DIVERGED
from smac_jax.train.evaluate import make_evaluator, value_discount
from smac_jax.train.plan import rounds_for
from smac_jax.train.progress import Progress
from smac_jax.train.sharding import SeedLayout

LENGTH = 20
"""Steps of the chunk that is timed."""


def show(jobs: Sequence[Job], datasets: Mapping[str, Dataset]) -> None:
    """Prints each run of each job, and whether it is there; then measures, and prints what is left to pay.

    Args:
      jobs: of the sweep.
      datasets: by the jobs' names for them; of one task any will do for all.
    """
    left = [job for job in jobs if not job.done]
    rows = [
        [job.title if i == 0 else "", str(run.name), state, f"{run.steps:,}"]
        for job in jobs
        for i, (run, state) in enumerate(zip(job.plan, run_states(job).values(), strict=True))
    ]
    words = Column("job", justify="left", wraps=True), Column("run", justify="left"), Column("state", justify="left")
    title = f"{count(jobs, 'job')}, {len(jobs) - len(left)} of them done"
    console = console_for_tables()
    console.print(FittedTable([*words, Column("steps")], rows, title))
    if not left:
        return
    rates, total = Rates({job.task: datasets[job.data] for job in left}), 0.0
    rows = []
    with Progress() as bar:
        bar.phase("measuring rates, job by job", len(left), steady=False)  # jobs share programs
        for job in left:
            states = run_states(job)
            seconds = sum(run_seconds(job, run, rates) for run in job.plan if states[str(run.name)] != "done")
            total += seconds
            rows.append([job.title, duration(seconds)])
            bar.advance(1)
    table = FittedTable([Column("left to pay", justify="left", wraps=True), Column("time")], rows)
    console.print(f"At rates measured now on {device_description()}:", table)
    console.print(
        f"In all at most {duration(total)} one after the other, every evaluation episode counted at full length; and "
        f"compilation, which took {duration(rates.compilation)} here."
    )


def run_seconds(job: Job, run: Run, rates: Rates) -> float:
    """What a run takes from beginning to end."""
    episode = rates.episode_length(job)
    if run.online is None:
        phases = rates.phases(job)
        built = make_offline(job.offline.algorithm, job.offline.config)
        before = sum(r * (p.num_updates or 0) for r, p in zip(phases, built.phases, strict=True))
        schedule = job.offline.schedule
        if run.name.kind == "control":
            schedule = max(job.online, key=lambda v: v.schedule["num_steps"]).schedule
        # the last has more episodes, and where a run goes on from another, the first as well
        repeated = rounds_for(job.offline.schedule["final_episodes"], job.offline.schedule["eval_episodes"]) - 1
        evaluations = 1 + math.ceil(run.steps / schedule["eval_every"]) + repeated * (1 if run.after == 0 else 2)
        once = before if run.after == 0 else 0.0
        return once + run.steps * phases[-1] + evaluations * episode * rates.evaluation(job)
    schedule = run.online.schedule
    repeated = rounds_for(schedule["final_episodes"], schedule["eval_episodes"]) - 1
    evaluations = 2 + math.ceil(schedule["num_steps"] / schedule["eval_every"]) + 2 * repeated
    learning = schedule["num_steps"] * rates.online(job, run.online, True)
    waiting = schedule["warm_start"] * rates.online(job, run.online, False)
    return waiting + learning + evaluations * episode * rates.evaluation(job)


class Rates:
    """Seconds of a step, for all seeds of a job together: each program that several jobs share is measured once.

    Attributes:
      compilation: seconds that went into making the programs, some of them perhaps from the cache.
    """

    def __init__(self, datasets: Mapping[str, Dataset]) -> None:
        """``datasets``: one for each task; its size does not change what a step costs."""
        self._datasets = datasets
        self._known: dict[Any, Any] = {}
        self.compilation = 0.0

    def phases(self, job: Job) -> tuple[float, ...]:
        """An update of each phase of offline training."""

        def measure() -> tuple[float, ...]:
            built, layout = _built(job), SeedLayout.over(job.seeds)
            prepared, state = self._begun(job)
            state = jax.tree.map(jnp.copy, state)  # a chunk takes its state's memory
            seconds = []
            for phase in built.phases:
                chunk = offline.make_chunk(phase, layout, math.inf, LENGTH)
                rate, state = self._timed(chunk, state, *_driven(layout), prepared)
                seconds.append(rate)
            return tuple(seconds)

        return self._once(("phases", *_program(job, job.offline)), measure)

    def online(self, job: Job, variant: Variant, learn: bool) -> float:
        """An environment step of fine-tuning, with its update or (``learn`` false) without."""
        environments = variant.schedule.get("environments", 1)
        # what acts while nothing is learned costs the same whatever will learn
        asked = _program(job, variant) if learn else _world(job)

        def measure() -> float:
            layout, world = SeedLayout.over(job.seeds), self._auto_reset(job)
            algorithm = make_online(variant.algorithm, variant.config)
            state = self._begun(job)[1]
            actor_critic = jax.tree.map(jnp.copy, _built(job).actor_critic(state))
            carried = jax.tree.map(jnp.copy, jax.vmap(_built(job).training_state)(state))

            def begin(key: Any, actor_critic: Any, carried: Any) -> online.LoopState:
                buffer = init_buffer(1000, world.observation_size, world.action_size)
                first = collection.begin(world, key, environments)
                return online.LoopState(algorithm.init(key, actor_critic, carried), first, buffer)

            loop = layout.map(begin, (0, 0, 0))(layout.keys("online"), actor_critic, carried)
            fraction = variant.schedule.get("data_fraction", 0.5)
            length = LENGTH * environments
            chunk = online.make_chunk(algorithm, world, layout, learn, fraction, math.inf, length, environments)
            rate, _ = self._timed(chunk, loop, *_driven(layout), layout.replicate(self._datasets[job.task]))
            return rate / environments

        return self._once(("online", learn, environments, _networks(job), *asked), measure)

    def evaluation(self, job: Job) -> float:
        """A step of all episodes of an evaluation."""
        episodes = job.offline.schedule["eval_episodes"]

        def measure() -> float:
            layout = SeedLayout.over(job.seeds)
            built = _built(job)
            actor_critic, discount = built.actor_critic(self._begun(job)[1]), value_discount(built.config)
            evaluator = make_evaluator(self._auto_reset(job).env, episodes, LENGTH, True, layout, discount)

            return self._timed(lambda ac, keys: (ac, evaluator(ac, keys)), actor_critic, layout.keys("online"))[0]

        return self._once(("evaluation", _networks(job), episodes, *_world(job)), measure)

    def episode_length(self, job: Job) -> int:
        """In steps."""
        return self._auto_reset(job).episode_length

    def _auto_reset(self, job: Job) -> AutoReset:
        def make() -> AutoReset:
            env = smac_jax.make_env(job.task, physics=job.physics, version=job.version)
            return AutoReset(env, time_limit(job.task, env))

        return self._once(("environment", *_world(job)), make)

    def _begun(self, job: Job) -> tuple[Any, Any]:
        """What offline training prepares of the data, and its state before the first update."""

        def begin() -> tuple[Any, Any]:
            pace, built, layout = Pace(), _built(job), SeedLayout.over(job.seeds)
            prepared = layout.replicate(built.prepare(self._datasets[job.task]))
            with listening(pace.compiling):
                state = jax.block_until_ready(layout.map(built.init, (0, None))(layout.keys("init"), prepared))
            self.compilation += pace.took.get(COMPILATION, 0.0)
            return prepared, state

        asked = "begun", *_program(job, job.offline)
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


def _built(job: Job) -> OfflineAlgorithm:
    return make_offline(job.offline.algorithm, job.offline.config)


def _driven(layout: SeedLayout) -> tuple[Any, int, Any]:
    """What a chunk takes beside its state: seeds that are well, the first step, keys."""
    return layout.shard(jnp.full(len(layout.seeds), NOT_DIVERGED)), 0, layout.keys("online")


def _world(job: Job) -> tuple[Any, ...]:
    return job.task, job.physics, job.version, len(job.seeds)


def _networks(job: Job) -> tuple[Any, ...]:
    """What of the networks tells in the cost of a step: their sizes, and how many."""
    network = job.offline.config.get("network")
    if not isinstance(network, dict) or OFFLINE.code(job.offline.algorithm):  # of somebody's own nothing is known
        return _program(job, job.offline)
    return tuple(repr(network[name]) for name in ("actor_hidden", "critic_hidden", "num_critics"))


def _program(job: Job, variant: Variant) -> tuple[Any, ...]:
    """What a step's program depends on: everything but the values of what is a fraction, unless it is 0."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(item) for name, item in value.items()}
        return value != 0.0 if isinstance(value, float) else value

    return variant.algorithm, repr(plain(variant.config)), *_world(job)
