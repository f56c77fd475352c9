"""Policies are loaded from runs, folders and files, also on a machine without JAX."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import smac_jax
from smac_jax.errors import CheckpointError, ConfigError
from smac_jax.runs.checkpoint import save_actor_critic

ROOT = Path(__file__).parents[2]
HEAVY = ("jax", "jaxlib", "flax", "orbax", "optax", "brax", "mujoco", "h5py", "chex", "ml_collections", "absl", "rich")
ALONE = f"""
import json, sys, time
for name in {HEAVY!r}:
    sys.modules[name] = None  # whoever imports it fails
import numpy as np
start = time.perf_counter()
import smac_jax
policy = smac_jax.load(sys.argv[1], seed="all")
took = time.perf_counter() - start
np.save(sys.argv[3], policy(np.load(sys.argv[2])))
print(json.dumps([took, sorted(name for name in sys.modules if name.startswith("smac_jax."))]))
"""


@pytest.fixture(scope="module")
def runs(stacked, tmp_path_factory) -> Path:
    """Makes a sweep with two finished runs of seeds 4, 5, 6 and an unfinished one.

    Tests must copy it before changes.
    """
    folder = tmp_path_factory.mktemp("sweep")
    for leg in ("offline", "to-sac"):
        save_actor_critic(folder / "runs/task/smac/seeds-4-6" / leg / "actor_critic", stacked, [4, 5, 6])
    (folder / "runs/task/smac/seeds-4-6/control/snapshots/1").mkdir(parents=True)
    return folder


@pytest.fixture
def leg(runs, tmp_path) -> Path:
    return Path(shutil.copytree(runs / "runs/task/smac/seeds-4-6/to-sac", tmp_path / "to-sac"))


def test_loading_and_acting_need_numpy_only(leg, stacked, flax_policies, observations, tmp_path):
    np.save(tmp_path / "in.npy", observations)
    command = [sys.executable, "-c", ALONE, str(leg), str(tmp_path / "in.npy"), str(tmp_path / "out.npy")]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    want = flax_policies(stacked, observations).mode()
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), want, rtol=1e-5, atol=1e-5)
    took, ours = json.loads(said)
    modules = ("config", "deploy", "deploy.load", "deploy.policy", "deploy.policy_file", "errors", "files", "version")
    assert ours == [f"smac_jax.{name}" for name in modules]
    assert took < 1.0


@pytest.mark.parametrize("place", ["to-sac", "to-sac/actor_critic", "to-sac/actor_critic/policy.npz", "."])
@pytest.mark.parametrize("kind", [str, Path])
def test_policies_are_found_in_runs_folders_and_files(place, kind, leg, stacked, observations):
    policy = smac_jax.load(kind(leg.parent / place), seed=5)
    want = smac_jax.load(leg, seed="all")(observations)[1]
    np.testing.assert_allclose(policy(observations), want, rtol=1e-5, atol=1e-5)
    assert policy.seeds == 5


def test_the_first_seed_is_the_default(leg):
    assert smac_jax.load(leg).seeds == 4


def test_several_policies_are_listed(runs):
    for folder in (runs, runs / "runs/task/smac/seeds-4-6"):
        with pytest.raises(CheckpointError) as caught:
            smac_jax.load(folder)
        first, *listed = str(caught.value).splitlines()
        assert first == f"{folder} holds 2 policies. Give one of"
        assert [line.strip() for line in listed] == [
            str(runs / "runs/task/smac/seeds-4-6" / name) for name in ("offline", "to-sac")
        ]


def test_a_long_list_of_policies_is_truncated(leg, tmp_path):
    for i in range(30):
        shutil.copytree(leg / "actor_critic", tmp_path / "many" / f"seeds-{i:02}" / "actor_critic")
    with pytest.raises(CheckpointError, match="holds 30 policies") as caught:
        smac_jax.load(tmp_path / "many")
    assert "seeds-19\n  and 10 more" in str(caught.value)


def test_a_folder_without_policies_is_refused(runs, tmp_path):
    with pytest.raises(CheckpointError, match="absent does not exist"):
        smac_jax.load(tmp_path / "absent")
    with pytest.raises(CheckpointError, match=r"control: there is no policy in this folder .* when it is done"):
        smac_jax.load(runs / "runs/task/smac/seeds-4-6/control")


def test_unknown_and_diverged_seeds_are_refused_with_the_file(leg, stacked):
    with pytest.raises(ConfigError, match=r"policy\.npz: seed = 0: must be one of 4, 5, 6, or 'all'"):
        smac_jax.load(leg, seed=0)
    broken = stacked.replace(observation_mean=stacked.observation_mean.at[1].set(np.nan))
    save_actor_critic(leg / "actor_critic", broken)
    with pytest.raises(CheckpointError, match=r"policy\.npz: observation_mean of seed 1 is not finite"):
        smac_jax.load(leg, seed=1)


def test_a_damaged_policy_is_not_skipped(leg):
    path = leg / "actor_critic" / "policy.npz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"policy\.npz is damaged"):
        smac_jax.load(leg)


def test_another_number_of_seeds_is_refused_before_anything_is_written(stacked, tmp_path):
    with pytest.raises(CheckpointError, match=r"\(2,\) seeds need"):
        save_actor_critic(tmp_path / "new", stacked, [0, 1])
    assert not (tmp_path / "new").exists()
