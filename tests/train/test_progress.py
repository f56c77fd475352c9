"""The progress bar shows phases, rates and returns, writes little to logs, and never ends a run."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from smac_jax.runs.pace import Standing, TimeLeft
from smac_jax.train import compilation
from smac_jax.train import progress as module
from smac_jax.train.progress import Progress, note


@pytest.fixture
def clock(monkeypatch):
    """Replaces the clock by one that the test sets."""

    class Clock:
        now = 1000.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def run(bar: Progress, clock, chunks: int, seconds: float) -> None:
    bar.phase("smac: offline [x]", 100 * chunks)
    for i in range(chunks):
        clock.now += seconds
        bar.advance(100, None if i == 0 else 1234.5)


def test_a_log_gets_at_most_one_line_every_ten_seconds(clock):
    out = io.StringIO()
    with Progress(console=Console(file=out)) as bar:
        run(bar, clock, chunks=30, seconds=1.0)
        run(bar, clock, chunks=5, seconds=2.0)
    lines = out.getvalue().splitlines()
    assert len(lines) == 4
    assert lines[0] == "smac: offline [x]: 1,000/3,000  100/s  return 1,234.5  20 s left"
    assert lines[2] == "smac: offline [x]: 3,000/3,000  100/s  return 1,234.5"
    assert lines[3] == "smac: offline [x]: 500/500  50/s  return 1,234.5"


def test_a_short_run_prints_nothing_to_a_log(clock):
    out = io.StringIO()
    with Progress(console=Console(file=out)) as bar:
        run(bar, clock, chunks=9, seconds=1.0)
    assert out.getvalue() == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_disabled_progress_prints_nothing(clock, terminal):
    out = io.StringIO()
    with Progress(disable=True, console=Console(file=out, force_terminal=terminal)) as bar:
        run(bar, clock, chunks=5, seconds=60.0)
    assert out.getvalue() == ""


def test_a_terminal_shows_each_phase_with_rate_return_and_time_left():
    out = io.StringIO()
    with Progress(console=Console(file=out, force_terminal=True, width=120)) as bar:
        for phase in ("score model", "sac: online"):
            bar.phase(phase, 200)
            bar.advance(100, 42.0)
    shown = out.getvalue()
    for text in ("score model", "sac: online", "100/200", "/s", "return 42.0", "left"):
        assert text in shown


def test_parts_are_counted_and_replace_earlier_ones():
    out = io.StringIO()
    with Progress(console=Console(file=out, force_terminal=True, width=120)) as bar:
        for number in (1, 2, 3):
            bar.part(f"block [x] seed {number}", number, 3)
            for name in ("offline", "to-sac"):
                bar.run(name)
                bar.phase("smac: online", 200)
                bar.advance(200, 42.0)
        assert bar._bar is not None
        assert [task.description for task in bar._bar.tasks] == ["offline  smac: online", "to-sac  smac: online"]
    for number in (1, 2, 3):
        assert f"[{number}/3] block [x] seed {number}" in out.getvalue()


def test_parts_and_runs_are_in_a_log_too(clock):
    out = io.StringIO()
    with Progress(console=Console(file=out)) as bar:
        bar.part("hopper smac seed 0", 1, 2)
        bar.run("control")
        run(bar, clock, chunks=1, seconds=20.0)
    first, second = out.getvalue().splitlines()
    assert first == "[1/2] hopper smac seed 0"
    assert second.startswith("control  smac: offline [x]: 100/100")


def test_entering_twice_keeps_one_bar():
    out = io.StringIO()
    with Progress(console=Console(file=out, force_terminal=True)) as bar:
        with Progress.of(bar) as inner:
            assert inner is bar
        assert bar._bar is not None
    assert bar._bar is None
    assert Progress.of(True) is not Progress.of(True)


def test_entering_twice_does_not_repeat_lines(clock):
    out = io.StringIO()
    with Progress(console=Console(file=out)) as bar:
        clock.now += 9.0
        with Progress.of(bar) as inner:  # the ten seconds do not start again
            run(inner, clock, chunks=1, seconds=1.0)
        run(bar, clock, chunks=1, seconds=9.0)
        run(bar, clock, chunks=1, seconds=1.0)
    assert [line.partition(":")[0] for line in out.getvalue().splitlines()] == ["smac", "smac"]


def test_false_is_a_progress_without_output(clock, capsys):
    with Progress.of(False) as bar:
        run(bar, clock, chunks=3, seconds=60.0)
    assert capsys.readouterr() == ("", "")


class Broken(io.StringIO):
    """A pipe whose reader has ended."""

    def __init__(self, terminal: bool, error: type[Exception]):
        super().__init__()
        self.terminal, self.error = terminal, error

    def write(self, text: str) -> int:
        raise self.error

    def flush(self) -> None:
        raise self.error

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize("error", [BrokenPipeError, OSError, ValueError])
@pytest.mark.parametrize("terminal", [True, False])
def test_broken_output_does_not_end_the_run(clock, monkeypatch, terminal, error):
    monkeypatch.setattr(sys, "stderr", Broken(terminal, error))
    with Progress() as bar:
        run(bar, clock, chunks=3, seconds=20.0)


def test_steps_outside_a_phase_and_beyond_its_total_are_harmless(clock):
    out = io.StringIO()
    with Progress(console=Console(file=out)) as bar:
        clock.now += 20.0
        bar.advance(5)
        bar.phase("empty", 0)
        clock.now += 20.0
        bar.advance(5, float("nan"))
    assert out.getvalue().splitlines()[-1].startswith("empty: 5/0")


def test_an_error_inside_is_not_swallowed():
    with pytest.raises(RuntimeError, match="inside"), Progress(console=Console(file=io.StringIO())):
        raise RuntimeError("inside")


def test_a_log_mentions_compilation_and_rates_exclude_it(clock):
    out = io.StringIO()
    with Progress(console=Console(file=out)) as bar:
        bar.phase("smac: offline", 6000)
        for _ in range(2):
            compilation._notify(True)
            clock.now += 30.0
            compilation._notify(False)
        clock.now += 12.5
        bar.advance(500)
    first, second = out.getvalue().splitlines()
    assert first == "smac: offline: compiling"
    assert second == "smac: offline: 500/6,000  40/s  2 min 18 s left"


def test_a_terminal_mentions_compilation():
    out = io.StringIO()
    with Progress(console=Console(file=out, force_terminal=True, width=120)) as bar:
        bar.phase("smac: offline", 6000)
        compilation._notify(True)
        bar._bar.refresh()
        shown = out.getvalue()
        compilation._notify(False)
        bar._bar.refresh()
    assert "compiling" in shown
    assert "compiling" not in out.getvalue().splitlines()[-1]


def test_the_last_line_of_a_phase_in_a_log_is_its_end(clock):
    out = io.StringIO()
    with Progress(console=Console(file=out)) as bar:
        for phase in ("off", "on"):
            bar.show(Standing(phase, 0, 60))
            clock.now += 20.0
            bar.show(Standing(phase, 40, 60, rate=2.0, phase_left=TimeLeft(10.0), run_left=TimeLeft(10.0)))
            clock.now += 5.0
            bar.show(Standing(phase, 60, 60, doing="evaluation", rate=4.0, phase_left=TimeLeft(), run_left=TimeLeft()))
            bar.show(Standing(phase, 60, 60, rate=4.0, phase_left=TimeLeft(), run_left=TimeLeft(), last_return=7.0))
    ends = ["60/60  4/s  return 7.0"] * 2
    assert [line.partition(": ")[2] for line in out.getvalue().splitlines()][1::2] == ends


def test_the_time_left_is_that_of_the_phase_and_the_run_with_exclusions():
    standing = Standing("sac: online", 500, 6000, rate=700.0, phase_left=TimeLeft(11.0, True))
    assert note(standing) == "700/s  11 s+ left"
    standing = standing._replace(phase_left=TimeLeft(11.0), run_left=TimeLeft(200.0, True))
    assert note(standing) == "700/s  11 s left  3 min 20 s+ left of the run"
    assert note(standing._replace(run_left=standing.phase_left)) == "700/s  11 s left"


def test_steps_of_different_duration_have_no_rate(clock):
    out = io.StringIO()
    with Progress(console=Console(file=out)) as bar:
        bar.phase("measuring", 4, steady=False)
        clock.now += 20.0
        bar.advance(1)
    assert out.getvalue() == "measuring: 1/4\n"


@pytest.mark.parametrize(
    ("rate", "text"), [(1234.4, "1,234/s"), (9.96, "10/s"), (3.25, "3.2/s"), (0.04, "0.04/s"), (0.0004, "0.0004/s")]
)
def test_a_slow_rate_is_not_zero(rate, text):
    assert note(Standing("x", 1, 2, rate=rate, phase_left=TimeLeft(0.0, True))) == text
