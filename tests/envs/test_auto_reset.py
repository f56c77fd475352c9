"""Time limits, resets, and the observations for the replay buffer."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smac_jax.envs import AutoReset, make_env


@pytest.fixture(scope="module")
def hopper():
    """A hopper, which falls after about twenty random steps."""
    return make_env("hopper", physics="mujoco")


@functools.cache
def compiled(env, length):
    """Compiles a random rollout, which returns all states (beginning with the first one) and the actions."""

    @jax.jit
    def rollout(key):
        key_reset, key_actions = jax.random.split(key)
        first = env.reset(key_reset)
        actions = jax.random.uniform(key_actions, (length, env.action_size), minval=-1.0)
        states = jax.lax.scan(lambda s, a: (env.step(s, a),) * 2, first, actions)[1]
        return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, states), actions

    return rollout


def run(env, length, seed=0):
    """Returns the states and actions of a random rollout."""
    return compiled(env, length)(jax.random.key(seed))


@pytest.fixture(scope="module")
def falls(hopper):
    """Episodes that end with a fall."""
    return run(AutoReset(hopper, 1000), 120)


@pytest.fixture(scope="module")
def cut():
    """Episodes of a robot that cannot fall, which are cut after seven steps."""
    return run(AutoReset(make_env("halfcheetah", physics="mujoco"), 7), 30)


def test_the_state_keeps_its_structure(hopper):
    env = AutoReset(hopper)
    before = jax.eval_shape(env.reset, jax.random.key(0))
    after = jax.eval_shape(env.step, before, jnp.zeros(3))
    assert jax.tree.structure(before) == jax.tree.structure(after)
    assert [(x.shape, x.dtype) for x in jax.tree.leaves(before)] == [(x.shape, x.dtype) for x in jax.tree.leaves(after)]


def test_a_fall_is_a_termination_and_not_a_truncation(falls):
    states, _ = falls
    ends = np.flatnonzero(states.done)
    assert len(ends) >= 3
    assert states.info["terminal"][ends].all()
    assert not states.info["truncation"].any()
    np.testing.assert_array_equal(states.info["terminal"], states.done)


def test_a_time_limit_is_a_truncation_and_not_a_termination(cut):
    states, _ = cut
    assert np.flatnonzero(states.done).tolist() == [7, 14, 21, 28]
    assert np.flatnonzero(states.info["truncation"]).tolist() == [7, 14, 21, 28]
    assert not states.info["terminal"].any()


def test_a_fall_at_the_time_limit_is_a_termination(hopper, falls):
    states, _ = falls
    fall = int(np.flatnonzero(states.done)[0])
    states, _ = run(AutoReset(hopper, fall), 120)
    assert states.info["terminal"][fall] == 1
    assert states.info["truncation"][fall] == 0


def test_the_next_observation_is_that_before_a_reset(hopper, falls):
    """At the end of an episode, only ``obs`` is the first observation of the next episode."""
    states, actions = falls
    for t in [0, 5, *(np.flatnonzero(states.done)[:3] - 1)]:
        state = jax.tree.map(lambda x, t=t: x[t], states)
        alone = hopper.step(state, actions[t])
        np.testing.assert_array_equal(states.info["next_observation"][t + 1], alone.obs)
        np.testing.assert_allclose(states.reward[t + 1], alone.reward, rtol=1e-6, atol=1e-6)
    continuing = states.done == 0
    np.testing.assert_array_equal(states.obs[continuing], states.info["next_observation"][continuing])
    assert (states.obs[~continuing] != states.info["next_observation"][~continuing]).any(-1).all()


def test_every_episode_starts_with_new_noise(hopper, falls):
    states, _ = falls
    starts = np.asarray(states.obs)[np.asarray(states.done) > 0]
    rest = np.concatenate([hopper._engine.init_qpos[1:], hopper._engine.init_qvel])
    assert np.abs(starts - rest).max() <= 5e-3 + 1e-6
    assert len(np.unique(starts[:, 0])) == len(starts)


def test_seeds_are_reproducible_and_differ_from_each_other(hopper):
    env = AutoReset(hopper)
    a, b, c = run(env, 60)[0], run(env, 60)[0], run(env, 60, seed=1)[0]
    np.testing.assert_array_equal(a.obs, b.obs)
    assert (a.obs != c.obs).any()


def test_returns_and_lengths_are_those_of_the_episode(falls):
    states, _ = falls
    reward, done = np.asarray(states.reward)[1:], np.asarray(states.done)[1:]
    ends = np.flatnonzero(done)
    first = 0
    for number, end in enumerate(ends, start=1):
        info = jax.tree.map(lambda x, end=end: x[end + 1], {k: v for k, v in states.info.items() if k != "key"})
        assert info["last_episode_return"] == pytest.approx(reward[first : end + 1].sum(), rel=1e-4)
        assert info["last_episode_length"] == end + 1 - first
        assert info["episodes"] == number
        assert info["steps"] == 0
        assert info["episode_return"] == 0
        first = end + 1
    assert states.info["steps"][-1] == len(reward) - first


def test_an_episode_after_a_reset_is_that_of_a_fresh_environment(hopper, falls):
    """The hidden state of the engine (the warm start of the solver) is reset, too."""
    states, actions = falls
    end = int(np.flatnonzero(states.done)[0])
    state = jax.tree.map(lambda x: x[end], states)
    physics = state.pipeline_state
    fresh = hopper.reset_to(np.asarray(physics.qpos, np.float64), np.asarray(physics.qvel, np.float64))
    for t in range(end, end + 5):
        fresh = hopper.step(fresh, actions[t])
        np.testing.assert_array_equal(fresh.obs, states.info["next_observation"][t + 1])


def test_a_brax_environment_can_be_wrapped():
    """Brax's test environment keeps its info and its pipeline state in a scan."""
    env = AutoReset(make_env("brax:fast"), 5)
    states, _ = run(env, 12)
    assert np.flatnonzero(states.info["truncation"]).tolist() == [5, 10]
    assert not states.info["terminal"].any()


@pytest.mark.slow
def test_a_brax_robot_can_be_wrapped():
    env = AutoReset(make_env("brax:inverted_pendulum", backend="generalized"), 20)
    states, _ = run(env, 60)
    assert np.asarray(states.done).sum() >= 2
    assert np.isfinite(states.obs).all()
