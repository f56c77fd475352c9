"""The command that evaluates a policy: it acts as in the evaluations during training, unless a flag says otherwise."""

from __future__ import annotations

import json

import numpy as np
import pytest
from programs import run_command

import smac_jax
from smac_jax.runs.checkpoint import is_evaluated_with_draws, save_actor_critic
from smac_jax.runs.folder import RunFolder

NETWORK = {"actor_hidden": (8,), "critic_hidden": (8,)}


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Returns a function that trains an algorithm in a folder, and returns the folder and the actor-critic."""

    def train(name):
        place, config = tmp_path_factory.mktemp(name), {"batch_size": 16, "network": NETWORK}
        with RunFolder(place) as folder:
            off = smac_jax.pretrain(name, data, 1, 2, config, folder=folder, progress=False)
        save_actor_critic(place / "actor_critic", off.actor_critic)
        return place, off.actor_critic

    return train


def test_a_run_of_fql_is_evaluated_with_samples_as_during_its_training(trained, tmp_path):
    (place, actor_critic), out = trained("fql"), tmp_path / "returns.json"
    env = smac_jax.make_env("hopper", physics="mujoco")
    for flags, deterministic in (((), False), (("--nosample",), True)):
        done = run_command("evaluate", place, "--env=hopper", "--episodes=2", f"--out={out}", *flags)
        assert done.returncode == 0, done.stderr
        want = smac_jax.evaluate(actor_critic, env, 2, deterministic=deterministic)
        np.testing.assert_array_equal(json.loads(out.read_text())["returns"], want)


def test_other_runs_are_evaluated_with_the_mode(trained):
    place, _ = trained("td3_bc")
    assert not is_evaluated_with_draws(place / "actor_critic")
    assert "draws" not in json.loads((place / "identity.json").read_text())["evaluation"]  # as in earlier versions
