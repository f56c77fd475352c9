"""The score of the diffusion model against the analytic score of a Gaussian mixture at the same noise level."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from smac_jax.networks import NoisePredictor
from smac_jax.scores.diffusion import cosine_schedule, data_score, noise_level, noise_prediction_loss
from smac_jax.types import Transition

STEPS = 32
CENTRES = np.array([[0.5, 0.3], [-0.4, -0.5]])
SPREAD = 0.15
WEIGHTS = {0.0: np.array([0.15, 0.85]), 1.0: np.array([0.85, 0.15])}  # the mixture depends on the condition


def mixture_score(a: np.ndarray, condition: float, blur: float) -> np.ndarray:
    """Returns the gradient of log sum_c w_c N(a; mu_c, SPREAD^2 + blur^2), derived by hand."""
    variance = SPREAD**2 + blur**2
    difference = CENTRES - a[:, None, :]
    log_weight = np.log(WEIGHTS[condition]) - np.sum(difference**2, -1) / (2 * variance)
    responsibility = np.exp(log_weight - log_weight.max(1, keepdims=True))
    responsibility /= responsibility.sum(1, keepdims=True)
    return np.einsum("bc,bcd->bd", responsibility, difference) / variance


def mixture_batch(key, size: int) -> Transition:
    keys = jax.random.split(key, 3)
    condition = jax.random.bernoulli(keys[0], 0.5, (size,)).astype(jnp.float32)
    first = jax.random.uniform(keys[1], (size,)) < jnp.where(condition > 0, WEIGHTS[1.0][0], WEIGHTS[0.0][0])
    centre = jnp.where(first[:, None], CENTRES[0], CENTRES[1])
    action = centre + SPREAD * jax.random.normal(keys[2], (size, 2))
    zeros = jnp.zeros((size, 1))
    return Transition(zeros, action, zeros[:, 0], zeros, zeros[:, 0], condition, zeros[:, 0])


@pytest.fixture(scope="module")
def trained():
    network = NoisePredictor(2, 64, 2, 16, 16, 16, (32,))
    params = network.init(jax.random.key(0), jnp.zeros(1), jnp.zeros(2), jnp.zeros(()), jnp.zeros(()))
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, 6000))

    @jax.jit
    def train(params):
        def body(carry, key):
            params, state = carry
            batch_key, loss_key = jax.random.split(key)
            loss = partial(noise_prediction_loss, network.apply, num_steps=STEPS, key=loss_key)
            gradient = jax.grad(lambda p: loss(params=p, batch=mixture_batch(batch_key, 512)))(params)
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(params, updates), state), None

        keys = jax.random.split(jax.random.key(1), 6000)
        return jax.lax.scan(body, (params, optimizer.init(params)), keys)[0][0]

    return network, train(params)


@pytest.mark.parametrize("level", [0, 4, 10])
@pytest.mark.parametrize("condition", [0.0, 1.0])
def test_score_model_finds_the_score_of_a_conditional_mixture(trained, level, condition):
    network, params = trained
    blur = noise_level(STEPS, level)
    rng = np.random.default_rng(0)
    # points in the region of the noised data, on which the model was trained
    choice = rng.choice(2, 400, p=WEIGHTS[condition])
    action = CENTRES[choice] + np.hypot(SPREAD, blur) * rng.normal(size=(400, 2))
    got = data_score(
        network.apply, params, jnp.zeros((400, 1)), jnp.asarray(action), jnp.full(400, condition), STEPS, level
    )
    want = mixture_score(action, condition, blur)
    cosine = np.sum(got * want) / (np.linalg.norm(got) * np.linalg.norm(want))
    assert cosine > 0.97  # the sign and the direction
    np.testing.assert_allclose(np.linalg.norm(got) / np.linalg.norm(want), 1.0, atol=0.12)  # the scale
    assert np.sqrt(np.mean((got - want) ** 2)) < 0.3 * np.sqrt(np.mean(want**2))


def test_score_is_exact_for_a_perfect_noise_predictor():
    # the optimal predictor is known for data ~ N(m, s^2):
    # E[eps | a_k] = sqrt(1-abar) (a_k - sqrt(abar) m) / (abar s^2 + 1-abar)
    mean, spread, level = 0.3, 0.2, 5
    abar = cosine_schedule(STEPS)[level]

    def perfect(params, observation, noised, condition, time):
        del params, observation, condition
        np.testing.assert_allclose(time, (level + 1) / STEPS)
        return np.sqrt(1 - abar) * (noised - np.sqrt(abar) * mean) / (abar * spread**2 + 1 - abar)

    action = jnp.linspace(-1, 1, 9)[:, None]
    got = data_score(perfect, {}, jnp.zeros((9, 1)), action, jnp.ones(9), STEPS, level)
    want = -(action - mean) / (spread**2 + noise_level(STEPS, level) ** 2)
    np.testing.assert_allclose(got, want, rtol=1e-4)


def test_the_schedule_decreases_from_little_noise_to_almost_pure_noise():
    abar = cosine_schedule(STEPS)
    assert abar.shape == (STEPS,)
    assert np.all(np.diff(abar) < 0)
    assert 0.055 < noise_level(STEPS, 0) < 0.065
    assert abar[-1] < 1e-3
    # Nichol and Dhariwal, equation 17, where the betas are not clipped
    t = (np.arange(1, STEPS) / STEPS + 0.008) / 1.008
    expected = np.cos(t * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(abar[:-1], expected, rtol=1e-5)


@pytest.mark.parametrize(("share", "want"), [(1.0, 0.0), (0.5, 0.5), (0.0, 2.0), (-1.0, 8.0)])
def test_loss_of_a_guess_is_its_squared_error_over_the_dimensions(share, want):
    """All actions are equal, so the predictor can compute the noise from its input. It returns a share of it."""
    batch = mixture_batch(jax.random.key(0), 4096)._replace(action=jnp.full((4096, 2), 0.3))
    abar = jnp.asarray(cosine_schedule(STEPS))
    seen = []

    def predict(params, observation, noised, condition, time):
        np.testing.assert_array_equal(condition, batch.condition)
        step = jnp.round(time * STEPS).astype(int) - 1  # time is (k + 1) / K, for k from 0
        seen.append(np.unique(step))
        signal = abar[step][:, None]
        return share * (noised - jnp.sqrt(signal) * 0.3) / jnp.sqrt(1 - signal)

    loss = noise_prediction_loss(predict, {}, batch, STEPS, jax.random.key(1))
    np.testing.assert_allclose(loss, want, rtol=0.05, atol=1e-6)
    np.testing.assert_array_equal(seen[0], np.arange(STEPS))  # every level is drawn
