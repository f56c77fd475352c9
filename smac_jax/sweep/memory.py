"""How many seeds of a job fit side by side."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from smac_jax.algorithms import make_offline, make_online
from smac_jax.data.dataset import Dataset
from smac_jax.errors import ConfigError
from smac_jax.sweep.grid import Job
from smac_jax.train.divergence import NOT_DIVERGED
from smac_jax.train.offline import make_chunk
from smac_jax.train.sharding import SeedLayout

SHARE = 0.8
"""Of the memory that is planned with; the rest is for programs, evaluation and what the estimate overlooks."""


def seeds_that_fit(job: Job, data: Dataset) -> int:
    """As many of a job's seeds as the devices of this process hold at once, at least one.

    What a seed takes: the compiled offline chunk's own figures, and on top the replay buffer twice (a snapshot copies
    it). The program is compiled only where a rough estimate says that it could matter.

    Raises:
      ConfigError: not even one seed fits.
    """
    devices = jax.local_devices()
    available = SHARE * memory_of(devices[0]) - nbytes(data)
    if 20 * rough_estimate(job, data) * len(job.seeds) < available:
        return len(job.seeds)
    each = compiled_estimate(job, data) + 2 * buffer_bytes(job, data)
    fit = math.floor(available / each) * len(devices)
    if fit < 1:
        raise ConfigError(
            f"{job.title}: one seed takes {each / 1e9:.1f} GB beside {nbytes(data) / 1e9:.1f} GB of data; a device "
            f"has {memory_of(devices[0]) / 1e9:.1f} GB. Smaller networks, batches or finetune.buffer_capacity help."
        )
    return min(fit, len(job.seeds))


def memory_of(device: jax.Device) -> float:
    """Bytes that a device, or on the CPU this process, may use."""
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return float(stats["bytes_limit"])
    whole = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text(encoding="utf-8").strip() if limit.exists() else "max"
    return min(whole, math.inf if text == "max" else float(text)) / len(jax.local_devices())


def nbytes(tree: Any) -> int:
    """Of all arrays, or shapes of arrays, of a tree."""
    return sum(math.prod(x.shape) * jnp.dtype(x.dtype).itemsize for x in jax.tree.leaves(tree))


def buffer_bytes(job: Job, data: Dataset) -> float:
    """One seed's replay buffer."""
    row = 4 * (2 * data.observations.shape[1] + data.actions.shape[1] + 4)
    schedules = [v.schedule for v in job.online]
    return row * max(s.get("buffer_capacity") or s["num_steps"] + s["warm_start"] for s in schedules)


def rough_estimate(job: Job, data: Dataset) -> float:
    """One seed's parameters, optimizers and replay buffer, without what is computed from them."""
    built = make_offline(job.offline.algorithm, job.offline.config)
    state = jax.eval_shape(lambda: built.init(jax.random.key(0), built.prepare(data)))
    batches = [make_online(v.algorithm, v.config).batch_size for v in job.online]
    widest = max([p.batch_size for p in built.phases] + batches)
    return nbytes(state) + buffer_bytes(job, data) + 4 * widest * 4096


def compiled_estimate(job: Job, data: Dataset) -> float:
    """What the compiler says that one seed's offline training takes."""
    built = make_offline(job.offline.algorithm, job.offline.config)
    data = built.prepare(data)
    layout = SeedLayout.over([0], jax.local_devices()[:1])
    state = jax.eval_shape(layout.map(built.init, (0, None)), layout.keys("init"), data)
    chunk = make_chunk(built.phases[-1], layout, math.inf, 10)
    compiled = chunk.lower(state, jnp.full(1, NOT_DIVERGED), 0, layout.keys("offline"), data).compile()
    analysis = compiled.memory_analysis()
    whole = analysis.argument_size_in_bytes + analysis.temp_size_in_bytes + analysis.output_size_in_bytes
    return max(whole - analysis.alias_size_in_bytes - nbytes(data), 2 * nbytes(state))
