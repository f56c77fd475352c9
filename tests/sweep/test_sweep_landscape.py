"""The command for landscapes: figures with their numbers, and nothing is evaluated twice."""

from __future__ import annotations

import itertools
import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from programs import run_command

from smac_jax.algorithms.actor_critic import NetworkConfig, new_actor_critic
from smac_jax.analysis.landscape_points import Spanned, positions
from smac_jax.files import write_json
from smac_jax.runs.checkpoint import save_actor_critic
from smac_jax.sweep import landscape as landscapes

ROOT = Path(__file__).parents[2]
SMALL = ["--points=3", "--grid=2", "--episodes=1"]


landscape = partial(run_command, "landscape")


@pytest.fixture
def runs(tmp_path):
    """Writes three untrained policies of one seed in the layout of a sweep."""
    job = tmp_path / "seeds-4-4"
    about = {"task": "hopper", "physics": "mujoco", "version": "v4", "data": "hopper-tiny", "seeds": [4]}
    start = {"config": {"network": {"critic_hidden": [4]}}, "schedule": {"num_updates": 10}}
    about |= {"offline": start, "online sac": {"schedule": {"num_steps": 20}}}
    job.mkdir()
    write_json(job / "job.json", about)
    network = NetworkConfig(actor_hidden=(4,), critic_hidden=(4,))
    for number, name in enumerate(("offline", "to-sac", "to-td3_bc")):
        made = new_actor_critic(network, jax.random.key(number), jnp.zeros(11), jnp.ones(11), action_size=3)
        save_actor_critic(job / name / "actor_critic", jax.tree.map(lambda x: x[None], made), seeds=[4])
    return [str(job / name) for name in ("offline", "to-sac", "to-td3_bc")]


def test_lines_and_a_plane_between_runs_of_a_sweep(runs, tmp_path):
    out = tmp_path / "out"
    done = landscape(*runs, *SMALL, f"--results={out}")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "10 points x 1 seed x 1 episode: at most" in done.stdout
    for name, points in (("line-1", 3), ("line-2", 3), ("plane", 4)):
        assert (out / f"{name}.png").stat().st_size > 10_000
        lines = (out / f"{name}.csv").read_text().splitlines()
        assert len(lines) == 1 + points
        for policy in range(2 if name != "plane" else 3):  # each policy is among the points
            weights = ["1" if i == policy else "0" for i in range(2 if name != "plane" else 3)]
            assert any(line.split(",")[: len(weights)] == weights for line in lines)

    # existing points are not evaluated again: an impossible return stays in the table
    with np.load(out / "line-1-points.npz") as stored:
        kept = dict(stored)
    kept["returns"][1] = 12345.0
    np.savez(out / "line-1-points.npz", **kept)
    again = landscape(*runs[:2], *SMALL, f"--results={out}")
    assert again.returncode == 0, again.stderr[-2000:]
    assert (out / "line-1.csv").read_text().splitlines()[2].endswith(",12345")

    # with another environment, they are evaluated again
    job = Path(runs[0]).parent / "job.json"
    write_json(job, json.loads(job.read_text()) | {"version": "v5"})
    other = landscape(*runs[:2], *SMALL, f"--results={out}")
    assert other.returncode == 0, other.stderr[-2000:]
    assert not (out / "line-1.csv").read_text().splitlines()[2].endswith(",12345")


@pytest.mark.parametrize(
    ("count", "extra", "words"), [(1, (), "Give two policies for a line"), (1, ("nowhere",), "nowhere")]
)
def test_a_mistake_causes_a_one_line_message(runs, tmp_path, count, extra, words):
    done = landscape(*runs[:count], *extra, f"--results={tmp_path / 'out'}")
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("u", "v", "angle"),
    [(5.0, 4.0, 1.1), (5.0, 0.2, 1.2), (0.1, 5.0, 1.2), (5.0, 4.0, 0.02), (5.0, 5.0, 0.0), (1.0, 0.0, 1.0)],
)
def test_the_labels_of_a_narrow_plane_do_not_overlap(tmp_path, monkeypatch, u, v, angle):
    kept = []
    monkeypatch.setattr(landscapes, "save", lambda figure, path, said: kept.append(figure) or [path])
    across = positions(5, 0.5)
    heights = (np.arange(25.0) ** 2).reshape(25, 1, 1)
    names = ["pre-trained", "after SAC, num critics = 10", "after TD3+BC"]
    plane = Spanned(*(np.array([x]) for x in (u, v, angle)))
    landscapes.draw_plane(tmp_path / "plane", across, heights, names, plane, "hopper", "")
    (figure,) = kept
    figure.draw_without_rendering()
    (legend,) = figure.legends
    boxes = [text.get_window_extent() for text in legend.get_texts()]
    assert [text.get_text() for text in legend.get_texts()] == names
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    size = figure.axes[0].get_window_extent()
    assert min(size.width, size.height) > 0.1 * max(size.width, size.height)
    ticks = [t.get_window_extent() for t in figure.axes[0].get_yticklabels() if t.get_text()]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(ticks, 2))
