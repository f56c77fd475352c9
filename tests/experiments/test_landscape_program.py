"""The program around landscapes: figures with their numbers, and nothing evaluated twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smac_jax.algorithms.base import NetworkConfig, new_actor_critic
from smac_jax.files import write_json
from smac_jax.train.checkpoint import save_actor_critic

ROOT = Path(__file__).parents[2]
SMALL = ["--points=3", "--grid=2", "--episodes=1"]


def landscape(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "experiments.landscape", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


@pytest.fixture
def legs(tmp_path):
    """Three untrained policies of one seed, as a sweep leaves trained ones."""
    block = tmp_path / "seeds-4-4"
    about = {"task": "hopper", "physics": "mujoco", "version": "v4", "data": "hopper-tiny", "seeds": [4]}
    start = {"config": {"network": {"critic_hidden": [4]}}, "schedule": {"num_updates": 10}}
    about |= {"offline": start, "online sac": {"schedule": {"num_steps": 20}}}
    block.mkdir()
    write_json(block / "block.json", about)
    network = NetworkConfig(actor_hidden=(4,), critic_hidden=(4,))
    for number, name in enumerate(("offline", "to-sac", "to-td3_bc")):
        made = new_actor_critic(network, jax.random.key(number), jnp.zeros(11), jnp.ones(11), action_size=3)
        save_actor_critic(block / name / "actor_critic", jax.tree.map(lambda x: x[None], made), seeds=[4])
    return [str(block / name) for name in ("offline", "to-sac", "to-td3_bc")]


def test_lines_and_a_plane_of_a_sweeps_runs(legs, tmp_path):
    out = tmp_path / "out"
    done = landscape(*legs, *SMALL, f"--results={out}")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "10 points x 1 seed x 1 episode: at most" in done.stdout
    for name, points in (("line-1", 3), ("line-2", 3), ("plane", 4)):
        assert (out / f"{name}.png").stat().st_size > 10_000
        lines = (out / f"{name}.csv").read_text().splitlines()
        assert len(lines) == 1 + points
        for policy in range(2 if name != "plane" else 3):  # each is among the points
            weights = ["1" if i == policy else "0" for i in range(2 if name != "plane" else 3)]
            assert any(line.split(",")[: len(weights)] == weights for line in lines)

    # points that are there are believed: a return that no hopper earns stays in the table
    with np.load(out / "line-1-points.npz") as stored:
        kept = dict(stored)
    kept["returns"][1] = 12345.0
    np.savez(out / "line-1-points.npz", **kept)
    again = landscape(*legs[:2], *SMALL, f"--results={out}")
    assert again.returncode == 0, again.stderr[-2000:]
    assert (out / "line-1.csv").read_text().splitlines()[2].endswith(",12345")

    # of the same parameters in another world they are not
    block = Path(legs[0]).parent / "block.json"
    write_json(block, json.loads(block.read_text()) | {"version": "v5"})
    other = landscape(*legs[:2], *SMALL, f"--results={out}")
    assert other.returncode == 0, other.stderr[-2000:]
    assert not (out / "line-1.csv").read_text().splitlines()[2].endswith(",12345")


@pytest.mark.parametrize(
    ("count", "extra", "words"), [(1, (), "Give two policies for a line"), (1, ("nowhere",), "nowhere")]
)
def test_a_mistake_is_one_line(legs, tmp_path, count, extra, words):
    done = landscape(*legs[:count], *extra, f"--results={tmp_path / 'out'}")
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
