"""How fast, and how long still."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smac_jax.train.pace import Pace


def test_rate_leaves_out_what_came_before_the_first_report():
    now = [0.0]
    pace = Pace(clock=lambda: now[0])
    now[0] = 100.0  # compilation
    pace.report("a", 500, 2000)
    assert (pace.rate, pace.seconds_left) == (None, None)
    now[0] = 110.0
    pace.report("a", 1000, 2000)
    assert (pace.rate, pace.seconds_left) == (50.0, 20.0)
    now[0] = 130.0
    pace.report("b", 10, 20)
    assert pace.rate is None
    now[0] = 131.0
    pace.report("b", 20, 20)
    assert (pace.rate, pace.seconds_left) == (10.0, 0.0)
    assert pace.took == {"a": 10.0, "b": 1.0}


@given(st.lists(st.tuples(st.floats(0.01, 100), st.integers(1, 1000)), min_size=1), st.floats(0, 1e4))
def test_seconds_add_up_over_processes(chunks, before):
    now, done = [0.0], 0
    total = 10 + sum(steps for _, steps in chunks)
    pace = Pace({"a": before}, clock=lambda: now[0])
    pace.report("a", 0, total)
    for seconds, steps in chunks:
        now[0] += seconds
        done += steps
        pace.report("a", done, total)
    assert pace.took["a"] == pytest.approx(before + now[0])
    assert pace.rate == pytest.approx(done / now[0])
    assert pace.seconds_left == pytest.approx(10 * now[0] / done)
