"""A sweep that is killed in any phase, with default settings, has the numbers of an uninterrupted one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import killed_sweep
import numpy as np
import pytest

from smac_jax.data.readers.d4rl import write_d4rl

ROOT = Path(__file__).parents[2]
MOMENTS = {
    "offline compilation": 1.0,
    "offline score model": 0.5,
    "offline offline": 0.5,
    "evaluation": 0.2,
    "saving": 0.2,
    "control offline": 0.5,
    "warm start": 0.5,
    "to-sac online": 0.5,
    "report": 1.0,
}
"""In their order (a run that is done is not begun again), with the longest wait before the kill, in seconds."""
SIZES = {
    "pretrain.num_updates": 1000,
    "pretrain.eval_every": 500,
    "pretrain.eval_episodes": 1,
    "finetune.num_steps": 500,
    "finetune.warm_start": 500,
    "finetune.eval_every": 250,
    "finetune.eval_episodes": 1,
    "smac.batch_size": 16,
    "smac.score_model.num_updates": 1000,
    "smac.score_model.batch_size": 16,
    "smac.score_model.hidden": 8,
    "smac.network.actor_hidden": "(8,)",
    "smac.network.critic_hidden": "(8,)",
    "sac.batch_size": 16,
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Makes a folder with a small data set and the shared cache of compiled programs."""
    folder, rng, rows = tmp_path_factory.mktemp("sweeps"), np.random.default_rng(0), 200
    arrays = {
        "observations": rng.normal(size=(rows, 11)),
        "actions": rng.uniform(-1, 1, (rows, 3)),
        "rewards": rng.normal(size=rows),
        "terminals": np.arange(rows) % 20 == 19,
    }
    write_d4rl(folder / "hopper-tiny.hdf5", arrays)
    return folder


def sweep(place: Path, results: str, moment: str, seconds: float, *more: str) -> tuple[int, str]:
    """Runs the sweep, and returns the exit code and the output."""
    flags = [f"--task={place / 'hopper-tiny.hdf5'}", "--offline=smac", "--online=sac", "--seeds=2", *more]
    flags += [f"--results={place / results}", *(f"--config.{name}={size}" for name, size in SIZES.items())]
    done = subprocess.run(
        [sys.executable, killed_sweep.__file__, moment, str(seconds), *flags],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(ROOT), "CACHE": str(place / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    return done.returncode, done.stdout


def numbers(folder: Path) -> dict[str, object]:
    """Returns all measured and trained numbers by file."""
    found: dict[str, object] = {name: (folder / name).read_text() for name in ("table.csv", "curves/smac_sac.json")}
    for path in sorted(folder.rglob("metrics.jsonl")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        found[str(path.relative_to(folder))] = [{k: v for k, v in line.items() if k != "time"} for line in lines]
    for path in sorted(folder.rglob("policy.npz")):
        with np.load(path) as arrays:
            found[str(path.relative_to(folder))] = {name: arrays[name].tobytes() for name in arrays.files}
    assert len(found) == 2 + 3 + 2
    return found


@pytest.fixture(scope="module")
def undisturbed(place) -> dict[str, object]:
    code, said = sweep(place, "whole", "none", 0.0)
    assert code == 0, said
    assert {f"moment: {moment}" for moment in MOMENTS} <= set(said.splitlines())
    return numbers(place / "whole")


@pytest.mark.parametrize(("seed", "more"), [(0, ()), (1, ()), (2, ("--save_every=0.2",)), (3, ("--save_every=0",))])
def test_a_sweep_that_is_killed_in_every_phase_has_the_numbers_of_an_uninterrupted_one(place, undisturbed, seed, more):
    rng, results = random.Random(seed), f"killed-{seed}"
    for moment in MOMENTS:
        code, said = sweep(
            place, results, moment, rng.uniform(0.0, 0.2 if moment in ("saving", "report") else 1.0), *more
        )
        assert code == -signal.SIGKILL, said
        assert moment in said
    code, said = sweep(place, results, "none", 0.0, *more)
    assert code == 0, said
    assert numbers(place / results) == undisturbed
