"""An environment of action chunks, against its own environment stepped by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import Env, State

import smac_jax
from smac_jax.data import in_chunks
from smac_jax.envs import AutoReset, identity_of
from smac_jax.envs.chunks import ActionChunks
from smac_jax.errors import ConfigError

DISCOUNT = 0.9


class Line(Env):
    """A point on a line; pays its place, ends beyond 1, and counts its steps as a score if it is ``judged``."""

    def __init__(self, judged=False):
        self.judged = judged

    def reset(self, rng):
        obs, zero = jax.random.uniform(rng, (1,), maxval=0.1), jnp.zeros(())
        metrics = {"score": zero} if self.judged else {"place": zero}
        return State(pipeline_state=None, obs=obs, reward=zero, done=zero, metrics=metrics, info={})

    def step(self, state, action):
        obs = state.obs + 0.1 * action
        metrics = {"score": jnp.ones(())} if self.judged else {"place": obs[0]}
        return state.replace(obs=obs, reward=obs[0], done=(obs[0] > 1.0).astype(jnp.float32), metrics=metrics)

    observation_size = property(lambda self: 1)
    action_size = property(lambda self: 1)
    backend = property(lambda self: "jax")


def stepped(env, state, actions):
    """The observation, the discounted reward, the plain one, the end and the number of steps, one step at a time."""
    discounted = plain = 0.0
    for i, action in enumerate(actions):
        state = env.step(state, action)
        discounted, plain = discounted + DISCOUNT**i * float(state.reward), plain + float(state.reward)
        if state.done > 0:
            break
    return np.asarray(state.obs), discounted, plain, float(state.done), i + 1


@pytest.mark.parametrize("size", [1.0, 4.0], ids=["whole", "ends inside"])
def test_a_step_carries_out_the_chunk_until_the_episode_ends(size):
    env = Line()
    chunks = ActionChunks(env, 4, DISCOUNT)
    start, actions = jax.jit(chunks.reset)(jax.random.key(0)), size * np.ones((4, 1), np.float32)
    got = jax.jit(chunks.step)(start, actions.ravel())
    obs, reward, plain, done, steps = stepped(env, env.reset(jax.random.key(0)), actions)
    assert (steps == 4) == (size == 1.0)
    np.testing.assert_allclose(got.obs, obs, rtol=1e-6)
    np.testing.assert_allclose(got.reward, reward, rtol=1e-6)
    np.testing.assert_allclose(got.metrics["score"], plain, rtol=1e-6)
    assert got.done == done


def test_the_score_of_the_environment_is_the_sum_over_a_chunk():
    chunks = ActionChunks(Line(judged=True), 4, DISCOUNT)
    got = chunks.step(chunks.reset(jax.random.key(0)), 4.0 * np.ones(4))
    assert got.metrics["score"] == 3.0  # the steps until it ended


def test_no_chunk_is_cut_by_the_time_limit_and_evaluations_are_undiscounted():
    chunks = ActionChunks(Line(), 4, DISCOUNT, episode_length=11)
    assert chunks.episode_length == 2
    world = AutoReset(chunks, chunks.episode_length)
    state = world.reset(jax.random.key(0))
    ends = []
    for _ in range(4):
        state = world.step(state, jnp.zeros(4))
        ends.append((float(state.info["truncation"]), float(state.info["terminal"])))
    assert ends == [(0, 0), (1, 0)] * 2
    with pytest.raises(ConfigError, match="ActionChunks: episode_length = 3: must be at least 4"):
        ActionChunks(Line(), 4, episode_length=3)


def test_a_name_stands_for_an_environment_of_chunks():
    env, single = smac_jax.make_env("chunks:3:hopper"), smac_jax.make_env("hopper")
    assert (env.action_size, env.observation_size, env.episode_length) == (9, single.observation_size, 333)
    assert identity_of(env)["name"] == "chunks:3:hopper"
    assert identity_of(AutoReset(env)) == identity_of(env) != identity_of(single)
    actions = np.random.default_rng(0).uniform(-1, 1, (3, 3)).astype(np.float32)
    got = jax.jit(env.step)(jax.jit(env.reset)(jax.random.key(1)), actions.ravel())
    state, total = jax.jit(single.reset)(jax.random.key(1)), 0.0
    step = jax.jit(single.step)
    for i, action in enumerate(actions):
        state = step(state, action)
        total += 0.99**i * float(state.reward)
    np.testing.assert_allclose(got.obs, state.obs, rtol=1e-6)
    np.testing.assert_allclose(got.reward, total, rtol=1e-6)


@pytest.mark.parametrize("name", ["fql", "bc"])
def test_algorithms_see_a_chunk_as_one_action(name):
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.uniform(-0.1, 0.1, (10, 9, 1)), axis=1)
    last = np.tile(np.arange(8) == 7, 10)
    data = smac_jax.Dataset.from_arrays(
        walk[:, :-1].reshape(-1, 1),
        np.clip(10 * np.diff(walk, axis=1), -1, 1).reshape(-1, 1),
        walk[:, 1:].ravel(),
        0 * last,
        last,
        walk[:, 1:].reshape(-1, 1),
    )
    chunks = in_chunks(data, 4)
    network = {"actor_hidden": (8,), "critic_hidden": (8,)}
    config = {"batch_size": 8, "network": network, "discount": 0.99**4}
    off = smac_jax.pretrain(name, chunks, 1, 2, config, progress=False)
    assert jax.tree.map(lambda x: x[0], off.actor_critic).policy(jnp.zeros((1, 1))).mode().shape == (1, 4)
    env = ActionChunks(Line(), 4, episode_length=8)
    size = {"num_steps": 2, "warm_start": 2, "eval_every": 2, "eval_episodes": 1, "final_episodes": 1}
    online = {"fql": "same", "bc": "td3"}[name]
    on = smac_jax.finetune(online, off, env, chunks, 1, episode_length=2, progress=False, **size)
    assert on.buffer.storage.action.shape == (1, 4, 4)
    returns = smac_jax.evaluate(off.actor_critic, env, 2, episode_length=2)
    assert returns.shape == (1, 2)
