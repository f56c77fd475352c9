"""The cost of a sweep: every program is measured once."""

from __future__ import annotations

import pytest

import smac_jax
from experiments.paper import tasks
from experiments.paper.grid import Task, grid_of
from smac_jax.sweep.cost import Rates, run_seconds, show


@pytest.fixture(scope="module")
def hopper():
    return smac_jax.load_dataset("hopper-medium-replay")


def test_jobs_share_the_rates_of_programs_that_they_share(hopper, tmp_path, monkeypatch):
    task = Task("hopper-medium-replay", hopper, "hopper", tasks.SUITE[0])
    cells = grid_of(task, tmp_path, tasks.SCALES["tiny"], [0, 1], "mujoco", tables=False, figures=["kappa", "size"])
    jobs = {**cells.figures["kappa"], **cells.figures["size"]}
    rates, timed = Rates({"hopper": hopper}), []
    measure = rates._timed
    monkeypatch.setattr(rates, "_timed", lambda *given: timed.append(given) or measure(*given))
    seconds = {x: {str(run.name): run_seconds(job, run, rates) for run in job.plan} for x, job in jobs.items()}
    assert all(value > 0 for runs in seconds.values() for value in runs.values())
    # the same program runs with another kappa or with a part of the data, but kappa 0 has no penalty
    assert seconds["smac kappa=0.5"] == seconds["smac kappa=50"] == seconds["5% of the data"]
    assert seconds["smac kappa=0"]["offline"] != seconds["smac kappa=5"]["offline"]
    assert seconds["smac kappa=0"]["to-sac"] == seconds["smac kappa=5"]["to-sac"]
    # two programs with two phases each; environment steps with and without updates; an evaluation
    assert len(timed) == 2 * 2 + 2 + 1
    assert rates.compilation > 0


def test_finished_runs_are_not_measured(hopper, tmp_path, capsys):
    task = Task("hopper-medium-replay", hopper, "hopper", tasks.SUITE[0])
    (job,) = grid_of(task, tmp_path, tasks.SCALES["tiny"], [0, 1], "mujoco", tables=False, figures=["residual"]).jobs
    assert job.runs == ("offline",)
    marker = job.folder / "offline" / "actor_critic" / "networks.json"
    marker.parent.mkdir(parents=True)
    marker.write_text("{}")
    show([job], {})  # this needs no data
    assert "1 job, 1 of them done" in capsys.readouterr().out
