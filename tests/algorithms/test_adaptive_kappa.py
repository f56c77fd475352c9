"""Kappa as a dual variable, and the temperature that SMAC hands over."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_networks import BATCH, NETWORK, dataset

import smac_jax
from smac_jax.algorithms import sac, smac
from smac_jax.config import resolve
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


@pytest.mark.parametrize("target", [0.5, 2.0])
def test_the_gradient_ratio_is_held_at_its_target(target):
    run = train(1000, kappa_adaptation="gradient_ratio", kappa_target=target)
    ratio = run.metrics["gradient_ratio"][-3:].mean()
    np.testing.assert_allclose(ratio, target, rtol=0.4)  # its geometric mean is held, this is the arithmetic one
    fixed = train(300).metrics["kappa"]
    np.testing.assert_allclose(fixed[np.isfinite(fixed)], 5.0, rtol=1e-5)


def test_kappa_rises_while_the_residual_is_too_large_and_falls_while_it_is_small():
    for target, direction in ((0.01, 1), (5.0, -1)):
        kappa = train(300, kappa_adaptation="residual", kappa_target=target).metrics["kappa"].ravel()
        kappa = kappa[np.isfinite(kappa)]
        assert direction * (kappa[-1] - kappa[0]) > 0


def test_kappa_stays_in_its_range():
    run = train(400, kappa_adaptation="residual", kappa_target=100.0, kappa_learning_rate=1.0)
    assert run.metrics["kappa"][-1] >= smac.KAPPA_RANGE[0] * 0.999
    with pytest.raises(ConfigError, match=r"SMACConfig.kappa = 0.0: to adapt, it must start in \[0.001, 1000.0\]"):
        train(kappa_adaptation="residual", kappa=0.0)


def test_kappa_halves_every_half_life_down_to_its_range():
    run = train(300, kappa_adaptation="decay", kappa=8.0, kappa_half_life=50.0)
    kappa = run.metrics["kappa"].ravel()
    # a point is the mean over the chunk that ends there
    want = [8.0 * np.mean(2.0 ** (-np.arange(first, first + 100) / 50)) for first in (0, 100, 200)]
    np.testing.assert_allclose(kappa[np.isfinite(kappa)], want, rtol=1e-3)
    run = train(100, kappa_adaptation="decay", kappa=8.0, kappa_half_life=1.0)
    assert np.nanmean(run.metrics["kappa"]) > 0.16 + 0.8 * smac.KAPPA_RANGE[0]  # 16 / 100, and then the floor


def test_relative_residual_of_a_flat_q_is_one(batch):
    config = resolve(smac.SMACConfig, {**SMALL, "network": NETWORK})
    state = smac.init(config, jax.random.key(0), dataset())
    # the score network's last layer starts at zero, and then nothing would have to be matched
    state = state.replace(score_params=jax.tree.map(lambda x: x + 0.1, state.score_params))
    flat = jax.tree.map(jnp.zeros_like, state.sac.actor_critic.critic_params)
    _, metrics = smac.score_matching_loss(config, state, flat, state.scale_params, batch, jax.random.key(1))
    np.testing.assert_allclose(metrics["relative_residual"], 1.0, rtol=1e-4)
    assert len(batch.reward) == BATCH


def test_smac_hands_over_its_alpha_and_sac_starts_from_it():
    run = train(300, alpha_parameterization="fixed", alpha_value=0.37)
    ac = jax.tree.map(lambda x: x[0], run.actor_critic)
    np.testing.assert_allclose(ac.temperature, 0.37, rtol=1e-4)
    for start, want in (("offline", 0.37), ("config", 0.2)):
        config = sac.SACConfig(initial_temperature=0.2, temperature_start=start)
        state = sac.init(config, jax.random.key(0), ac)
        np.testing.assert_allclose(jnp.exp(state.temperature_parameter), want, rtol=1e-4)


def test_sac_falls_back_on_its_own_temperature_where_nobody_left_one(actor_critic):
    assert actor_critic.temperature is None
    # nobody said; or alpha was negative, as in the literal variant; or an earlier version's way to say that nobody did
    for temperature in (None, -0.3, jnp.nan):
        known = None if temperature is None else jnp.asarray(temperature, jnp.float32)
        ac = actor_critic.replace(temperature=known)
        state = sac.init(sac.SACConfig(initial_temperature=0.2, temperature_start="offline"), jax.random.key(0), ac)
        np.testing.assert_allclose(jnp.exp(state.temperature_parameter), 0.2, rtol=1e-5)
