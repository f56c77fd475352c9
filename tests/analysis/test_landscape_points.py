"""The points of lines and planes include the policies, and the largest fall between them is found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smac_jax.analysis.landscape_points import largest_fall, plane_weights, positions
from smac_jax.errors import ConfigError


@given(st.floats(-2, 3), st.floats(-2, 3))
def test_weights_add_up_to_one_and_give_the_plane(x, y):
    weights = plane_weights(np.array([x]), np.array([y]))
    np.testing.assert_allclose(weights.sum(), 1.0, atol=1e-9)
    theta = np.array([[1.0, 2.0], [4.0, 0.0], [-1.0, 5.0]])
    expected = theta[0] + x * (theta[1] - theta[0]) + y * (theta[2] - theta[0])
    np.testing.assert_allclose(weights[0] @ theta, expected, atol=1e-9)


def test_the_largest_fall_is_between_a_peak_and_what_follows():
    rises = np.array([[0.0, 1.0, 2.0], [1.0, 1.0, 2.0], [3.0, 0.0, 4.0]])
    assert largest_fall(rises).estimate == 0.0
    # The means are 1, 5, 4, 6, 2. The largest fall is from 6 to 2: by 2, 4 and 6 for the three seeds.
    curve = np.array([[0.0, 1, 2], [4, 5, 6], [3, 4, 5], [5, 6, 7], [3, 2, 1]])
    fall = largest_fall(curve)
    assert fall.estimate == pytest.approx(4.0)
    assert 2.0 <= fall.low < 4.0 < fall.high <= 6.0
    assert largest_fall(curve[::-1]).estimate == pytest.approx(5.0)  # means 2, 6, 4, 5, 1


def test_a_fall_within_the_noise_is_not_reported():
    noise = np.random.default_rng(0).normal(size=(2, 6))
    noise = noise[np.argsort(-noise.mean(axis=1))]
    fall = largest_fall(noise)
    assert fall.estimate > 0 > fall.low


@pytest.mark.parametrize("beyond", [0.25, 0.5, 0.0])
@pytest.mark.parametrize("count", [*range(2, 40), 49])
def test_the_policies_are_always_among_the_points(count, beyond):
    found = positions(count, beyond)
    assert len(found) == count
    assert (np.diff(found) > 0).all()
    assert {0.0, 1.0} <= set(found.tolist())
    even = np.linspace(-beyond, 1 + beyond, count)
    assert np.abs(found - even).max() <= max((1 + 2 * beyond) / (count - 1) / 2, beyond if count < 4 else 0) + 1e-9
    hit = (count - 1) % {0.25: 6, 0.5: 4, 0.0: 1}[beyond] == 0
    if hit:
        np.testing.assert_allclose(found, even, atol=1e-12)


@pytest.mark.parametrize(("count", "beyond"), [(1, 0.25), (0, 0.25), (5, -0.1)])
def test_fewer_points_than_policies_are_refused(count, beyond):
    with pytest.raises(ConfigError, match="must be at least 2, one for each policy"):
        positions(count, beyond)


def test_a_fall_at_a_policy_is_found_with_any_number_of_points():
    """The return is 0 except for a peak at the first policy, which is narrower than the distance of the points."""
    for count in range(4, 30):
        along = positions(count, 0.25)
        peak = np.maximum(0.0, 1.0 - 100.0 * np.abs(along))
        within = (along >= 0) & (along <= 1)
        assert largest_fall(np.stack([peak, peak], axis=1)[within]).estimate == 1.0
