"""A small log for every test of this folder."""

import pytest
from fake_logs import make_log


@pytest.fixture
def log():
    """Three episodes: one ends, one runs out of time, one is cut; with next observations."""
    return make_log([4, 3, 5], ["terminal", "timeout", "cut"], next_observations=True)
