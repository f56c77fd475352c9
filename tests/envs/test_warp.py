"""MuJoCo Warp against the C engine: the same tasks in float32, over short horizons."""

from __future__ import annotations

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smac_jax.envs import AutoReset, make_env
from smac_jax.errors import ConfigError

installed = importlib.util.find_spec("warp") is not None
slow = pytest.mark.slow  # minutes of compilation on a CPU, the first time


def rollout(env, starts, actions):
    """Returns observations, rewards, ends and positions of ``[seed, environment]`` episodes from given states."""
    step = jax.vmap(jax.vmap(env.step))
    states = env.reset_to(np.array(starts.qpos), np.array(starts.qvel), starts_scene(env, starts))
    roll = jax.jit(lambda s: jax.lax.scan(lambda s, a: (step(s, a),) * 2, s, actions)[1])
    after = roll(states)
    return after.obs, after.reward, after.done, after.pipeline_state.qpos


def starts_scene(env, starts):
    scene = env._engine.init_scene
    return np.broadcast_to(scene, (*starts.qpos.shape[:-1], *scene.shape))


@slow
@pytest.mark.skipif(not installed, reason="needs warp-lang")
@pytest.mark.parametrize(("name", "bound"), [("hopper", 1e-5), ("pen", 2e-4), ("kitchen-partial", 1e-4)])
def test_agrees_with_the_c_engine_under_two_vmaps(name, bound):
    assert_agreement(make_env(name, "mujoco"), make_env(name, "warp"), bound)


@slow
@pytest.mark.skipif(not installed, reason="needs warp-lang")
@pytest.mark.usefixtures("elliptic_c_engine")
def test_ant_agrees_with_elliptic_cones_on_warp():
    """With elliptic cones the contact frame does not matter, as with MJX."""
    assert_agreement(make_env("ant", "mujoco"), make_env("ant", "warp", cone="elliptic"), 1e-5)


def assert_agreement(c, w, bound):
    keys = jax.random.split(jax.random.key(0), (2, 3))
    starts = jax.vmap(jax.vmap(c.reset))(keys).pipeline_state
    actions = jax.random.uniform(jax.random.key(1), (5, 2, 3, c.action_size), minval=-0.3, maxval=0.3)
    actual, exact = rollout(w, starts, actions), rollout(c, starts, actions)
    np.testing.assert_allclose(actual[3], exact[3], atol=bound)
    assert (np.asarray(actual[2]) == np.asarray(exact[2])).all()
    np.testing.assert_allclose(actual[1], exact[1], atol=50 * bound)
    assert np.ptp(np.asarray(actual[3]), axis=(1, 2)).max() > 10 * bound  # the six environments differ


@slow
@pytest.mark.skipif(not installed, reason="needs warp-lang")
def test_the_scene_differs_between_episodes():
    """The position of the door is drawn in each episode, and is set in the model."""
    c, w = make_env("door", "mujoco"), make_env("door", "warp")
    keys = jax.random.split(jax.random.key(0), 4)
    at_c, at_w = jax.vmap(c.reset)(keys).obs, jax.vmap(w.reset)(keys).obs
    np.testing.assert_allclose(at_w, at_c, atol=1e-5)
    assert np.ptp(np.asarray(at_w), axis=0).max() > 0.01


@slow
@pytest.mark.skipif(not installed, reason="needs warp-lang")
def test_auto_reset_runs_on_warp():
    env = AutoReset(make_env("hopper", "warp"), 10)
    states = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 3))
    scan = jax.jit(lambda s: jax.lax.scan(lambda s, _: (jax.vmap(env.step)(s, jnp.zeros((3, 3))),) * 2, s, None, 12)[1])
    after = scan(states)
    assert np.flatnonzero(after.info["truncation"][:, 0]).tolist() == [9]
    assert np.isfinite(after.obs).all()


@pytest.mark.skipif(installed, reason="warp-lang is installed")
def test_without_warp_lang_the_error_says_what_to_install():
    with pytest.raises(ConfigError, match=r"pip install -e '\.\[warp\]'"):
        make_env("hopper", "warp")


def test_unsupported_options_are_refused():
    with pytest.raises(ConfigError, match="contact forces"):
        make_env("ant", "warp", version="v5")
    with pytest.raises(ConfigError, match="contacts = 0: must be at least 1"):
        make_env("hopper", "warp", contacts=0)
    with pytest.raises(ConfigError, match="no option 'threads'"):
        make_env("hopper", "warp", threads=2)
