"""The number of seeds of a job that fit in memory when they are trained in parallel."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from smac_jax.algorithms import make_offline
from smac_jax.data.dataset import Dataset
from smac_jax.errors import ConfigError
from smac_jax.sweep.grid import Job, online_of
from smac_jax.train.divergence import NOT_DIVERGED
from smac_jax.train.offline import make_chunk
from smac_jax.train.sharding import SeedLayout

SHARE = 0.8
"""Share of the memory that is planned for. The rest is for programs, evaluation and errors of the estimate."""


def seeds_that_fit(job: Job, data: Dataset) -> int:
    """Returns the number of a job's seeds that fit in the memory of this process's devices at once, at least one.

    The memory of a seed is what the compiler reports for the offline chunk, plus twice the replay buffer (a snapshot
    copies it). The program is compiled only if a rough estimate does not already show that all seeds fit.

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
            f"{job.title}: one seed needs {each / 1e9:.1f} GB in addition to {nbytes(data) / 1e9:.1f} GB of data, and "
            f"a device has {memory_of(devices[0]) / 1e9:.1f} GB. Use smaller networks, a smaller batch or a smaller "
            "finetune.buffer_capacity."
        )
    return min(fit, len(job.seeds))


def memory_of(device: jax.Device) -> float:
    """Returns the number of bytes that a device may use; on the CPU, that this process may use."""
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return float(stats["bytes_limit"])
    physical = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text(encoding="utf-8").strip() if limit.exists() else "max"
    return min(physical, math.inf if text == "max" else float(text)) / len(jax.local_devices())


def nbytes(tree: Any) -> int:
    """Returns the bytes of all arrays (or ``ShapeDtypeStruct``) of a tree."""
    return sum(math.prod(x.shape) * jnp.dtype(x.dtype).itemsize for x in jax.tree.leaves(tree))


def buffer_bytes(job: Job, data: Dataset) -> float:
    """Returns the bytes of one seed's replay buffer."""
    row = 4 * (2 * data.observations.shape[1] + data.actions.shape[1] + 4)
    schedules = [v.schedule for v in job.online]
    return row * max(s.get("buffer_capacity") or s["num_steps"] + s["warm_start"] for s in schedules)


def rough_estimate(job: Job, data: Dataset) -> float:
    """Returns the bytes of one seed's parameters, optimizer states and replay buffer, without intermediate results."""
    built = make_offline(job.offline.algorithm, job.offline.config)
    prepared = built.prepare(data)  # on the host
    state = jax.eval_shape(lambda: built.init(jax.random.key(0), prepared))
    batches = [online_of(job.offline, v).batch_size for v in job.online]
    widest = max([p.batch_size for p in built.phases] + batches)
    return nbytes(state) + buffer_bytes(job, data) + 4 * widest * 4096


def compiled_estimate(job: Job, data: Dataset) -> float:
    """Returns the bytes that one seed's offline training needs according to the compiler."""
    built = make_offline(job.offline.algorithm, job.offline.config)
    data = built.prepare(data)
    layout = SeedLayout.over([0], jax.local_devices()[:1])
    state = jax.eval_shape(layout.map(built.init, (0, None)), layout.keys("init"), data)
    if not built.phases:
        return 2 * nbytes(state)
    chunk = make_chunk(built.phases[-1], layout, math.inf, 10)
    compiled = chunk.lower(state, jnp.full(1, NOT_DIVERGED), 0, layout.keys("offline"), data).compile()
    analysis = compiled.memory_analysis()
    total = analysis.argument_size_in_bytes + analysis.temp_size_in_bytes + analysis.output_size_in_bytes
    return max(total - analysis.alias_size_in_bytes - nbytes(data), 2 * nbytes(state))
