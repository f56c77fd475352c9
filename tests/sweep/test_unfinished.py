"""Learning curves of transfers that are not done."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from smac_jax.analysis import tables
from smac_jax.analysis.curves import TransferCurve
from smac_jax.commands import report
from smac_jax.sweep.run_names import RunName
from smac_jax.sweep.unfinished import curve_so_far

RUN = RunName("online", "sac", 2000)
CLAIMED = {
    "data": "hopper-medium-replay",
    "task": "hopper",
    "seeds": [4, 5],
    "offline": {"label": "smac", "algorithm": "smac"},
    "online sac": {"label": "sac", "algorithm": "sac", "schedule": {"warm_start": 100, "num_steps": 400}},
    "checkpoints": [2000, 4000],
}


def log(folder: Path, name: str, evaluations: dict[int, list[float]], phase: str = "evaluation") -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"phase": phase, "step": step, "return": found}) for step, found in evaluations.items()]
    with open(folder / name / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


@pytest.fixture
def job(tmp_path) -> Path:
    folder = tmp_path / "runs" / "hopper-medium-replay" / "smac" / "seeds-4-5"
    log(folder, "offline-at-2000", {0: [0, 0], 1000: [300, 500], 2000: [1000, 800]})
    log(folder, "offline-at-4000", {3000: [900, 900]})
    log(folder, "control-at-2000", {2000: [1010, 790], 2050: [900, 800], 2100: [500, 800]})
    log(folder, "to-sac-at-2000", {0: [1000, 800], 100: [1000, 800]})
    log(folder, "to-sac-at-2000", {150: [1e6, 1e6]}, "online")  # training's own returns are no evaluation
    log(folder, "to-sac-at-2000", {150: [-1, -1]})
    log(folder, "to-sac-at-2000", {150: [520, 800]})  # after a resumption
    (folder / "job.json").write_text(json.dumps(CLAIMED))
    return folder


def test_the_curve_has_the_evaluations_so_far(job):
    found = curve_so_far(job, CLAIMED, RUN)
    assert found is not None
    assert (found.task, found.key, found.seeds) == ("hopper", ("smac", "sac", 2000), (4, 5))
    np.testing.assert_array_equal(found.offline_updates, [0, 1000, 2000])
    np.testing.assert_array_equal(found.offline_returns[0], [0, 300, 1000])
    np.testing.assert_array_equal(found.online_steps, [0, 100, 150])
    np.testing.assert_array_equal(found.online_returns, [[1000, 1000, 520], [800, 800, 800]])
    np.testing.assert_array_equal(found.control_steps, [0, 50, 100])
    assert (found.warm_start, found.planned_steps) == (100, 500)


def test_the_dip_is_that_of_the_first_quarter_of_the_planned_steps(job):
    found = curve_so_far(job, CLAIMED, RUN)
    assert found is not None
    (row,) = tables.rows([found], random_return=0.0)
    np.testing.assert_allclose(row.dip, [0.48, 0.0])  # the complete curve's quarter ends at step 200
    np.testing.assert_allclose(row.control_dip, [510 / 1010, 0.0])
    assert row.unfinished == "smac at 2,000 updates to sac: not done, shown to step 150 of 500"
    assert row.unfinished in tables.markdown([row], {})


def test_a_file_keeps_what_was_planned(job, tmp_path):
    found = curve_so_far(job, CLAIMED, RUN)
    assert found is not None
    found.to_json(tmp_path / "curve.json")
    assert TransferCurve.from_json(tmp_path / "curve.json").planned_steps == 500


@pytest.mark.parametrize("missing", ["to-sac-at-2000/metrics.jsonl", "seeds", "online sac"])
def test_a_transfer_that_has_not_begun_has_no_curve(job, missing):
    claimed = {name: value for name, value in CLAIMED.items() if name != missing}
    (job / missing).unlink(missing_ok=True)
    assert curve_so_far(job, claimed, RUN) is None


def test_before_the_first_online_update_the_curve_ends_in_the_warm_start(job):
    (job / "to-sac-at-2000" / "metrics.jsonl").unlink()
    log(job, "to-sac-at-2000", {0: [1000, 800]})
    found = curve_so_far(job, CLAIMED, RUN)
    assert found is not None
    assert found.warm_start == 0
    assert tables.rows([found], random_return=0.0)[0].dip.tolist() == [0.0, 0.0]


def test_the_report_shows_the_curve_and_writes_it(job, tmp_path, capsys):
    report.FLAGS(["report", "--curves"])
    try:
        assert report.main(["report", str(tmp_path)]) == 0
    finally:
        report.FLAGS.curves = False
    page = (tmp_path / "report.html").read_text()
    assert "Not done yet, so these rows and curves end at the newest evaluation" in page
    assert "SMAC at 2,000 updates to SAC" in page
    assert "not done: SMAC at 2,000 updates to SAC" in capsys.readouterr().out
    assert TransferCurve.from_json(tmp_path / "curves" / "smac-at-2000_sac.json").planned_steps == 500
