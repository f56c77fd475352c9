"""The status of a sweep, for files in any condition."""

from __future__ import annotations

import io
import json
import os
import platform
import signal
import subprocess
import sys
import threading
from pathlib import Path

import filelock
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from smac_jax.commands.status import tables, watch
from smac_jax.runs.pace import TimeLeft
from smac_jax.sweep.state import STATES, NoSweepError, in_use, read_sweep

ROOT = Path(__file__).parents[2]
NOW = 1_800_000_000.0
RUNS = ("offline", "control", "to-sac")


def sweep_at(folder: Path, jobs: int = 1) -> list[Path]:
    """Makes a sweep in which nothing has been done."""
    entries = [
        {"folder": f"runs/hopper/smac/seeds-{i}-{i}", "title": f"hopper smac seed {i}", "runs": RUNS}
        for i in range(jobs)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "provenance.json").write_text(json.dumps({"command": "python", "jobs": entries}))
    return [folder / str(entry["folder"]) for entry in entries]


def tell(job: Path, run: str, owner: str = platform.node(), **status) -> Path:
    """Writes the status of a run."""
    folder = job / run
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".lock").touch()
    (folder / "owner.json").write_text(json.dumps({"pid": 1, "host": owner}))
    if status:
        (folder / "status.json").write_text(json.dumps({"title": "x", "time": NOW, **status}))
    return folder


def state_of(folder: Path, run: str = "offline", now: float = NOW):
    (job,) = read_sweep(folder, now).jobs
    return next(found for found in job.runs if found.name == run)


def shown(*folders: Path) -> tuple[str, int]:
    out = io.StringIO()
    group, code = tables(folders)
    Console(file=out, width=200).print(group)
    return out.getvalue(), code


RUNNING = {"state": "running", "phase": "smac: offline", "done": 500, "total": 2000, "last_return": 12.25}


def test_a_running_run_shows_phase_steps_rate_and_time_left(tmp_path):
    (job,) = sweep_at(tmp_path)
    folder = tell(job, "offline", **RUNNING, rate=50.0, seconds_left=30.0)
    with filelock.FileLock(folder / ".lock"):
        run = state_of(tmp_path, now=NOW + 7)
        assert (run.state, run.steps_text) == ("running", "smac: offline 500/2,000")
        assert (run.rate, run.status.left, run.last_return, run.age) == (50, TimeLeft(30, True), 12.25, 7)
        text, code = shown(tmp_path)
        for word in ("hopper smac seed 0", "smac: offline 500/2,000", "50", "30 s", "12.2", "2 left", "1 running"):
            assert word in text
        assert code == 3
    # the same files without a process
    run = state_of(tmp_path)
    assert (run.state, run.rate) == ("died", None)
    assert "repeat the command to resume" in shown(tmp_path)[0]


def test_the_activity_of_a_run_is_shown(tmp_path):
    (job,) = sweep_at(tmp_path)
    folder = tell(job, "offline", **RUNNING, doing="compilation")
    with filelock.FileLock(folder / ".lock"):
        assert "smac: offline 500/2,000, compiling" in shown(tmp_path)[0]
    assert "compiling" not in shown(tmp_path)[0]


def test_the_time_left_of_a_run_excludes_stages_that_have_not_been_measured(tmp_path):
    one, two = sweep_at(tmp_path, jobs=2)
    folder = tell(one, "offline", **RUNNING, seconds_left=90.0, at_least=False, took={"offline": 60.0})
    with filelock.FileLock(folder / ".lock"):
        sweep = read_sweep(tmp_path, NOW + 10)
        assert sweep.jobs[0].runs[0].left == TimeLeft(80.0)
        assert sweep.left == TimeLeft(80.0, at_least=True)
        assert sweep.totals.endswith("Time left: at least 1 min 20 s.")
        assert "1 min 30 s" in shown_at(tmp_path, NOW)
    del two


def test_the_time_left_of_a_sweep_uses_the_rates_of_similar_runs(tmp_path):
    one, two, three = sweep_at(tmp_path, jobs=3)
    took = {"compilation": 500.0, "score model": 10.0, "offline": 90.0}
    tell(one, "offline", state="done", took=took)
    tell(one, "control", state="done", took={"offline": 50.0})
    tell(one, "to-sac", state="done", took={"warm start": 1.0, "online": 199.0})
    # the score model has its own rate, and the later phases have no rate in this run
    folder = tell(two, "offline", **RUNNING, seconds_left=6.0, at_least=True, took={"score model": 6.0})
    with filelock.FileLock(folder / ".lock"):
        sweep = read_sweep(tmp_path, NOW)
        assert [run.left for run in sweep.jobs[1].runs] == [TimeLeft(96.0), TimeLeft(50.0), TimeLeft(200.0)]
        assert [run.left for run in sweep.jobs[2].runs] == [TimeLeft(100.0), TimeLeft(50.0), TimeLeft(200.0)]
        assert [run.left for run in sweep.jobs[0].runs] == [None] * 3
        assert sweep.left == TimeLeft(346.0 + 350.0)
        assert sweep.totals.endswith("Time left: 12 min.")
        other = tell(three, "offline", **RUNNING, seconds_left=94.0, at_least=False, took={"offline": 1.0})
        with filelock.FileLock(other / ".lock"):  # side by side
            assert read_sweep(tmp_path, NOW).left == TimeLeft(346.0)
    assert read_sweep(tmp_path, NOW).totals.endswith("Work left: 12 min.")
    for job in (two, three):
        for run in RUNS:
            tell(job, run, state="done")
    assert read_sweep(tmp_path, NOW).totals == "3 of 3 jobs done. Runs: 9 done."


def test_the_return_of_a_finished_run_is_that_of_its_curve(tmp_path):
    """Tables use the curve. The status may be older than the last evaluation."""
    (job,) = sweep_at(tmp_path)
    for run in RUNS:
        tell(job, run, state="done", last_return=53.3)
    returns = {
        "offline_returns": [[0.0, 190.0], [0.0, 202.0]],
        "control_returns": [[1.0, 7.0], [1.0, None]],
        "online_returns": [[3.0, 400.0], [3.0, 518.0]],
    }
    (job / "curve-sac.json").write_text(json.dumps(returns))
    (found,) = read_sweep(tmp_path).jobs
    assert [run.last_return for run in found.runs] == [196.0, 7.0, 459.0]
    assert "459.0" in shown(tmp_path)[0]
    assert "53.3" not in shown(tmp_path)[0]


def test_a_killed_process_is_detected(tmp_path):
    (job,) = sweep_at(tmp_path)
    folder = tell(job, "offline", **RUNNING)
    program = f"import filelock,time; x=filelock.FileLock({str(folder / '.lock')!r}); x.acquire(); print(1, flush=True)"
    process = subprocess.Popen([sys.executable, "-c", f"{program}; time.sleep(60)"], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline()
        assert state_of(tmp_path).state == "running"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert state_of(tmp_path).state == "died"


@pytest.mark.parametrize(
    ("status", "held", "expected"),
    [
        ({}, True, "starting"),
        ({}, False, "died"),
        ({"state": "stopped"}, True, "starting"),
        ({"state": "stopped"}, False, "stopped"),
        ({"state": "failed", "error": "disk\nfull"}, False, "failed"),
        ({"state": "failed"}, True, "starting"),
        ({"state": "done"}, True, "done"),
        ({"state": "done"}, False, "done"),
        ({"state": "walking"}, False, "damaged"),
    ],
)
def test_status_and_lock_determine_the_state_of_a_run(tmp_path, status, held, expected):
    (job,) = sweep_at(tmp_path)
    lock = filelock.FileLock(tell(job, "offline", **status) / ".lock")
    if held:
        lock.acquire()
    run = state_of(tmp_path)
    lock.release()
    assert run.state == expected
    assert run.why == {"failed": "disk", "damaged": run.why, "died": run.why}.get(expected, "")


def test_a_process_on_another_host_counts_as_running_for_ten_minutes(tmp_path):
    (job,) = sweep_at(tmp_path)
    tell(job, "offline", owner="elsewhere", **RUNNING)
    assert state_of(tmp_path, now=NOW + 60).state == "running"
    assert state_of(tmp_path, now=NOW + 3600).state == "died"


def test_exit_codes(tmp_path):
    done, failed = tmp_path / "done", tmp_path / "failed"
    (job,) = sweep_at(done)
    for run in RUNS:
        tell(job, run, state="done")
    assert shown(done)[1] == 0
    sweep_at(tmp_path / "left")
    assert shown(tmp_path / "left")[1] == 3
    (job,) = sweep_at(failed)
    tell(job, "offline", state="done")
    (job / "error.txt").write_text("Traceback (most recent call last):\n  File\nboom.Error: no\n  space\nmore\n")
    text, code = shown(failed)
    assert code == 1
    assert "hopper smac seed 0: failed: boom.Error: no\n" in text.replace("  ", "").replace(" \n", "\n")
    assert shown(done, tmp_path / "left")[1] == 3
    assert shown(done, tmp_path / "left", failed)[1] == 1
    assert shown(done, failed, tmp_path / "nowhere")[1] == 2
    # another attempt is running, so error.txt is out of date
    with filelock.FileLock(tell(job, "control") / ".lock"):
        assert shown(failed)[1] == 3


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.write_text("x")])
def test_a_folder_without_a_sweep_causes_a_one_line_message(tmp_path, make):
    make(tmp_path / "x")
    with pytest.raises(NoSweepError, match=r"no such folder|holds no sweep"):
        read_sweep(tmp_path / "x")


def test_without_provenance_the_jobs_in_the_folder_are_shown(tmp_path):
    (job,) = sweep_at(tmp_path)
    tell(job, "to-td3", state="done")
    for damage in ('{"jobs": [3, {"folder": ""}]}', '{"blo', "", "[]", "\x00"):
        (tmp_path / "provenance.json").write_text(damage)
        text, code = shown(tmp_path)
        assert "runs/hopper/smac/seeds-0-0" in text
        assert "to-td3" in text
        assert "provenance.json is missing or damaged" in text
        assert code == 3


def test_a_changed_clock_does_not_cause_negative_ages(tmp_path):
    (job,) = sweep_at(tmp_path)
    tell(job, "offline", **{**RUNNING, "time": NOW + 3600})
    assert state_of(tmp_path).age is None
    assert state_of(tmp_path, now=NOW + 3598).age == 0
    assert "ago" not in shown_at(tmp_path, NOW)


def shown_at(folder: Path, now: float) -> str:
    from unittest import mock

    with mock.patch("time.time", return_value=now):
        return shown(folder)[0]


def test_diverged_seeds_are_named(tmp_path):
    (job,) = sweep_at(tmp_path)
    tell(job, "offline", state="done", diverged={"3": 1500})
    tell(job, "to-sac", state="done", diverged={"1": 20})
    text = shown(tmp_path)[0]
    assert "seed 3: offline at step 1,500" in text
    assert "seed 1: online at step 20" in text
    assert "2 diverged seeds" in text


def test_a_finished_curve_counts_if_its_run_was_deleted(tmp_path):
    (job,) = sweep_at(tmp_path)
    job.mkdir(parents=True)
    (job / "curve-sac.json").write_text("{}")
    assert [run.state for run in read_sweep(tmp_path).jobs[0].runs] == ["left", "left", "done"]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
fields = (
    *("time", "state", "phase", "doing", "done", "total", "rate", "seconds_left", "at_least", "took", "last_return"),
    *("error", "diverged"),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(fields), anything | st.sampled_from(STATES)).map(json.dumps)
    | anything.map(json.dumps)
    | st.text(max_size=20),
    st.integers(0, 400),
)
def test_any_damaged_status_results_in_a_state(tmp_path, text, cut):
    (job,) = sweep_at(tmp_path)
    tell(job, "offline", state="running")
    (job / "offline" / "status.json").write_text(text[:cut], errors="replace")
    run = state_of(tmp_path)
    assert run.state in STATES
    assert run.age is None or run.age >= 0
    assert shown(tmp_path)[1] in (0, 1, 3)


entries = st.dictionaries(st.sampled_from(("folder", "title", "runs")), anything | st.lists(st.text(max_size=5)))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries({"jobs": st.lists(entries | anything, min_size=1, max_size=3) | anything}))
def test_damaged_provenance_does_not_prevent_the_display(tmp_path, provenance):
    (tmp_path / "runs").mkdir(exist_ok=True)
    (tmp_path / "provenance.json").write_text(json.dumps(provenance))
    assert shown(tmp_path)[1] in (0, 1, 3)


def test_escape_sequences_do_not_reach_the_terminal(tmp_path):
    (job,) = sweep_at(tmp_path)
    tell(job, "offline", state="failed", error="\x1b[2Jgone [bold]x[/bold]")
    text, _ = shown(tmp_path)
    assert "\x1b[2J" not in text
    assert "gone [bold]x[/bold]" in text


def test_reading_the_status_does_not_disturb_a_run(tmp_path):
    from smac_jax.runs.folder import RunFolder

    lock = tmp_path / "run" / ".lock"
    stop = threading.Event()

    def stare():
        while not stop.is_set():
            in_use(lock)

    threads = [threading.Thread(target=stare) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            with RunFolder(tmp_path / "run"):
                assert in_use(lock) is True
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert in_use(lock) is False


def test_watch_ends_when_all_jobs_are_done_and_fits_the_terminal(tmp_path):
    jobs = sweep_at(tmp_path, jobs=30)
    for job in jobs:
        for run in RUNS:
            tell(job, run, state="done")
    tell(jobs[7], "offline", state="stopped", phase="smac: offline", done=5, total=10)
    out = io.StringIO()
    timer = threading.Timer(0.5, lambda: tell(jobs[7], "offline", state="done"))
    timer.start()
    assert watch([tmp_path], Console(file=out, force_terminal=True, width=150, height=20), 0.1) == 0
    text = out.getvalue()
    assert "hopper smac seed 7" in text
    assert "hopper smac seed 3 " not in text
    assert "89 runs are not shown" in text
    assert "30 of 30 jobs done" in text


def test_status_starts_without_jax_within_a_second(tmp_path):
    sweep_at(tmp_path)
    program = (
        "import sys, smac_jax.commands.status; assert not {'jax', 'numpy', 'orbax'} & set(sys.modules); print('light')"
    )
    light = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert light.stdout == "light\n", light.stderr
    command = [sys.executable, "-m", "smac_jax", "status", str(tmp_path)]
    before = os.times()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    after = os.times()
    # the time of the processor, which does not depend on other processes
    assert after.children_user + after.children_system - before.children_user - before.children_system < 1.0
    assert done.returncode == 3, done.stderr
    assert "0 of 1 job done" in done.stdout
    nothing = subprocess.run(command[:4], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert nothing.returncode == 2
    assert "Give the folder of a sweep" in nothing.stderr
