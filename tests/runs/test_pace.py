"""Rates and the time left: each stage has its own newest measurements, without compilation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smac_jax.runs.pace import COMPILATION, RECENT, Pace, TimeLeft
from smac_jax.train.plan import Evaluate, Train, chunk_lengths


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def pace(clock):
    return Pace(clock=lambda: clock[0])


def test_the_rate_of_a_fast_stage_does_not_affect_that_of_a_slow_one(pace):
    pace.add("warm start", 500, 500 / 700)
    assert pace.rate("warm start") == pytest.approx(700)
    assert pace.left({"warm start": 0, "online": 5000}) == TimeLeft(0.0, at_least=True)
    pace.add("online", 500, 500 / 40)
    assert pace.rate("online") == pytest.approx(40)
    left = pace.left({"warm start": 700, "online": 4000, "evaluation": 0})
    assert left == (pytest.approx(101), False)


def test_rates_exclude_compilation(pace, clock):
    with pace.measure("online", 500):
        pace.compiling(True)
        clock[0] += 30.0
        pace.compiling(False)
        clock[0] += 10.0
    assert pace.rate("online") == pytest.approx(50)
    assert pace.took == {"online": pytest.approx(10), COMPILATION: pytest.approx(30)}


def test_a_rate_uses_the_newest_chunks(pace):
    for _ in range(50):
        pace.add("online", 100, 100.0)
    for _ in range(RECENT):
        pace.add("online", 100, 1.0)
    assert pace.rate("online") == pytest.approx(100)


@given(st.lists(st.tuples(st.floats(0.01, 100), st.integers(1, 1000)), min_size=1), st.floats(0, 1e4))
def test_seconds_add_up_over_processes(chunks, before):
    pace = Pace({"a": before})
    for seconds, steps in chunks:
        pace.add("a", steps, seconds)
    assert pace.took["a"] == pytest.approx(before + sum(seconds for seconds, _ in chunks))
    recent = chunks[-RECENT:]
    assert pace.seconds_per_step("a") == pytest.approx(sum(s for s, _ in recent) / sum(n for _, n in recent))


def test_the_time_left_names_stages_of_unknown_duration():
    assert not TimeLeft(0.0, at_least=True).known
    assert TimeLeft(0.0).known
    assert TimeLeft(1.0) + TimeLeft(2.0, at_least=True) == TimeLeft(3.0, at_least=True)


@pytest.mark.parametrize(
    ("left", "text", "words"),
    [
        (TimeLeft(30.0), "30 s", "30 s"),
        (TimeLeft(30.0, at_least=True), "30 s+", "at least 30 s"),
        (TimeLeft(0.0), "", ""),
        (TimeLeft(float("inf")), "", ""),
    ],
)
def test_the_time_left_as_text(left, text, words):
    assert (left.text, left.words) == (text, words)


@pytest.mark.parametrize(
    ("stretches", "length"),
    [
        ([5000, 5000], 500),
        ([1200, 1200, 600], 300),
        ([700], 350),
        ([20], 20),
        ([20, 20, 10], 500),
        ([499, 499], 499),
        ([1009, 1009], 500),
    ],
)
def test_chunks_have_equal_lengths_if_these_are_not_too_short(stretches, length):
    def make(length):
        raise AssertionError

    plan = [Train("x", sum(stretches), "x", 0, steps, 0, 0, make, ()) for steps in stretches]
    assert chunk_lengths([Evaluate(0), *plan]) == {make: length}


@pytest.mark.parametrize(
    ("stretches", "stride", "length"), [([5000, 5000], 8, 200), ([1600], 8, 400), ([4000], 1000, 1000)]
)
def test_the_length_of_a_chunk_is_a_multiple_of_the_environments(stretches, stride, length):
    def make(length):
        raise AssertionError

    plan = [Train("x", sum(stretches), "x", 0, steps, 0, 0, make, (), stride) for steps in stretches]
    assert chunk_lengths(plan) == {make: length}
