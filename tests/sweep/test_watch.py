"""The display of jobs in other processes, from the files that they write."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from smac_jax.sweep import watch
from smac_jax.sweep.grid import Job
from smac_jax.sweep.watch import Watch


@pytest.fixture
def job(make_job):
    return lambda folder, seed, label="td3_bc": make_job(folder / f"{label}-{seed}", label, seeds=(seed,))


def tell(job: Job, run: str, **status) -> None:
    folder = job.folder / run
    folder.mkdir(parents=True, exist_ok=True)
    tell.clock += 1.0
    (folder / "status.json").write_text(json.dumps({"time": tell.clock, **status}))


tell.clock = 0.0


def running(**changes):
    return {
        "state": "running",
        "phase": "td3_bc: offline",
        "done": 2000,
        "total": 5000,
        "rate": 100.0,
        "last_return": 12.34,
        "seconds_left": 30.0,
        "took": {"td3_bc: offline": 20.0},
    } | changes


def test_a_log_gets_a_line_for_each_change(job, tmp_path):
    out = io.StringIO()
    one, other = job(tmp_path, 0), job(tmp_path, 1)
    with Watch([one, other], Console(file=out, width=60)) as shown:
        shown.update({})
        assert out.getvalue() == ""
        tell(one, "offline", **running())
        for _ in range(3):
            shown.update({})
        tell(one, "offline", **running(done=3000))
        shown.update({1: "queued"})
        tell(one, "offline", state="done", phase="td3_bc: offline", done=5000, total=5000)
        tell(one, "control", **running(phase="td3_bc: control"))
        shown.update({1: "queued"})
        shown.update({0: "done", 1: "failed"})
    first, second, third, *rest = out.getvalue().splitlines()
    progress = "td3_bc: offline 2,000/5,000  100/s  return 12.3  30 s+ left"
    assert first == f"data TD3+BC seed 0:  running  offline (1/3)  {progress}"
    assert second == "data TD3+BC seed 1:  queued"
    assert third.startswith("data TD3+BC seed 0:  running  control (2/3)  td3_bc: control 2,000/5,000")
    assert rest == ["data TD3+BC seed 0:  done", "data TD3+BC seed 1:  failed"]


def test_a_terminal_shows_a_table_with_running_jobs_first(job, tmp_path):
    out = io.StringIO()
    jobs = [job(tmp_path, seed) for seed in range(20)]
    with Watch(jobs, Console(file=out, force_terminal=True, width=140, height=12)) as shown:
        tell(jobs[17], "offline", **running())
        shown.update({0: "done", 1: "failed"})
    title, frame = "20 jobs: 1 done, 1 failed, 1 running, 17 waiting", out.getvalue()
    assert title in frame
    lines = [line for line in frame.split(title)[1].splitlines() if "TD3+BC seed" in line]
    assert "seed 17" in lines[0]
    for part in ("running", "offline (1/3)", "2,000/5,000", "100/s", "return 12.3", "30 s+ left"):
        assert part in lines[0], part
    assert len(lines) == 6  # as many jobs as fit
    assert "seed 2 " in lines[1]


def test_the_files_of_an_earlier_attempt_are_not_reported(job, tmp_path):
    one = job(tmp_path, 0)
    tell(one, "offline", **running())
    shown = Watch([one], Console(file=io.StringIO()))
    assert shown.views({})[0].state == "waiting"
    tell(one, "offline", **running())
    assert shown.views({})[0].state == "running"


def test_the_time_left_includes_later_phases_by_the_rates_of_other_runs(job, tmp_path):
    mine, same, other = job(tmp_path, 0), job(tmp_path, 1), job(tmp_path, 0, "td3_bc alpha=1")
    shown = Watch([mine, same, other], Console(file=io.StringIO()))

    def left():
        view = shown.views({})[0]
        return tuple(view.left)

    tell(mine, "offline", **running(took={"score model": 5.0, "td3_bc: offline": 20.0}))
    assert left() == (30.0, True)
    tell(other, "offline", state="done", took={"score model": 5.0, "td3_bc: offline": 70.0, "after": 7.0})
    assert left() == (37.0, True)
    tell(same, "offline", state="done", took={"score model": 5.0, "td3_bc: offline": 70.0})
    assert left() == (30.0, True)  # another seed of the same job has precedence over another variant
    tell(same, "control", state="done", took={"a": 1.0})
    tell(same, "to-sac", state="done", took={"b": 2.0, "c": 3.0})
    assert left() == (36.0, False)
    tell(mine, "offline", **running(at_least=False))
    assert left() == (36.0, False)  # the run has rates of its own stages
    tell(mine, "offline", **running(seconds_left=None))
    assert left() == (75.0 - 20.0 + 6.0, False)


def test_compilation_is_shown(job, tmp_path):
    out = io.StringIO()
    one = job(tmp_path, 0)
    with Watch([one], Console(file=out, width=60)) as shown:
        for doing in ("compilation", "training", "evaluation", "training"):
            tell(one, "offline", **running(doing=doing))
            shown.update({})
    first, second = out.getvalue().splitlines()
    assert "2,000/5,000, compiling" in first
    assert "compiling" not in second


def test_a_job_without_changes_prints_nothing(job, tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    one = job(tmp_path, 0)
    shown = Watch([one], Console(file=io.StringIO()))
    tell(one, "offline", **running())
    assert shown.views({})[0].state == "running"
    now[0] = 200.0
    assert shown.views({})[0].state == "silent for 3 min 20 s"
    tell(one, "offline", **running())
    assert shown.views({})[0].state == "running"


@pytest.mark.parametrize("text", ["", "{", "[]", '"running"', "{}"])
def test_an_invalid_status_is_ignored(job, text, tmp_path):
    one = job(tmp_path, 0)
    shown = Watch([one], Console(file=io.StringIO()))
    (one.folder / "offline").mkdir(parents=True)
    (one.folder / "offline" / "status.json").write_text(text)
    assert shown.views({})[0].state == "waiting"
