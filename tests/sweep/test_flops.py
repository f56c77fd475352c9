"""The operations of a sweep are those of its updates times their numbers."""

from __future__ import annotations

from pathlib import Path

import jax
import pytest

import smac_jax
from smac_jax.algorithms import make_offline, make_online
from smac_jax.matrix_products import product_flops
from smac_jax.presets import base, quickstart
from smac_jax.sweep.flops import flops_of_jobs
from smac_jax.sweep.grid import make_jobs


def configured(updates: int, steps: int):
    config = base.get_config()
    network = {"actor_hidden": (8,), "critic_hidden": (8,)}
    config.smac.update({"network": network, "batch_size": 16, "alpha_hidden": (4,)})
    config.smac.score_model.update({"num_updates": 7, "hidden": 8, "num_blocks": 1, "embedding": 4})
    config.sac.batch_size = 32
    config.pretrain.update({"num_updates": updates})
    config.finetune.update({"num_steps": steps, "warm_start": 5})
    return config


def flops(data, updates: int, steps: int, seeds: int, control: bool) -> float:
    jobs = make_jobs(
        Path("nowhere"), [("data", "hopper")], ["smac"], ["sac"], configured(updates, steps), {}, range(seeds), seeds,
        physics="mujoco", version="v4", control=control,
    )  # fmt: skip
    return flops_of_jobs(jobs, {"data": data})


def test_the_operations_of_every_update_are_counted(data):
    config = configured(1, 1)
    offline, online = make_offline("smac", config.smac), make_online("sac", config.sac)
    key = jax.random.key(0)
    state = offline.init(key, data)
    score, main = (product_flops(p.update, state, data.sample(key, p.batch_size), key) for p in offline.phases)
    start = online.init(key, offline.actor_critic(state))
    tuned = product_flops(online.update, start, data.sample(key, 32), key)
    assert min(score, main, tuned) > 0
    assert flops(data, 10, 3, seeds=1, control=False) == pytest.approx(7 * score + 10 * main + 3 * tuned)
    # the control continues offline with one update for each environment step with an update
    assert flops(data, 10, 3, seeds=2, control=True) == pytest.approx(2 * (7 * score + 13 * main + 3 * tuned))


def test_the_quickstart_computes_less_than_12_tflop():
    """At 130 GFLOP/s of 2 cores, a third of five minutes remains for evaluation and compilation."""
    data = smac_jax.load_dataset("halfcheetah-medium-replay")
    jobs = make_jobs(
        Path("nowhere"), [("data", "halfcheetah")], ["smac", "td3_bc"], ["sac"], quickstart.get_config(), {}, range(4),
        4, physics="mujoco", version="v4", control=True,
    )  # fmt: skip
    found = flops_of_jobs(jobs, {"data": data})
    assert 1e12 < found < 12e12
