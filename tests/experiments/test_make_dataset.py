"""The recipe: the same seed gives the same file, and a replay buffer comes out as the episodes that went in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import smac_jax
from experiments.make_dataset import replay_arrays, round_mantissa
from smac_jax.data.d4rl import read_d4rl

ROOT = Path(__file__).parents[2]


def make(out: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "experiments.make_dataset", "--task=hopper", f"--out={out}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)


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
        assert a.size >= 990  # at most one row of each of twenty streams can be lost
        assert a.actions.shape != c.actions.shape or np.abs(a.actions - c.actions).max() > 0.1
        metadata = dict(a.metadata)
        assert metadata["kind"] == kind
        assert "--seed=0" in metadata["command"]
        assert {"jax", "mujoco"} <= set(json.loads(metadata["versions"]))


def test_a_replay_buffer_comes_out_as_episodes():
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
    # an episode that did not fall ran to its limit; the last one may have been cut by the end of the run
    fell = arrays["terminals"][ends][:-1]
    np.testing.assert_array_equal(arrays["timeouts"][ends][:-1], ~fell)
    assert (lengths[:-1][~fell] == 15).all()
    assert (~fell).any()
    assert not (arrays["terminals"] & arrays["timeouts"]).any()
    inside = np.setdiff1d(np.arange(400), ends)
    np.testing.assert_array_equal(arrays["next_observations"][inside], arrays["observations"][inside + 1])


@pytest.mark.parametrize("bits", [1, 10, 22])
def test_rounding_is_to_so_many_bits(bits):
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    rounded = round_mantissa(values, bits)
    assert (np.abs(rounded - values) <= np.abs(values) * 2.0 ** -(bits + 1) * 1.0001).all()
    assert not (rounded.view(np.uint32) & ((1 << (23 - bits)) - 1)).any()


def test_an_unknown_kind_is_named(tmp_path):
    done = make(tmp_path, "--kinds=medium-reply")
    assert done.returncode == 2
    assert "medium-reply" in done.stderr
    assert "Traceback" not in done.stderr


def test_steps_are_all_steps_and_an_untrained_policy_of_medium_return_leaves_data(tmp_path):
    """The warm start counts; at step 0 there is nothing yet that could be a data set."""
    small = ["--hidden=8,8", "--batch_size=8", "--eval_episodes=1", "--eval_every=100"]
    done = make(tmp_path, "--kinds=medium-replay", "--max_steps=300", "--medium_fraction=0", *small)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "SAC for at most 300 steps; nothing is learnt in the first 150, the warm start" in done.stdout
    data = read_d4rl(tmp_path / "hopper-medium-replay.hdf5")
    assert data.size == 150  # the untrained policy returns more than 0: training stops after the warm start
    assert "SAC stopped at 150 steps" in dict(data.metadata)["recipe"]
    done = make(tmp_path, "--kinds=medium-replay", "--max_steps=300", *small)
    assert done.returncode == 2
    assert "in 300 steps; give it more --max_steps" in done.stderr
    assert "  step      300  return" in done.stdout
    assert "  step      3" not in done.stdout.replace("  step      300", "")
