"""Code that divides by the spread of numbers in the data has the right result if the spread is zero."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import smac_jax
from smac_jax.algorithms import cal_ql, make_offline, td3_bc
from smac_jax.algorithms.iql import IQLConfig
from smac_jax.algorithms.pretraining import PretrainingConfig, reward_scale_for, warn_of_equal_returns
from smac_jax.analysis.metrics import dip, normalized_regret, normalized_regret_intervals
from smac_jax.analysis.statistics import bootstrap_interval, interquartile_mean, interquartile_mean_over_tasks
from smac_jax.data.trajectories import min_max_normalized
from smac_jax.spread import spread
from smac_jax.tasks import TaskInfo

NETWORK = {"actor_hidden": (4,), "critic_hidden": (4,)}


def dataset(rewards: np.ndarray, length: int = 5) -> smac_jax.Dataset:
    """Returns a data set whose episodes have these rewards."""
    rows = len(rewards)
    seen = np.random.default_rng(0).normal(size=(rows, 2))
    ends = np.arange(rows) % length == length - 1
    return smac_jax.Dataset.from_arrays(seen, seen[:, :1] % 1, rewards, ends, next_observations=seen, name="mine")


SAME = {
    "constant": np.full(20, 0.1),
    "zero": np.zeros(20),
    "one demonstration": np.linspace(0, 1, 5),
    "the same rewards in other orders": np.concatenate(
        [np.random.default_rng(i).permutation([0.1, 0.7, 1e3, -2.3, 1e-3]) for i in range(6)]
    ),
}


@pytest.mark.parametrize("rewards", SAME.values(), ids=SAME)
def test_with_equal_returns_rewards_are_not_rescaled_and_there_is_a_warning(rewards):
    data = dataset(rewards)
    config = IQLConfig(return_span=1000.0, reward_scale=2.0)
    assert float(reward_scale_for(config, data)) == 2.0
    begun = jax.jit(make_offline("iql", config).init)(jax.random.key(0), data)
    assert np.asarray(begun.actor_critic.reward_scale) == 2.0
    with pytest.warns(
        UserWarning, match=r"IQLConfig.return_span = 1000: every episode of mine has the return .*reward_scale = 2"
    ):
        warn_of_equal_returns(config, data)
    np.testing.assert_array_equal(data.conditions, 1.0)
    assert data.summary()


def test_pretrain_warns_of_equal_returns():
    config = {"return_span": 1000.0, "batch_size": 4, "network": NETWORK, "value_hidden": (4,)}
    with pytest.warns(UserWarning, match="every episode of mine returns"):
        off = smac_jax.pretrain("iql", dataset(SAME["constant"]), 1, 1, config, progress=False)
    assert off.actor_critic.reward_scale.tolist() == [1.0]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_different_returns_are_rescaled_to_the_given_span(scale, recwarn):
    data = dataset(scale * np.random.default_rng(0).normal(size=20))
    config = PretrainingConfig(return_span=1000.0)
    returns = float(reward_scale_for(config, data)) * data.episode_returns()
    np.testing.assert_allclose(np.ptp(returns), 1000.0, rtol=1e-5)
    warn_of_equal_returns(config, data)
    assert not recwarn.list
    assert (data.conditions.min(), data.conditions.max()) == (0.0, 1.0)


def test_the_lower_bound_of_cal_ql_is_in_the_units_of_its_critics():
    data = dataset(np.random.default_rng(0).normal(size=20))
    config = cal_ql.CalQLConfig(return_span=50.0, discount=1.0, reward_bias=0.5)
    bounded = cal_ql.cal_ql(config).prepare(data)
    first = np.asarray(bounded.returns_to_go)[::5]
    want = float(reward_scale_for(config, data)) * data.episode_returns() + 5 * 0.5
    np.testing.assert_allclose(first, want, rtol=1e-4, atol=1e-4)


def test_min_max_normalization_ignores_rounding():
    np.testing.assert_array_equal(min_max_normalized(np.array([3.3, 1.1 + 2.2])), 1.0)
    np.testing.assert_allclose(min_max_normalized(np.array([1000.0, 1000.5, 1001.0])), [0.0, 0.5, 1.0])
    np.testing.assert_allclose(min_max_normalized(np.array([-1e-9, 0.0, 1e-9])), [0.0, 0.5, 1.0])
    assert spread(np.array([5.0])) == 0.0


@pytest.mark.parametrize("value", [0.0, 0.1, 300.0, 1e6])
def test_a_constant_observation_is_normalized_to_a_small_number(value):
    rows = np.random.default_rng(0).normal(size=(1000, 2))
    rows[:, 1] = value
    data = smac_jax.Dataset.from_arrays(rows, rows[:, :1] % 1, rows[:, 0], np.arange(1000) % 9 == 8)
    mean, std = (np.asarray(x) for x in data.observation_statistics())
    assert std[1] >= 1e-3
    assert np.abs((np.asarray(data.observations)[:, 1] - mean[1]) / std[1]).max() <= 1.0
    np.testing.assert_allclose([mean[0], std[0]], [rows[:, 0].mean(), rows[:, 0].std()], rtol=0.05, atol=0.05)


@pytest.mark.parametrize("start", [100.0, 100.0 + 1e-9, np.nextafter(100.0, 200.0), 99.0])
def test_a_policy_that_equals_random_up_to_rounding_has_no_dip(start):
    assert np.isnan(dip(np.array([0.0, 1.0]), np.array([[start, 50.0]]), random_return=100.0, horizon=1)).all()
    better = dip(np.array([0.0, 1.0]), np.array([[101.0, 100.5]]), random_return=100.0, horizon=1)
    np.testing.assert_allclose(better, 0.5)


def test_regrets_that_differ_by_rounding_are_equal():
    pairs = {("a", "x"): 3.3, ("b", "x"): 1.1 + 2.2}
    assert normalized_regret({"task": pairs}) == dict.fromkeys(pairs, 0.0)
    other = normalized_regret({"task": pairs, "other": {("a", "x"): 1.0, ("b", "x"): 2.0}})
    assert other == {("a", "x"): 0.0, ("b", "x"): 0.5}
    of_seeds = {pair: np.full(3, value) for pair, value in pairs.items()}
    for interval in normalized_regret_intervals({"task": of_seeds}, resamples=20).values():
        assert tuple(interval) == (0.0, 0.0, 0.0)


def test_the_interval_of_equal_scores_is_that_score():
    assert tuple(bootstrap_interval([2.0] * 4, statistic=interquartile_mean)) == (2.0, 2.0, 2.0)
    assert tuple(interquartile_mean_over_tasks({"a": np.full(3, 2.0), "b": np.full(3, 2.0)})) == (2.0, 2.0, 2.0)


def test_reference_returns_of_a_task_must_differ():
    with pytest.raises(ValueError, match=r"TaskInfo 'mine': random_return and expert_return are both 5"):
        TaskInfo("mine", 5.0, 5.0, 100)


def test_with_critics_of_zero_td3_bc_is_behavior_cloning():
    data = dataset(np.zeros(20))
    config = td3_bc.TD3BCConfig()
    ac = jax.jit(make_offline("td3_bc", {"network": NETWORK}).init)(jax.random.key(0), data).actor_critic
    ac = ac.replace(critic_params=jax.tree.map(jnp.zeros_like, ac.critic_params))
    loss, metrics = td3_bc.policy_loss(config, ac, ac.actor_params, data.transitions())
    assert np.isfinite(loss)
    np.testing.assert_allclose(loss, metrics["cloning_loss"], rtol=1e-6)
