"""The command line, end to end, on a tiny data set; and what it says to those who mistype."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from smac_jax.data.d4rl import write_d4rl

ROOT = Path(__file__).parents[2]
TINY = [
    "--config=experiments/configs/quickstart.py",
    "--config.pretrain.num_updates=20",
    "--config.pretrain.eval_every=10",
    "--config.pretrain.eval_episodes=1",
    "--config.finetune.num_steps=20",
    "--config.finetune.warm_start=10",
    "--config.finetune.eval_every=10",
    "--config.finetune.eval_episodes=1",
    "--config.smac.score_model.num_updates=10",
    *(f"--config.{name}.network.{part}_hidden=(8,8)" for name in ("smac", "td3_bc") for part in ("actor", "critic")),
]


def sweep(*arguments: str, check: bool = False) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "experiments.sweep", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=check, timeout=600)


@pytest.fixture(scope="module")
def data_file(tmp_path_factory):
    rng = np.random.default_rng(0)
    rows = 200
    path = tmp_path_factory.mktemp("data") / "hopper-tiny.hdf5"
    arrays = {
        "observations": rng.normal(size=(rows, 11)),
        "actions": rng.uniform(-1, 1, (rows, 3)),
        "rewards": rng.normal(size=rows),
        "terminals": np.arange(rows) % 20 == 19,
    }
    write_d4rl(path, arrays)
    return path


def test_whole_pipeline_leaves_table_figure_curves_and_checkpoints(data_file, tmp_path):
    from smac_jax.train.checkpoint import load_actor_critic

    folder = tmp_path / "run"
    request = [f"--task={data_file}", "--seeds=2", f"--results={folder}", *TINY]
    done = sweep(*request)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "smac" in done.stdout
    assert "td3_bc" in done.stdout
    for name in ("table.md", "table.csv", "transfer.png", "transfer.pdf", "provenance.json", "report.html"):
        assert (folder / name).stat().st_size > 100, name
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["command"].startswith("python -m experiments.sweep --task=")
    assert provenance["config"]["pretrain"]["num_updates"] == 20
    for name in ("smac", "td3_bc"):
        curve = json.loads((folder / "curves" / f"{name}_sac.json").read_text())
        assert curve["online_steps"] == [0, 10, 20, 30]
        assert curve["control_steps"] == [0, 10, 20]
        runs = folder / "runs" / "hopper-tiny" / name / "seeds-0-1"
        for leg in ("offline", "to-sac"):
            assert load_actor_critic(runs / leg / "actor_critic").observation_mean.shape == (2, 11)
            assert len((runs / leg / "metrics.jsonl").read_text().splitlines()) > 2
        for leg in ("offline", "control", "to-sac"):
            assert json.loads((runs / leg / "status.json").read_text())["state"] == "done"

    # the same command finds all of it done, and changes nothing
    table, saved = (folder / "table.csv").read_text(), (runs / "offline" / "snapshots").stat().st_mtime_ns
    again = sweep(*request)
    assert again.returncode == 0, again.stderr[-2000:]
    assert (folder / "table.csv").read_text() == table
    assert (runs / "offline" / "snapshots").stat().st_mtime_ns == saved

    # another configuration does not take their place
    other = sweep(*request, "--config.smac.kappa=1")
    assert other.returncode == 2
    assert "holds results of another configuration" in other.stderr
    assert (folder / "table.csv").read_text() == table


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config.smac.kapa=3"], 'the configuration has no field kapa Did you mean "kappa"'),
        (["--config.smac.kappa=-1"], "SMACConfig.kappa = -1.0: must be in [0, inf]"),
        (["--offline=smak"], "Unknown offline algorithm 'smak'. Known: awac, bc, cal_ql, cql, iql, smac, td3_bc"),
        (["--task=nowhere.hdf5"], "nowhere.hdf5"),
        (["--env=spider"], "spider"),
        (["--sedes=3"], "Unknown command line flag 'sedes'"),
        (["smac"], "not understood: smac"),
    ],
)
def test_a_mistake_is_one_line_and_no_traceback(arguments, words, tmp_path):
    done = sweep(f"--results={tmp_path / 'run'}", *TINY[:1], *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
