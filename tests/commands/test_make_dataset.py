"""Making data sets: the same seed gives the same file, and a replay buffer is written as complete episodes."""

from __future__ import annotations

import hashlib
import json
import subprocess
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pytest
from programs import run_command

import smac_jax
from smac_jax.commands.make_dataset import parse_shares, replay_arrays, round_mantissa
from smac_jax.data.readers.d4rl import read_d4rl
from smac_jax.errors import ConfigError

ROOT = Path(__file__).parents[2]


def make(out: Path, *arguments: str) -> subprocess.CompletedProcess:
    return run_command("make-dataset", "--task=hopper", f"--out={out}", *arguments)


SMALL = [
    "--kinds=random,expert",
    "--size=1000",
    "--expert_steps=20",
    "--hidden=8,8",
    "--batch_size=8",
    "--eval_episodes=1",
]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(tmp_path):
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        done = make(tmp_path / folder, f"--seed={seed}", *SMALL)
        assert done.returncode == 0, done.stderr[-2000:]
    for kind in ("random", "expert"):
        a, b, c = (read_d4rl(tmp_path / folder / f"hopper-{kind}.hdf5") for folder in "abc")
        for name in ("observations", "actions", "rewards", "next_observations", "terminals"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert a.size >= 990  # at most one row of each of the twenty environments can be lost
        assert a.actions.shape != c.actions.shape or np.abs(a.actions - c.actions).max() > 0.1
        metadata = dict(a.metadata)
        assert metadata["kind"] == kind
        assert "--seed=0" in metadata["command"]
        assert {"jax", "mujoco"} <= set(json.loads(metadata["versions"]))


def test_a_replay_buffer_is_written_as_episodes():
    data = smac_jax.load_dataset("hopper-medium-replay")
    tiny = {"network": {"actor_hidden": (8,), "critic_hidden": (8,)}}
    ac = smac_jax.pretrain("bc", data, seeds=1, num_updates=1, config=tiny, progress=False).actor_critic
    env = smac_jax.make_env("hopper")
    result = smac_jax.finetune(
        "sac",
        ac,
        env,
        seeds=1,
        num_steps=1,
        warm_start=400,
        config={"batch_size": 8},
        episode_length=15,
        eval_every=1000,
        eval_episodes=1,
        progress=False,
    )
    arrays = replay_arrays(result.buffer)
    assert len(arrays["observations"]) == 401
    ends = np.flatnonzero(arrays["terminals"] | arrays["timeouts"])
    lengths = np.diff(ends, prepend=-1)
    assert lengths.max() <= 15
    # an episode without a fall reached the time limit, except that the end of the run may have cut the last one
    fell = arrays["terminals"][ends][:-1]
    np.testing.assert_array_equal(arrays["timeouts"][ends][:-1], ~fell)
    assert (lengths[:-1][~fell] == 15).all()
    assert (~fell).any()
    assert not (arrays["terminals"] & arrays["timeouts"]).any()
    inside = np.setdiff1d(np.arange(400), ends)
    np.testing.assert_array_equal(arrays["next_observations"][inside], arrays["observations"][inside + 1])


@pytest.mark.parametrize("bits", [1, 10, 22])
def test_rounding_keeps_the_given_number_of_bits(bits):
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    rounded = round_mantissa(values, bits)
    assert (np.abs(rounded - values) <= np.abs(values) * 2.0 ** -(bits + 1) * 1.0001).all()
    assert not (rounded.view(np.uint32) & ((1 << (23 - bits)) - 1)).any()


def test_an_unknown_kind_is_named(tmp_path):
    done = make(tmp_path, "--kinds=medium-reply")
    assert done.returncode == 2
    assert "medium-reply" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_number_of_steps_includes_the_warm_start(tmp_path):
    """An untrained policy of medium return still needs the warm start, because there are no data at step 0."""
    small = ["--hidden=8,8", "--batch_size=8", "--eval_episodes=1", "--eval_every=100"]
    done = make(tmp_path, "--kinds=medium-replay", "--max_steps=300", "--medium_fraction=0", *small)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "SAC for at most 300 steps, of which the first 150 are a warm start without updates" in done.stdout
    data = read_d4rl(tmp_path / "hopper-medium-replay.hdf5")
    assert data.size == 150  # the return of the untrained policy is above 0, so training stops after the warm start
    assert "SAC stopped at 150 steps" in dict(data.metadata)["recipe"]
    done = make(tmp_path, "--kinds=medium-replay", "--max_steps=300", *small)
    assert done.returncode == 2
    assert "in 300 steps, but" in done.stderr
    assert "  step      300  return" in done.stdout
    assert "  step      3" not in done.stdout.replace("  step      300", "")


def perceptron(path: Path, checkpoints: int = 3) -> Path:
    """Writes random policies for the hopper, which fall soon."""
    rng = np.random.default_rng(0)
    shapes = {"w0": (11, 4), "b0": (4,), "w_mean": (4, 3), "b_mean": (3,), "log_std": (3,)}
    np.savez(path, head="clip", **{name: rng.normal(size=(checkpoints, *shape)) for name, shape in shapes.items()})
    return path


def test_policies_are_mixed_by_their_shares(tmp_path):
    path = perceptron(tmp_path / "p.npz")
    done = make(
        tmp_path, f"--policy={path}@0,{path}@2", "--shares=0.75,0.25", "--size=2000", "--name=mixed", "--noise=0.1"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    file_path = tmp_path / "hopper-mixed.hdf5"
    data = read_d4rl(file_path)
    assert data.task == "hopper"
    with h5py.File(file_path) as file:
        acted, rows = file["infos/checkpoint"][()], len(file["rewards"])
        assert file["infos/qpos"].shape == (rows, 6)
        assert file["infos/qvel"].dtype == np.float64
        # the observation contains the state in float32 only
        np.testing.assert_array_equal(file["infos/qpos"][:, 1:].astype(np.float32), file["observations"][:, :5])
        ends = file["terminals"][()] | file["timeouts"][()]
    longest = int(np.diff(np.flatnonzero(ends), prepend=-1).max())
    assert 0 <= (acted == 0).sum() - 1500 < longest
    assert 0 <= (acted == 1).sum() - 500 < longest
    notes = json.loads(dict(data.metadata)["policies"])
    assert [note["policy"] for note in notes] == ["p.npz@0", "p.npz@2"]
    assert [note["rows"] for note in notes] == [(acted == i).sum() for i in (0, 1)]
    assert notes[0]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "p.npz@0" in done.stdout
    assert f"{notes[1]['mean_return']:,.1f}" in done.stdout


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["0.5"], "1 shares for 2 policies"),
        (["0.5", "0.4"], r"--shares=0\.5,0\.4: shares must add up to 1; their sum is 0\.9\."),
        (["1.5", "-0.5"], "must be above 0"),
        (["half", "half"], "must be numbers, such as 0.25 or 1/4"),
        (["nan", "1"], "must be numbers"),
        (["1/0", "1"], "must be numbers"),
    ],
)
def test_invalid_shares_are_refused(texts, message):
    with pytest.raises(ConfigError, match=message):
        parse_shares(texts, 2)


def test_shares_may_be_fractions_or_absent():
    assert parse_shares([], 3) == [Fraction(1, 3)] * 3
    assert parse_shares(["1/3", "2/3"], 2) == [Fraction(1, 3), Fraction(2, 3)]
    assert sum(parse_shares(["0.333333", "0.333333", "0.333334"], 3)) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy={path}"], "holds checkpoints 0, 1, 2. Name one of them, as in p.npz@2."),
        (["--policy={path}@0", "--task=ant"], "p.npz@0 maps 11 observations to 3 actions, but ant (v4) has 27 and 8."),
        (["--policy={path}@0", "--kinds=medium"], "--kinds: cannot be used with --policy."),
        (["--shares=1"], "--shares: cannot be used without --policy."),
    ],
)
def test_input_that_does_not_fit_causes_a_one_line_message(arguments, message, tmp_path):
    path = perceptron(tmp_path / "p.npz")
    done = make(tmp_path, *(argument.format(path=path) for argument in arguments))
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(("out", "words"), [("gs://bucket/data", "is a URL"), (__file__, "is a file. Give a folder")])
def test_an_unwritable_folder_is_refused_before_training(out, words):
    done = make(Path("unused"), f"--out={out}")
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "SAC" not in done.stdout
