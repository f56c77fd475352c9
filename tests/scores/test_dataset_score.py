"""The data's score in SMAC: the actions at which it is matched, its noise level, and its weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smac_jax.config import resolve
from smac_jax.errors import ConfigError
from smac_jax.networks import TanhGaussian
from smac_jax.scores import DatasetScore, DatasetScoreConfig
from smac_jax.types import Transition

OBSERVATIONS, ACTIONS = 3, 2
SMALL = {"hidden": 8, "num_blocks": 1, "embedding": 4, "condition_hidden": (8,), "batch_size": 16}


def score(model=None, **fields):
    return DatasetScore(resolve(DatasetScoreConfig, {"score_model": {**SMALL, **(model or {})}, **fields}))


def batch_of(size, seed=0):
    keys = jax.random.split(jax.random.key(seed), 3)
    observation = jax.random.normal(keys[0], (size, OBSERVATIONS))
    action = jax.random.uniform(keys[1], (size, ACTIONS), minval=-1.0, maxval=1.0)
    scalar = jax.random.uniform(keys[2], (size,))
    return Transition(observation, action, scalar, observation, jnp.zeros(size), scalar, jnp.zeros(size))


def evaluate(score, state, batch):
    return score.evaluate(state, None, batch.observation, batch.action).score


def moved(state):
    """Changes all parameters, because the last layer of a trained network is not zero."""
    return state.replace(params=jax.tree.map(lambda x: x + 0.1, state.params))


def test_the_literal_sign_is_minus_the_score_at_the_noise_level():
    true, literal, batch = score(), score(score_sign="literal"), batch_of(16)
    state = moved(true.init(jax.random.key(0), OBSERVATIONS, ACTIONS))
    got = evaluate(true, state, batch)
    assert np.abs(got).max() > 0
    np.testing.assert_allclose(evaluate(literal, state, batch), -got * 0.05995, rtol=1e-3)


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 1.0])
def test_actions_are_a_mixture_of_uniform_ones_and_the_policys(fraction):
    # the policy is so narrow and so close to the edge that its actions can be distinguished from uniform ones
    size = 400
    policy = TanhGaussian(jnp.full((size, ACTIONS), 4.0), jnp.full((size, ACTIONS), -5.0))
    action = np.asarray(score(uniform_fraction=fraction).actions(policy, batch_of(size), jax.random.key(0)))
    from_policy = (np.abs(action - np.tanh(4.0)) < 1e-3).all(axis=1)
    assert abs(from_policy.sum() - (1 - fraction) * size) <= 1
    if fraction:
        uniform = action[~from_policy]
        assert abs(uniform.mean()) < 0.2
        assert abs(uniform.std() - 1 / np.sqrt(3)) < 0.1


def test_scores_are_read_from_the_running_average_of_the_weights():
    averaged, plain = score({"average_rate": 0.1, "learning_rate": 0.1}), score({"learning_rate": 0.1})
    state = averaged.init(jax.random.key(0), OBSERVATIONS, ACTIONS)
    want = state.params
    for i in range(4):
        state, _ = averaged.update(state, batch_of(16, i), jax.random.key(i))
        want = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, want, state.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), state.average, want)
    batch = batch_of(16)
    got = evaluate(averaged, state, batch)
    same = state.replace(params=state.average, average=None)
    np.testing.assert_allclose(got, evaluate(plain, same, batch), rtol=1e-6)
    newest = evaluate(plain, state.replace(average=None), batch)
    assert np.abs(got - newest).max() > 1e-3


@pytest.mark.parametrize("conditioned", [True, False])
def test_the_condition_is_the_return_or_constant(conditioned):
    built = score({"condition_on_return": conditioned})
    state = moved(built.init(jax.random.key(0), OBSERVATIONS, ACTIONS))
    batch = batch_of(16)
    losses = [
        built.update(state, batch._replace(condition=condition), jax.random.key(0))[1]["score_model_loss"]
        for condition in (batch.condition, jnp.zeros(16), jnp.ones(16))
    ]
    assert (losses[0] == losses[1] == losses[2]) == (not conditioned)


def test_an_unknown_noise_level_is_refused():
    with pytest.raises(ConfigError, match=r"score_level = 32: must be below score_model.diffusion_steps = 32"):
        score(score_level=32)
