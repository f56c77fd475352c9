"""Reproducing the paper: jobs are trained once, tables have the right numbers, and figures have their provenance."""

from __future__ import annotations

import csv
import json
import types
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from programs import run_module

import smac_jax
from experiments import reproduce as program
from experiments.paper import figures, tables, tasks
from experiments.paper.grid import Task
from smac_jax.analysis.curves import TransferCurve
from smac_jax.tasks import normalized_score
from smac_jax.text import count, name_of

ROOT = Path(__file__).parents[2]


reproduce = partial(run_module, "experiments.reproduce")


def test_the_flags_have_every_scale_and_figure():
    assert tuple(tasks.SCALES) == program.SCALES
    assert tuple(figures.FIGURES) == program.FIGURES


def test_the_papers_table_has_a_number_for_every_pair():
    for task in tasks.SUITE:
        rows = {"cal_ql/cql" if name in ("cql", "cal_ql") else name for name in task.offline}
        assert rows == set(tasks.PAPER_TABLE_1)
    assert all(len(row) == len(tasks.ONLINE) for row in tasks.PAPER_TABLE_1.values())


@pytest.mark.parametrize("family", ["locomotion", "adroit", "kitchen"])
@pytest.mark.parametrize("scale", list(tasks.SCALES))
def test_every_scale_has_every_algorithm_and_the_rewards_of_the_family(family, scale):
    from smac_jax.algorithms import make_offline, make_online
    from smac_jax.presets.base import online_section

    config = tasks.SCALES[scale].config(family)
    for name in ("iql", "smac", "td3_bc", "cql", "cal_ql"):
        make_offline(name, config[name].to_dict())
        assert config[name].reward_scale == {"locomotion": 1, "adroit": 10, "kitchen": 1}[family]
        assert config[name].reward_bias == {"locomotion": 0, "adroit": 5, "kitchen": -4}[family]
    for name in tasks.ONLINE:
        make_online(name, config[online_section(name)].to_dict())


@pytest.mark.parametrize("scale", list(tasks.SCALES))
def test_antmaze_has_the_published_rewards(scale):
    config = tasks.SCALES[scale].config("antmaze")
    rewards = {name: (config[name].reward_scale, config[name].reward_bias) for name in ("smac", "iql", "cal_ql", "bc")}
    assert rewards == {"smac": (1.0, -1.0), "iql": (1.0, -1.0), "cal_ql": (10.0, -5.0), "bc": (1.0, -1.0)}


def test_the_smallest_leaderboard_has_its_algorithms_and_published_scores(tmp_path):
    request = ["--scale=tiny", "--seeds=2", "--task=hopper-medium-replay", f"--results={tmp_path}"]
    done = reproduce(*request, "--table=leaderboard", "--offline=bc", "--online=td3")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Published scores are of hopper-medium-replay-v2. The data here are another data set" in done.stdout
    curve = TransferCurve.from_json(tmp_path / "runs/hopper-medium-replay/bc/seeds-0-1/curve-td3.json")
    with (tmp_path / "leaderboard.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if not row["source"]]
    found = {(row["algorithm"], row["fine_tuned_with"]): float(row["score"]) for row in rows}
    assert set(found) == {("bc", ""), ("bc", "td3")}
    assert found["bc", ""] == pytest.approx(normalized_score("hopper", curve.offline_returns[:, -1]).mean(), rel=1e-4)
    assert found["bc", "td3"] == pytest.approx(normalized_score("hopper", curve.online_returns[:, -1]).mean(), rel=1e-4)
    assert "Scale: tiny (20 updates" in (tmp_path / "leaderboard.html").read_text()
    assert f"| {name_of('rebrac')} |" in (tmp_path / "leaderboard.md").read_text()
    assert not list(tmp_path.glob("runs/*/*/*/control"))
    assert not (tmp_path / "table-1.md").exists()


def test_figures_of_the_smallest_run_name_their_content(tmp_path):
    request = ["--scale=tiny", "--seeds=1", "--task=hopper-medium-replay", f"--results={tmp_path}"]
    done = reproduce(*request, "--figure=embedding,residual,coverage,line,plane")
    assert done.returncode == 0, done.stderr[-2000:]
    for name in ("embedding", "residual", "coverage", "line/line-1", "plane/plane"):
        assert (tmp_path / "hopper-medium-replay" / f"{name}.png").stat().st_size > 10_000
        assert f"{name}.png" in done.stdout
    assert f"Tables and figures are in {tmp_path}; open {tmp_path / 'report.html'} in a browser." in done.stdout
    assert "SMAC seed 0" in (tmp_path / "report.html").read_text()
    runs = sorted(path.parent.name for path in tmp_path.glob("runs/hopper-medium-replay/smac/*/*/status.json"))
    assert runs == ["offline", "to-sac", "to-td3_bc"]  # no figure of the smallest run shows the control

    # a figure without a policy that it needs is refused in one line, and the others are drawn
    gone = next(tmp_path.glob("runs/*/*/*/offline/policies/000000000.npz"))
    gone.rename(gone.with_suffix(".away"))
    (tmp_path / "hopper-medium-replay" / "coverage.png").unlink()
    again = reproduce(*request, "--figure=embedding,coverage")
    assert again.returncode == 1
    assert "failed: the figure embedding of hopper-medium-replay" in again.stderr
    assert "Traceback" not in again.stderr
    assert (tmp_path / "hopper-medium-replay" / "coverage.png").exists()

    # the policy of an evaluation can be loaded like any other
    kept = tmp_path / "runs/hopper-medium-replay/smac/seeds-0-0/to-sac"
    steps = json.loads((kept.parent / "curve-sac.json").read_text())["online_steps"]
    assert [path.name for path in sorted((kept / "policies").iterdir())] == [f"{int(step):09d}.npz" for step in steps]
    last = smac_jax.load(kept / "policies" / f"{int(steps[-1]):09d}.npz")
    np.testing.assert_array_equal(last(np.ones(11)), smac_jax.load(kept)(np.ones(11)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--table=2"], "Unknown table '2'. Known: 1, aggregate, all, leaderboard, tasks."),
        (["--figure=kapa"], "Unknown figure 'kapa'"),
        (["--task=nowhere.hdf5"], "nowhere.hdf5"),
    ],
)
def test_a_mistake_causes_a_one_line_message(arguments, words, tmp_path):
    done = reproduce(*arguments, f"--results={tmp_path / 'run'}")
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_learning_curves_of_one_job(tmp_path):
    curves = {("smac", online): made_up("hopper", "smac", online, 900.0) for online in ("sac", "td3")}
    jobs = {"smac": types.SimpleNamespace(seeds=(0, 1, 2, 3))}
    data = smac_jax.load_dataset("hopper-medium-replay")
    found = figures.FigureData(tmp_path, data, jobs, curves, "a caption", tasks.SCALES["tiny"].resolution)
    assert figures.FIGURES["transfer"].draw("transfer", found) == tmp_path / "smac-transfer.png"
    assert (tmp_path / "smac-transfer.png").stat().st_size > 10_000


def test_curves_of_separately_trained_seeds_are_joined(tmp_path):
    from experiments.paper.figures import offline_metrics

    class Job:
        def __init__(self, folder, seeds):
            self.folder = folder
            (folder / "offline").mkdir(parents=True)
            lines = [
                '{"phase": "score model", "step": 10, "loss": [1.0]}',
                *(f'{{"phase": "offline", "step": {step}, "residual_data": {seeds}}}' for step in (0, 10)),
            ]
            (folder / "offline" / "metrics.jsonl").write_text("\n".join(lines))

    points = offline_metrics([Job(tmp_path / "a", [1.0, 2.0]), Job(tmp_path / "b", [3.0])])
    assert [point["step"] for point in points] == [0, 10]
    np.testing.assert_array_equal(points[1]["residual_data"], [1.0, 2.0, 3.0])


def made_up(task: str, offline: str, online: str, level: float) -> TransferCurve:
    """Returns a curve of four seeds whose levels after the transfer have a distance of ten."""
    returns = np.repeat(level + 10.0 * np.arange(4)[:, None], 3, axis=1)
    return TransferCurve(
        task=task,
        offline=offline,
        online=online,
        offline_updates=np.array([0.0, 10.0]),
        offline_returns=returns[:, :2],
        online_steps=np.array([0.0, 5.0, 10.0]),
        online_returns=returns,
        warm_start=0,
    )


def test_tables_over_all_tasks_equal_numbers_computed_by_hand(tmp_path):
    """SMAC is better than IQL on one task, and worse on the other. The row of cal_ql has cql."""
    levels = {"hopper": {"smac": 1000.0, "iql": 500.0}, "halfcheetah": {"smac": 1000.0, "iql": 2000.0}}
    by_task = {
        f"{task}-set": [
            made_up(task, offline, online, values.get(offline, 100.0))
            for offline in ("iql", "smac", "td3_bc", "cql")
            for online in tasks.ONLINE
        ]
        for task, values in levels.items()
    }
    about = {
        **{"scale": "none", "command": "none", "seeds": [0, 1, 2, 3], "device": "none", "versions": {}},
        **{"commit": "none", "date": "2026-01-01", "data": {source: source for source in by_task}},
    }
    measured = tables.measure(by_task)
    tables.table_1(tmp_path, measured, about)
    tables.aggregate(tmp_path, measured, about)
    regret = {tuple(row[:2]): row for row in read_csv(tmp_path / "table-1.csv")}
    # on each task the best is 0 and the worst is 1; on halfcheetah SMAC is 1000 of 1900 below the best
    assert float(regret["smac", "sac"][2]) == pytest.approx((0 + 1000 / 1900) / 2)
    assert float(regret["iql", "sac"][2]) == pytest.approx((500 / 900 + 0) / 2, rel=1e-5)
    assert float(regret["cal_ql/cql", "td3"][2]) == 1.0
    found = {tuple(row[:3]): [float(x) for x in row[3:]] for row in read_csv(tmp_path / "aggregate.csv")}
    assert found["iql", "sac", "SMAC's regret is lower"] == [0.5, 0.5, 0.5]
    assert found["td3_bc", "sac", "SMAC's regret is lower"] == [1.0, 1.0, 1.0]
    assert ("smac", "sac", "SMAC's regret is lower") not in found
    scores = [normalized_score("hopper", 1000.0 + 10 * i) for i in range(4)]
    scores += [normalized_score("halfcheetah", 1000.0 + 10 * i) for i in range(4)]
    assert found["smac", "awr", "final"][0] == pytest.approx(np.mean(sorted(scores)[2:6]), rel=1e-5)
    assert (tmp_path / "profiles.png").stat().st_size > 10_000
    assert "halfcheetah-set" in (tmp_path / "aggregate.md").read_text()


def test_tables_over_all_tasks_exclude_failed_and_additional_jobs(tmp_path, capsys):
    def cell(task, offline, missing=()):
        online = [types.SimpleNamespace(label=name) for name in tasks.ONLINE]
        job = types.SimpleNamespace(folder=tmp_path / task / offline, online=online, done=not missing)
        job.curve = lambda end: job.folder / f"{end.label}.json"
        for end in online:
            if end.label not in missing:
                job.folder.mkdir(parents=True, exist_ok=True)
                made_up(task, offline, end.label, 100.0 * len(offline)).to_json(job.curve(end))
        return job

    places = {task.data.split("-")[0]: task for task in tasks.SUITE}
    named = [Task(f"{name}-set", None, name, places[name]) for name in ("hopper", "walker2d", "halfcheetah")]
    cells = {task.source: {name: cell(task.env, name) for name in ("iql", "smac", "td3_bc", "cql")} for task in named}
    cells["walker2d-set"]["cql"] = cell("walker2d", "cql", missing=["td3"])
    about = {
        **{"scale": "none", "command": "none", "seeds": [0, 1, 2, 3], "device": "none", "versions": {}},
        **{"commit": "none", "date": "2026-01-01", "data": {task.source: f"the {task.source}" for task in named}},
    }
    for every_task, of_table_1 in ((False, ["hopper"]), (True, ["hopper", "halfcheetah"])):
        tables.over_all_tasks(tmp_path, ("1", "aggregate"), named, cells, about, every_task)
        assert "left out of the tables over all tasks: walker2d-set" in capsys.readouterr().err
        text = (tmp_path / "table-1.md").read_text()
        assert f"over {count(of_table_1, 'task')}, where 0 is the best" in text
        for task in named:
            assert (f"the {task.source}" in text) == (task.env in of_table_1)
        assert "the halfcheetah-set" in (tmp_path / "aggregate.md").read_text()


def read_csv(path: Path) -> list[list[str]]:
    """Returns the rows below the header."""
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]
