"""The paper's evidence: cells trained once, tables worked out right, figures with their provenance."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import suite

ROOT = Path(__file__).parents[2]


def reproduce(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "experiments.reproduce", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


def test_the_papers_table_has_a_number_for_every_pair():
    for task in suite.SUITE:
        rows = {"cal_ql/cql" if name in ("cql", "cal_ql") else name for name in task.offline}
        assert rows == set(suite.PAPER_TABLE_1)
    assert all(len(row) == len(suite.ONLINE) for row in suite.PAPER_TABLE_1.values())


@pytest.mark.parametrize("family", ["locomotion", "adroit", "kitchen"])
@pytest.mark.parametrize("scale", list(suite.SCALES))
def test_every_scale_has_every_algorithm_and_the_familys_rewards(family, scale):
    from experiments.configs.base import online_section
    from smac_jax.algorithms import make_offline, make_online

    config = suite.SCALES[scale].config(family)
    for name in ("iql", "smac", "td3_bc", "cql", "cal_ql"):
        make_offline(name, config[name].to_dict())
        assert config[name].reward_scale == {"locomotion": 1, "adroit": 10, "kitchen": 1}[family]
        assert config[name].reward_bias == {"locomotion": 0, "adroit": 5, "kitchen": -4}[family]
    for name in suite.ONLINE:
        make_online(name, config[online_section(name)].to_dict())


def test_figures_of_the_smallest_run_name_what_they_show(tmp_path):
    request = ["--scale=tiny", "--seeds=1", "--task=hopper-medium-replay", f"--results={tmp_path}"]
    done = reproduce(*request, "--figure=residual,coverage")
    assert done.returncode == 0, done.stderr[-2000:]
    for name in ("residual", "coverage"):
        assert (tmp_path / "hopper-medium-replay" / f"{name}.png").stat().st_size > 10_000
        assert f"{name}.png" in done.stdout
    legs = sorted(path.parent.name for path in tmp_path.glob("runs/hopper-medium-replay/smac/*/*/status.json"))
    assert legs == ["control", "offline", "to-sac"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--table=2"], "Unknown table '2'. Known: 1, all, tasks."),
        (["--figure=kapa"], "Unknown figure 'kapa'"),
        (["--task=nowhere.hdf5"], "nowhere.hdf5"),
    ],
)
def test_a_mistake_is_one_line(arguments, words, tmp_path):
    done = reproduce(*arguments, f"--results={tmp_path / 'run'}")
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_curves_of_seeds_trained_apart_are_one_column_a_seed(tmp_path):
    from experiments.evidence import offline_metrics

    class Block:
        def __init__(self, folder, seeds):
            self.folder = folder
            (folder / "offline").mkdir(parents=True)
            lines = [
                '{"phase": "score model", "step": 10, "loss": [1.0]}',
                *(f'{{"phase": "offline", "step": {step}, "residual_data": {seeds}}}' for step in (0, 10)),
            ]
            (folder / "offline" / "metrics.jsonl").write_text("\n".join(lines))

    points = offline_metrics([Block(tmp_path / "a", [1.0, 2.0]), Block(tmp_path / "b", [3.0])])
    assert [point["step"] for point in points] == [0, 10]
    np.testing.assert_array_equal(points[1]["residual_data"], [1.0, 2.0, 3.0])
