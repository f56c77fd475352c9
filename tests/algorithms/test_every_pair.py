"""Every offline algorithm trains, and every online algorithm fine-tunes its result."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from small_algorithms import TRAINED, small, transfers_to

import smac_jax
from smac_jax.algorithms import OFFLINE, ONLINE
from smac_jax.errors import ConfigError
from smac_jax.train.keys import stream_keys


@pytest.fixture(scope="module")
def env():
    return smac_jax.make_env("hopper", physics="mujoco")


@pytest.fixture(scope="module")
def pretrained(data):
    def train(name):
        return smac_jax.pretrain(name, data, 2, 6, small(name), progress=False)

    return {name: train(name) for name in OFFLINE}


@pytest.mark.parametrize("offline", TRAINED)
def test_offline_algorithms_train_and_stay_finite(offline, pretrained, data):
    result = pretrained[offline]
    algorithm = result.algorithm
    start = jax.jit(jax.vmap(algorithm.init, (0, None)))(stream_keys(result.seeds, "init"), algorithm.prepare(data))
    fresh = algorithm.actor_critic(start)

    def moved(name):
        before, after = getattr(fresh, name), getattr(result.actor_critic, name)
        change = jax.tree.map(lambda a, b: np.abs(a - b).max(axis=tuple(range(1, a.ndim))), before, after)
        return np.stack(jax.tree.leaves(change)).max(axis=0)  # [seed]

    assert (moved("actor_params") > 0).all()
    assert (moved("critic_params") > 0).all()
    # six polyak steps of 0.005 cover at most 3 % of the distance
    assert (moved("target_critic_params") > 0).all()
    assert (moved("target_critic_params") < 0.05 * moved("critic_params")).all()
    for name in ("actor_params", "critic_params", "target_critic_params"):
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(getattr(result.actor_critic, name))), name
    for name in ("td_loss", "q", "policy_loss"):
        assert np.isfinite(result.metrics[name][-1]).all(), name


def first_action_keys(seeds):
    """Returns the keys of the loop's first actions: the first of the three keys of step 0 in each seed's stream."""
    return jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, 0), 3)[0])(stream_keys(seeds, "online"))


# The fast pairs have one algorithm of each kind of policy with every online algorithm, and every one with SAC.
QUICK = {(offline, online) for offline in OFFLINE for online in ONLINE if online == "sac" or offline in ("smac", "iql")}
QUICK |= {("fql", "td3"), ("fql", "td3_bc")}
PAIRS = [
    pytest.param(offline, online, marks=() if (offline, online) in QUICK else pytest.mark.slow)
    for offline in OFFLINE
    for online in transfers_to(offline)
]


@pytest.mark.parametrize(("offline", "online"), PAIRS)
def test_every_offline_algorithm_transfers_to_every_online_one(offline, online, pretrained, env, data):
    before = pretrained[offline].actor_critic
    after = smac_jax.finetune(
        online,
        before,
        env,
        data,
        2,
        num_steps=4,
        warm_start=3,
        eval_every=10,
        eval_episodes=1,
        episode_length=5,
        config={"batch_size": 16, "utd": 2},
        progress=False,
    )
    assert np.isfinite(after.returns).all()
    # The offline policy continues: Adam's steps are about as long as its learning rate.
    config = after.algorithm.config
    steps = 4 // getattr(config, "policy_delay", 1)
    change = jax.tree.map(lambda a, b: np.abs(a - b).max(), before.actor_params, after.actor_critic.actor_params)
    largest = max(jax.tree.leaves(change))
    assert 0.5 * config.actor_learning_rate < largest < 1.05 * steps * config.actor_learning_rate
    change = jax.tree.map(lambda a, b: np.abs(a - b).max(), before.critic_params, after.actor_critic.critic_params)
    largest = max(jax.tree.leaves(change))
    assert 0.5 * config.critic_learning_rate < largest < 1.05 * 4 * config.utd * config.critic_learning_rate
    # The first action in the replay buffer is the offline policy's: its mode plus TD3's noise, or else a sample.
    stored = jax.tree.map(lambda x: x[:, 0], after.buffer.storage)
    mode = jax.vmap(lambda ac, seen: ac.policy(seen).mode())(before, stored.observation)
    noise = getattr(config, "exploration_noise", None)
    if noise is not None:
        assert 0 < np.abs(stored.action - mode).max() < 5 * noise
    else:
        acted = jax.vmap(lambda ac, seen, key: ac.policy(seen).sample(key))(
            before, stored.observation, first_action_keys(after.seeds)
        )
        np.testing.assert_allclose(stored.action, acted, atol=1e-5)
    # the normalization of observations and rewards is transferred, too
    np.testing.assert_array_equal(before.observation_mean, after.actor_critic.observation_mean)
    assert (np.abs(np.asarray(after.buffer.storage.action)) <= 1.0).all()


@pytest.mark.parametrize("online", ["sac", "awr"])
def test_a_policy_without_a_density_is_not_transferred_to_what_needs_one(online, pretrained, env, data):
    with pytest.raises(ConfigError, match=r"needs the density .* a one-step flow \(FQL\).* Transfer it to TD3"):
        smac_jax.finetune(online, pretrained["fql"].actor_critic, env, data, 2, 4, progress=False)
