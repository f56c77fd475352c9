"""The study of the hand-over, end to end at a tiny size: what it leaves, what it does not do twice, what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = [
    "--group=main",
    "--only=td3_bc",
    "--seeds=2",
    "--checkpoints=10,20",
    "--online=sac",
    "--config.pretrain.eval_episodes=1",
    "--config.pretrain.final_episodes=1",
    "--config.finetune.num_steps=10",
    "--config.finetune.warm_start=10",
    "--config.finetune.eval_every=10",
    "--config.finetune.eval_episodes=1",
    "--config.finetune.final_episodes=1",
]


def study(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "experiments.study_handover", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)


def test_a_variant_is_run_once_and_never_taken_for_another(tmp_path):
    done = study(*TINY, f"--results={tmp_path}")
    assert done.returncode == 0, done.stderr[-2000:]
    for checkpoint in (10, 20):
        assert (tmp_path / "main" / f"transfer-{checkpoint}.png").stat().st_size > 1000
        assert "td3_bc" in (tmp_path / "main" / f"table-{checkpoint}.csv").read_text()
    curve = tmp_path / "curves" / "td3_bc" / "sac-20.json"
    found = json.loads(curve.read_text())
    assert found["offline_updates"][-1] == 20
    assert len(found["control_returns"]) == len(found["online_returns"]) == 2
    written = curve.stat().st_mtime_ns

    again = study(*TINY, f"--results={tmp_path}")
    assert again.returncode == 0, again.stderr[-2000:]
    assert curve.stat().st_mtime_ns == written

    # the curve of a later checkpoint is made again, the earlier one stays; both processes are named
    first = curve.with_name("sac-10.json")
    before = first.stat().st_mtime_ns
    curve.unlink()
    assert study(*TINY, f"--results={tmp_path}").returncode == 0
    assert first.stat().st_mtime_ns == before
    remade = json.loads(curve.read_text())
    assert {**remade, "online_returns": None} == {**found, "online_returns": None}
    assert len(json.loads((curve.parent / "provenance.json").read_text())["trained_before"]) == 1
    written = curve.stat().st_mtime_ns

    # fields that this version has and the one of the curves had not, at their defaults; and one that is gone
    provenance = curve.parent / "provenance.json"
    record = json.loads(provenance.read_text())
    del record["offline"]["utd"], record["offline"]["network"]["critic_layer_norm"], record["online sac"]["utd"]
    record["offline"]["policy_rows"] = "all"
    provenance.write_text(json.dumps(record))
    later = study(*TINY, f"--results={tmp_path}")
    assert later.returncode == 0, later.stderr[-2000:]
    assert curve.stat().st_mtime_ns == written

    other = study(*TINY, f"--results={tmp_path}", "--config.td3_bc.alpha=1.0")
    assert other.returncode == 2
    assert "another offline" in other.stderr
    assert curve.stat().st_mtime_ns == written


def test_mistakes_are_one_line():
    for arguments, words in ((["--only=td4"], "td4"), (["--checkpoints=20,10"], "increasing")):
        done = study(*arguments)
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr
