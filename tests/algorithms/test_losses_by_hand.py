"""Losses of SAC and TD3+BC with fixed parameters and a fixed batch, against independent NumPy code."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_networks import BATCH, NETWORK, as_numpy, numpy_policy, numpy_q, numpy_sample
from small_algorithms import ACTIONS, dataset

from smac_jax.algorithms import critic, sac, td3, td3_bc
from smac_jax.algorithms.temperature import temperature_loss


@pytest.mark.parametrize("entropy_backup", [False, True])
@pytest.mark.parametrize("how", ["min", "mean"])
def test_sac_target(actor_critic, batch, entropy_backup, how):
    config = sac.SACConfig(entropy_backup=entropy_backup, backup_aggregation=how, initial_temperature=0.3)
    key = jax.random.key(1)
    got = sac.temporal_difference_target(config, sac.init(config, key, actor_critic), batch, key)
    noise = np.asarray(jax.random.normal(jax.random.split(key)[0], (BATCH, ACTIONS)), np.float64)
    b = as_numpy(batch)
    action, log_prob = numpy_sample(actor_critic.actor_params, b.next_observation, noise)
    values = [numpy_q(actor_critic.target_critic_params, i, b.next_observation, action) for i in range(3)]
    value = np.min(values, 0) if how == "min" else np.mean(values, 0)
    want = b.reward + 0.99 * (1 - b.terminal) * (value - entropy_backup * 0.3 * log_prob)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(got[1::2], batch.reward[1::2])  # a terminal does not bootstrap


def test_sac_critic_loss(actor_critic, batch):
    target = jnp.linspace(-1, 1, BATCH)
    got, _ = critic.critic_loss(actor_critic, actor_critic.critic_params, batch, target)
    b = as_numpy(batch)
    errors = [numpy_q(actor_critic.critic_params, i, b.observation, b.action) - np.asarray(target) for i in range(3)]
    np.testing.assert_allclose(got, sum(np.mean(e**2) for e in errors), rtol=1e-5)


def test_sac_policy_and_temperature_loss(actor_critic, batch):
    config = sac.SACConfig(initial_temperature=0.3)
    key = jax.random.key(2)
    state = sac.init(config, key, actor_critic)
    got, entropy = sac.policy_loss(config, state, actor_critic.actor_params, batch, key)
    noise = np.asarray(jax.random.normal(jax.random.split(key)[0], (BATCH, ACTIONS)), np.float64)
    b = as_numpy(batch)
    action, log_prob = numpy_sample(actor_critic.actor_params, b.observation, noise)
    value = np.min([numpy_q(actor_critic.critic_params, i, b.observation, action) for i in range(3)], 0)
    np.testing.assert_allclose(got, np.mean(0.3 * log_prob - value), rtol=1e-4)
    np.testing.assert_allclose(entropy, -log_prob.mean(), rtol=1e-4)
    loss = partial(temperature_loss, config)
    np.testing.assert_allclose(loss(jnp.log(0.3), jnp.float32(1.5), ACTIONS), 0.3 * (1.5 + ACTIONS), rtol=1e-5)
    # if the entropy is above the target, the temperature decreases; if it is below, it increases
    assert jax.grad(loss)(jnp.log(0.3), jnp.float32(1.5), ACTIONS) > 0
    assert jax.grad(loss)(jnp.log(0.3), jnp.float32(-2.5), ACTIONS) < 0


def test_high_utd_takes_critic_steps_on_parts_and_one_policy_step_on_the_whole_batch(actor_critic, batch):
    config = sac.SACConfig(batch_size=BATCH, utd=2)
    state, key = sac.init(config, jax.random.key(0), actor_critic), jax.random.key(5)
    got, _ = jax.jit(partial(sac.update, config))(state, batch, key)
    critic_key, policy_key = jax.random.split(key)
    halves = [jax.tree.map(lambda x, i=i: x[i : i + BATCH // 2], batch) for i in (0, BATCH // 2)]
    want, critic_step = state, jax.jit(partial(sac.critic_step, config))
    for half, half_key in zip(halves, jax.random.split(critic_key, 2), strict=True):
        want, _ = critic_step(want, half, half_key)
    want, _ = jax.jit(partial(sac.policy_step, config))(want, batch, policy_key)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), got, want)


def test_td3_target_is_smoothed_with_clipped_noise_and_masked(actor_critic, batch):
    config = td3_bc.TD3BCConfig(policy_noise=0.4, noise_clip=0.3)
    key = jax.random.key(4)
    state = td3_bc.init(config, key, dataset()).replace(
        actor_critic=actor_critic, target_actor_params=jax.tree.map(lambda x: 0.5 * x, actor_critic.actor_params)
    )
    got = td3.temporal_difference_target(config, state, batch, key)
    b = as_numpy(batch)
    noise = np.clip(0.4 * np.asarray(jax.random.normal(jax.random.split(key)[0], (BATCH, ACTIONS))), -0.3, 0.3)
    action = np.clip(np.tanh(numpy_policy(state.target_actor_params, b.next_observation)[0]) + noise, -1, 1)
    value = np.min([numpy_q(actor_critic.target_critic_params, i, b.next_observation, action) for i in range(3)], 0)
    np.testing.assert_allclose(got, b.reward + 0.99 * (1 - b.terminal) * value, rtol=1e-4, atol=1e-5)


def test_td3_bc_policy_loss(actor_critic, batch):
    got, metrics = td3_bc.policy_loss(td3_bc.TD3BCConfig(alpha=2.5), actor_critic, actor_critic.actor_params, batch)
    b = as_numpy(batch)
    action = np.tanh(numpy_policy(actor_critic.actor_params, b.observation)[0])
    value = numpy_q(actor_critic.critic_params, 0, b.observation, action)
    cloning = np.mean((action - b.action) ** 2)
    np.testing.assert_allclose(got, -2.5 * value.mean() / np.abs(value).mean() + cloning, rtol=1e-4)
    np.testing.assert_allclose(metrics["cloning_loss"], cloning, rtol=1e-5)


def test_td3_bc_moves_policy_and_targets_every_second_update_and_never_the_std(batch):
    config = td3_bc.TD3BCConfig(network=NETWORK, policy_delay=2)
    first = jax.jit(partial(td3_bc.init, config))(jax.random.key(0), dataset())
    update = jax.jit(td3_bc.td3_bc(config).phases[0].update)
    one, _ = update(first, batch, jax.random.key(1))
    two, _ = update(one, batch, jax.random.key(2))
    same = partial(jax.tree.map, np.testing.assert_array_equal)
    same(one.actor_critic.actor_params, first.actor_critic.actor_params)
    same(one.actor_critic.target_critic_params, first.actor_critic.target_critic_params)
    same(two.actor_critic.actor_params["params"]["log_std"], first.actor_critic.actor_params["params"]["log_std"])
    assert not np.array_equal(
        two.actor_critic.actor_params["params"]["mean"]["kernel"],
        first.actor_critic.actor_params["params"]["mean"]["kernel"],
    )
    jax.tree.map(
        lambda target, old, new: np.testing.assert_allclose(target, 0.995 * old + 0.005 * new, rtol=1e-5, atol=1e-7),
        two.actor_critic.target_critic_params,
        one.actor_critic.target_critic_params,
        two.actor_critic.critic_params,
    )
