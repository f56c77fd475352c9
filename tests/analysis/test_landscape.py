"""Points of a landscape are the policies that they say, evaluated as everywhere else."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import Env, State
from hypothesis import given
from hypothesis import strategies as st

from smac_jax.algorithms.actor_critic import NetworkConfig, new_actor_critic
from smac_jax.analysis.landscape import landscape, largest_fall, line_weights, mix, plane_weights, positions, spanned
from smac_jax.errors import ConfigError
from smac_jax.train.evaluate import evaluate


class Still(Env):
    """One step from a random place; the reward is the action, which the actor's last bias decides."""

    def reset(self, rng):
        observation = jax.random.normal(rng, (2,))
        return State(None, observation, jnp.zeros(()), jnp.zeros(()), {}, {})

    def step(self, state, action):
        return state.replace(reward=action[0], done=jnp.ones(()))

    @property
    def observation_size(self):
        return 2

    @property
    def action_size(self):
        return 1

    @property
    def backend(self):
        return "none"


def policies(count: int, seeds: int = 2, hidden: tuple[int, ...] = (4,)):
    network = NetworkConfig(actor_hidden=hidden, critic_hidden=(3,))

    def one(key):
        return new_actor_critic(network, key, jnp.array([0.5, -1.0]), jnp.array([2.0, 1.0]), action_size=1)

    keys = jax.random.split(jax.random.key(0), count * seeds)
    made = jax.vmap(one)(keys)
    return [jax.tree.map(lambda x, i=i: x[i * seeds : (i + 1) * seeds], made) for i in range(count)]


def test_at_the_given_points_it_is_the_ordinary_evaluation():
    three = policies(3)
    env = Still()
    expected = [evaluate(p, env, episodes=5, seed=7, episode_length=3) for p in three]
    on_plane = landscape(three, plane_weights(np.array([0.0, 1.0]), np.array([0.0, 1.0])), env, 5, seed=7)
    for index, policy in ((0, 0), (2, 1), (1, 2)):  # (0,0), (1,0), (0,1): y runs fastest
        np.testing.assert_allclose(on_plane[index], expected[policy], atol=1e-6)
    on_line = landscape(three[:2], line_weights(np.array([0.0, 1.0])), env, 5, seed=7)
    np.testing.assert_allclose(on_line, expected[:2], atol=1e-6)


def test_between_them_it_is_the_return_of_the_mixed_parameters():
    """With all weights but the last bias zero, the action is the tanh of the mixed bias."""
    two = []
    for policy, bias in zip(policies(2), ([0.2, -0.4], [1.0, 0.6]), strict=True):
        params = jax.tree.map(jnp.zeros_like, policy.actor_params)
        params["params"]["mean"]["bias"] = jnp.array(bias)[:, None]
        two.append(policy.replace(actor_params=params))
    t = np.linspace(-0.5, 1.5, 9)
    found = landscape(two, line_weights(t), Still(), 3)
    expected = np.tanh(np.stack([0.2 + 0.8 * t, -0.4 + 1.0 * t], axis=1))
    np.testing.assert_allclose(found, np.repeat(expected[..., None], 3, axis=2), atol=1e-6)


def test_batches_of_points_and_points_that_are_known_change_nothing():
    two, weights = policies(2), line_weights(np.linspace(0, 1, 7))
    whole = landscape(two, weights, Still(), 2)
    told = {}
    parts = landscape(two, weights, Still(), 2, points_at_once=3, known={4: whole[4]}, on_points=told.update)
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    assert sorted(told) == [0, 1, 2, 3, 5, 6]


@given(st.floats(-2, 3), st.floats(-2, 3))
def test_weights_add_up_to_one_and_give_the_plane(x, y):
    weights = plane_weights(np.array([x]), np.array([y]))
    np.testing.assert_allclose(weights.sum(), 1.0, atol=1e-9)
    theta = np.array([[1.0, 2.0], [4.0, 0.0], [-1.0, 5.0]])
    expected = theta[0] + x * (theta[1] - theta[0]) + y * (theta[2] - theta[0])
    np.testing.assert_allclose(weights[0] @ theta, expected, atol=1e-9)


def test_policies_with_no_line_between_them_are_refused():
    first, second = policies(2)
    with pytest.raises(ConfigError, match="different networks or seeds"):
        mix([first, policies(1, hidden=(5,))[0]], line_weights(np.array([0.5])))
    with pytest.raises(ConfigError, match="differ in observation_std"):
        mix([first, second.replace(observation_std=2 * second.observation_std)], line_weights(np.array([0.5])))


def test_the_largest_fall_is_between_a_peak_and_what_follows():
    rises = np.array([[0.0, 1.0, 2.0], [1.0, 1.0, 2.0], [3.0, 0.0, 4.0]])
    assert largest_fall(rises).estimate == 0.0
    # means 1, 5, 4, 6, 2: from the 6 to the 2, by 2, 4 and 6 for the three seeds; not from the 5, which came before
    curve = np.array([[0.0, 1, 2], [4, 5, 6], [3, 4, 5], [5, 6, 7], [3, 2, 1]])
    fall = largest_fall(curve)
    assert fall.estimate == pytest.approx(4.0)
    assert 2.0 <= fall.low < 4.0 < fall.high <= 6.0
    assert largest_fall(curve[::-1]).estimate == pytest.approx(5.0)  # means 2, 6, 4, 5, 1


def test_noise_is_not_told_from_a_fall():
    noise = np.random.default_rng(0).normal(size=(2, 6))
    noise = noise[np.argsort(-noise.mean(axis=1))]
    fall = largest_fall(noise)
    assert fall.estimate > 0 > fall.low


def test_the_shape_of_a_plane_is_that_of_its_triangle():
    """Lengths and angle give the distance between the two ends by the law of cosines."""
    three = policies(3)
    plane = spanned(three)
    ends = [
        np.concatenate([np.asarray(x).reshape(2, -1) for x in jax.tree.leaves(p.actor_params)], axis=1) for p in three
    ]
    np.testing.assert_allclose(plane.u, np.linalg.norm(ends[1] - ends[0], axis=1), rtol=1e-6)
    between = np.linalg.norm(ends[2] - ends[1], axis=1)
    law = np.sqrt(plane.u**2 + plane.v**2 - 2 * plane.u * plane.v * np.cos(plane.angle))
    np.testing.assert_allclose(law, between, rtol=1e-5)
    same = spanned([three[0], three[1], three[1]])
    np.testing.assert_allclose(same.angle, 0.0, atol=1e-6)


@pytest.mark.parametrize("beyond", [0.25, 0.5, 0.0])
@pytest.mark.parametrize("count", [*range(2, 40), 49])
def test_the_policies_are_among_the_points_however_many_there_are(count, beyond):
    found = positions(count, beyond)
    assert len(found) == count
    assert (np.diff(found) > 0).all()
    assert {0.0, 1.0} <= set(found.tolist())
    even = np.linspace(-beyond, 1 + beyond, count)
    assert np.abs(found - even).max() <= max((1 + 2 * beyond) / (count - 1) / 2, beyond if count < 4 else 0) + 1e-9
    hit = (count - 1) % {0.25: 6, 0.5: 4, 0.0: 1}[beyond] == 0
    if hit:
        np.testing.assert_allclose(found, even, atol=1e-12)


@pytest.mark.parametrize(("count", "beyond"), [(1, 0.25), (0, 0.25), (5, -0.1)])
def test_fewer_points_than_policies_are_refused(count, beyond):
    with pytest.raises(ConfigError, match="2 points at least"):
        positions(count, beyond)


def test_a_fall_at_a_policy_is_seen_whatever_the_number_of_points():
    """The return is 0 but for a peak at the first policy, narrower than the points are apart."""
    for count in range(4, 30):
        along = positions(count, 0.25)
        peak = np.maximum(0.0, 1.0 - 100.0 * np.abs(along))
        within = (along >= 0) & (along <= 1)
        assert largest_fall(np.stack([peak, peak], axis=1)[within]).estimate == 1.0
