"""Losses of SAC, TD3+BC and SMAC on fixed parameters and a fixed batch, against NumPy code written apart."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_networks import ACTIONS, BATCH, NETWORK, as_numpy, dataset, numpy_policy, numpy_q, numpy_sample

from smac_jax.algorithms import critic, sac, smac, td3, td3_bc
from smac_jax.config import resolve
from smac_jax.types import Transition


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
    np.testing.assert_array_equal(got[1::2], batch.reward[1::2])  # a terminal bootstraps from nothing


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
    loss = partial(sac.temperature_loss, config)
    np.testing.assert_allclose(loss(jnp.log(0.3), jnp.float32(1.5), ACTIONS), 0.3 * (1.5 + ACTIONS), rtol=1e-5)
    # too random a policy lowers the temperature, too narrow a one raises it
    assert jax.grad(loss)(jnp.log(0.3), jnp.float32(1.5), ACTIONS) > 0
    assert jax.grad(loss)(jnp.log(0.3), jnp.float32(-2.5), ACTIONS) < 0


@pytest.mark.parametrize("rows", ["all", "last"])
def test_utd_is_critic_steps_on_the_parts_and_one_policy_step(actor_critic, batch, rows):
    config = sac.SACConfig(batch_size=BATCH, utd=2, policy_rows=rows)
    state, key = sac.init(config, jax.random.key(0), actor_critic), jax.random.key(5)
    got, _ = sac.update(config, state, batch, key)
    critic_key, policy_key = jax.random.split(key)
    halves = [jax.tree.map(lambda x, i=i: x[i : i + BATCH // 2], batch) for i in (0, BATCH // 2)]
    want = state
    for half, half_key in zip(halves, jax.random.split(critic_key, 2), strict=True):
        want, _ = sac.critic_step(config, want, half, half_key)
    want, _ = sac.policy_step(config, want, batch if rows == "all" else halves[1], policy_key)
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
    first = td3_bc.init(config, jax.random.key(0), dataset())
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


SMALL = {
    "network": dataclasses.asdict(NETWORK),
    "batch_size": BATCH,
    "alpha_hidden": (8,),
    "score_model": {"hidden": 8, "num_blocks": 1, "embedding": 4, "condition_hidden": (8,)},
}


def smac_state(**fields):
    config = resolve(smac.SMACConfig, {**SMALL, **fields})
    return config, smac.init(config, jax.random.key(7), dataset())


@pytest.mark.parametrize("parameterization", ["softplus", "free", "fixed", "temperature"])
def test_smac_penalty_and_alphas_gradient(batch, parameterization):
    config, state = smac_state(alpha_parameterization=parameterization, initial_temperature=0.2)
    ac, key = state.sac.actor_critic, jax.random.key(8)

    def by_hand(critic_params, scale_params):
        """The loss of the module's docstring, sample by sample and member by member."""
        action = smac.penalty_actions(config, state, batch, key)
        score = smac.score_of_data(config, state, batch.observation, action)
        raw = smac.scale_network(config).apply(scale_params, batch.observation)[:, 0]
        alpha = {
            "softplus": 0.1 + jnp.log1p(jnp.exp(raw)),
            "free": raw,
            "fixed": jnp.full(BATCH, 0.1),
            "temperature": jnp.full(BATCH, 0.2),
        }[parameterization]
        total = 0.0
        for i in range(3):
            member = jax.tree.map(lambda x, i=i: x[i], critic_params)
            for s, a, t in zip(batch.observation, action, alpha[:, None] * score, strict=True):
                total += jnp.sum((jax.grad(ac.critic.apply, argnums=2)(member, s, a) - t) ** 2) / BATCH
        return total

    def ours(critic_params, scale_params):
        return smac.score_matching_loss(config, state, critic_params, scale_params, batch, key)[0]

    both = [
        jax.jit(jax.value_and_grad(f, argnums=(0, 1)))(ac.critic_params, state.scale_params) for f in (ours, by_hand)
    ]
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5), *both)


def test_a_penalty_on_some_rows_is_on_average_that_on_all(batch):
    rows = BATCH // 4
    config, state = smac_state(score="policy", policy_score_actions="dataset")
    few = dataclasses.replace(config, penalty_fraction=rows / BATCH)

    def gradient(config, batch):
        loss = partial(smac.score_matching_loss, config, state, batch=batch, key=jax.random.key(8))
        return jax.grad(lambda p: loss(p, state.scale_params)[0])(state.sac.actor_critic.critic_params)

    parts = [gradient(few, jax.tree.map(lambda x, i=i: jnp.roll(x, -i * rows, axis=0), batch)) for i in range(4)]
    mean = jax.tree.map(lambda *x: sum(x) / 4, *parts)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5), mean, gradient(config, batch))


def test_smac_without_penalty_is_sac(batch):
    config, state = smac_state(kappa=0.0)
    key = jax.random.key(9)
    got, metrics = smac.update(config, state, batch, key)
    target_key, _, policy_key = jax.random.split(key, 3)
    want, _ = sac.critic_step(config, state.sac, state.sac.actor_critic.normalize_batch(batch), target_key)
    want, _ = sac.policy_step(config, want, state.sac.actor_critic.normalize_batch(batch), policy_key)
    remembered = got.sac.actor_critic.temperature  # what SMAC tells whoever takes over; SAC has nothing to say
    np.testing.assert_allclose(remembered, metrics["alpha"])
    want = want.replace(actor_critic=want.actor_critic.replace(temperature=remembered))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), got.sac, want)


def test_smac_literal_sign_is_minus_the_score_at_the_noise_level(batch):
    config, state = smac_state()
    literal = dataclasses.replace(config, score_sign="literal")
    # a trained network's last layer is not zero
    state = state.replace(score_params=jax.tree.map(lambda x: x + 0.1, state.score_params))
    true = smac.score_of_data(config, state, batch.observation, batch.action)
    printed = smac.score_of_data(literal, state, batch.observation, batch.action)
    assert np.abs(true).max() > 0
    np.testing.assert_allclose(printed, -true * 0.05995, rtol=1e-3)


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 1.0])
def test_smac_actions_are_the_stated_mixture(fraction):
    config, state = smac_state(uniform_fraction=fraction)
    ac = state.sac.actor_critic
    # a policy so narrow, and so far at the edge, that its actions are told from uniform ones at sight
    actor = jax.tree.map(jnp.zeros_like, ac.actor_params)
    actor["params"]["mean"]["bias"] = jnp.full(ACTIONS, 4.0)
    actor["params"]["log_std"]["bias"] = jnp.full(ACTIONS, -5.0)
    state = state.replace(sac=state.sac.replace(actor_critic=ac.replace(actor_params=actor)))
    size = 400
    many = Transition(*(jnp.zeros((size, n)) if n else jnp.zeros(size) for n in (3, ACTIONS, 0, 3, 0, 0, 0)))
    action = np.asarray(smac.penalty_actions(config, state, many, jax.random.key(0)))
    from_policy = (np.abs(action - np.tanh(4.0)) < 1e-3).all(axis=1)
    assert abs(from_policy.sum() - (1 - fraction) * size) <= 1
    if fraction:
        uniform = action[~from_policy]
        assert abs(uniform.mean()) < 0.2
        assert abs(uniform.std() - 1 / np.sqrt(3)) < 0.1


def test_smac_trains_its_score_model_first_and_then_leaves_it_alone(batch):
    config, state = smac_state()
    phases = smac.smac(config).phases
    assert [phase.name for phase in phases] == ["score model", "offline"]
    learned, _ = jax.jit(phases[0].update)(state, batch, jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, learned.sac, state.sac)
    after, _ = jax.jit(phases[1].update)(learned, batch, jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, after.score_params, learned.score_params)
    assert [
        phase.name
        for phase in smac.smac(dataclasses.replace(config, score="policy", alpha_parameterization="auto")).phases
    ] == ["offline"]


@pytest.mark.parametrize("fields", [{"score": "policy"}, {"score": "policy", "policy_score_actions": "dataset"}])
def test_smac_policy_form_matches_the_identity_at_its_solution(batch, fields):
    # where grad_a Q is exactly temperature * grad_a log pi, the penalty is nothing
    config, state = smac_state(**fields, policy_score_min_std=0.0, initial_temperature=0.2)
    ac = state.sac.actor_critic

    class LogDensity:
        @staticmethod
        def apply(params, observation, action):
            del params
            return 0.2 * ac.actor.apply(ac.actor_params, observation).log_prob(action)

    known = state.replace(sac=state.sac.replace(actor_critic=ac.replace(critic=LogDensity)))
    loss, _ = smac.score_matching_loss(config, known, ac.critic_params, state.scale_params, batch, jax.random.key(0))
    other, _ = smac.score_matching_loss(config, state, ac.critic_params, state.scale_params, batch, jax.random.key(0))
    assert float(loss) < 1e-6 < float(other)
