"""The number of floating-point operations of a sweep, and the rate of this machine: their ratio is a lower bound."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from smac_jax.algorithms import make_offline
from smac_jax.algorithms.continuation import state_for_online
from smac_jax.data.dataset import Dataset
from smac_jax.matrix_products import product_flops, product_rate
from smac_jax.sweep.grid import Job, online_of

ROWS, WIDTH = 512, 512
"""Shape of the matrix product whose rate is measured."""


def machine_rate() -> float:
    """Returns the rate of float32 matrix products ``[512, 512] x [512, 512]`` in a compiled program, in FLOP/s."""
    return product_rate(ROWS, WIDTH)


def flops_of_jobs(jobs: Iterable[Job], datasets: Mapping[str, Dataset]) -> float:
    """Returns the floating-point operations in the matrix products of all updates of all runs, without evaluations."""
    return math.fsum(_flops_of_job(job, datasets[job.data]) for job in jobs)


def _flops_of_job(job: Job, data: Dataset) -> float:
    key = jax.random.key(0)
    offline = make_offline(job.offline.algorithm, job.offline.config)
    data = jax.tree.map(lambda column: column[:2], offline.prepare(data))  # only the shapes matter
    state = offline.init(key, data)

    def of_update(update: Any, state: Any, rows: int) -> float:
        batch = jax.tree.map(lambda x: jnp.broadcast_to(x[:1], (rows, *x.shape[1:])), data.transitions())
        return product_flops(update, state, batch, key)

    each = [of_update(phase.update, state, phase.batch_size) for phase in offline.phases]
    total = 0.0
    for run in job.plan:
        if run.online is None:
            total += run.steps * each[-1] if each else 0.0
            if run.after == 0:
                before = zip(offline.phases[:-1], each[:-1], strict=True)
                total += sum((phase.num_updates or 0) * flops for phase, flops in before)
            continue
        online = online_of(job.offline, run.online)
        start = online.init(key, offline.actor_critic(state), state_for_online(offline, online, state))
        learning = run.steps - run.online.schedule["warm_start"]
        total += learning * of_update(online.update, start, online.batch_size)
    return total * len(job.seeds)
