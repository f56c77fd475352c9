"""The policy's score against jax.grad of an independent log-density, and against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from smac_jax.networks import TanhGaussian
from smac_jax.scores import PolicyScore, PolicyScoreConfig, damped_policy_score
from smac_jax.types import Transition

unit = st.floats(-0.999, 0.999)


def policy_score(policy, action):
    """Returns ``grad_a log pi``, which is the damped score divided by its weight."""
    damped, weight = damped_policy_score(policy, action)
    return damped / weight


def log_density(a, mu, sigma):
    """Returns the log-density by a change of variables: log N(atanh a; mu, sigma) - log(1 - a^2)."""
    u = 0.5 * jnp.log((1 + a) / (1 - a))
    return jax.scipy.stats.norm.logpdf(u, mu, sigma) - jnp.log(1 - a**2)


@settings(max_examples=60, deadline=None)
@given(a=unit, mu=st.floats(-2, 2), sigma=st.floats(0.1, 2))
def test_score_equals_the_gradient_of_the_log_density(a, mu, sigma):
    policy = TanhGaussian(jnp.array([mu]), jnp.log(jnp.array([sigma])))
    got = policy_score(policy, jnp.array([a]))[0]
    want = jax.grad(log_density)(jnp.float32(a), mu, sigma)
    np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-2 * max(1.0, abs(float(want))))


def test_score_against_finite_differences_in_double_precision():
    mu, sigma = 0.3, 0.4
    for a in (-0.9, -0.2, 0.0, 0.5, 0.95):
        h = 1e-6

        def logp(x):
            return stats.norm.logpdf(np.arctanh(x), mu, sigma) - np.log1p(-(x**2))

        numeric = (logp(a + h) - logp(a - h)) / (2 * h)
        got = policy_score(TanhGaussian(jnp.array([mu]), jnp.log(jnp.array([sigma]))), jnp.array([a]))[0]
        np.testing.assert_allclose(got, numeric, rtol=1e-4, atol=1e-4)


def test_the_damped_score_stays_bounded_at_the_edge():
    policy = TanhGaussian(jnp.zeros(3), jnp.log(jnp.full(3, 0.5)))
    action = jnp.array([0.0, 0.9, 1.0])
    damped, weight = damped_policy_score(policy, action)
    np.testing.assert_allclose(weight[:2], 1.0 - action[:2] ** 2, rtol=1e-5)
    assert abs(float(damped[2])) < 30 < abs(float(policy_score(policy, action)[2]))


def test_mean_score_under_the_policy_is_zero():
    # E[grad log p] = 0 for any density that vanishes at the edge of its support
    policy = TanhGaussian(jnp.array([0.4, -0.2]), jnp.log(jnp.array([0.3, 0.2])))
    keys = jax.random.split(jax.random.key(0), 200_000)
    action = jnp.tanh(jax.vmap(policy.sample_pre_tanh)(keys))
    score = policy_score(policy, action)
    error = score.std(axis=0) / np.sqrt(len(keys))
    assert np.all(np.abs(score.mean(axis=0)) < 4 * error)


def test_log_prob_integrates_to_one_and_matches_samples():
    policy = TanhGaussian(jnp.array([0.3]), jnp.log(jnp.array([0.6])))
    grid = jnp.linspace(-0.99999, 0.99999, 200_001)
    density = jnp.exp(jax.vmap(lambda a: policy.log_prob(a[None]))(grid))
    np.testing.assert_allclose(jnp.trapezoid(density, grid), 1.0, atol=1e-3)
    action, log_prob = policy.sample_and_log_prob(jax.random.key(1))
    np.testing.assert_allclose(policy.log_prob(action), log_prob, rtol=1e-4)


def test_sigma_is_at_least_a_tenth_in_the_score():
    built = PolicyScore(PolicyScoreConfig())
    action = jnp.array([[0.2, -0.3]])
    narrow, tenth = (TanhGaussian(jnp.zeros((1, 2)), jnp.log(jnp.full((1, 2), std))) for std in (0.01, 0.1))
    found = [built.evaluate((), policy, jnp.zeros((1, 3)), action) for policy in (narrow, tenth)]
    jax.tree.map(np.testing.assert_array_equal, *found)
    assert np.all(found[0].score != damped_policy_score(narrow, action).score)


def test_actions_are_those_of_the_policy_or_of_the_data():
    policy = TanhGaussian(jnp.full((4, 2), 2.0), jnp.full((4, 2), -5.0))
    rows = jnp.zeros(4)
    batch = Transition(jnp.zeros((4, 3)), jnp.full((4, 2), -0.5), rows, jnp.zeros((4, 3)), rows, rows, rows)
    for where, want in {"policy": np.tanh(2.0), "dataset": -0.5}.items():
        built = PolicyScore(PolicyScoreConfig(policy_score_actions=where))
        np.testing.assert_allclose(built.actions(policy, batch, jax.random.key(0)), want, atol=0.01)
