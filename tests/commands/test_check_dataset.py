"""The command that prints the card of a data set."""

from __future__ import annotations

import json
import types
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
from programs import run_command

import smac_jax
from smac_jax.commands.check_dataset import _columns, compare, file_lines
from smac_jax.data.readers.d4rl import write_d4rl

ROOT = Path(__file__).parents[2]


check = partial(run_command, "check-dataset")


@pytest.fixture(scope="module")
def expert():
    """Returns public data of hopper's expert. Tests that need it are skipped if only the repository is available."""
    path = Path(__file__).resolve().parents[3] / "shared" / "data" / "locomotion" / "hopper-cs285-expert.hdf5"
    if not path.is_file():
        pytest.skip(f"no file {path}")
    return path


def test_rows_that_were_logged_elsewhere_agree_with_the_simulator(expert, tmp_path):
    done = check(expert, f"--json={tmp_path / 'card.json'}")
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    said = {line[:10].strip(): line[12:].strip() for line in lines if line[:1] != " "}
    assert said["task"] == "hopper"
    assert said["rows"] == "2,000, each with 11 observations and 3 actions"
    assert said["episodes"] == "2: 0 terminated, 2 truncated"
    assert said["duplicates"].startswith("0 rows")
    assert said["file"] == "2,000 rows, 2 episodes"
    assert said["simulator"].startswith("100.0% of 1,644 rows reproduced in one step")
    card = json.loads((tmp_path / "card.json").read_text())
    assert (card["card"]["rows"], card["agreement"]["share"]) == (2000, 1.0)


def test_rows_that_disagree_with_the_simulator_cause_one_line_and_an_exit_code(expert):
    """The rows were logged with other contact margins."""
    done = check(expert, "--margins=sum")
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        f"error: {expert}: the simulator reproduces 74.5% of 1,644 rows, expected at least 99%. Largest error: row"
    )
    assert line.endswith("With --margins=max it reproduces 100.0%.")


def test_a_card_is_printed_without_a_simulator(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "mine.hdf5"
    columns = {"observations": rng.normal(size=(9, 2)), "actions": np.full((9, 2), 0.5), "rewards": np.ones(9)}
    write_d4rl(path, columns | {"terminals": np.zeros(9), "timeouts": np.arange(9) == 4})
    done = check(path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "file        9 rows, 2 episodes, the last one truncated after 4 rows by the end of the log" in done.stdout
    assert "actions: [0] = 0.5, [1] = 0.5" in done.stdout
    assert "agreement not checked: the task is not known; see --env" in done.stdout


def test_a_published_data_set_is_compared_with_its_statistics(tmp_path):
    path = tmp_path / "halfcheetah_random-v2.hdf5"
    columns = {"observations": np.zeros((9, 17)), "actions": np.zeros((9, 6)), "rewards": np.ones(9)}
    write_d4rl(path, columns | {"terminals": np.zeros(9), "timeouts": np.arange(9) == 8})
    (_, file), (word, said) = file_lines(str(path), path)
    assert file == "9 rows, 1 episodes"
    assert (word, said) == ("published", "9 rows, not 1,000,000; 1 episodes, not 1,000")
    ((word, said),) = file_lines("minari:D4RL/door/human-v2", None)
    assert said.startswith("6,729 rows, 25 episodes for minari:D4RL/door/human-v2")


def test_an_invalid_data_set_causes_a_one_line_message(tmp_path):
    path = tmp_path / "hopper.hdf5"
    path.write_text("not HDF5")
    done = check(path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {path} is not an HDF5 file")
    assert len(done.stderr.splitlines()) == 1


def test_many_constant_columns_are_counted():
    assert _columns([]) == "none"
    assert (
        _columns([(i, 0.5 * i) for i in range(8)])
        == "[0] = 0, [1] = 0.5, [2] = 1, [3] = 1.5, [4] = 2, [5] = 2.5 and 2 more"
    )


def test_a_file_without_marked_ends_is_checked_like_any_other(tmp_path, monkeypatch):
    """The name is that of a published data set. The comparison with its statistics does not need the marks."""
    rng = np.random.default_rng(0)
    ends = np.arange(1, 25) % 8 == 0
    observations = rng.normal(size=(24, 11))
    following = np.where(ends[:, None], rng.normal(size=(24, 11)), np.roll(observations, -1, axis=0))
    path = tmp_path / "hopper_medium-v2.hdf5"
    with h5py.File(path, "w") as file:
        file["observations"], file["next_observations"] = observations, following
        file["actions"], file["rewards"] = rng.uniform(-1, 1, (24, 3)), rng.normal(size=24)
    with pytest.warns(UserWarning, match="24 rows"):
        data = smac_jax.load_dataset(path)
    assert len(data.episode_returns()) == 3
    assert any("24 rows" in line for _, line in file_lines(str(path), path))
    asked = types.SimpleNamespace(env=None, version=None, physics="mujoco", max_rows=5)
    monkeypatch.setattr("smac_jax.commands.check_dataset.FLAGS", asked)
    assert compare(str(path), data, path, "max").agreement.share == 0.0
