"""The diagnosis of transfers from the logs of a sweep."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from smac_jax.analysis.curves import TransferCurve
from smac_jax.commands import report
from smac_jax.sweep import soundness
from smac_jax.sweep.state import read_sweep


def line(phase: str, step: int, **metrics: list[float | None]) -> str:
    return json.dumps({"run": "x", "phase": phase, "step": step, **metrics}) + "\n"


def write_job(folder: Path, label: str, kappa: float, returns: list[float], adaptation: str = "fixed") -> Path:
    """Writes a job of SMAC to SAC with two seeds that was pre-trained for 20 updates, with logs of a few more."""
    job = folder / "runs" / "hopper" / label / "seeds-0-1"
    config = {"kappa": kappa, "kappa_adaptation": adaptation, "batch_size": 64}
    offline = {"label": label, "algorithm": "smac", "config": config, "schedule": {"num_updates": 20}}
    for run, text in {
        "offline": [
            line("score model", 99, score_model_loss=[1.0, 1.0]),
            line("offline", 0, cosine_policy=[0.0, 0.0], cosine_uniform=[0.0, 0.0]),
            line("evaluation", 0, **{"return": [0.0, 0.0], "relative_optimism": [None, 1.0]}),
            line("offline", 20, cosine_policy=[0.6, 0.5], cosine_uniform=[0.8, 0.7], gradient_ratio=[1.0, 2.0]),
            line(
                "evaluation",
                20,
                **{"return": returns, "relative_optimism": [-0.5, -0.6], "random_preferred": [0.0, 0.02]},
            ),
            line("offline", 30, cosine_policy=[0.0, 0.0]),
            line("evaluation", 30, **{"return": [0.0, 0.0], "relative_optimism": [9.0, 9.0]}),
            '{"run": "x", "phase": "eval',
        ],
        "to-sac": [
            line("evaluation", 0, relative_optimism=[9.0, 9.0]),
            line("evaluation", 5, relative_optimism=[0.1, 2]),
        ],
    }.items():
        (job / run).mkdir(parents=True)
        (job / run / "metrics.jsonl").write_text("".join(text))
    (job / "job.json").write_text(json.dumps({"data": "hopper", "task": "hopper", "seeds": [0, 1], "offline": offline}))
    TransferCurve(
        task="hopper",
        offline=label,
        online="sac",
        offline_updates=[0, 20],
        offline_returns=[[0.0, returns[0]], [0.0, returns[1]]],
        online_steps=[0, 5],
        online_returns=[[returns[0], 1.0], [returns[1], 1.0]],
        seeds=(0, 1),
    ).to_json(job / "curve-sac.json")
    return job


@pytest.fixture
def sweep(tmp_path):
    write_job(tmp_path, "smac", 5.0, [1000.0, 500.0])
    return tmp_path


def evidence(folder: Path) -> dict:
    return soundness.read_evidence(read_sweep(folder))["hopper"]


def test_evidence_has_the_logged_values_at_the_transfer_and_at_the_end(sweep):
    first, second = evidence(sweep)["smac", "sac", None]
    assert (first.cosine, second.cosine) == pytest.approx((0.7, 0.6))
    assert (first.pull, second.pull) == (1.0, 2.0)
    assert (first.optimism, second.optimism) == (-0.5, -0.6)  # the values after 20 updates, not those after 30
    assert (first.final_optimism, second.final_optimism) == (0.1, 2.0)
    assert (first.preferred, second.preferred) == (0.0, 0.02)
    assert np.isnan(first.share)


def test_a_transfer_from_a_checkpoint_is_judged_by_the_log_until_then(sweep):
    job = sweep / "runs" / "hopper" / "smac" / "seeds-0-1"
    # another run continues this one to 40 updates, and both are transferred
    (job / "offline").rename(job / "offline-at-20")
    (job / "to-sac").rename(job / "to-sac-at-20")
    curve = TransferCurve.from_json(job / "curve-sac.json")
    dataclasses.replace(curve, checkpoint=20).to_json(job / "curve-sac-at-20.json")
    dataclasses.replace(curve, offline_updates=[0, 40]).to_json(job / "curve-sac.json")
    for run in ("offline", "to-sac"):
        (job / run).mkdir()
    (job / "offline" / "metrics.jsonl").write_text(line("evaluation", 40, relative_optimism=[-0.1, -0.2]))
    found = evidence(sweep)
    assert [seed.optimism for seed in found["smac", "sac", 20]] == [-0.5, -0.6]
    assert [seed.optimism for seed in found["smac", "sac", None]] == [-0.1, -0.2]
    assert [seed.final_optimism for seed in found["smac", "sac", 20]] == [0.1, 2.0]
    assert np.isnan(found["smac", "sac", None][0].final_optimism)
    judged = soundness.summaries(found)
    assert [soundness.cells(pair, judged[pair])[0] for pair in judged] == ["SMAC at 20 updates", "SMAC"]


def test_a_job_without_penalty_in_the_same_sweep_is_the_control_of_the_diagnosis(sweep):
    write_job(sweep, "smac-kappa=0.001", 0.001, [300.0, 500.0], "decay")
    first, second = evidence(sweep)["smac", "sac", None]
    random = -20.272305  # the random return of hopper in D4RL
    assert first.share == pytest.approx((400 - random) / (1000 - random))
    assert second.share == pytest.approx((400 - random) / (500 - random))
    judged = soundness.summaries(evidence(sweep))
    assert judged["smac", "sac", None].verdict == "not sound"
    assert soundness.cells(("smac", "sac", None), judged["smac", "sac", None])[:3] == ["SMAC", "SAC", "not sound"]
    advice = soundness.advice(judged)
    assert any(sentence.startswith("SMAC to SAC: Temporal differences alone") for sentence in advice)


@pytest.mark.parametrize(
    ("offline", "online", "constrained"),
    [
        ("iql", "same", True),
        ("iql", "sac", False),
        ("cql", "same", False),
        ("smac", "td3_bc", True),
        ("td3_bc", "same", True),
    ],
)
def test_random_actions_are_no_fault_where_the_online_algorithm_stays_close_to_the_data(
    sweep, offline, online, constrained
):
    """IQL to itself never takes the actions that its critics prefer, and nothing about SAC is recommended."""
    job = sweep / "runs" / "hopper" / "smac" / "seeds-0-1"
    claimed = json.loads((job / "job.json").read_text())
    claimed["offline"]["algorithm"] = offline
    claimed["online sac"] = {"label": "sac", "algorithm": online}
    (job / "job.json").write_text(json.dumps(claimed))
    log = job / "offline" / "metrics.jsonl"
    log.write_text(log.read_text().replace("[0.0, 0.02]", "[0.5, 0.75]"))
    found = evidence(sweep)["smac", "sac", None]
    assert [seed.constrained for seed in found] == [constrained, constrained]
    summary = soundness.summaries(evidence(sweep))["smac", "sac", None]
    assert summary.cells["random preferred"] == ("62 %" if constrained else "62 % (!)")
    assert any("prefer many random actions" in sentence for sentence in summary.advice) != constrained


def test_a_job_that_differs_in_more_than_its_penalty_is_not_a_control(sweep):
    job = write_job(sweep, "smac-kappa=0", 0.0, [300.0, 500.0])
    claimed = json.loads((job / "job.json").read_text())
    claimed["offline"]["config"]["batch_size"] = 128
    (job / "job.json").write_text(json.dumps(claimed))
    assert all(np.isnan(seed.share) for seed in evidence(sweep)["smac", "sac", None])


def test_runs_with_missing_or_damaged_logs_have_unknown_verdicts(sweep):
    offline = sweep / "runs" / "hopper" / "smac" / "seeds-0-1" / "offline" / "metrics.jsonl"
    for damaged in ("not JSON\n[]\n3\n", '{"phase": "offline"}\n', line("offline", 0, cosine_policy=[0.5] * 7)):
        offline.write_text(damaged)
        (sweep / "runs" / "hopper" / "smac" / "seeds-0-1" / "to-sac" / "metrics.jsonl").unlink(missing_ok=True)
        found = evidence(sweep)["smac", "sac", None]
        assert len(found) == 2
        assert soundness.summaries(evidence(sweep))["smac", "sac", None].verdict == "unknown"
    offline.unlink()
    assert len(evidence(sweep)["smac", "sac", None]) == 2


def test_the_diagnosis_is_on_the_page_and_in_the_terminal(sweep, capsys):
    write_job(sweep, "smac-kappa=0.001", 0.001, [300.0, 500.0], "decay")
    report.FLAGS(["smac-jax report"])
    assert report.main(["smac-jax report", str(sweep)]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 100
    assert "Is the transfer sound? hopper" in said
    assert "not sound" in said
    assert "kappa 0: 61 % (!)" in said
    assert "* SMAC to SAC: Temporal differences alone do not reach" in said
    assert said.splitlines()[-1] == str(sweep / "report.html")
    page = (sweep / "report.html").read_text()
    assert "<h3>Is the transfer sound?</h3>" in page
    assert '<td class="bad">kappa 0: 61 % (!)</td>' in page
    assert '<td class="bad">not sound</td>' in page
    # for each seed, also with the numbers of the second one
    (row,) = [row for row in page.split("<tr>") if "<td>smac to sac" in row.lower() and "<td>1</td>" in row]
    assert "+200 % (!)" in row
    # without logs there is no diagnosis
    for path in sweep.glob("runs/*/*/*/*/metrics.jsonl"):
        path.unlink()
    assert report.main(["smac-jax report", str(sweep)]) == 0
    assert capsys.readouterr().out.strip() == str(sweep / "report.html")
    assert "Is the transfer sound?" not in (sweep / "report.html").read_text()
