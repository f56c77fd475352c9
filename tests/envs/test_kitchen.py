"""The kitchen equals gymnasium-robotics step for step; D4RL's observation, noise and reward; completed subtasks."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smac_jax.envs import KITCHEN, AutoReset, make_env
from smac_jax.envs.physics.mujoco import MujocoEngine
from smac_jax.envs.task_env import TaskEnv
from smac_jax.envs.tasks.kitchen import INIT_QPOS, SUBTASKS, Kitchen
from smac_jax.errors import ConfigError
from smac_jax.kitchen import GOALS

TOLERANCE = 1e-5

pytest.importorskip("gymnasium_robotics", reason="the model comes with gymnasium-robotics")


@pytest.fixture(scope="module")
def engine():
    """One engine for all tests, because the model is large, with the contacts of the kitchen of gymnasium-robotics."""
    return MujocoEngine(Kitchen("partial").model("v1"), margins="sum")


@pytest.fixture
def make_robotics(monkeypatch):
    """gymnasium-robotics's kitchen without noise, with its test of joint types repaired for this MuJoCo."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from gymnasium_robotics.envs.franka_kitchen import kitchen_env
        from gymnasium_robotics.utils import mujoco_utils

    # `np.int32(3) in (enum, ...)` is False in its code
    monkeypatch.setattr(mujoco_utils, "get_joint_qpos", lambda model, data, name: data.joint(name).qpos.copy())
    monkeypatch.setattr(mujoco_utils, "get_joint_qvel", lambda model, data, name: data.joint(name).qvel.copy())
    return lambda subtasks: kitchen_env.KitchenEnv(list(subtasks), robot_noise_ratio=0.0, object_noise_ratio=0.0)


def without_noise(engine, kind, version):
    """The kitchen of this package without noise, for comparisons."""
    return TaskEnv(Kitchen(kind, noise=False), engine, version)


def completed_state(*subtasks):
    """A first state in which some subtasks are complete."""
    qpos = np.array(INIT_QPOS)
    for name in subtasks:
        for joint, position in GOALS[name].items():
            qpos[joint] = position
    return qpos


def test_whole_episodes_equal_gymnasium_robotics(engine, make_robotics):
    reference, env = make_robotics(SUBTASKS["partial"]), without_noise(engine, "partial", "v1")
    step = jax.jit(env.step)
    for seed in range(2):
        observation, _ = reference.reset(seed=seed)
        data = reference.data
        state = env.reset_to(data.qpos.copy(), data.qvel.copy())
        np.testing.assert_allclose(data.qpos, env.reset(jax.random.key(0)).pipeline_state.qpos, atol=1e-6)
        rng = np.random.default_rng(seed)
        touched = 0
        for t in range(280):
            if t % 20 == 0:
                goal = rng.uniform(-1.2, 1.2, 9)
            action = (goal + 0.1 * rng.normal(size=9)).astype(np.float32)
            observation, reward, terminated, _, _ = reference.step(action)
            state = step(state, action)
            np.testing.assert_allclose(state.obs, observation["observation"], rtol=TOLERANCE, atol=TOLERANCE)
            assert (state.reward, bool(state.done)) == (reward, terminated)
            touched += np.abs(data.qpos[9:] - np.array(INIT_QPOS)[9:]).max() > 0.01
        carried = np.asarray(state.pipeline_state.raw).view(np.float64)
        np.testing.assert_array_equal(carried[:30], data.qpos)
        np.testing.assert_array_equal(carried[30:59], data.qvel)
    assert touched > 0


@pytest.mark.parametrize("kind", ["partial", "mixed"])
def test_completed_subtasks_are_rewarded_as_in_gymnasium_robotics_and_d4rl(engine, make_robotics, kind):
    """The episodes start with more and more completed subtasks."""
    reference, env = make_robotics(SUBTASKS[kind]), without_noise(engine, kind, "v1")
    data_version = without_noise(engine, kind, "d4rl")
    action = np.zeros(9, np.float32)
    for count in range(5):
        qpos = completed_state(*SUBTASKS[kind][:count], "hinge cabinet")
        reference.reset(seed=0)
        reference.robot_env.set_state(qpos, np.zeros(29))
        reference.robot_env._last_robot_qpos = qpos[:9].copy()
        state, other = env.reset_to(qpos, np.zeros(29)), data_version.reset_to(qpos, np.zeros(29))
        for t in range(3):
            _, reward, terminated, _, _ = reference.step(action)
            state, other = env.step(state, action), data_version.step(other, action)
            assert reward == (count if t == 0 else 0)
            assert (state.reward, state.metrics["score"], bool(state.done)) == (reward, reward, terminated)
            assert (other.reward, other.metrics["score"], bool(other.done)) == (count, reward, terminated)
            assert state.metrics["solved"] == count


def test_d4rl_observes_joints_and_goal_with_its_noise():
    env = make_env("kitchen-mixed", "mujoco")
    assert (env.observation_size, env.action_size) == (60, 9)
    states = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 2000))
    noise = np.asarray(states.obs[:, :30]) - np.asarray(INIT_QPOS, np.float32)
    amplitude = 0.1 * np.array([0.1] * 9 + [0.005] * 2 + [0.0005] * 6 + [0.005] * 3 + [0.1] * 3)
    np.testing.assert_allclose(np.abs(noise[:, :23]).max(0), amplitude, rtol=0.02, atol=1e-7)
    np.testing.assert_allclose(noise[:, :23].std(0), amplitude / np.sqrt(3), rtol=0.06)
    goal = np.asarray(states.obs[0, 30:])
    assert (goal[[22, 17, 11]] == np.float32([-0.75, -0.69, -0.88])).all()
    assert not goal[:11].any()
    assert not goal[[19, 15, 20]].any()  # the slide cabinet has no goal in "mixed"


def test_the_robot_controls_its_observed_joints(engine):
    """A joint is held at its observed position, so two seeds, which differ only in the noise, have other physics."""
    env = TaskEnv(Kitchen("partial"), engine, "d4rl")
    after = [env.step(env.reset(jax.random.key(seed)), jnp.zeros(9)).pipeline_state.qpos for seed in (0, 1)]
    moved = np.abs(np.asarray(after[0] - after[1]))[:7]
    assert (moved > 1e-5).all()
    assert (moved < 0.02).all()


def test_noise_changes_every_step_and_repeats_with_the_key(engine):
    env = AutoReset(TaskEnv(Kitchen("partial"), engine, "d4rl"), 3)
    step = jax.jit(env.step)
    runs = []
    for seed in (0, 0, 1):
        state, seen = env.reset(jax.random.key(seed)), []
        for _ in range(4):
            seen.append(np.asarray(state.obs[:30] - state.pipeline_state.qpos))
            state = step(state, jnp.zeros(9))
        runs.append(seen)
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (np.abs(np.diff(runs[0], axis=0)).max(1) > 1e-3).all()  # also at a reset
    assert np.abs(np.array(runs[0]) - np.array(runs[2])).max() > 1e-3


def test_callback_and_native_step_are_equal_bit_for_bit_in_the_kitchen():
    results = []
    for native in (True, False):
        env = make_env("kitchen-partial", "mujoco", native=native)
        states = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 3))
        actions = jax.random.uniform(jax.random.key(1), (8, 3, 9), minval=-1.3, maxval=1.3)
        roll = jax.jit(lambda s, a, env=env: jax.lax.scan(lambda s, a: (jax.vmap(env.step)(s, a),) * 2, s, a)[1])
        results.append(roll(states, actions))
    jax.tree.map(np.testing.assert_array_equal, *results)


def test_mjx_is_refused_with_a_reason_in_the_kitchen():
    for name in KITCHEN:
        with pytest.raises(ConfigError, match=r"(?s)CYLINDER.*physics='mujoco'"):
            make_env(name, "mjx")
