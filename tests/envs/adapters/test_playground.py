"""MuJoCo Playground's environments: a real one if it is installed, and a fake one with several observations."""

from __future__ import annotations

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from ml_collections import ConfigDict

from smac_jax.envs import AutoReset, make_env
from smac_jax.errors import ConfigError, UnknownNameError


class PlaygroundState(struct.PyTreeNode):
    """The state of Playground's environments."""

    data: jax.Array
    obs: dict[str, jax.Array]
    reward: jax.Array
    done: jax.Array
    metrics: dict[str, jax.Array]
    info: dict[str, jax.Array]


class Slide:
    """A number to which actions are added. An episode ends beyond 1. Observations have a privileged part."""

    dt, action_size = 0.02, 1

    def __init__(self, config):
        self.config = config

    def reset(self, rng):
        x = jax.random.uniform(rng, maxval=0.5)
        zero = jnp.zeros(())
        return PlaygroundState(x, self.observation(x), zero, zero, {"where": zero}, {"count": jnp.zeros((), jnp.int32)})

    def step(self, state, action):
        x = state.data + self.config.gain * action[0]
        done = x > 1.0  # a bool, as in some of Playground's environments
        return state.replace(
            data=x,
            obs=self.observation(x),
            reward=-x,
            done=done,
            metrics={"where": x},
            info={"count": state.info["count"] + 1},
        )

    def observation(self, x):
        return {"state": jnp.stack([x, x**2]), "privileged_state": jnp.zeros(7)}


@pytest.fixture
def fake(monkeypatch):
    """A fake Playground with one environment."""

    def load(name, config_overrides):
        config = ConfigDict({"gain": 0.1, "episode_length": 25, "impl": "warp"}).lock()
        config.update_from_flattened_dict(config_overrides)
        assert config.impl == "jax"
        return Slide(config)

    registry = types.SimpleNamespace(
        ALL_ENVS=("Slide",),
        get_default_config=lambda name: ConfigDict({"gain": 0.1, "episode_length": 25, "impl": "warp"}),
        load=load,
    )
    module = types.ModuleType("mujoco_playground")
    module.registry = registry
    module.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(__import__("sys").modules, "mujoco_playground", module)


def test_only_the_state_is_observed_and_the_inner_info_is_reset(fake):
    env = make_env("playground:Slide", gain=0.2)
    assert (env.observation_size, env.action_size, env.episode_length, env.dt) == (2, 1, 25, 0.02)
    wrapped = AutoReset(env, env.episode_length)

    def step(state, action):
        after = wrapped.step(state, action)
        return after, (state, after)

    first = wrapped.reset(jax.random.key(0))
    before, after = jax.jit(lambda s: jax.lax.scan(step, s, jnp.full((40, 1), 0.3))[1])(first)
    x = np.asarray(before.obs[:, 0])
    np.testing.assert_allclose(after.info["next_observation"][:, 0], x + 0.06, rtol=1e-6)
    np.testing.assert_allclose(after.reward, -(x + 0.06), rtol=1e-6)
    np.testing.assert_array_equal(after.done, x + np.float32(0.06) > 1.0)
    assert after.done.sum() >= 2
    # the info of the inner environment is reset with the episode
    starts = np.flatnonzero(np.asarray(after.done)[:-1]) + 1
    assert (before.pipeline_state.info["count"][starts] == 0).all()
    assert (before.obs[starts, 0] < 0.5).all()


def test_unknown_environments_and_options_are_refused(fake):
    with pytest.raises(UnknownNameError, match="Unknown environment of MuJoCo Playground 'Glide'"):
        make_env("playground:Glide")
    with pytest.raises(ConfigError, match=r"playground:Slide cannot be made with .*'grip'"):
        make_env("playground:Slide", grip=1.0)


def test_without_playground_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'smac_jax\[playground\]'"):
        make_env("playground:CartpoleBalance")


def test_a_real_environment_equals_playground_step_by_step():
    registry = pytest.importorskip("mujoco_playground").registry
    env = make_env("playground:CartpoleBalance")
    reference = registry.load("CartpoleBalance", config_overrides={"impl": "jax"})
    actions = jax.random.uniform(jax.random.key(1), (30, 1), minval=-1.0)

    def rollout(env):
        def step(state, action):
            after = env.step(state, action)
            return after, (after.obs, after.reward, after.done)

        return jax.jit(lambda key: jax.lax.scan(step, env.reset(key), actions)[1])(jax.random.key(0))

    jax.tree.map(np.testing.assert_array_equal, rollout(env), rollout(reference))
