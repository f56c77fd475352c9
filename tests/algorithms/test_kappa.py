"""Kappa as a dual variable, and on a schedule."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from small_algorithms import dataset

import smac_jax
from smac_jax.algorithms import make_offline
from smac_jax.algorithms.kappa import KAPPA_RANGE
from smac_jax.errors import ConfigError

SMALL = {
    "network": {"actor_hidden": (16,), "critic_hidden": (16,), "num_critics": 2},
    "alpha_hidden": (8,),
    "batch_size": 32,
    "score_model": {"num_updates": 200, "hidden": 16, "num_blocks": 1, "embedding": 8, "condition_hidden": (8,)},
}


def train(num_updates=600, **fields):
    config = {**SMALL, "kappa_learning_rate": 1e-2, **fields}
    return smac_jax.pretrain("smac", dataset(), [0], num_updates, config, progress=False, eval_every=100)


def every_step(num_updates: int, **fields) -> dict[str, np.ndarray]:
    """Metrics of each update of the main phase, ``{name: [update]}``, after the score model's."""
    built = make_offline("smac", {**SMALL, "kappa_learning_rate": 1e-2, **fields})
    data = dataset()
    state = jax.jit(built.init)(jax.random.key(0), data)
    for phase in built.phases:

        def one(state, key, phase=phase):
            batch_key, update_key = jax.random.split(key)
            return phase.update(state, data.sample(batch_key, phase.batch_size), update_key)

        keys = jax.random.split(jax.random.key(1), phase.num_updates or num_updates)
        state, metrics = jax.jit(lambda state, keys, one=one: jax.lax.scan(one, state, keys))(state, keys)
    return jax.tree.map(np.asarray, metrics)


@pytest.mark.parametrize("target", [0.5, 2.0])
def test_the_gradient_ratio_is_held_at_its_target(target):
    ratio = every_step(1000, kappa_adaptation="gradient_ratio", kappa_target=target)["gradient_ratio"]
    # its geometric mean is held; the half that is looked at begins long after kappa has come there
    np.testing.assert_allclose(np.exp(np.log(ratio[-500:]).mean()), target, rtol=0.1)


def test_a_fixed_kappa_is_what_was_given_and_holds_no_ratio():
    metrics = every_step(1000)
    np.testing.assert_array_equal(metrics["kappa"], 5.0)
    held = np.exp(np.log(metrics["gradient_ratio"][-500:]).mean())
    assert all(abs(np.log(held / target)) > np.log(1.3) for target in (0.5, 2.0)), held


def test_kappa_rises_while_the_residual_is_too_large_and_falls_while_it_is_small():
    for target, direction in ((0.01, 1), (5.0, -1)):
        kappa = train(300, kappa_adaptation="residual", kappa_target=target).metrics["kappa"].ravel()
        kappa = kappa[np.isfinite(kappa)]
        assert direction * (kappa[-1] - kappa[0]) > 0


def test_kappa_stays_in_its_range():
    run = train(400, kappa_adaptation="residual", kappa_target=100.0, kappa_learning_rate=1.0)
    assert run.metrics["kappa"][-1] >= KAPPA_RANGE[0] * 0.999
    with pytest.raises(ConfigError, match=r"SMACConfig.kappa = 0.0: to adapt, it must start in \[0.001, 1000.0\]"):
        train(kappa_adaptation="residual", kappa=0.0)


def test_kappa_halves_every_half_life_down_to_its_range():
    run = train(300, kappa_adaptation="decay", kappa=8.0, kappa_half_life=50.0)
    kappa = run.metrics["kappa"].ravel()
    # a point is the mean over the chunk that ends there
    want = [8.0 * np.mean(2.0 ** (-np.arange(first, first + 100) / 50)) for first in (0, 100, 200)]
    np.testing.assert_allclose(kappa[np.isfinite(kappa)], want, rtol=1e-3)
    run = train(100, kappa_adaptation="decay", kappa=8.0, kappa_half_life=1.0)
    assert np.nanmean(run.metrics["kappa"]) > 0.16 + 0.8 * KAPPA_RANGE[0]  # 16 / 100, and then the floor
