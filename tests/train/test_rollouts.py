"""Episodes of a given policy are complete and in order, and can be reproduced from their states."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smac_jax.deploy.policy_source import PolicySource, read_policy_source
from smac_jax.envs import make_env
from smac_jax.envs.agreement import States, one_step_agreement
from smac_jax.errors import CheckpointError, ConfigError
from smac_jax.train.rollouts import collect_episodes, first_episodes

POLICIES = Path(__file__).resolve().parents[3] / "shared" / "data" / "policies"
needs_policies = pytest.mark.skipif(not POLICIES.is_dir(), reason=f"no folder {POLICIES}")


class Linear:
    """A policy whose actions depend weakly on the observation."""

    def __call__(self, parameters, observation, noise=None):
        action = parameters["gain"] * jnp.sin(observation[:3])
        return action if noise is None else jnp.clip(action + 0.3 * noise, -1, 1)


def policy(gain: float = 0.5) -> PolicySource:
    return PolicySource("linear", "", 11, 3, True, Linear(), {"gain": np.float32(gain)})


@pytest.fixture(scope="module")
def hopper():
    return make_env("hopper", "mujoco")


@pytest.fixture(scope="module")
def rolled(hopper):
    return collect_episodes(hopper, policy(), 300, key=jax.random.key(0), episode_length=20, num_envs=7)


def test_episodes_are_in_the_order_of_their_starts():
    # environment 0 has episodes of 2 and 3 steps and an unfinished one; environment 1 has one of 4 and an unfinished
    # one
    ends = np.zeros((6, 2), bool)
    ends[[1, 4], 0] = ends[3, 1] = True
    assert first_episodes(ends, 2) == [(0, 0, 2)]
    assert first_episodes(ends, 3) == [(0, 0, 2), (1, 0, 4)]
    assert first_episodes(ends, 9) == [(0, 0, 2), (1, 0, 4), (0, 2, 5)]
    assert (
        first_episodes(ends, 10) is None
    )  # the second episode of environment 1 began before the third of environment 0
    assert first_episodes(ends[:3], 3) is None


def test_episodes_are_complete_and_their_rows_are_consecutive(rolled):
    arrays = rolled.arrays
    ends = arrays["terminals"] | arrays["timeouts"]
    assert ends.sum() == len(rolled.lengths)
    assert ends[-1]
    np.testing.assert_array_equal(np.flatnonzero(ends) + 1, np.cumsum(rolled.lengths))
    np.testing.assert_array_equal(arrays["next_observations"][:-1][~ends[:-1]], arrays["observations"][1:][~ends[:-1]])
    assert not (arrays["terminals"] & arrays["timeouts"]).any()
    assert (rolled.lengths[arrays["timeouts"][ends]] == 20).all()
    assert 300 <= len(ends) < 300 + rolled.lengths[-1]
    assert rolled.returns.sum() == pytest.approx(arrays["rewards"].sum(), rel=1e-5)


def test_logged_states_reproduce_the_rows(rolled, hopper):
    infos = rolled.infos
    assert infos["qpos"].dtype == infos["qvel"].dtype == np.float64
    states = States(infos["qpos"], infos["qvel"], np.ones(len(infos["qpos"]), bool))
    found = one_step_agreement(hopper, states, rolled.arrays)
    assert (found.share, found.reward_share) == (1.0, 1.0)


def test_the_same_key_gives_the_same_rows_and_the_mean_has_no_noise(rolled, hopper):
    again = collect_episodes(hopper, policy(), 300, key=jax.random.key(0), episode_length=20, num_envs=7)
    np.testing.assert_array_equal(again.arrays["actions"], rolled.arrays["actions"])
    mean = collect_episodes(hopper, policy(), 30, key=jax.random.key(0), episode_length=20, deterministic=True)
    np.testing.assert_allclose(mean.arrays["actions"], 0.5 * np.sin(mean.arrays["observations"][:, :3]), rtol=1e-5)
    noisy = collect_episodes(
        hopper, policy(), 300, key=jax.random.key(0), episode_length=20, deterministic=True, noise=0.1
    )
    left = noisy.arrays["actions"] - 0.5 * np.sin(noisy.arrays["observations"][:, :3])
    assert left.std() == pytest.approx(0.1, rel=0.1)


def test_an_action_with_nan_is_refused(hopper):
    with pytest.raises(CheckpointError, match="linear gave an action that is not finite"):
        collect_episodes(hopper, policy(np.nan), 30, key=jax.random.key(0), episode_length=20)
    with pytest.raises(ConfigError, match="size = 0"):
        collect_episodes(hopper, policy(), 0, key=jax.random.key(0), episode_length=20)


@needs_policies
def test_a_published_policy_has_the_reported_return():
    env = make_env("halfcheetah", "mujoco")
    source = read_policy_source(POLICIES / "dope-halfcheetah.npz", 1)
    rolled = collect_episodes(env, source, 5000, key=jax.random.key(0), episode_length=1000)
    assert rolled.returns.mean() == pytest.approx(5686, rel=0.05)


@needs_policies
def test_the_position_of_the_door_is_part_of_the_state():
    pytest.importorskip("gymnasium_robotics", reason="the models come with gymnasium-robotics")
    env = make_env("door", "mujoco")
    source = read_policy_source(POLICIES / "dapg-door.npz")
    rolled = collect_episodes(env, source, 400, key=jax.random.key(0), episode_length=200)
    infos = rolled.infos
    assert infos["scene"].shape == (400, 3)
    assert len(np.unique(infos["scene"], axis=0)) == 2
    states = States(infos["qpos"], infos["qvel"], np.ones(400, bool), infos["scene"])
    found = one_step_agreement(env, states, rolled.arrays)
    assert (found.share, found.reward_share) == (1.0, 1.0)
