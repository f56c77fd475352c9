"""Online training in the simulator for all seeds at once: acting, physics, replay and learning in one compiled scan."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Float, Int

from smac_jax.algorithms.actor_critic import ActorCritic
from smac_jax.algorithms.contracts import OnlineAlgorithm, TrainingState
from smac_jax.algorithms.make import check_actor_critic, check_density, make_online_after
from smac_jax.algorithms.none import fresh_networks
from smac_jax.config import real_number, whole_number
from smac_jax.data.dataset import Dataset
from smac_jax.data.replay import (
    ReplayBuffer,
    add_rewards,
    highest_rewards,
    init,
    insert,
    insert_many,
    sample,
    sample_changing_mix,
    sample_mixed,
)
from smac_jax.envs import identity_of
from smac_jax.errors import ConfigError
from smac_jax.runs.folder import RunFolder
from smac_jax.runs.history import Evaluated, Evaluations, History
from smac_jax.runs.modules import describe_networks
from smac_jax.runs.snapshots import checksum
from smac_jax.short_repr import brief, of_evaluations
from smac_jax.text import name_of
from smac_jax.train import collection
from smac_jax.train.chunk import compile_chunk, scan_with_means
from smac_jax.train.data_fraction import DataFraction, data_fraction_from
from smac_jax.train.evaluate import check_sizes, evaluation_layout, make_evaluator, run_evaluation, value_discount
from smac_jax.train.identity import run_identity
from smac_jax.train.keys import seed_numbers, stream_keys
from smac_jax.train.offline import PretrainResult
from smac_jax.train.plan import Evaluate, Train, rounds_for, run_plan
from smac_jax.train.progress import Progress
from smac_jax.train.sharding import SeedLayout
from smac_jax.types import Array, Key, Metrics, Sometimes, Transition

if TYPE_CHECKING:
    from brax.envs.base import Env


class LoopState(struct.PyTreeNode):
    """The state of one seed in the scan: the algorithm's state, the environment's state, and the replay buffer."""

    algorithm: Any
    environment: Any
    buffer: ReplayBuffer

    __repr__ = brief


@dataclasses.dataclass
class FinetuneResult(Evaluated):
    """The result of online training.

    Attributes:
      algorithm: the algorithm with its configuration.
      actor_critic: the fine-tuned policy and critics; every leaf is ``[seed, ...]``.
      metrics: as in :class:`~smac_jax.train.offline.PretrainResult`; ``metrics["step"]`` counts environment steps.
      evaluations: the evaluations of the policy; their steps are environment steps, and 0 is the transfer.
      seeds: the numbers of the seeds.
      buffer: the replay buffer, ``[seed, ...]``.
      diverged: for each seed the step at which it diverged and was frozen, or -1.
    """

    algorithm: OnlineAlgorithm[Any]
    actor_critic: ActorCritic
    metrics: dict[str, np.ndarray]
    evaluations: Evaluations
    seeds: tuple[int, ...]
    buffer: ReplayBuffer
    diverged: Int[np.ndarray, "seed"]

    def __repr__(self) -> str:
        steps = int(self.metrics["step"].max(initial=0))
        returns = of_evaluations(self.mean_returns, self.diverged, self.seeds)
        return f"FinetuneResult({self.algorithm.name}, seeds {list(self.seeds)}, {steps:,} steps, {returns})"


def make_chunk(
    algorithm: OnlineAlgorithm[Any],
    env: Env,
    layout: SeedLayout,
    learn: bool,
    data_fraction: DataFraction,
    q_limit: float,
    length: int,
    environments: int = 1,
    failure_reward: float | None = None,
) -> Any:
    """Returns a compiled chunk of environment steps (:func:`smac_jax.train.chunk.compile_chunk`), whose data is the
    data set.

    If the data set is None, batches are from the replay buffer only.

    Args:
      algorithm: the online algorithm.
      env: an environment that resets itself (:class:`smac_jax.envs.AutoReset`).
      layout: the layout of the seeds over devices.
      learn: whether to update; False for the warm start.
      data_fraction: the share of each batch that is from the data set.
      q_limit: see :func:`finetune`.
      length: the number of environment steps, a multiple of ``environments``.
      environments: the number of environments that step together. Their transitions are added to the replay buffer, and
        then there are as many updates.
      failure_reward: the reward of a failure if rewards are sparse, else None. If an episode is cut before it earns
        more, its return-to-go is that of a failure that continues forever, as in the data
        (:func:`smac_jax.data.trajectories.returns_to_go`).
    """
    discount = algorithm.return_discount

    def rewards_of_returns(
        ac: ActorCritic, buffer: ReplayBuffer, reward: Array, lengths: Array, world: Any
    ) -> Float[Array, "environment"]:
        """Returns the last rewards in the units of the critics, with what follows them where an episode was cut."""
        scaled = ac.reward_scale * jnp.atleast_1d(reward) + ac.reward_bias
        if failure_reward is None or discount is None or discount == 1.0:
            return scaled
        highest = highest_rewards(buffer, lengths, env.episode_length)
        failed = (jnp.atleast_1d(world.info["truncation"]) > 0.5) & (highest <= failure_reward)
        lowest = ac.reward_scale * failure_reward + ac.reward_bias
        return scaled + jnp.where(failed, discount * lowest / (1.0 - discount), 0.0)

    def draw(key: Key, dataset: Dataset | None, buffer: ReplayBuffer, world: Any, step: Array) -> Transition:
        unfinished = None if discount is None else jnp.atleast_1d(world.info["steps"])
        if dataset is None:
            return sample(buffer, key, algorithm.batch_size, unfinished)
        if data_fraction.is_constant:
            return sample_mixed(key, dataset, buffer, algorithm.batch_size, data_fraction.first, unfinished)
        return sample_changing_mix(key, dataset, buffer, algorithm.batch_size, data_fraction.at(step), unfinished)

    def one_step(state: LoopState, step: Array, key: Key, dataset: Dataset | None) -> tuple[LoopState, Metrics]:
        act_key, batch_key, update_key = jax.random.split(key, 3)
        learner = state.algorithm
        world, seen = collection.step(env, algorithm.act, learner, state.environment, act_key, environments)
        buffer = (insert if environments == 1 else insert_many)(state.buffer, seen)
        if discount is not None:
            lengths = jnp.atleast_1d(state.environment.info["steps"]) + 1
            rewards = rewards_of_returns(algorithm.actor_critic(learner), buffer, seen.reward, lengths, world)
            buffer = add_rewards(buffer, rewards, lengths, discount, env.episode_length)

        def learn_once(learner: Any, keys: tuple[Key, Key]) -> tuple[Any, Metrics]:
            batch_key, update_key = keys
            return algorithm.update(learner, draw(batch_key, dataset, buffer, world, step), update_key)

        metrics: Metrics = {"reward": seen.reward.mean()}
        if learn and environments == 1:
            learner, learning = learn_once(learner, (batch_key, update_key))
            metrics |= learning
        elif learn:
            keys = jax.random.split(batch_key, environments), jax.random.split(update_key, environments)
            learner, learning = scan_with_means(learn_once, learner, keys)
            metrics |= learning
        return LoopState(learner, world, buffer), metrics

    def last_episode(state: LoopState) -> dict[str, Sometimes]:
        earned = state.environment.info["last_episode_return"].mean()
        return {"training_return": Sometimes(earned, jnp.full_like(earned, length))}

    return compile_chunk(
        one_step,
        layout,
        q_limit,
        length,
        stride=environments,
        # only the learner of a diverged seed is frozen; its policy still acts, which does not change the result
        learner_of=lambda state: state.algorithm,
        with_learner=lambda state, learner: state.replace(algorithm=learner),
        measured_at_end=last_episode,
    )


def finetune(
    algorithm: str | OnlineAlgorithm[Any],
    actor_critic: ActorCritic | PretrainResult | None,
    env: Env,
    data: Dataset | None = None,
    seeds: int | Sequence[int] = 4,
    num_steps: int = 20_000,
    config: Any = None,
    *,
    warm_start: int = 5_000,
    data_fraction: float = 0.5,
    final_data_fraction: float | None = None,
    data_fraction_steps: int | None = None,
    environments: int = 1,
    buffer_capacity: int | None = None,
    eval_every: int = 5_000,
    eval_episodes: int = 10,
    final_episodes: int = 20,
    episode_length: int = 1000,
    progress: Progress | bool = True,
    on_evaluation: Callable[[int, np.ndarray], bool] | None = None,
    q_limit: float = 1e6,
    devices: Sequence[jax.Device] | None = None,
    folder: RunFolder | None = None,
    training_state: TrainingState | None = None,
    carry: str | None = None,
) -> FinetuneResult:
    """Fine-tunes an actor-critic in the simulator with an online algorithm, for several seeds at once.

    The policy is evaluated at the transfer (step 0), after the warm start, then every ``eval_every`` steps, and at the
    end. Steps are environment steps, including those of the warm start. After the warm start there is one update per
    environment step. Several ``environments`` step together, which takes an accelerator almost the same time as one;
    their transitions are added to the replay buffer, and then there are as many updates.

    Args:
      algorithm: a name in :data:`smac_jax.algorithms.ONLINE`, or an algorithm object. An offline algorithm continues
        by its name ("iql", "cql", "cal_ql", "awac", "rebrac", "fql", "smac"), or by "same", which continues the one
        that was trained.
      actor_critic: the pre-trained actor-critic, ``pretrain(...).actor_critic``, with leaves ``[seed, ...]``;
        or the result of ``pretrain``, which a continuation needs. None trains from scratch, with fresh networks of the
        default sizes (for other sizes, give the result of ``pretrain("none", data, config={"network": ...})``).
      env: one environment, not vectorized and without automatic reset.
      data: the data set that gives ``data_fraction`` of each batch; None uses the replay buffer only.
      seeds: the number of seeds, or their numbers; as many as ``actor_critic`` has.
      num_steps: the number of environment steps after the warm start.
      config: None for the defaults, a mapping of the fields that differ, or the algorithm's configuration. Must be None
        if ``algorithm`` is an object. For a continuation: the fields that differ from offline training.
      warm_start: the number of environment steps with the pre-trained policy before the first update (SMAC, section 5:
        5,000).
      data_fraction: the share of each batch that is from ``data``; 0 keeps no offline data (WSRL).
      final_data_fraction: after the warm start, the share changes linearly to this one; None for a constant share.
      data_fraction_steps: the number of environment steps in which the share changes; None for all of ``num_steps``.
      environments: the number of environments that step together, for each seed; ``num_steps``, ``warm_start`` and
        ``eval_every`` must be multiples of it.
      buffer_capacity: the number of transitions in the replay buffer; None keeps all transitions.
      eval_every: the number of environment steps between evaluations.
      eval_episodes: the number of episodes of each seed in an evaluation.
      final_episodes: the least number of episodes in the evaluations at the transfer and at the end. The evaluation is
        repeated until it has this number.
      episode_length: the time limit of an episode, in training and evaluation.
      progress: whether to show a progress bar; or the :class:`Progress` that shows it.
      on_evaluation: called with ``(step, returns[seed, episode])``; training ends if it returns True.
      q_limit, devices, folder: as in :func:`~smac_jax.train.offline.pretrain`.
      training_state: ``pretrain(...).training_state``, for a configuration that continues with its optimizers or its
        temperature. Default: that of the result in ``actor_critic``, if it is one.
      carry: the part of the offline state that a continuation carries over: "networks"; "optimizers", which are these
        and their optimizers; or "all" (value networks, temperature, kappa, counters), the default.

    Raises:
      UnknownNameError: there is no algorithm of this name.
      ConfigError: a field or an argument is out of range, or the actor-critic does not fit the environment or seeds.
      RegistrationError: a user's algorithm does not satisfy the contract, or cannot be recorded.
      CheckpointError, Interrupted: see :class:`~smac_jax.runs.folder.RunFolder`.
    """
    from smac_jax.envs.wrappers import AutoReset  # imported here, because brax takes seconds to import

    numbers = seed_numbers(seeds)
    num_steps = whole_number("finetune: num_steps", num_steps, 1)
    warm_start = whole_number("finetune: warm_start", warm_start, 0)
    fraction = data_fraction_from(data_fraction, final_data_fraction, data_fraction_steps, warm_start, num_steps)
    environments = whole_number("finetune: environments", environments, 1)
    if buffer_capacity is not None:
        buffer_capacity = whole_number("finetune: buffer_capacity", buffer_capacity, environments)
    eval_every = whole_number("finetune: eval_every", eval_every, 1)
    schedule = {"num_steps": num_steps, "warm_start": warm_start, "eval_every": eval_every}
    collection.check_multiples(environments, schedule)
    eval_episodes = whole_number("finetune: eval_episodes", eval_episodes, 1)
    final_episodes = whole_number("finetune: final_episodes", final_episodes, 1)
    episode_length = whole_number("finetune: episode_length", episode_length, 1)
    q_limit = real_number("finetune: q_limit", q_limit, 0.0)
    before = actor_critic if isinstance(actor_critic, PretrainResult) else None
    built = make_online_after(before.algorithm if before else None, algorithm, config, carry)
    carried: Any = training_state
    if before is not None:
        actor_critic = before.actor_critic
        carried = before.state if built.carry is not None else training_state or before.training_state
    if actor_critic is None:
        actor_critic = fresh_networks(None, stream_keys(numbers, "init"), env.observation_size, env.action_size)
    assert isinstance(actor_critic, ActorCritic)
    check_density(actor_critic.actor, built)
    _check_actor_critic(actor_critic, env, numbers)
    training_env = AutoReset(env, episode_length)
    total = warm_start + num_steps
    layout = SeedLayout.over(numbers, devices)
    keys = layout.keys("online")
    failure_reward = None
    if data is not None:
        fingerprint = data.fingerprint()
        if built.return_discount is not None and data.is_sparse:
            failure_reward = float(data.rewards.min())
        # the replay buffer holds no next actions
        data = layout.replicate(built.prepare(data).replace(next_actions=None))

    def begin_one(init_key: Key, environment_key: Key, ac: ActorCritic, carried: Any) -> LoopState:
        buffer = init(buffer_capacity or total, env.observation_size, env.action_size)
        world = collection.begin(training_env, environment_key, environments)
        return LoopState(built.init(init_key, ac, carried), world, buffer)

    def begin() -> LoopState:
        start = layout.map(begin_one, (0, 0, 0, 0))
        given = layout.shard(actor_critic), layout.shard(jax.tree.map(jnp.copy, carried))
        begun: LoopState = start(layout.keys("init"), layout.keys("environment"), *given)
        return begun

    deterministic, discount = not built.evaluate_draws, value_discount(built.config)
    acting_layout = evaluation_layout(env, layout)
    evaluator = make_evaluator(env, eval_episodes, episode_length, deterministic, acting_layout, discount)
    history = History(numbers)

    def evaluate_at(state: LoopState, at: Evaluate) -> bool:
        acting = built.actor_critic(state.algorithm)
        evaluated = acting_layout.moved(acting, layout)
        returns, optimism = run_evaluation(evaluator, evaluated, at.step, at.rounds, acting_layout)
        history.add_returns(at.step, returns, optimism)
        if folder:
            folder.evaluated(at.step, layout.unpad(acting), numbers)
        return on_evaluation is not None and on_evaluation(at.step, returns)

    makers = {
        learn: partial(
            make_chunk,
            built,
            training_env,
            layout,
            learn,
            fraction,
            q_limit,
            environments=environments,
            failure_reward=failure_reward,
        )
        for learn in (False, True)
    }
    stops = sorted({warm_start, total, *range(warm_start + eval_every, total, eval_every)} - {0})
    rounds = rounds_for(final_episodes, eval_episodes)
    plan: list[Train | Evaluate] = [Evaluate(0, rounds)]
    title = f"{name_of(built.name)}: online"
    for start, stop in zip([0, *stops], stops, strict=False):
        learn = start >= warm_start
        phase = "online" if learn else "warm start"
        plan.append(Train(title, total, phase, start, stop, 0, 0, makers[learn], (keys, data), environments))
        plan.append(Evaluate(stop, rounds if stop == total else 1))
    # raises before the training if the configuration needs a state that is missing or does not fit
    first = jax.eval_shape(jax.vmap(built.init), layout.keys("init"), layout.shard(actor_critic), layout.shard(carried))
    acting_first = jax.eval_shape(jax.vmap(built.actor_critic), first)
    check_actor_critic(acting_first, built)
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
                data=fingerprint if data is not None else None,
                environment=identity_of(env, engine=True),
                actor_critic=checksum(actor_critic),
                training_state=None if carried is None else checksum(carried),
                **({} if built.carry is None else {"carry": built.carry}),
                num_steps=num_steps,
                warm_start=warm_start,
                data_fraction=fraction.first,
                **({} if fraction.is_constant else {"final_data_fraction": fraction.last}),
                **({} if fraction.is_constant else {"data_fraction_steps": fraction.steps}),
                **({} if environments == 1 else {"environments": environments}),
                buffer_capacity=buffer_capacity,
                q_limit=q_limit,
            )
        )
    with Progress.of(progress) as bar:
        outcome = run_plan(plan, begin, evaluate_at, history, layout, bar, folder)
    return FinetuneResult(
        algorithm=built,
        actor_critic=built.actor_critic(outcome.state.algorithm),
        metrics=history.metrics(),
        evaluations=history.evaluations(),
        seeds=numbers,
        buffer=outcome.state.buffer,
        diverged=outcome.diverged,
    )


def _check_actor_critic(actor_critic: ActorCritic, env: Env, seeds: Sequence[int]) -> None:
    shape = actor_critic.observation_mean.shape
    if len(shape) != 2 or shape[0] != len(seeds):
        held = shape[0] if len(shape) == 2 else "no seed axis"
        raise ConfigError(f"finetune: seeds has {len(seeds)}, but the actor-critic has {held}; they must be equal.")
    check_sizes(actor_critic, env)
