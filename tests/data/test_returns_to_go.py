"""Monte-Carlo returns of trajectories that terminated, that were cut, and that earned nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smac_jax.data.dataset import Dataset
from smac_jax.data.trajectories import returns_to_go


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
@given(st.integers(1, 40), st.floats(0.0, 0.999), st.integers(0, 10_000), st.booleans())
def test_returns_to_go_equal_the_definition(rows, discount, seed, sparse):
    rng = np.random.default_rng(seed)
    rewards, last = rng.normal(size=rows), rng.random(rows) < 0.3
    if sparse:
        rewards = np.where(rng.random(rows) < 0.1, 0.0, -1.0)
    last[-1] = True
    terminal = last & (rng.random(rows) < 0.5)
    got = returns_to_go(rewards, terminal, last, discount, sparse)
    ends = np.flatnonzero(last)
    starts = np.append(0, ends[:-1] + 1)
    beyond = np.zeros(rows)
    for start, end in zip(starts, ends, strict=True):
        if sparse and rewards[start : end + 1].max() <= rewards.min():
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


def test_a_cut_trajectory_that_earned_something_counts_zero_after_the_cut():
    rewards = np.array([1.0, 2.0, 1.0])
    got = returns_to_go(rewards, np.zeros(3, bool), np.array([False, False, True]), 0.5)
    np.testing.assert_allclose(got, [1 + 1 + 0.25, 2.5, 1.0])


def test_undiscounted_failures_do_not_go_on_forever():
    rewards = np.array([-1.0, -1.0])
    got = returns_to_go(rewards, np.zeros(2, bool), np.array([False, True]), 1.0)
    np.testing.assert_allclose(got, [-2.0, -1.0])


@pytest.mark.parametrize(
    ("task", "rewards", "failing"),
    [
        ("pen-binary", [-1.0, 0.0, -1.0, -1.0], True),
        (
            "kitchen-partial",
            [0.0, 1.0, 0.0, 0.0],
            False,
        ),  # a count of completed subtasks, although it takes two values here
        (None, [0.0, 1.0, 0.0, 0.0], True),
        (None, [0.5, 1.0, 0.0, 0.0], False),
    ],
)
def test_failures_go_on_forever_only_with_sparse_rewards(task, rewards, failing):
    """Cal-QL's code has this rule for AntMaze and binary Adroit, and WSRL's code has no such rule for the kitchen."""
    rng = np.random.default_rng(0)
    data = Dataset.from_arrays(
        rng.normal(size=(4, 2)), rng.uniform(-1, 1, (4, 1)), rewards, np.zeros(4), [0, 1, 0, 1], task=task,
        next_observations=rng.normal(size=(4, 2)),
    )  # fmt: skip
    got = float(data.with_returns_to_go(0.9, reward_scale=10.0, reward_bias=-5.0).returns_to_go[-1])
    worst = 10.0 * min(rewards) - 5.0
    assert got == pytest.approx(worst / (1 - 0.9) if failing else worst, rel=1e-5)


@pytest.mark.parametrize("last_reward", [1.0, 0.0])
def test_the_reward_of_a_dropped_row_counts(last_reward):
    """The last row of a trajectory that was cut is dropped without a next observation, but its success counts."""
    rewards = np.array([0.0, 0.0, last_reward, 0.0, 1.0, 0.0])
    timeouts = np.array([0, 0, 1, 0, 0, 1])
    data = Dataset.from_arrays(np.arange(12.0).reshape(6, 2), np.zeros((6, 1)), rewards, np.zeros(6), timeouts)
    assert data.size == 4
    got = data.with_returns_to_go(0.9, reward_scale=10.0, reward_bias=-5.0).returns_to_go
    units = 10.0 * rewards - 5.0
    first = [units[0] + 0.9 * units[1] + 0.81 * units[2], units[1] + 0.9 * units[2]]
    if not last_reward:  # a failure, which goes on forever
        first = [-50.0, -50.0]
    second = [units[3] + 0.9 * units[4] + 0.81 * units[5], units[4] + 0.9 * units[5]]
    np.testing.assert_allclose(got, [*first, *second], rtol=1e-5)


def test_nothing_is_bootstrapped_when_all_kitchen_subtasks_are_complete():
    rng = np.random.default_rng(0)
    data = Dataset.from_arrays(
        rng.normal(size=(3, 2)), rng.uniform(-1, 1, (3, 1)), [3.0, 4.0, 0.0], np.zeros(3), [0, 1, 1],
        task="kitchen-complete", next_observations=rng.normal(size=(3, 2)),
    )  # fmt: skip
    assert np.asarray(data.transitions().terminal).tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("timeouts", [None, [0, 0, 0, 1, 0, 0, 0, 0]])
def test_a_data_set_has_returns_to_go_in_the_units_of_training(timeouts):
    rng = np.random.default_rng(0)
    rewards = rng.uniform(1, 2, 8)
    rewards[5] = 0.1  # the lowest reward is in a trajectory that earned more
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
