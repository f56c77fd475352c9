"""Monte-Carlo returns of trajectories that ended, that were cut, and that never earned anything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smac_jax.data.dataset import Dataset, returns_to_go


def by_loop(rewards, terminal, last, discount, beyond):
    """The definition, row by row from the back."""
    returns, value = np.zeros(len(rewards)), 0.0
    for t in reversed(range(len(rewards))):
        if last[t]:
            value = 0.0 if terminal[t] else beyond[t]
        value = rewards[t] + discount * value
        returns[t] = value
    return returns


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.floats(0.0, 0.999), st.integers(0, 10_000))
def test_is_the_definition_for_dense_rewards(rows, discount, seed):
    rng = np.random.default_rng(seed)
    rewards, last = rng.normal(size=rows), rng.random(rows) < 0.3
    last[-1] = True
    terminal = last & (rng.random(rows) < 0.5)
    got = returns_to_go(rewards, terminal, last, discount)
    ends = np.flatnonzero(last)
    starts = np.append(0, ends[:-1] + 1)
    beyond = np.zeros(rows)
    for start, end in zip(starts, ends, strict=True):
        if rewards[start : end + 1].max() <= rewards.min():  # one row, and that the worst of all
            beyond[end] = rewards.min() / (1 - discount)
    np.testing.assert_allclose(got, by_loop(rewards, terminal, last, discount, beyond), rtol=1e-9, atol=1e-9)


def test_a_sparse_failure_fails_forever_and_a_success_does_not():
    # Adroit's rewards: -1 until success, which ends the episode
    rewards = np.array([-1.0, -1.0, 0.0, -1.0, -1.0, -1.0])
    terminal = np.array([0, 0, 1, 0, 0, 0], bool)
    last = np.array([0, 0, 1, 0, 0, 1], bool)
    got = returns_to_go(rewards, terminal, last, 0.9)
    np.testing.assert_allclose(got[:3], [-1 - 0.9, -1.0, 0.0])
    np.testing.assert_allclose(got[3:], -10.0)  # -1 / (1 - 0.9), at every row


def test_a_cut_trajectory_that_earned_something_counts_nothing_beyond():
    rewards = np.array([1.0, 2.0, 1.0])
    got = returns_to_go(rewards, np.zeros(3, bool), np.array([False, False, True]), 0.5)
    np.testing.assert_allclose(got, [1 + 1 + 0.25, 2.5, 1.0])


def test_undiscounted_returns_have_no_forever():
    rewards = np.array([-1.0, -1.0])
    got = returns_to_go(rewards, np.zeros(2, bool), np.array([False, True]), 1.0)
    np.testing.assert_allclose(got, [-2.0, -1.0])


@pytest.mark.parametrize("timeouts", [None, [0, 0, 0, 1, 0, 0, 0, 0]])
def test_a_data_set_gets_them_in_trainings_units(timeouts):
    rng = np.random.default_rng(0)
    rewards = rng.uniform(1, 2, 8)
    rewards[5] = 0.1  # the lowest is in a trajectory that earned more
    terminals = np.array([0, 0, 0, 0, 0, 0, 0, 1])
    data = Dataset.from_arrays(
        rng.normal(size=(8, 2)),
        rng.uniform(-1, 1, (8, 1)),
        rewards,
        terminals,
        timeouts,
        next_observations=rng.normal(size=(8, 2)),
    )
    assert not np.asarray(data.returns_to_go).any()
    got = np.asarray(data.with_returns_to_go(0.9, reward_scale=10.0, reward_bias=5.0).returns_to_go)
    last = terminals.astype(bool) | (np.zeros(8, bool) if timeouts is None else np.array(timeouts, bool))
    want = by_loop(10 * rewards + 5, terminals.astype(bool), last, 0.9, np.zeros(8))
    np.testing.assert_allclose(got, want, rtol=1e-5)
    np.testing.assert_array_equal(data.with_returns_to_go(0.9).rewards, data.rewards)
    np.testing.assert_allclose(data.with_returns_to_go(0.9).transitions().return_to_go[-1], rewards[-1], rtol=1e-6)
