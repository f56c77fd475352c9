"""The command that joins several data sets in one file."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from programs import run_command

from smac_jax.data import load_dataset
from smac_jax.data.readers.d4rl import write_d4rl

ROOT = Path(__file__).parents[2]


combine = partial(run_command, "combine-datasets")


@pytest.fixture
def parts(tmp_path):
    """Writes two files of the door: two episodes of which one succeeds, and one episode that succeeds."""
    files = []
    for name, angles in (("door-people", [[0, 1.4, 0.3], [0, 0.1]]), ("door-rollouts", [[0, 0.2, 1.5]])):
        before, after = (np.concatenate([a[cut] for a in angles]) for cut in (slice(None, -1), slice(1, None)))
        rows = np.zeros((2, len(before), 39))
        rows[0, :, 28], rows[1, :, 28] = before, after
        ends = np.cumsum([len(a) - 1 for a in angles]) - 1
        columns = {"observations": rows[0], "next_observations": rows[1], "actions": rows[0, :, :28] * 0.1}
        flags = {"terminals": np.zeros(len(before)), "timeouts": np.isin(np.arange(len(before)), ends)}
        files.append(tmp_path / f"{name}.hdf5")
        write_d4rl(files[-1], columns | flags | {"rewards": np.ones(len(before))})
    return files


def test_demonstrations_and_rollouts_become_one_file(parts, tmp_path):
    out = tmp_path / "new" / "door-binary.hdf5"
    done = combine("--task=door-binary", f"--parts={parts[0]},{parts[1]}", f"--out={out}")
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[:4] == [
        ["part", "rows", "episodes", "mean", "return", "success", "%"],
        ["door-people", "2", "2", "-0.5", "50.0"],
        ["door-rollouts", "2", "1", "-1.0", "100.0"],
        ["total", "4", "3", "-0.7", "66.7"],
    ]
    data = load_dataset(out)
    assert (data.task, data.size) == ("door-binary", 4)
    digest = hashlib.sha256(parts[1].read_bytes()).hexdigest()
    noted = dict(data.metadata)["part_2"]
    assert noted == f"door-rollouts: 2 rows, 1 episodes, 1 successes; door-rollouts.hdf5 sha256 {digest}"
    # the same parts give the same bytes, and the result can be a part itself
    before = out.read_bytes()
    done = combine("--task=door-binary", f"--parts={parts[0]},{parts[1]}", f"--out={out}", "--nofailures")
    assert "failures left out" in done.stdout
    assert load_dataset(out).size == 3
    done = combine("--task=door-binary", f"--parts={parts[0]},{parts[1]}", f"--out={out}")
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--parts=nowhere.hdf5", "--out=x.hdf5"], "error: 'nowhere.hdf5' is neither an embedded data set"),
        (["--parts=a,b", "--out=x.npy"], "error: --out=x.npy: must end in .hdf5"),
        (["--out=x.hdf5"], "error: --parts is empty"),
    ],
)
def test_errors_of_combining_are_one_line(arguments, said):
    done = combine(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1


def test_parts_of_different_tasks_are_refused_by_name(parts, tmp_path):
    other = tmp_path / "pen-mine.hdf5"
    columns = {"observations": np.ones((2, 45)), "actions": np.zeros((2, 24)), "rewards": np.ones(2)}
    write_d4rl(other, columns | {"terminals": np.array([0, 1])})
    done = combine(f"--parts={parts[0]},{other}", f"--out={tmp_path / 'x.hdf5'}")
    assert done.returncode == 2
    assert done.stderr == "error: door-people is of door and pen-mine is of pen; all parts must be of door.\n"
    assert not (tmp_path / "x.hdf5").exists()
