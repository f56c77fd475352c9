"""The mean and its band are drawn at the right positions."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from smac_jax.analysis.bands import COLORS, draw_band, intervals_of

VALUES = np.array([[1.0, 4.0, np.nan], [3.0, 4.0, 5.0], [2.0, 4.0, 7.0]])


def test_intervals_contain_the_mean_of_finite_values_and_stay_within_the_values():
    mean, low, high = intervals_of(VALUES).T
    np.testing.assert_allclose(mean, [2.0, 4.0, 6.0])
    assert (low <= mean).all()
    assert (high >= mean).all()
    assert (low >= [1.0, 4.0, 5.0]).all()
    assert (high <= [3.0, 4.0, 7.0]).all()
    assert low[0] < 2.0 < high[0]


def test_one_seed_or_no_values_have_no_interval():
    assert intervals_of(np.zeros((2, 0))).shape == (0, 3)
    assert np.isnan(intervals_of(np.ones((1, 2)))[:, 1:]).all()


def test_the_line_the_band_and_the_seeds_have_one_color():
    ax = Figure().subplots()
    intervals = intervals_of(VALUES)
    draw_band(ax, np.array([0.0, 10.0, 20.0]), intervals, COLORS[1], label="mine", seeds=VALUES)
    *seeds, mean = ax.lines
    np.testing.assert_array_equal(mean.get_xydata(), np.column_stack([[0, 10, 20], intervals[:, 0]]))
    assert len(seeds) == 3
    (band,) = ax.collections
    corners = band.get_paths()[0].vertices
    assert corners[:, 1].min() == intervals[:, 1].min()
    assert corners[:, 1].max() == intervals[:, 2].max()
    assert all(same_color(line.get_color(), COLORS[1]) for line in ax.lines)
    assert [text.get_text() for text in ax.legend().get_texts()] == ["mine"]
