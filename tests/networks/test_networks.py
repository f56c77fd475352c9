"""Policies against SciPy's densities, ensembles against their members, and aggregations against their definitions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from smac_jax.networks import (
    MLP,
    Actor,
    BoxGaussian,
    Critic,
    TanhGaussian,
    aggregate,
    ensemble_values,
    init_ensemble,
    num_parameters,
)

numbers = st.floats(-2.0, 2.0)


@settings(deadline=None, max_examples=30)
@given(numbers, st.floats(-2.0, 0.5), st.floats(-0.95, 0.95))
def test_tanh_gaussian_density_is_the_change_of_variables(mean, log_std, action):
    got = TanhGaussian(jnp.array([mean]), jnp.array([log_std])).log_prob(jnp.array([action]))
    want = stats.norm(mean, np.exp(log_std)).logpdf(np.arctanh(action)) - np.log(1 - action**2)
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)


@settings(deadline=None, max_examples=30)
@given(st.floats(-0.99, 0.99), st.floats(-3.0, 0.5), st.floats(-1.0, 1.0))
def test_box_gaussian_density_is_the_normal_one(mean, log_std, action):
    got = BoxGaussian(jnp.array([mean]), jnp.array([log_std])).log_prob(jnp.array([action]))
    np.testing.assert_allclose(got, stats.norm(mean, np.exp(log_std)).logpdf(action), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", [TanhGaussian, BoxGaussian])
def test_sample_and_log_prob_agrees_with_log_prob(kind):
    policy = kind(jnp.array([0.2, -0.4]), jnp.log(jnp.array([0.2, 0.3])))
    key = jax.random.key(0)
    action, log_prob = policy.sample_and_log_prob(key)
    np.testing.assert_array_equal(action, policy.sample(key))
    np.testing.assert_allclose(log_prob, policy.log_prob(action), rtol=1e-4)
    draws = np.asarray(jax.vmap(policy.sample)(jax.random.split(key, 5000)))
    assert (np.abs(draws) <= 1).all()
    np.testing.assert_allclose(np.median(draws, axis=0), policy.mode(), atol=0.02)


def test_a_box_gaussian_clips_samples_after_computing_their_density():
    policy = BoxGaussian(jnp.array([0.99]), jnp.array([0.0]))
    draws, log_probs = jax.vmap(policy.sample_and_log_prob)(jax.random.split(jax.random.key(0), 200))
    at_edge = np.asarray(draws[:, 0]) == 1.0
    assert 0.3 < at_edge.mean() < 0.7
    assert len(np.unique(np.asarray(log_probs)[at_edge])) > 50


@pytest.mark.parametrize("distribution", ["tanh_gaussian", "box_gaussian"])
@pytest.mark.parametrize("state_dependent_std", [True, False])
def test_actor_starts_with_the_std_it_was_given(distribution, state_dependent_std):
    actor = Actor(2, (8,), initial_std=0.3, distribution=distribution, state_dependent_std=state_dependent_std)
    params = actor.init(jax.random.key(0), jnp.zeros(3))
    policy = actor.apply(params, jax.random.normal(jax.random.key(1), (5, 3)))
    np.testing.assert_allclose(np.exp(policy.log_std), 0.3, rtol=1e-5)
    assert policy.mean.shape == policy.log_std.shape == (5, 2)
    moved = jax.tree.map(lambda x: x + 0.5, params)
    spread = np.asarray(actor.apply(moved, jax.random.normal(jax.random.key(1), (5, 3))).log_std).std(axis=0)
    assert (spread > 1e-4).all() == state_dependent_std
    if distribution == "box_gaussian":
        assert (np.abs(actor.apply(moved, 9 * jnp.ones(3)).mean) <= 1).all()


def test_log_std_is_clipped():
    actor = Actor(1, (4,))
    params = actor.init(jax.random.key(0), jnp.zeros(2))
    for bias, want in ((50.0, 2.0), (-50.0, -5.0)):
        params["params"]["log_std"]["bias"] = jnp.array([bias])
        assert actor.apply(params, jnp.ones(2)).log_std[0] == want


@pytest.mark.parametrize("layer_norm", [False, True])
def test_an_ensemble_equals_its_members(layer_norm):
    critic = Critic((8, 8), "tanh", layer_norm)
    params = init_ensemble(critic, jax.random.key(0), 3, 4, 2)
    s, a = jax.random.normal(jax.random.key(1), (5, 4)), jax.random.normal(jax.random.key(2), (5, 2))
    values = ensemble_values(critic, params, s, a)
    assert values.shape == (3, 5)
    for i in range(3):
        np.testing.assert_allclose(values[i], critic.apply(jax.tree.map(lambda x, i=i: x[i], params), s, a), rtol=1e-5)
    assert np.abs(np.diff(values, axis=0)).min() > 0  # independent parameters
    assert num_parameters(params) == 3 * (6 * 8 + 8 + 8 * 8 + 8 + 8 + 1 + layer_norm * 4 * 8)


def test_aggregations_equal_their_definitions():
    values = jnp.array([[1.0, 5.0], [2.0, 4.0], [6.0, 3.0]])
    np.testing.assert_array_equal(aggregate(values, "min", jax.random.key(0)), [1, 3])
    np.testing.assert_array_equal(aggregate(values, "mean", jax.random.key(0)), [3, 4])
    draws = {tuple(np.asarray(aggregate(values, "random2", jax.random.key(i)))) for i in range(40)}
    assert draws == {(1.0, 4.0), (1.0, 3.0), (2.0, 3.0)}  # the whole batch has the same pair of members
    with pytest.raises(ValueError, match="how = 'max'"):
        aggregate(values, "max", jax.random.key(0))


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 4), st.integers(1, 5), st.booleans())
def test_networks_do_not_mix_rows(width, rows, jit):
    net = MLP((8,), output=width)
    x = jax.random.normal(jax.random.key(rows), (rows, 3))
    params = net.init(jax.random.key(0), x)
    apply = jax.jit(net.apply) if jit else net.apply
    together = apply(params, x)
    alone = jnp.stack([net.apply(params, row) for row in x])
    assert together.shape == (rows, width)
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
