"""Estimates how long a sweep will take, from rates measured on this machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

import smac_jax
from smac_jax.algorithms import make_offline
from smac_jax.algorithms.continuation import state_for_online
from smac_jax.algorithms.contracts import OfflineAlgorithm
from smac_jax.analysis.fitting import Column, FittedTable, console_for_tables
from smac_jax.data.dataset import Dataset
from smac_jax.data.replay import init as init_buffer
from smac_jax.envs import AutoReset
from smac_jax.registry import OFFLINE
from smac_jax.runs.pace import COMPILATION, TRAINING, Pace
from smac_jax.runs.provenance import device_description
from smac_jax.sweep.grid import Job, Run, Variant, online_of
from smac_jax.sweep.job import run_states
from smac_jax.tasks import time_limit
from smac_jax.text import count, duration
from smac_jax.train import collection, offline, online
from smac_jax.train.compilation import listening
from smac_jax.train.data_fraction import DataFraction
from smac_jax.train.divergence import NOT_DIVERGED
from smac_jax.train.evaluate import evaluation_layout, make_evaluator, value_discount
from smac_jax.train.plan import rounds_for
from smac_jax.train.progress import Progress
from smac_jax.train.sharding import SeedLayout

LENGTH = 20
"""Number of steps in the compiled chunk that is timed."""


def show(jobs: Sequence[Job], datasets: Mapping[str, Dataset]) -> None:
    """Prints the state of each run of each job; then measures rates, and prints the time that each job still takes.

    Args:
      jobs: the jobs of the sweep.
      datasets: the data sets, by the names that the jobs use.
    """
    left = [job for job in jobs if not job.done]
    rows = [
        [job.title if i == 0 else "", str(run.name), state, f"{run.steps:,}"]
        for job in jobs
        for i, (run, state) in enumerate(zip(job.plan, run_states(job).values(), strict=True))
    ]
    names = Column("job", justify="left", wraps=True), Column("run", justify="left"), Column("state", justify="left")
    title = f"{count(jobs, 'job')}, {len(jobs) - len(left)} of them done"
    console = console_for_tables()
    console.print(FittedTable([*names, Column("steps")], rows, title))
    if not left:
        return
    rates, total = Rates({job.task: datasets[job.data] for job in left}), 0.0
    rows = []
    with Progress() as bar:
        bar.phase("measuring rates, job by job", len(left), steady=False)  # jobs share compiled programs
        for job in left:
            states = run_states(job)
            seconds = sum(run_seconds(job, run, rates) for run in job.plan if states[str(run.name)] != "done")
            total += seconds
            rows.append([job.title, duration(seconds)])
            bar.advance(1)
    table = FittedTable([Column("remaining job", justify="left", wraps=True), Column("time")], rows)
    console.print(f"At the rates just measured on {device_description()}:", table)
    console.print(
        f"In total at most {duration(total)} if the jobs run one after the other and every evaluation episode has full "
        f"length; in addition compilation, which took {duration(rates.compilation)} here."
    )


def run_seconds(job: Job, run: Run, rates: Rates) -> float:
    """Estimated seconds of a run from beginning to end."""
    episode = rates.episode_length(job)
    if run.online is None:
        phases = rates.phases(job)
        built = make_offline(job.offline.algorithm, job.offline.config)
        before = sum(r * (p.num_updates or 0) for r, p in zip(phases, built.phases, strict=True))
        schedule = job.offline.schedule
        if run.name.kind == "control":
            schedule = max(job.online, key=lambda v: v.schedule["num_steps"]).schedule
        # the last evaluation has more episodes; so has the first one of a run that resumes another
        repeated = rounds_for(job.offline.schedule["final_episodes"], job.offline.schedule["eval_episodes"]) - 1
        evaluations = 1 + math.ceil(run.steps / schedule["eval_every"]) + repeated * (1 if run.after == 0 else 2)
        once = before if run.after == 0 else 0.0
        learning = run.steps * phases[-1] if phases else 0.0
        return once + learning + evaluations * episode * rates.evaluation(job)
    schedule = run.online.schedule
    repeated = rounds_for(schedule["final_episodes"], schedule["eval_episodes"]) - 1
    evaluations = 2 + math.ceil(schedule["num_steps"] / schedule["eval_every"]) + 2 * repeated
    learning = schedule["num_steps"] * rates.online(job, run.online, True)
    waiting = schedule["warm_start"] * rates.online(job, run.online, False)
    return waiting + learning + evaluations * episode * rates.evaluation(job)


class Rates:
    """Measured seconds per step, for all seeds of a job together. A program that several jobs share is timed once.

    Attributes:
      compilation: seconds of compilation; some of the programs may have come from the compilation cache.
    """

    def __init__(self, datasets: Mapping[str, Dataset]) -> None:
        """``datasets``: one data set for each task; its size does not change the time of a step."""
        self._datasets = datasets
        self._known: dict[Any, Any] = {}
        self.compilation = 0.0

    def phases(self, job: Job) -> tuple[float, ...]:
        """Seconds of an update in each phase of offline training."""

        def measure() -> tuple[float, ...]:
            built, layout = _built(job), SeedLayout.over(job.seeds)
            prepared, state = self._begun(job)
            state = jax.tree.map(jnp.copy, state)  # a chunk donates its state's memory
            seconds = []
            for phase in built.phases:
                chunk = offline.make_chunk(phase, layout, math.inf, LENGTH)
                rate, state = self._timed(chunk, state, *_chunk_inputs(layout), prepared)
                seconds.append(rate)
            return tuple(seconds)

        return self._once(("phases", *_program(job, job.offline)), measure)

    def online(self, job: Job, variant: Variant, learn: bool) -> float:
        """Seconds of an environment step of fine-tuning, with its update or (``learn`` false) without."""
        environments = variant.schedule.get("environments", 1)
        # before learning begins, a step costs the same for every online algorithm
        program = _program(job, variant) if learn else _environment(job)

        def measure() -> float:
            layout, env = SeedLayout.over(job.seeds), self._auto_reset(job)
            algorithm, before = online_of(job.offline, variant), _built(job)
            state = self._begun(job)[1]
            actor_critic = jax.tree.map(jnp.copy, before.actor_critic(state))
            carried = jax.tree.map(jnp.copy, jax.vmap(lambda state: state_for_online(before, algorithm, state))(state))

            def begin(key: Any, actor_critic: Any, carried: Any) -> online.LoopState:
                buffer = init_buffer(1000, env.observation_size, env.action_size)
                first = collection.begin(env, key, environments)
                return online.LoopState(algorithm.init(key, actor_critic, carried), first, buffer)

            loop = layout.map(begin, (0, 0, 0))(layout.keys("online"), actor_critic, carried)
            # whether a share changes makes no difference that could be measured
            fraction = DataFraction.constant(variant.schedule.get("data_fraction", 0.5))
            length = LENGTH * environments
            chunk = online.make_chunk(algorithm, env, layout, learn, fraction, math.inf, length, environments)
            rate, _ = self._timed(chunk, loop, *_chunk_inputs(layout), layout.replicate(self._datasets[job.task]))
            return rate / environments

        return self._once(("online", learn, environments, _networks(job), *program), measure)

    def evaluation(self, job: Job) -> float:
        """Seconds of one step of all episodes of an evaluation."""
        episodes = job.offline.schedule["eval_episodes"]

        def measure() -> float:
            layout = SeedLayout.over(job.seeds)
            built = _built(job)
            actor_critic, discount = built.actor_critic(self._begun(job)[1]), value_discount(built.config)
            env = self._auto_reset(job).env
            acting = evaluation_layout(env, layout)
            evaluator = make_evaluator(env, episodes, LENGTH, True, acting, discount)
            moved = acting.moved(actor_critic, layout)
            return self._timed(lambda ac, keys: (ac, evaluator(ac, keys)), moved, acting.keys("online"))[0]

        return self._once(("evaluation", _networks(job), episodes, *_environment(job)), measure)

    def episode_length(self, job: Job) -> int:
        """Returns the time limit of an episode, in steps."""
        return self._auto_reset(job).episode_length

    def _auto_reset(self, job: Job) -> AutoReset:
        def make() -> AutoReset:
            env = smac_jax.make_env(job.task, physics=job.physics, version=job.version)
            return AutoReset(env, time_limit(job.task, env))

        return self._once(("environment", *_environment(job)), make)

    def _begun(self, job: Job) -> tuple[Any, Any]:
        """Returns the data as offline training prepares them, and its state before the first update."""

        def begin() -> tuple[Any, Any]:
            pace, built, layout = Pace(), _built(job), SeedLayout.over(job.seeds)
            prepared = layout.replicate(built.prepare(self._datasets[job.task]))
            with listening(pace.compiling):
                state = jax.block_until_ready(layout.map(built.init, (0, None))(layout.keys("init"), prepared))
            self.compilation += pace.took.get(COMPILATION, 0.0)
            return prepared, state

        program = "begun", *_program(job, job.offline)
        if program not in self._known:  # only one is kept: a state may be large
            self._known = {key: value for key, value in self._known.items() if key[0] != "begun"}
        return self._once(program, begin)

    def _once(self, key: tuple[Any, ...], measure: Callable[[], Any]) -> Any:
        if key not in self._known:
            self._known[key] = measure()
        return self._known[key]

    def _timed(self, chunk: Any, state: Any, *inputs: Any) -> tuple[float, Any]:
        """Seconds of a step without compilation, and the state afterwards."""
        pace = Pace()
        with listening(pace.compiling):
            state, *_ = jax.block_until_ready(chunk(state, *inputs))
        self.compilation += pace.took.get(COMPILATION, 0.0)
        with pace.measure(TRAINING, LENGTH):
            state, *_ = jax.block_until_ready(chunk(state, *inputs))
        return pace.took[TRAINING] / LENGTH, state


def _built(job: Job) -> OfflineAlgorithm:
    return make_offline(job.offline.algorithm, job.offline.config)


def _chunk_inputs(layout: SeedLayout) -> tuple[Any, int, Any]:
    """Returns the inputs of a chunk other than its state: the step of divergence of each seed, the first step, keys."""
    return layout.shard(jnp.full(len(layout.seeds), NOT_DIVERGED)), 0, layout.keys("online")


def _environment(job: Job) -> tuple[Any, ...]:
    return job.task, job.physics, job.version, len(job.seeds)


def _networks(job: Job) -> tuple[Any, ...]:
    """Returns the properties of the networks on which the time of a step depends: their sizes and their number."""
    network = job.offline.config.get("network")
    if not isinstance(network, dict) or OFFLINE.code(job.offline.algorithm):  # a user's algorithm may differ in more
        return _program(job, job.offline)
    return tuple(repr(network[name]) for name in ("actor_hidden", "critic_hidden", "num_critics"))


def _program(job: Job, variant: Variant) -> tuple[Any, ...]:
    """Everything on which a step's compiled program depends. Of a float only whether it is 0 matters."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(item) for name, item in value.items()}
        return value != 0.0 if isinstance(value, float) else value

    return variant.algorithm, repr(plain(variant.config)), *_environment(job)
