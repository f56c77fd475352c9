"""Pre-training on a data set: one compiled scan a chunk, every seed in it at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from smac_jax.algorithms import make_offline
from smac_jax.algorithms.base import ActorCritic, OfflineAlgorithm, Phase
from smac_jax.data.dataset import Dataset
from smac_jax.errors import ConfigError
from smac_jax.train.evaluate import check_sizes, make_evaluator
from smac_jax.train.history import History
from smac_jax.train.keys import seed_numbers, stream_keys
from smac_jax.train.progress import Progress
from smac_jax.types import Key, Metrics

if TYPE_CHECKING:
    from brax.envs.base import Env

CHUNK = 500
"""Updates a compiled call, at most: what lies between two movements of the progress bar."""


@dataclasses.dataclass
class PretrainResult:
    """What offline training leaves behind.

    Attributes:
      algorithm: the algorithm as configured.
      actor_critic: what gets handed over; every leaf ``[seed, ...]``.
      metrics: means over each stretch of training, ``{name: [point, seed]}``, NaN where a phase has no such metric;
        ``metrics["step"]`` and ``metrics["phase"]`` say where each point lies.
      evaluation_steps: updates of the main phase after which the policy was evaluated.
      returns: ``[seed, evaluation, episode]``.
      seeds: the seeds' numbers.
      state: the full training state, from which ``pretrain(..., resume=result)`` goes on.
      updates: updates of the main phase done.
    """

    algorithm: OfflineAlgorithm
    actor_critic: ActorCritic
    metrics: dict[str, np.ndarray]
    evaluation_steps: Float[np.ndarray, "evaluation"]
    returns: Float[np.ndarray, "seed evaluation episode"]
    seeds: tuple[int, ...]
    state: Any
    updates: int


def make_chunk(phase: Phase, length: int) -> Callable[[Any, Key, int, Dataset], tuple[Any, Metrics]]:
    """A compiled ``(state[seed], keys[seed], first step, dataset) -> (state, mean metrics[seed])``."""

    def one_seed(state: Any, seed_key: Key, start: jax.Array, dataset: Dataset) -> tuple[Any, Metrics]:
        def body(state: Any, step: jax.Array) -> tuple[Any, Metrics]:
            batch_key, update_key = jax.random.split(jax.random.fold_in(seed_key, step))
            return phase.update(state, dataset.sample(batch_key, phase.batch_size), update_key)

        state, metrics = jax.lax.scan(body, state, start + jnp.arange(length))
        return state, mean_over_steps(metrics)

    return jax.jit(jax.vmap(one_seed, in_axes=(0, 0, None, None)), donate_argnums=0)


def mean_over_steps(metrics: Metrics) -> Metrics:
    """Each metric's mean over a chunk; NaN marks steps that have none, such as those without a policy update."""
    return jax.tree.map(jnp.nanmean, metrics)


def make_diagnostics(algorithm: OfflineAlgorithm, batch_size: int = 1024) -> Callable[[Any, Key, Dataset], Metrics]:
    """A compiled ``(state[seed], keys[seed], dataset) -> metrics[seed]``."""

    def one_seed(state: Any, key: Key, dataset: Dataset) -> Metrics:
        batch_key, diagnostics_key = jax.random.split(key)
        return algorithm.diagnostics(state, dataset.sample(batch_key, batch_size), diagnostics_key)

    return jax.jit(jax.vmap(one_seed, in_axes=(0, 0, None)))


def pretrain(
    algorithm: str,
    data: Dataset,
    seeds: int | Sequence[int] = 4,
    num_updates: int = 20_000,
    config: Any = None,
    *,
    env: Env | None = None,
    eval_every: int = 5_000,
    eval_episodes: int = 10,
    episode_length: int = 1000,
    progress: Progress | bool = True,
    resume: PretrainResult | None = None,
) -> PretrainResult:
    """Trains an actor-critic on a data set, for several seeds at once.

    Args:
      algorithm: a name in :data:`smac_jax.algorithms.OFFLINE`.
      data: the data set.
      seeds: how many, or which.
      num_updates: gradient steps of the main phase (SMAC's score model is trained before, for as long as its config
        says).
      config: None for the defaults, a mapping of the fields that differ, or the algorithm's config.
      env: evaluate in this environment while training; None trains without.
      eval_every: updates between evaluations and between points of the metrics.
      eval_episodes: episodes an evaluation and seed.
      episode_length: time limit of an episode.
      progress: show a progress bar; or the :class:`Progress` to show it on.
      resume: go on from this result, whose seeds and algorithm win over the arguments.

    Raises:
      UnknownNameError: no algorithm of that name.
      ConfigError: a config field or an argument out of range, or an environment that does not fit the data.
    """
    if num_updates < 1 or eval_every < 1 or eval_episodes < 1:
        raise ConfigError(
            f"pretrain: num_updates = {num_updates}, eval_every = {eval_every}, eval_episodes = {eval_episodes}: "
            "must each be at least 1."
        )
    built = resume.algorithm if resume else make_offline(algorithm, config)
    numbers = resume.seeds if resume else seed_numbers(seeds)
    keys = stream_keys(numbers, "offline")
    data = built.prepare(data)
    if resume:
        # a copy: the chunks below donate their input, and the result resumed from stays usable
        state = jax.tree.map(jnp.copy, resume.state)
    else:
        state = jax.jit(jax.vmap(built.init, in_axes=(0, None)))(stream_keys(numbers, "init"), data)
    if env is not None:
        check_sizes(built.actor_critic(state), env)
    evaluator = make_evaluator(env, eval_episodes, episode_length, True) if env is not None else None
    evaluation_keys, diagnostics_keys = stream_keys(numbers, "evaluation"), stream_keys(numbers, "diagnostics")
    diagnose = make_diagnostics(built)
    fold = jax.vmap(jax.random.fold_in, in_axes=(0, None))
    history = History(numbers)
    done = resume.updates if resume else 0
    first_step = sum(phase.num_updates or 0 for phase in built.phases) + done

    def look(step: int) -> None:
        history.add("offline", step, diagnose(state, fold(diagnostics_keys, step), data))
        if evaluator is not None:
            history.add_returns(step, evaluator(built.actor_critic(state), fold(evaluation_keys, step)))

    with Progress.of(progress) as bar:
        step = 0
        for phase in built.phases:
            main = phase.num_updates is None
            if resume and not main:
                continue
            total = num_updates if phase.num_updates is None else phase.num_updates
            offset = first_step if main else step
            bar.phase(f"{built.name}: {phase.name}", total)
            if main:
                look(done)
            chunks: dict[int, Callable] = {}
            position = 0
            while position < total:
                stretch_end = min(total, (position // eval_every + 1) * eval_every)
                parts: list[tuple[int, Metrics]] = []
                while position < stretch_end:
                    length = min(CHUNK, stretch_end - position)
                    if length not in chunks:
                        chunks[length] = make_chunk(phase, length)
                    state, metrics = chunks[length](state, keys, offset + position, data)
                    jax.block_until_ready(metrics)
                    parts.append((length, metrics))
                    position += length
                    bar.advance(length, history.last_return)
                history.add(phase.name, position + (done if main else 0), weighted_mean(parts))
                if main:
                    look(done + position)
            step += total
    return PretrainResult(
        algorithm=built,
        actor_critic=jax.tree.map(jnp.copy, built.actor_critic(state)),
        metrics=history.metrics(),
        evaluation_steps=history.evaluation_steps(),
        returns=history.returns(),
        seeds=numbers,
        state=state,
        updates=done + num_updates,
    )


def weighted_mean(parts: Sequence[tuple[int, Metrics]]) -> Metrics:
    """Mean over chunks of ``(length, metrics)``."""
    total = sum(length for length, _ in parts)
    return jax.tree.map(
        lambda *values: sum(length * value for (length, _), value in zip(parts, values, strict=True)) / total,
        *(metrics for _, metrics in parts),
    )
