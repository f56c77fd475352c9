"""The points of a landscape are interpolated policies, which are evaluated as elsewhere."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import Env, State

from smac_jax.algorithms.actor_critic import NetworkConfig, new_actor_critic
from smac_jax.analysis.landscape_points import line_weights, plane_weights
from smac_jax.errors import ConfigError
from smac_jax.train.evaluate import evaluate
from smac_jax.train.landscape import landscape, mix, spanned


class Still(Env):
    """An episode of one step from a random state. The reward is the action, which depends on the actor's last bias."""

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


def test_a_landscape_equals_the_evaluation_at_its_policies():
    three = policies(3)
    env = Still()
    expected = [evaluate(p, env, episodes=5, seed=7, episode_length=3) for p in three]
    on_plane = landscape(three, plane_weights(np.array([0.0, 1.0]), np.array([0.0, 1.0])), env, 5, seed=7)
    for index, policy in ((0, 0), (2, 1), (1, 2)):  # (0,0), (1,0), (0,1); y varies fastest
        np.testing.assert_allclose(on_plane[index], expected[policy], atol=1e-6)
    on_line = landscape(three[:2], line_weights(np.array([0.0, 1.0])), env, 5, seed=7)
    np.testing.assert_allclose(on_line, expected[:2], atol=1e-6)


def test_a_landscape_has_the_returns_of_interpolated_parameters():
    """All weights except the last bias are zero, so the action is the tanh of the interpolated bias."""
    two = []
    for policy, bias in zip(policies(2), ([0.2, -0.4], [1.0, 0.6]), strict=True):
        params = jax.tree.map(jnp.zeros_like, policy.actor_params)
        params["params"]["mean"]["bias"] = jnp.array(bias)[:, None]
        two.append(policy.replace(actor_params=params))
    t = np.linspace(-0.5, 1.5, 9)
    found = landscape(two, line_weights(t), Still(), 3)
    expected = np.tanh(np.stack([0.2 + 0.8 * t, -0.4 + 1.0 * t], axis=1))
    np.testing.assert_allclose(found, np.repeat(expected[..., None], 3, axis=2), atol=1e-6)


def test_batches_and_known_points_do_not_change_a_landscape():
    two, weights = policies(2), line_weights(np.linspace(0, 1, 7))
    whole = landscape(two, weights, Still(), 2)
    told = {}
    parts = landscape(two, weights, Still(), 2, points_at_once=3, known={4: whole[4]}, on_points=told.update)
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    assert sorted(told) == [0, 1, 2, 3, 5, 6]


def test_policies_with_different_architectures_are_refused():
    first, second = policies(2)
    with pytest.raises(ConfigError, match="different networks or numbers of seeds"):
        mix([first, policies(1, hidden=(5,))[0]], line_weights(np.array([0.5])))
    with pytest.raises(ConfigError, match="differ in observation_std"):
        mix([first, second.replace(observation_std=2 * second.observation_std)], line_weights(np.array([0.5])))


def test_the_shape_of_a_plane_is_that_of_its_triangle():
    """By the law of cosines, lengths and angle give the distance between the two ends."""
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
