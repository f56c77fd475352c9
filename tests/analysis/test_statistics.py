"""The bootstrap covers what it should, and says so where there is nothing to resample."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smac_jax.analysis.statistics import bootstrap_interval, interquartile_mean


def test_interval_covers_the_mean_of_a_normal_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        interval = bootstrap_interval(rng.normal(3.0, 2.0, 30), resamples=500)
        covered += interval.low <= 3.0 <= interval.high
    # expected .93-.95; four standard errors of a proportion over 200 are .06
    assert 0.88 <= covered / 200 <= 0.99


def test_interval_of_many_values_is_the_one_of_the_central_limit():
    values = np.random.default_rng(1).normal(size=2000)
    interval = bootstrap_interval(values, resamples=2000)
    assert interval.estimate == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(2000), rel=0.1)


def test_interval_is_the_same_every_time_and_wider_at_a_higher_level():
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
    # a quarter of the resamples is twice the one, a quarter twice the other
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
def test_degenerate_cases_are_quiet(values, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(bootstrap_interval(values), expected)


def test_interquartile_mean_drops_the_outer_quarters():
    assert interquartile_mean(np.array([-1e9, 1.0, 2.0, 1e9])) == 1.5
    assert interquartile_mean(np.array([1.0, 2.0, 6.0])) == 3.0
    assert bootstrap_interval([-1e9, 1.0, 2.0, 1e9], statistic=interquartile_mean).estimate == 1.5
