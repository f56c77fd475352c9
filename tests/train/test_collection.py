"""Several environments for each seed: their data, the number of updates, and interruptions."""

from __future__ import annotations

import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import smac_jax
from smac_jax.algorithms import make_online
from smac_jax.envs.agreement import one_step_agreement, states_from_observations
from smac_jax.errors import ConfigError
from smac_jax.presets import base
from smac_jax.runs.folder import RunFolder
from smac_jax.runs.interrupts import Interrupted
from smac_jax.sweep.grid import make_jobs
from smac_jax.train import plan

NETWORK = {"actor_hidden": (8,), "critic_hidden": (8,)}
ENVIRONMENTS, WARM_START, STEPS, SEEDS = 3, 30, 30, (0, 5)


class AtEachChunk:
    """A signal to stop after the next chunk."""

    number = signal.SIGTERM


@pytest.fixture(scope="module")
def env():
    return smac_jax.make_env("hopper", physics="mujoco")


@pytest.fixture(scope="module")
def actor_critic(data):
    config = {"network": NETWORK, "batch_size": 8}
    return smac_jax.pretrain("td3_bc", data, SEEDS, 2, config, progress=False).actor_critic


def finetune(algorithm, actor_critic, env, data, folder=None, **changes):
    settings = {"num_steps": STEPS, "warm_start": WARM_START, "eval_every": 15, "environments": ENVIRONMENTS}
    settings |= {"eval_episodes": 1, "final_episodes": 1, "episode_length": 12} | changes
    return smac_jax.finetune(algorithm, actor_critic, env, data, SEEDS, folder=folder, progress=False, **settings)


@pytest.fixture(scope="module")
def counted(actor_critic, env, data):
    """Runs an algorithm whose update adds one to the mean of the observations, so that updates can be counted."""
    sac = make_online("sac", {"batch_size": 8})

    def update(state, batch, key):
        del batch, key
        ac = state.actor_critic
        return state.replace(actor_critic=ac.replace(observation_mean=ac.observation_mean + 1.0)), {"q": jnp.zeros(())}

    return finetune(sac._replace(update=update), actor_critic, env, data)


def test_there_is_one_update_for_each_environment_step_after_the_warm_start(counted, actor_critic):
    updates = counted.actor_critic.observation_mean - actor_critic.observation_mean
    np.testing.assert_allclose(updates, STEPS, rtol=1e-4)
    assert list(counted.metrics["step"]) == [30, 45, 60]


def test_every_environment_has_episodes_of_its_own_in_the_buffer(counted):
    buffer = counted.buffer
    np.testing.assert_array_equal(buffer.size, WARM_START + STEPS)
    rows = jax.tree.map(lambda x: np.asarray(x).reshape(len(SEEDS), -1, ENVIRONMENTS, *x.shape[2:]), buffer.storage)
    first = rows.observation[:, 0].reshape(-1, rows.observation.shape[-1])
    assert len(np.unique(first, axis=0)) == len(SEEDS) * ENVIRONMENTS
    assert len(np.unique(rows.action[:, 0].reshape(len(first), -1), axis=0)) == len(first)
    follows = (rows.next_observation[:, :-1] == rows.observation[:, 1:]).all(axis=-1)
    length = np.zeros((len(SEEDS), ENVIRONMENTS))
    for t in range(follows.shape[1]):
        length += 1
        ends = (rows.terminal[:, t] > 0) | (length == 12)
        np.testing.assert_array_equal(follows[:, t], ~ends)
        length[ends] = 0


def test_each_step_equals_one_of_the_environment_alone(counted, env):
    rows = jax.tree.map(lambda x: np.asarray(x).reshape(-1, *x.shape[2:]), counted.buffer.storage)
    names = {"observations": "observation", "actions": "action", "rewards": "reward"}
    arrays = {name: getattr(rows, field) for name, field in names.items()}
    arrays["next_observations"] = rows.next_observation
    agreed = one_step_agreement(env, states_from_observations(env, rows.observation), arrays)
    assert agreed.rows > 100
    assert min(agreed.share, agreed.reward_share) > 0.95, agreed


def test_a_run_that_is_stopped_after_each_chunk_equals_an_uninterrupted_one(
    actor_critic, env, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(plan, "CHUNK", 7)
    learn = {"config": {"batch_size": 8}}
    whole, stops = finetune("sac", actor_critic, env, data, **learn), 0
    while True:
        try:
            with RunFolder(tmp_path, save_every=0, interrupts=AtEachChunk()) as folder:
                resumed = finetune("sac", actor_critic, env, data, folder, **learn)
            break
        except Interrupted:
            stops += 1
    assert stops >= 10
    jax.tree.map(np.testing.assert_array_equal, resumed.actor_critic, whole.actor_critic)
    jax.tree.map(np.testing.assert_array_equal, resumed.buffer, whole.buffer)
    for name, values in whole.metrics.items():
        np.testing.assert_array_equal(resumed.metrics[name], values)


@pytest.mark.parametrize("name", ["num_steps", "warm_start", "eval_every"])
def test_steps_that_are_not_a_multiple_of_the_environments_are_refused(name, actor_critic, env, data):
    with pytest.raises(ConfigError, match=f"{name} = 31: must be a multiple of environments = 3.* multiple is 30"):
        finetune("sac", actor_critic, env, data, **{name: 31})


def test_a_sweep_refuses_such_steps_before_training(tmp_path):
    config = base.get_config()
    config.finetune.environments = 3
    with pytest.raises(ConfigError, match="num_steps = 200000: must be a multiple of environments = 3"):
        make_jobs(
            *(tmp_path, [("data", "hopper")], ["td3_bc"], ["sac"], config, {}, range(2), 2),
            physics="mujoco",
            version="v4",
            control=True,
        )
