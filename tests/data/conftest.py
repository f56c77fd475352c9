"""A small log for the tests of this folder."""

import pytest
from fake_logs import make_log


@pytest.fixture
def log():
    """Three episodes: one terminates, one reaches the time limit, one is cut. The log has next observations."""
    return make_log([4, 3, 5], ["terminal", "timeout", "cut"], next_observations=True)
