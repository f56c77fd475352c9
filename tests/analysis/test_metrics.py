"""Dip and regret against numbers computed by hand, and properties that hold for every curve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from smac_jax.analysis.metrics import (
    control_dip,
    cumulative_regret,
    dip,
    excess_dip,
    is_smooth,
    normalized_regret,
    normalized_regret_intervals,
    regret,
)

STEPS = np.array([0.0, 100.0, 200.0, 400.0])
RETURNS = np.array([[100.0, 60.0, 10.0, 300.0], [200.0, 220.0, 100.0, 300.0]])

numbers = st.floats(-1e3, 1e3).map(lambda x: round(x, 3))
returns_of_any_curve = hnp.arrays(
    float, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6), elements=numbers
)


def test_the_dip_equals_numbers_computed_by_hand():
    # The first quarter ends at step 100. The lowest returns are 60, and for the second seed that of the transfer
    # itself.
    np.testing.assert_allclose(dip(STEPS, RETURNS, random_return=20.0), [40.0 / 80.0, 0.0])


def test_the_dip_ignores_evaluations_beyond_the_horizon():
    np.testing.assert_allclose(dip(STEPS, RETURNS, 0.0, horizon=200.0), [0.9, 0.5])


def test_dip_is_one_at_the_return_of_a_random_policy():
    np.testing.assert_allclose(dip(STEPS, np.array([[100.0, 20.0, 20.0, 20.0]]), 20.0), [1.0])


def test_the_dip_is_undefined_if_the_transferred_policy_is_not_better_than_random():
    returns = np.array([[20.0, 0.0, 0.0, 0.0], [10.0, 0.0, 0.0, 0.0], [120.0, 120.0, 0.0, 0.0]])
    np.testing.assert_array_equal(dip(STEPS, returns, 20.0), [np.nan, np.nan, 0.0])


def test_the_dip_is_undefined_if_an_evaluation_in_its_window_is_missing():
    returns = np.array([[100.0, np.nan, 50.0, 50.0], [100.0, 50.0, np.nan, 50.0]])
    np.testing.assert_array_equal(dip(STEPS, returns, 0.0), [np.nan, 0.5])


@given(returns_of_any_curve, numbers, st.floats(0.1, 100.0), numbers)
@settings(max_examples=100, deadline=None)
def test_dip_does_not_depend_on_the_unit_of_return(returns, random_return, scale, shift):
    # if the transfer exceeds random by a rounding error only, floating-point numbers cannot represent the dip
    returns[:, 0] = random_return + 1.0 + np.abs(returns[:, 0])
    steps = np.arange(returns.shape[1])
    expected = dip(steps, returns, random_return)
    found = dip(steps, scale * returns + shift, scale * random_return + shift)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert (expected >= 0).all()


def test_dip_window_is_the_warm_start_and_a_quarter_of_what_follows():
    steps = np.array([0.0, 100.0, 110.0, 125.0, 126.0, 200.0])
    returns = np.array([[100.0, 100.0, 90.0, 60.0, 10.0, 10.0]])
    np.testing.assert_allclose(dip(steps, returns, 0.0, warm_start=100.0), [0.4])


def test_the_excess_dip_equals_numbers_computed_by_hand():
    # the control has the same window of 100 steps, so its 0 at step 300 is outside
    control_steps, control = np.array([0.0, 50.0, 100.0, 300.0]), np.array([[100.0, 90.0, 95.0, 0.0]] * 2)
    np.testing.assert_allclose(control_dip(STEPS, control_steps, control, 0.0), [0.1, 0.1])
    # a warm start shortens the window, so that fewer evaluations of the control are in it
    assert control_dip(STEPS, control_steps, control, 0.0, warm_start=STEPS[-1]).tolist() == [0.0, 0.0]
    np.testing.assert_allclose(excess_dip(STEPS, RETURNS, control_steps, control, 0.0), [0.3, -0.1])


def test_excess_dip_over_itself_is_zero():
    np.testing.assert_array_equal(excess_dip(STEPS, RETURNS, STEPS, RETURNS, 0.0), [0.0, 0.0])


def test_the_regret_equals_numbers_computed_by_hand():
    # gaps to 300: 200, 240, 290, 0 -> areas 22,000 + 26,500 + 29,000; 100, 80, 200, 0 -> 9,000 + 14,000 + 20,000
    np.testing.assert_allclose(cumulative_regret(STEPS, RETURNS, 300.0), [77_500.0, 43_000.0])
    np.testing.assert_allclose(regret(STEPS, RETURNS, 300.0), [193.75, 107.5])


def test_regret_of_a_single_evaluation_is_its_gap():
    np.testing.assert_allclose(regret(np.zeros(1), np.array([[100.0]]), 300.0), [200.0])


@given(returns_of_any_curve)
@settings(max_examples=100, deadline=None)
def test_the_regret_is_zero_only_if_the_curve_is_always_at_the_best_return(returns):
    best = returns.max()
    found = regret(np.arange(returns.shape[1]), returns, best)
    assert (found >= 0).all()
    np.testing.assert_array_equal(found == 0, (returns == best).all(axis=1))


def test_the_normalized_regret_equals_numbers_computed_by_hand():
    a, b, c = ("smac", "sac"), ("td3_bc", "sac"), ("iql", "sac")
    regrets = {"hopper": {a: 10.0, b: 30.0, c: 20.0}, "ant": {a: 7.0, b: 5.0, c: 9.0}}
    assert normalized_regret(regrets) == {a: 0.25, b: 0.5, c: 0.75}


def test_the_normalized_regret_of_equal_pairs_is_zero():
    assert normalized_regret({"hopper": {("a", "b"): 3.0, ("c", "b"): 3.0}}) == {("a", "b"): 0.0, ("c", "b"): 0.0}


@pytest.mark.parametrize("ant", [{("a", "b"): 1.0}, {("a", "b"): 1.0, ("c", "b"): float("nan")}])
def test_normalized_regret_refuses_tasks_that_lack_a_pair(ant):
    with pytest.raises(ValueError, match=r"'ant' for the pairs \[\('c', 'b'\)\]"):
        normalized_regret({"hopper": {("a", "b"): 1.0, ("c", "b"): 2.0}, "ant": ant})


@given(hnp.arrays(float, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=5), elements=numbers))
@settings(max_examples=100, deadline=None)
def test_normalized_regret_lies_between_zero_and_one(table):
    regrets = {str(t): {(str(p), "sac"): value for p, value in enumerate(row)} for t, row in enumerate(table)}
    assert all(0.0 <= value <= 1.0 for value in normalized_regret(regrets).values())


@pytest.mark.parametrize(
    ("dips", "smooth"),
    [
        ([0.0, 0.0, 0.0, 0.0], True),
        ([0.02, 0.05, 0.03, 0.04], True),
        ([0.0, 0.0, 0.0, 0.4], False),  # mean 10 %
        ([0.0, 0.0, 0.0, 0.2], False),  # the mean is 5 %, but the interval is wide
        ([0.02, np.nan, 0.03, 0.04], True),
        ([0.0], False),
        ([np.nan, np.nan], False),
    ],
)
def test_a_transfer_is_smooth_when_the_interval_of_its_dip_ends_below_ten_percent(dips, smooth):
    assert is_smooth(dips) is smooth


@pytest.mark.usefixtures("arrays_unchecked")
def test_curves_with_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 4\) at \(3,\)"):
        dip(STEPS[:3], RETURNS, 0.0)
    with pytest.raises(ValueError, match=r"\(4,\) at \(4,\)"):
        regret(STEPS, RETURNS[0], 0.0)


def test_intervals_of_normalized_regret_resample_seeds_within_pair_and_task():
    # One task has three pairs. The best and the worst are fixed; the two seeds of the middle one give 0.25 and 0.75.
    regrets = {"hopper": {("a", "x"): np.zeros(2), ("b", "x"): np.array([25.0, 75.0]), ("c", "x"): np.full(2, 100.0)}}
    found = normalized_regret_intervals(regrets, resamples=4000)
    assert found["a", "x"] == (0.0, 0.0, 0.0)
    assert found["c", "x"] == (1.0, 1.0, 1.0)
    np.testing.assert_allclose(found["b", "x"], (0.5, 0.25, 0.75), atol=1e-12)  # a quarter of resamples at each end
    # With two tasks, each end occurs in a sixteenth of the resamples, which is more than 2.5 %, so the width is the
    # same.
    both = normalized_regret_intervals({**regrets, "ant": regrets["hopper"]}, resamples=4000)
    np.testing.assert_allclose(both["b", "x"], (0.5, 0.25, 0.75), atol=1e-12)
    # With four tasks, each end occurs in a 256th, so the interval is narrower.
    four = normalized_regret_intervals({str(i): regrets["hopper"] for i in range(4)}, resamples=4000)
    np.testing.assert_allclose(four["b", "x"], (0.5, 0.3125, 0.6875), atol=1e-12)
