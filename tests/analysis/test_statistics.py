"""Bootstrap intervals have the right coverage, and degenerate samples are handled."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smac_jax.analysis.statistics import (
    bootstrap_interval,
    interquartile_mean,
    interquartile_mean_over_tasks,
    performance_profile,
    probability_of_improvement,
    stratified_interval,
)


def test_the_interval_of_normal_values_has_its_nominal_coverage():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        interval = bootstrap_interval(rng.normal(3.0, 2.0, 30), resamples=500)
        covered += interval.low <= 3.0 <= interval.high
    # .93 to .95 is expected, and four standard errors of a proportion over 200 are .06
    assert 0.88 <= covered / 200 <= 0.99


def test_the_interval_of_many_values_is_that_of_the_central_limit_theorem():
    values = np.random.default_rng(1).normal(size=2000)
    interval = bootstrap_interval(values, resamples=2000)
    assert interval.estimate == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(2000), rel=0.1)


def test_the_interval_is_reproducible_and_wider_at_a_higher_level():
    values = [1.0, 2.0, 5.0, 9.0]
    assert bootstrap_interval(values) == bootstrap_interval(values)
    narrow, wide = bootstrap_interval(values, level=0.5), bootstrap_interval(values, level=0.99)
    assert wide.low < narrow.low < narrow.estimate < narrow.high < wide.high


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=8), st.integers(0, 3))
def test_interval_contains_the_mean_lies_within_the_values_and_leaves_out_nan(values, missing):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        interval = bootstrap_interval([*values, *[math.nan] * missing], resamples=300)
    rounding = 1e-9 * (1.0 + max(map(abs, values)))
    assert interval.estimate == pytest.approx(sum(values) / len(values), abs=rounding)
    assert min(values) - rounding <= interval.low <= interval.estimate + rounding
    assert interval.estimate - rounding <= interval.high <= max(values) + rounding


def test_interval_of_two_values_ends_at_the_values():
    # a quarter of the resamples has one value twice, and a quarter has the other value twice
    assert bootstrap_interval([1.0, 3.0]) == (2.0, 1.0, 3.0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], (math.nan, math.nan, math.nan)),
        ([math.nan], (math.nan, math.nan, math.nan)),
        ([2.0], (2.0, math.nan, math.nan)),
        ([2.0, math.nan, math.inf], (2.0, math.nan, math.nan)),
        ([0.1, 0.1, 0.1], (0.1, 0.1, 0.1)),
    ],
)
def test_degenerate_cases_cause_no_warnings(values, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(bootstrap_interval(values), expected)


def test_interquartile_mean_drops_the_outer_quarters():
    assert interquartile_mean(np.array([-1e9, 1.0, 2.0, 1e9])) == 1.5
    assert interquartile_mean(np.array([1.0, 2.0, 6.0])) == 3.0
    assert bootstrap_interval([-1e9, 1.0, 2.0, 1e9], statistic=interquartile_mean).estimate == 1.5


SCORES = {"a": np.array([1.0, 5.0, 2.0, 9.0]), "b": np.array([10.0, 11.0, 4.0]), "c": np.array([3.0, 3.0])}


def test_the_interquartile_mean_over_tasks_pools_all_runs():
    # nine runs sorted: 1 2 3 3 4 5 9 10 11; a quarter of nine, rounded down, is two at either end
    assert interquartile_mean_over_tasks(SCORES).estimate == pytest.approx((3 + 3 + 4 + 5 + 9) / 5)


def test_probability_of_improvement_counts_pairs():
    theirs = {"a": np.array([2.0, 6.0]), "b": np.array([4.0]), "c": np.array([4.0, 5.0])}
    # a: 3.5 of 8 pairs (5>2, 9>2, 9>6, and half of 2=2); b: 2.5 of 3 (10>4, 11>4, and half of 4=4); c: 0
    interval = probability_of_improvement(SCORES, theirs)
    assert interval.estimate == pytest.approx((3.5 / 8 + 2.5 / 3 + 0) / 3)
    assert math.isnan(interval.low)  # b has only one seed, so there is no interval
    other = probability_of_improvement(theirs, SCORES)
    assert other.estimate == pytest.approx(1 - interval.estimate)
    with pytest.raises(ValueError, match="must be equal"):
        probability_of_improvement(SCORES, {"a": theirs["a"]})


def test_the_performance_profile_weighs_tasks_equally():
    profile = performance_profile(SCORES, np.array([0.0, 3.5, 20.0]))
    assert [round(x.estimate, 9) for x in profile] == [1.0, round((2 / 4 + 3 / 3 + 0 / 2) / 3, 9), 0.0]
    assert profile[1].low <= profile[1].estimate <= profile[1].high


def test_seeds_are_resampled_within_their_task():
    """The spread of the mean over two tasks has its analytic value, which depends on the spreads within tasks only."""
    rng = np.random.default_rng(3)
    far_apart = {"a": rng.normal(0.0, 1.0, 400), "b": rng.normal(1_000.0, 1.0, 400)}

    def mean(*groups, axis):
        return np.mean([group.mean(axis=axis) for group in groups], axis=0)

    low, high = stratified_interval(list(far_apart.values()), mean)[1:]
    spread = math.sqrt(sum(x.var() / len(x) for x in far_apart.values())) / 2
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.1)


def test_one_seed_a_task_has_no_interval():
    interval = interquartile_mean_over_tasks({"a": np.array([1.0]), "b": np.array([3.0])})
    assert interval.estimate == 2.0
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
