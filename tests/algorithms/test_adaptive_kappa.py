"""Kappa as a dual variable, and the temperature that SMAC hands over."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_networks import NETWORK, dataset

import smac_jax
from smac_jax.algorithms import make_offline, sac, smac
from smac_jax.config import resolve
from smac_jax.errors import ConfigError
from smac_jax.scores import action_gradient

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
    # steeper than fresh critics, whose gradient is small beside the score
    critics = jax.tree.map(lambda x: 4.0 * x, state.sac.actor_critic.critic_params)
    key = jax.random.key(1)
    flat = jax.tree.map(jnp.zeros_like, critics)
    _, metrics = smac.score_matching_loss(config, state, flat, state.scale_params, batch, key)
    np.testing.assert_allclose(metrics["relative_residual"], 1.0, rtol=1e-4)
    # what is left of a flat Q is alpha times the score, squared
    action = smac.penalty_actions(config, state, batch, key)
    alpha = smac.scale(config, state.scale_params, state, batch.observation)
    target = np.asarray(alpha)[:, None] * np.asarray(smac.score_of_data(config, state, batch.observation, action))
    np.testing.assert_allclose(metrics["score_matching_loss"], np.mean(np.sum(target**2, axis=-1)), rtol=1e-4)
    # and of another Q it is the distance to that
    _, sloped = smac.score_matching_loss(config, state, critics, state.scale_params, batch, key)
    each = jax.vmap(action_gradient, in_axes=(None, 0, None, None))
    gradient = np.asarray(each(state.sac.actor_critic.critic.apply, critics, batch.observation, action))
    want = np.mean(np.sum((gradient - target) ** 2, axis=-1)) / np.mean(np.sum(target**2, axis=-1))
    np.testing.assert_allclose(sloped["relative_residual"], want, rtol=1e-4)
    assert abs(want - 1.0) > 0.01


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
