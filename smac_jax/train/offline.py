"""Offline training on a data set, for all seeds at once, in compiled chunks of updates."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from smac_jax.algorithms.actor_critic import ActorCritic
from smac_jax.algorithms.contracts import OfflineAlgorithm, Phase, TrainingState
from smac_jax.algorithms.make import check_actor_critic, make_offline
from smac_jax.algorithms.pretraining import warn_of_equal_returns
from smac_jax.config import real_number, whole_number
from smac_jax.data.dataset import Dataset
from smac_jax.envs import identity_of
from smac_jax.runs.folder import RunFolder
from smac_jax.runs.history import Evaluated, Evaluations, History
from smac_jax.runs.modules import describe_networks
from smac_jax.short_repr import of_evaluations
from smac_jax.text import name_of
from smac_jax.train.chunk import compile_chunk
from smac_jax.train.evaluate import check_sizes, evaluation_layout, make_evaluator, run_evaluation, value_discount
from smac_jax.train.identity import run_identity
from smac_jax.train.keys import fold_in, seed_numbers
from smac_jax.train.plan import Evaluate, Train, rounds_for, run_plan
from smac_jax.train.progress import Progress
from smac_jax.train.sharding import SeedLayout
from smac_jax.types import Array, Key, Metrics

if TYPE_CHECKING:
    from brax.envs.base import Env


@dataclasses.dataclass
class PretrainResult(Evaluated):
    """The result of offline training.

    Attributes:
      algorithm: the algorithm with its configuration.
      actor_critic: the actor-critic to transfer; every leaf is ``[seed, ...]``.
      metrics: means between evaluations, ``{name: [point, seed]}``, NaN for metrics that a phase does not have.
        ``metrics["step"]`` and ``metrics["phase"]`` are the step and the phase of each point.
      evaluations: the evaluations of the policy; their steps are updates of the main phase.
      seeds: the numbers of the seeds.
      training_state: the optimizer states and the temperature, with which an online algorithm may continue (see
        ``optimizer_start`` and ``temperature_start`` of its configuration); None if the algorithm has none.
      state: the complete training state, from which ``pretrain(..., resume=result)`` continues.
      updates: the number of updates of the main phase.
      diverged: for each seed the step at which it diverged and was frozen, or -1.
    """

    algorithm: OfflineAlgorithm[Any]
    actor_critic: ActorCritic
    metrics: dict[str, np.ndarray]
    evaluations: Evaluations
    seeds: tuple[int, ...]
    training_state: TrainingState | None
    state: Any
    updates: int
    diverged: Int[np.ndarray, "seed"]

    def __repr__(self) -> str:
        returns = of_evaluations(self.mean_returns, self.diverged, self.seeds)
        return f"PretrainResult({self.algorithm.name}, seeds {list(self.seeds)}, {self.updates:,} updates, {returns})"


def make_chunk(phase: Phase[Any], layout: SeedLayout, q_limit: float, length: int) -> Any:
    """Returns a compiled chunk of updates (:func:`smac_jax.train.chunk.compile_chunk`), whose data is the data set."""

    def one_update(state: Any, step: Array, key: Key, dataset: Dataset) -> tuple[Any, Metrics]:
        del step
        batch_key, update_key = jax.random.split(key)
        return phase.update(state, dataset.sample(batch_key, phase.batch_size), update_key)

    return compile_chunk(one_update, layout, q_limit, length)


def make_diagnostics(
    algorithm: OfflineAlgorithm[Any], layout: SeedLayout, batch_size: int = 1024
) -> Callable[[Any, Key, Dataset], Metrics]:
    """Compiles ``(state[seed], keys[seed], dataset) -> metrics[seed]``."""

    def one_seed(state: Any, key: Key, dataset: Dataset) -> Metrics:
        batch_key, diagnostics_key = jax.random.split(key)
        return algorithm.diagnostics(state, dataset.sample(batch_key, batch_size), diagnostics_key)

    return layout.map(one_seed, (0, 0, None))


def pretrain(
    algorithm: str | OfflineAlgorithm[Any],
    data: Dataset,
    seeds: int | Sequence[int] = 4,
    num_updates: int = 20_000,
    config: Any = None,
    *,
    env: Env | None = None,
    eval_every: int = 5_000,
    eval_episodes: int = 10,
    final_episodes: int = 20,
    episode_length: int = 1000,
    progress: Progress | bool = True,
    resume: PretrainResult | None = None,
    q_limit: float = 1e6,
    devices: Sequence[jax.Device] | None = None,
    folder: RunFolder | None = None,
) -> PretrainResult:
    """Trains an actor-critic on a data set, for several seeds at once.

    Args:
      algorithm: a name in :data:`smac_jax.algorithms.OFFLINE`, or an algorithm object.
      data: the data set.
      seeds: the number of seeds, or their numbers.
      num_updates: the number of gradient updates of the main phase. (SMAC's score model is trained before it, for the
        number of updates in the configuration. Of "none", which gives fresh networks, there are none.)
      config: None for the defaults, a mapping of the fields that differ, or the algorithm's configuration. Must be None
        if ``algorithm`` is an object.
      env: the environment of the evaluations during training; None for no evaluations.
      eval_every: the number of updates between evaluations, and between points of the metrics.
      eval_episodes: the number of episodes of each seed in an evaluation.
      final_episodes: the least number of episodes in the last evaluation, at which the transfer starts, and in the
        first one of a resumed run. The evaluation is repeated until it has this number.
      episode_length: the time limit of an episode.
      progress: whether to show a progress bar; or the :class:`Progress` that shows it.
      resume: continue from this result, whose seeds and algorithm replace the arguments. A seed that has diverged stays
        frozen.
      q_limit: a seed diverges if the absolute mean of its critics exceeds this limit, or if one of its parameters
        becomes NaN or infinite. It is then frozen in its state up to 500 updates earlier, and the other seeds continue.
      devices: the devices over which the seeds are distributed; default: all devices of this process.
      folder: where the run is saved, and from where it resumes if it has been saved before.

    Raises:
      UnknownNameError: there is no algorithm of this name.
      ConfigError: a configuration field or an argument is out of range, or the environment does not fit the data.
      RegistrationError: a user's algorithm does not satisfy the contract, or cannot be recorded.
      CheckpointError, Interrupted: see :class:`~smac_jax.runs.folder.RunFolder`.
    """
    eval_every = whole_number("pretrain: eval_every", eval_every, 1)
    eval_episodes = whole_number("pretrain: eval_episodes", eval_episodes, 1)
    final_episodes = whole_number("pretrain: final_episodes", final_episodes, 1)
    episode_length = whole_number("pretrain: episode_length", episode_length, 1)
    q_limit = real_number("pretrain: q_limit", q_limit, 0.0)
    built = resume.algorithm if resume else make_offline(algorithm, config)
    num_updates = whole_number("pretrain: num_updates", num_updates, 1) if built.phases else 0
    numbers = resume.seeds if resume else seed_numbers(seeds)
    layout = SeedLayout.over(numbers, devices)
    warn_of_equal_returns(built.config, data)
    data = layout.replicate(built.prepare(data))

    def begin() -> Any:
        if resume:
            # a copy, because the chunks donate their input and the earlier result must stay usable
            return layout.shard(jax.tree.map(jnp.copy, resume.state))
        return layout.map(built.init, (0, None))(layout.keys("init"), data)

    acting_first = jax.eval_shape(lambda: built.actor_critic(begin()))
    check_actor_critic(acting_first, built)
    if env is not None:
        check_sizes(acting_first, env)
    evaluator = None
    if env is not None:
        deterministic, discount = not built.evaluate_draws, value_discount(built.config)
        acting_layout = evaluation_layout(env, layout)
        evaluator = make_evaluator(env, eval_episodes, episode_length, deterministic, acting_layout, discount)
    diagnose = make_diagnostics(built, layout)
    diagnostics_keys = layout.keys("diagnostics")
    history = History(numbers)
    done = resume.updates if resume else 0

    def evaluate_at(state: Any, at: Evaluate) -> bool:
        step = at.step
        history.add("offline", step, layout.unpad(diagnose(state, fold_in(diagnostics_keys, step), data)))
        if evaluator is not None:
            acting = built.actor_critic(state)
            evaluated = acting_layout.moved(acting, layout)
            history.add_returns(step, *run_evaluation(evaluator, evaluated, step, at.rounds, acting_layout))
            if folder:
                folder.evaluated(step, layout.unpad(acting), numbers)
        return False

    keys = layout.keys("offline")
    plan: list[Train | Evaluate] = []
    rounds = rounds_for(final_episodes, eval_episodes)
    offset = 0
    if not built.phases:
        plan.append(Evaluate(0, rounds))
    for phase in built.phases:
        main = phase.num_updates is None
        total = num_updates if phase.num_updates is None else phase.num_updates
        first = offset + done if main else offset
        offset += total
        if resume and not main:
            continue
        if main:
            plan.append(Evaluate(done, rounds if resume else 1))
        make = partial(make_chunk, phase, layout, q_limit)
        title, shown = f"{name_of(built.name)}: {phase.name}", done if main else 0
        for start in range(0, total, eval_every):
            stop = min(total, start + eval_every)
            plan.append(Train(title, total, phase.name, start, stop, first, shown, make, (keys, data)))
            if main:
                plan.append(Evaluate(shown + stop, rounds if stop == total else 1))
    if folder:
        describe_networks(acting_first)  # raises before the training if the networks cannot be saved
        folder.claim(
            run_identity(
                built,
                numbers,
                eval_every=eval_every,
                eval_episodes=eval_episodes,
                final_episodes=final_episodes,
                episode_length=episode_length,
                data=data.fingerprint(),
                environment=None if env is None else identity_of(env),
                num_updates=num_updates,
                after=done,
                q_limit=q_limit,
            )
        )
    with Progress.of(progress) as bar:
        frozen = resume.diverged if resume else None
        outcome = run_plan(plan, begin, evaluate_at, history, layout, bar, folder, frozen)
    return PretrainResult(
        algorithm=built,
        actor_critic=jax.tree.map(jnp.copy, built.actor_critic(outcome.state)),
        metrics=history.metrics(),
        evaluations=history.evaluations(),
        seeds=numbers,
        training_state=jax.tree.map(jnp.copy, jax.vmap(built.training_state)(outcome.state)),
        state=outcome.state,
        updates=done + num_updates,
        diverged=outcome.diverged,
    )
