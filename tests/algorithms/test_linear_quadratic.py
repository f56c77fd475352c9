"""A problem with a known maximum-entropy optimum: SAC must find it, and SMAC's critic must have its score.

State and action are numbers, ``s' = A s + B a``, ``r = -(W s^2 + R a^2) / 2``, temperature ``ALPHA``. The soft-optimal
Q is quadratic with the Riccati solution P, and the soft-optimal policy is Gaussian:

    Q*(s, a) = -(W s^2 + R a^2 + gamma P (A s + B a)^2) / 2 + constant ,   pi*(a|s) = N(-K s, ALPHA / H) ,
    H = R + gamma B^2 P ,   K = gamma A B P / H ,   grad_a Q* = -H (a + K s) = ALPHA grad_a log pi* .
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import smac_jax
from smac_jax.algorithms import sac
from smac_jax.algorithms.actor_critic import NetworkConfig, new_actor_critic
from smac_jax.scores import action_gradient

A, B, W, R, DISCOUNT, ALPHA = 0.9, 0.6, 2.0, 1.5, 0.9, 0.1


def riccati():
    p = 1.0
    for _ in range(1000):
        p = W + DISCOUNT * A**2 * p - (DISCOUNT * A * B * p) ** 2 / (R + DISCOUNT * B**2 * p)
    return p


P = riccati()
H = R + DISCOUNT * B**2 * P
K = DISCOUNT * A * B * P / H
STD = np.sqrt(ALPHA / H)


def known_gradient(s, a):
    return -H * (a + K * s)


def data(actions, rows=20_000):
    rng = np.random.default_rng(0)
    s = rng.uniform(-1, 1, (rows, 1))
    a = np.clip(actions(rng, s), -1, 1)
    following = A * s + B * a
    reward = -(W * s**2 + R * a**2)[:, 0] / 2
    # every row is a trajectory of its own, because only the score model uses trajectories, and it gets one condition
    return smac_jax.Dataset.from_arrays(
        s, a, reward, np.zeros(rows), timeouts=np.ones(rows), next_observations=following
    )


def gradients(ac, s, a):
    """Returns the mean of ``grad_a Q`` over the members, in the environment's units."""
    each = jax.vmap(action_gradient, in_axes=(None, 0, None, None))
    return np.asarray(jax.jit(lambda: each(ac.critic.apply, ac.critic_params, ac.normalize(s), a).mean(0))())


NETWORK = {"actor_hidden": (64, 64), "critic_hidden": (64, 64), "critic_activation": "tanh", "num_critics": 2}
CHECK = {"s": jnp.linspace(-0.8, 0.8, 9).repeat(9)[:, None], "a": jnp.tile(jnp.linspace(-0.8, 0.8, 9), 9)[:, None]}


def test_the_closed_form_solves_the_soft_bellman_equation():
    """The soft Bellman equation is evaluated by quadrature."""
    s, a, draws = 0.3, -0.2, np.linspace(-4, 4, 8001)

    def q(s, a):
        return -(W * s**2 + R * a**2 + DISCOUNT * P * (A * s + B * a) ** 2) / 2

    def soft_value(s):
        return ALPHA * np.log(np.trapezoid(np.exp(q(s, draws) / ALPHA), draws))

    # differences do not depend on the constant of Q*
    left = q(s, a) - q(0.0, 0.0)
    right = -(W * s**2 + R * a**2) / 2 + DISCOUNT * (soft_value(A * s + B * a) - soft_value(0.0))
    np.testing.assert_allclose(left, right, rtol=1e-6)
    # the soft-optimal policy, which is exp(Q* / ALPHA) normalized, has the mean and the standard deviation of the
    # module
    density = np.exp(q(s, draws) / ALPHA)
    density /= np.trapezoid(density, draws)
    mean = np.trapezoid(density * draws, draws)
    np.testing.assert_allclose(mean, -K * s, rtol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.trapezoid(density * (draws - mean) ** 2, draws)), STD, rtol=1e-6)
    step = 1e-4
    np.testing.assert_allclose((q(s, a + step) - q(s, a - step)) / (2 * step), known_gradient(s, a), rtol=1e-6)


def test_sac_finds_the_soft_optimum():
    config = sac.SACConfig(
        discount=DISCOUNT,
        initial_temperature=ALPHA,
        temperature_learning_rate=0.0,
        entropy_backup=True,
        polyak=0.02,
        critic_learning_rate=1e-3,
        actor_learning_rate=1e-3,
    )
    everywhere = data(lambda rng, s: rng.uniform(-1, 1, s.shape))

    @jax.jit
    def train():
        network = NetworkConfig(**NETWORK, initial_std=0.5)
        ac = new_actor_critic(network, jax.random.key(0), *everywhere.observation_statistics(), 1)
        state = sac.init(config, jax.random.key(1), ac)

        def body(state, key):
            batch_key, update_key = jax.random.split(key)
            return sac.update(config, state, everywhere.sample(batch_key, 256), update_key)[0], None

        return jax.lax.scan(body, state, jax.random.split(jax.random.key(2), 4000))[0]

    found = train().actor_critic
    s, a = CHECK["s"], CHECK["a"]
    error = gradients(found, s, a) - known_gradient(s, a)
    assert np.sqrt(np.mean(error**2)) < 0.2 * np.sqrt(np.mean(known_gradient(s, a) ** 2))
    policy = found.policy(s)
    np.testing.assert_allclose(policy.mode(), -K * s, atol=0.05)
    draws = jax.jit(jax.vmap(policy.sample))(jax.random.split(jax.random.key(3), 2000))
    np.testing.assert_allclose(np.asarray(draws.std(0)).mean(), STD, rtol=0.15)


@pytest.fixture(scope="module")
def optimal_data():
    return data(lambda rng, s: -K * s + STD * rng.normal(size=s.shape))


SCORE_MODEL = {"num_updates": 3000, "hidden": 32, "embedding": 16, "condition_on_return": False}


def smac(optimal_data, kappa=5.0, **fields):
    config = {
        "network": NETWORK,
        "discount": DISCOUNT,
        "entropy_backup": True,
        "polyak": 0.02,
        "batch_size": 128,
        "alpha_hidden": (8,),
        "critic_learning_rate": 1e-3,
        "alpha_parameterization": "fixed",
        "alpha_value": ALPHA,
        "initial_temperature": ALPHA,
        "score_model": {**SCORE_MODEL, **({} if kappa else {"num_updates": 1})},  # with no penalty nobody asks for it
    }
    return smac_jax.pretrain("smac", optimal_data, [0], 3000, {**config, **fields, "kappa": kappa}, progress=False)


def test_smac_gives_the_critic_the_known_score_outside_the_data(optimal_data):
    matched, unmatched = (
        jax.tree.map(lambda x: x[0], smac(optimal_data, kappa=kappa).actor_critic) for kappa in (5.0, 0.0)
    )
    s, a = CHECK["s"], CHECK["a"]
    known = np.asarray(known_gradient(s, a))
    size = np.sqrt(np.mean(known**2))
    error = {
        name: np.sqrt(np.mean((gradients(ac, s, a) - known) ** 2)) / size
        for name, ac in {"matched": matched, "unmatched": unmatched}.items()
    }
    # the score at the lowest noise level is that of the data with noise of 0.06, and |a| <= 1 cuts off the tails
    assert error["matched"] < 0.2, error
    assert error["matched"] < 0.6 * error["unmatched"], error
    np.testing.assert_allclose(matched.policy(s).mode(), -K * s, atol=0.1)


def test_the_literal_sign_makes_q_increase_away_from_the_data(optimal_data):
    flipped = jax.tree.map(lambda x: x[0], smac(optimal_data, score_sign="literal").actor_critic)
    s, a = CHECK["s"], CHECK["a"]
    known, found = np.asarray(known_gradient(s, a)).ravel(), gradients(flipped, s, a).ravel()
    assert np.corrcoef(known, found)[0, 1] < -0.9
    # outside the data, Q now increases where it should decrease
    far = np.abs(np.asarray(a + K * s)).ravel() > 3 * STD
    assert far.mean() > 0.3
    assert (known * found)[far].max() < 0.0
