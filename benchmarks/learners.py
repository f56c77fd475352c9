"""The updates of all algorithms as cases to time: the training loop's own compiled chunk, for several seeds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measure import Case, memory_of
from smac_jax.algorithms import OFFLINE, ONLINE, make_offline, make_online
from smac_jax.algorithms.actor_critic import NetworkConfig, new_actor_critic
from smac_jax.algorithms.contracts import OfflineAlgorithm, OnlineAlgorithm, Phase
from smac_jax.algorithms.none import NONE
from smac_jax.data.dataset import Dataset
from smac_jax.matrix_products import product_flops
from smac_jax.presets.base import online_section
from smac_jax.train.divergence import NOT_DIVERGED
from smac_jax.train.keys import stream_keys
from smac_jax.train.offline import make_chunk
from smac_jax.train.sharding import SeedLayout
from smac_jax.types import Transition


class Size(NamedTuple):
    """The sizes of networks and batches."""

    hidden: tuple[int, ...]
    members: int
    offline_batch: int
    online_batch: int


SIZES = {
    "field": Size((256, 256), 2, 256, 256),  # CORL, JAX-CORL
    "paper": Size((512, 512, 512), 10, 64, 1024),  # SMAC, tables 6-8
    "small": Size((128, 128), 10, 64, 256),  # this project's studies on CPUs
    "tiny": Size((8, 8), 2, 8, 8),  # for a test of the program
}
ONEDNN: dict[str, bool | str] = {
    "xla_cpu_use_onednn": True,
    "xla_cpu_experimental_onednn_fusion_type": "LIBRARY_FUSION_TYPE_DOT",
}
"""The compiler's options for oneDNN's products on a CPU. They are experimental, and crash with JAX 0.10."""
OFFLINE_NAMES = tuple(name for name in OFFLINE if name != NONE)
ONLINE_NAMES = tuple(online_section(name) for name in ONLINE)


class Learner(NamedTuple):
    """A phase of training, its initial state (leaves ``[seed, ...]``), and its data."""

    phase: Phase
    state: Any
    data: Dataset


def offline_algorithm(name: str, size: Size, **overrides: Any) -> OfflineAlgorithm[Any]:
    """An offline algorithm of a size."""
    network = {"actor_hidden": size.hidden, "critic_hidden": size.hidden, "num_critics": size.members}
    config: dict[str, Any] = {"network": network, "batch_size": size.offline_batch, **overrides}
    if name == "iql":
        config["value_hidden"] = size.hidden
    return make_offline(name, config)


def online_algorithm(
    section: str, size: Size, critic_activation: str = "relu", **overrides: Any
) -> tuple[OnlineAlgorithm[Any], NetworkConfig]:
    """The online algorithm of a section of configurations, and the networks of a size that it continues with."""
    name = next(n for n in ONLINE if online_section(n) == section)
    network = NetworkConfig(
        actor_hidden=size.hidden,
        critic_hidden=size.hidden,
        num_critics=size.members,
        distribution="box_gaussian" if name == "awr" else "tanh_gaussian",
        critic_activation=critic_activation,
    )
    once = {"utd": 1} if name == "rlpd" else {}  # as the others, and not 20 critic steps in an update
    return make_online(name, {"batch_size": size.online_batch, **once, **overrides}), network


def offline_learner(name: str, size: Size, seeds: int, data: Dataset, **overrides: Any) -> Learner:
    """The main phase of an offline algorithm."""
    built = offline_algorithm(name, size, **overrides)
    phase = next(phase for phase in built.phases if phase.num_updates is None)
    data = built.prepare(data)
    init = jax.jit(jax.vmap(built.init, in_axes=(0, None)))
    return Learner(phase, init(stream_keys(range(seeds), "init"), data), data)


def online_learner(
    section: str, size: Size, seeds: int, data: Dataset, critic_activation: str = "relu", **overrides: Any
) -> Learner:
    """The update of an online algorithm on batches of the data set, without an environment."""
    built, network = online_algorithm(section, size, critic_activation, **overrides)
    mean, std = data.observation_statistics()

    def init(key: jax.Array) -> Any:
        return built.init(key, new_actor_critic(network, key, mean, std, data.actions.shape[-1]))

    state = jax.jit(jax.vmap(init))(stream_keys(range(seeds), "init"))
    return Learner(Phase("online", built.update, built.batch_size), state, data)


def learner(name: str, size: Size, seeds: int, data: Dataset, **overrides: Any) -> Learner:
    """The learner of a name: an offline algorithm, or the configuration section of an online algorithm."""
    build = offline_learner if name in OFFLINE_NAMES else online_learner
    return build(name, size, seeds, data, **overrides)


def number_of_seeds(made: Learner) -> int:
    """The number of seeds that are trained at once."""
    return jax.tree.leaves(made.state)[0].shape[0]


def case(name: str, made: Learner, length: int, options: dict[str, bool | str] | None = None) -> Case:
    """The training loop's chunk of ``length`` updates, compiled in advance to measure the time of compilation.

    ``options`` are compiler options for this program only.
    """
    seeds = number_of_seeds(made)
    layout = SeedLayout.over(range(seeds), jax.devices()[:1])
    inputs = jnp.full(seeds, NOT_DIVERGED), 0, layout.keys("offline"), made.data
    started = time.perf_counter()
    chunk = make_chunk(made.phase, layout, math.inf, length).lower(made.state, *inputs).compile(options)
    compilation = time.perf_counter() - started
    held = {"state": made.state}

    def run() -> None:
        held["state"], _, metrics = chunk(held["state"], *inputs)
        jax.block_until_ready(metrics)

    notes = {"compile s": compilation, "memory MB": memory_of(chunk) / 1e6}
    return Case(name, run, units=seeds * length, flops=flops_of_one(made), notes=notes)


def flops_of_one(made: Learner) -> float:
    """The floating-point operations in the matrix products of one update of one seed."""

    def update(state: Any, key: jax.Array) -> Any:
        return made.phase.update(state, made.data.sample(key, made.phase.batch_size), key)

    seeds = number_of_seeds(made)
    return product_flops(jax.vmap(update), made.state, stream_keys(range(seeds), "offline")) / seeds


def dispatched_from_python(name: str, made: Learner, length: int) -> Case:
    """The same update in a Python loop, which gathers a batch, transfers it and calls a compiled update."""
    arrays = jax.tree.map(np.asarray, made.data.sample(jax.random.key(0), 100_000))
    rows, batch_size = arrays.reward.shape[0], made.phase.batch_size
    update: Callable[..., Any] = jax.jit(made.phase.update)
    held = {"state": jax.tree.map(lambda x: x[0], made.state), "step": 0}
    generator, key = np.random.default_rng(0), jax.random.key(0)

    def draw() -> Transition:
        chosen = generator.integers(0, rows, batch_size)
        return jax.tree.map(lambda x: x[chosen], arrays)

    def run() -> None:
        for _ in range(length):
            held["step"] += 1
            held["state"], metrics = update(held["state"], draw(), jax.random.fold_in(key, held["step"]))
        jax.block_until_ready(metrics)

    return Case(name, run, units=length, flops=flops_of_one(made))
