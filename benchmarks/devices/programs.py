"""The product's compiled programs, with the shapes of their arguments in place of arguments.

What is compiled is what training calls: the chunks of the training loops and the evaluator, from the same functions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, SingleDeviceSharding

import smac_jax
from benchmarks.devices.targets import Target
from benchmarks.learners import OFFLINE_NAMES, ONLINE_NAMES, SIZES, Size, offline_algorithm, online_algorithm
from smac_jax.algorithms.actor_critic import NetworkConfig, new_actor_critic
from smac_jax.algorithms.contracts import Phase
from smac_jax.data.dataset import Dataset
from smac_jax.data.replay import init as init_buffer
from smac_jax.presets import locomotion
from smac_jax.train import collection
from smac_jax.train.data_fraction import DataFraction
from smac_jax.train.evaluate import make_evaluator
from smac_jax.train.keys import stream_keys
from smac_jax.train.offline import make_chunk
from smac_jax.train.online import LoopState
from smac_jax.train.online import make_chunk as make_online_chunk
from smac_jax.train.sharding import EVERYWHERE, SEED, SeedLayout

LENGTH = 97
"""Updates of a compiled chunk. No other loop has this length, so that the training loop can be told from others."""
ENGINES = ("mjx", "warp", "mujoco")
PHYSICS_LIMITS = {"mjx": (4, 8)}
"""How often the loops of unknown length run at most: iterations of the solver, and of its line search."""


@dataclasses.dataclass(frozen=True)
class Program:
    """A program to compile.

    Attributes:
      name: an algorithm, ``online:ENGINE`` or ``evaluation:ENGINE``.
      size: the name of its size.
      seeds: how many seeds it trains at once.
      unit: what is counted: an update, or a step of the environment.
      build: gives the function and its arguments' shapes, for a target.
      limits: how often its loops of unknown length run at most, outer loops first.
    """

    name: str
    size: str
    seeds: int
    unit: str
    build: Callable[[Target], tuple[Any, tuple[Any, ...]]]
    limits: tuple[int, ...] = (1,)

    @property
    def title(self) -> str:
        """The name for tables."""
        return f"{self.name} {self.size} x{self.seeds}"


def programs(
    names: Sequence[str], sizes: Sequence[str], seeds: Sequence[int], data: Dataset | None = None
) -> Iterator[Program]:
    """The programs of some names, at some sizes, for some numbers of seeds.

    Args:
      names: offline algorithms, sections of online algorithms, ``online:ENGINE``, ``evaluation:ENGINE``.
      sizes: names of :data:`benchmarks.learners.SIZES`.
      seeds: numbers of seeds. What steps an environment is compiled for the first of them only.
      data: the data set whose shapes the programs take; default: Hopper's medium-replay data.
    """
    data = smac_jax.load_dataset("hopper-medium-replay") if data is None else data
    for name in names:
        for size in sizes:
            if name.startswith(("online:", "evaluation:")):
                yield _with_physics(name, size, seeds[0], data)
                continue
            for number in seeds:
                yield Program(name, size, number, "update", _update(name, SIZES[size], size, number, data))


def all_names() -> list[str]:
    """The names that are compiled if none are given: what a transfer runs."""
    return [*OFFLINE_NAMES, *(f"online:{engine}" for engine in ENGINES), "evaluation:mjx"]


def known_names() -> list[str]:
    """All names."""
    return list(dict.fromkeys([*all_names(), *ONLINE_NAMES, *(f"evaluation:{engine}" for engine in ENGINES)]))


def _layout(target: Target, seeds: int) -> tuple[SeedLayout, Callable[[Any, bool], Any]]:
    """The layout of the seeds, and what gives the leaves of a tree its sharding: over the seeds, or everywhere."""
    layout = SeedLayout.over(range(seeds), target.devices)
    over_seeds: Any = NamedSharding(layout.mesh, SEED)
    everywhere: Any = NamedSharding(layout.mesh, EVERYWHERE)
    if len(layout.devices) == 1:
        over_seeds = everywhere = SingleDeviceSharding(layout.devices[0])

    def placed(tree: Any, by_seed: bool) -> Any:
        sharding = over_seeds if by_seed else everywhere
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)

    return layout, placed


def _keys(layout: SeedLayout, stream: str) -> Any:
    return jax.eval_shape(lambda: stream_keys(layout.padded, stream))


def _chunk_arguments(layout: SeedLayout, placed: Callable[[Any, bool], Any], state: Any, data: Any) -> tuple[Any, ...]:
    diverged = jax.ShapeDtypeStruct((len(layout.padded),), jnp.int32)
    first = jax.ShapeDtypeStruct((), jnp.int32)
    keys = _keys(layout, "offline")
    return placed(state, True), placed(diverged, True), placed(first, False), placed(keys, True), placed(data, False)


def overrides_of(name: str, size: str) -> dict[str, Any]:
    """Fields in which an algorithm at the paper's size is not at its defaults: SMAC is that of the paper, with Muon."""
    if name == "smac" and size == "paper":
        preset = locomotion.get_config().smac.to_dict()
        return {name: value for name, value in preset.items() if name not in ("network", "batch_size")}
    return {}


def _update(
    name: str, size: Size, size_name: str, seeds: int, data: Dataset
) -> Callable[[Target], tuple[Any, tuple[Any, ...]]]:
    """A chunk of updates on a data set."""

    def build(target: Target) -> tuple[Any, tuple[Any, ...]]:
        layout, placed = _layout(target, seeds)
        if name in OFFLINE_NAMES:
            offline = offline_algorithm(name, size, **overrides_of(name, size_name))
            phase = next(phase for phase in offline.phases if phase.num_updates is None)
            prepared = offline.prepare(data)
            state = jax.eval_shape(jax.vmap(offline.init, in_axes=(0, None)), _keys(layout, "init"), prepared)
        else:
            built, network = online_algorithm(name, size)
            phase, prepared = Phase("online", built.update, built.batch_size), data
            mean, std = data.observation_statistics()

            def begin(key: jax.Array) -> Any:
                return built.init(key, new_actor_critic(network, key, mean, std, data.actions.shape[-1]))

            state = jax.eval_shape(jax.vmap(begin), _keys(layout, "init"))
        chunk = make_chunk(phase, layout, math.inf, LENGTH)
        return chunk, _chunk_arguments(layout, placed, state, prepared)

    return build


def _with_physics(name: str, size_name: str, seeds: int, data: Dataset) -> Program:
    """SAC's online loop, or the evaluation of a policy, with one of the engines."""
    what, _, engine = name.partition(":")
    size = SIZES[size_name]

    def online(target: Target) -> tuple[Any, tuple[Any, ...]]:
        layout, placed = _layout(target, seeds)
        env = smac_jax.make_env("hopper", physics=engine)
        world = smac_jax.envs.AutoReset(env, 1000)
        built, network = online_algorithm("sac", size)
        mean, std = data.observation_statistics()

        def begin(key: jax.Array) -> LoopState:
            learner = built.init(key, new_actor_critic(network, key, mean, std, env.action_size))
            buffer = init_buffer(205_000, env.observation_size, env.action_size)
            return LoopState(learner, collection.begin(world, key, 1), buffer)

        state = jax.eval_shape(jax.vmap(begin), _keys(layout, "init"))
        chunk = make_online_chunk(built, world, layout, True, DataFraction.constant(0.5), math.inf, LENGTH)
        return chunk, _chunk_arguments(layout, placed, state, data)

    def evaluation(target: Target) -> tuple[Any, tuple[Any, ...]]:
        layout, placed = _layout(target, seeds)
        env = smac_jax.make_env("hopper", physics=engine)
        mean, std = data.observation_statistics()
        network = NetworkConfig(actor_hidden=size.hidden, critic_hidden=size.hidden, num_critics=size.members)

        def begin(key: jax.Array) -> Any:
            return new_actor_critic(network, key, mean, std, env.action_size)

        policy = jax.eval_shape(jax.vmap(begin), _keys(layout, "init"))
        evaluator: Any = make_evaluator(env, 20, 1000, True, layout)
        return evaluator, (placed(policy, True), placed(_keys(layout, "evaluation"), True))

    build = online if what == "online" else evaluation
    return Program(name, size_name, seeds, "environment step", build, PHYSICS_LIMITS.get(engine, (1,)))
