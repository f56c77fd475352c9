"""The tasks of the Adroit hand equal gymnasium-robotics step for step, and D4RL where the two differ."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import smac_jax
from smac_jax.data.readers.binary import succeeds
from smac_jax.envs import ADROIT, AutoReset, make_env
from smac_jax.errors import ConfigError, UnknownNameError

TOLERANCE = 1e-5  # of float32; the physics itself agrees bit for bit
LENGTHS = {"pen": 100, "door": 200, "hammer": 200, "relocate": 200}

pytest.importorskip("gymnasium_robotics", reason="the models come with gymnasium-robotics")


@pytest.fixture(scope="module")
def make_robotics():
    """Makes gymnasium-robotics's own environment without wrappers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from gymnasium_robotics.envs import adroit_hand

    def make(name, margins="max"):
        env = getattr(adroit_hand, f"AdroitHand{name.capitalize()}Env")()
        if margins == "max":
            # the sum of two halves is the larger margin; only the hammer's board has no margin
            env.model.geom_margin[:] = 0.5 * env.model.geom_margin.max()
        return env

    return make


def scene_of(name, reference):
    """The scene after a reset of gymnasium-robotics, in the order of `Model.scene`."""
    model = reference.model
    body = {"pen": "target", "door": "frame", "hammer": "nail_board", "relocate": "Object"}[name]
    if name == "pen":
        return model.body(body).quat.copy()
    place = model.body(body).pos.copy()
    return np.concatenate([place, model.site("target").pos]) if name == "relocate" else place


@pytest.fixture(scope="module", params=[*((name, "max") for name in ADROIT), ("pen", "sum")], ids="-".join)
def pair(request, make_robotics):
    """gymnasium-robotics's environment, this package's environment, and its compiled step."""
    name, margins = request.param
    env = make_env(name, "mujoco", "v1", margins=margins)
    return name, make_robotics(name, margins), env, jax.jit(env.step)


def test_whole_episodes_equal_gymnasium_robotics(pair):
    """Observations, rewards and successes are equal, and the physics is equal bit for bit, including contacts."""
    name, reference, env, step = pair
    for seed in range(3):
        observation, _ = reference.reset(seed=seed)
        state = env.reset_to(reference.data.qpos.copy(), reference.data.qvel.copy(), scene_of(name, reference))
        np.testing.assert_allclose(state.obs, observation, rtol=TOLERANCE, atol=TOLERANCE)
        rng = np.random.default_rng(seed)
        scale = 1.3 if seed == 0 else 0.6  # beyond [-1, 1], where actions are clipped
        goal, touched = rng.uniform(-scale, scale, env.action_size), 0
        for t in range(LENGTHS[name]):
            if t % 20 == 0:  # the goal is kept for 20 steps, so that the hand moves far
                goal = rng.uniform(-scale, scale, env.action_size)
            action = (goal + rng.normal(size=env.action_size) * 0.1).astype(np.float32)
            observation, reward, terminated, _, info = reference.step(action)
            state = step(state, action)
            np.testing.assert_allclose(state.obs, observation, rtol=TOLERANCE, atol=TOLERANCE, err_msg=f"step {t}")
            np.testing.assert_allclose(state.reward, reward, rtol=TOLERANCE, atol=TOLERANCE, err_msg=f"step {t}")
            assert bool(state.done) == terminated
            assert bool(state.metrics["success"]) == info["success"]
            touched += reference.data.ncon > 0
        assert touched > 10
        carried = np.asarray(state.pipeline_state.raw).view(np.float64)
        nq, nv = reference.model.nq, reference.model.nv
        np.testing.assert_array_equal(carried[:nq], reference.data.qpos)
        np.testing.assert_array_equal(carried[nq : nq + nv], reference.data.qvel)


def successful_state(name, reference):
    """A successful state, which random actions would not reach."""
    qpos = reference.init_qpos.copy()
    scene = scene_of(name, reference)
    if name == "door":
        qpos[28] = 1.45
    elif name == "hammer":
        qpos[26] = 0.0895
    elif name == "relocate":
        qpos[30:33] = scene[3:] - scene[:3]
    else:
        scene = np.array([np.cos(0.785), 0.0, np.sin(0.785), 0.0])
    return qpos, scene


def test_success_ends_only_the_binary_task(pair):
    name, reference, _, _ = pair
    reference.reset(seed=0)
    qpos, scene = successful_state(name, reference)
    action = jnp.zeros(reference.model.nu)
    states = {}
    for kind in (name, f"{name}-binary"):
        env = make_env(kind, "mujoco")
        states[kind] = env.step(env.reset_to(qpos, np.zeros(reference.model.nv), scene), action)
    dense, binary = states[name], states[f"{name}-binary"]
    assert dense.metrics["success"] == 1
    assert dense.reward > 5
    assert dense.done == 0
    assert (binary.reward, binary.done, binary.metrics["score"]) == (0, 1, 1)
    env = make_env(f"{name}-binary", "mujoco")
    state = env.step(env.reset(jax.random.key(0)), action)
    assert (state.reward, state.done, state.metrics["score"]) == (-1, 0, 0)


def test_success_in_observations_equals_success_in_the_environment(pair):
    """`smac_jax.data.readers.binary` finds the same successes in observations as the environment."""
    name, reference, env, step = pair
    reference.reset(seed=0)
    rng = np.random.default_rng(0)
    qpos, scene = successful_state(name, reference)
    observed, succeeded = [], []
    for spread in np.linspace(0.0, 1.0, 40):
        scale = {"hammer": 0.2, "door": 2.0}.get(name, 1.0)
        away = {"door": [28], "hammer": [26], "relocate": [30, 31, 32], "pen": [24, 25, 26]}[name]
        start = qpos.copy()
        start[away] += spread * rng.uniform(-0.1, 0.1, len(away)) * scale
        state = step(env.reset_to(start, np.zeros(env._engine.init_qvel.shape), scene), jnp.zeros(env.action_size))
        observed.append(np.asarray(state.obs))
        succeeded.append(bool(state.metrics["success"]))
    assert 3 < sum(succeeded) < 40
    agreeing = np.mean(succeeds(f"{name}-binary", np.array(observed)) == succeeded)
    # the observation has the joint of the nail, and success depends on its site, which lags by 2 ms
    assert agreeing >= (0.9 if name == "hammer" else 1.0)


def test_resets_have_the_distribution_of_gymnasium_robotics(pair):
    """Range and mean of 2,000 scenes of this package against 200 of gymnasium-robotics."""
    name, reference, env, _ = pair
    expected = []
    for _ in range(200):
        reference.reset_model()
        expected.append(scene_of(name, reference))
    start = jax.vmap(lambda key: env._start(key).scene)(jax.random.split(jax.random.key(0), 2000))
    actual, expected = np.asarray(start), np.asarray(expected)
    spread = np.ptp(actual, 0)
    np.testing.assert_allclose(np.ptp(expected, 0), spread, rtol=0.12, atol=1e-6)
    np.testing.assert_allclose(expected.mean(0), actual.mean(0), atol=0.1 * spread.max())
    assert (expected >= actual.min(0) - 0.02 * spread - 1e-6).all()
    assert (expected <= actual.max(0) + 0.02 * spread + 1e-6).all()


def test_d4rl_differs_in_the_reward_of_the_distance_and_in_the_fall_of_the_pen():
    """D4RL subtracts the distance to the object, and ends the episode when the pen falls."""
    key, action = jax.random.key(0), {name: jnp.zeros(make_env(name, "mujoco").action_size) for name in ADROIT}
    for name in ("door", "hammer", "relocate"):
        rewards = {}
        for version in ("d4rl", "v1"):
            env = make_env(name, "mujoco", version)
            state = env.step(env.reset(key), action[name])
            rewards[version] = state
        reach = rewards["d4rl"].metrics["reward_reach"]
        assert reach < 0
        assert float(rewards["v1"].reward - rewards["d4rl"].reward) == pytest.approx(-2 * float(reach), rel=1e-4)
    for version, done in (("d4rl", 1), ("v1", 0)):
        env = make_env("pen", "mujoco", version)
        qpos = np.array(env._engine.init_qpos, np.float64)
        qpos[24] = 0.2  # its slide joints turn with it, so this is downward
        state = env.reset_to(qpos, np.zeros(30))
        assert env.step(state, action["pen"]).done == done


@pytest.mark.parametrize("name", ["pen", "relocate"])  # together they use every field of a scene
def test_callback_and_native_step_are_equal_bit_for_bit(name):
    """Several robots with different scenes, on several threads and with resets."""
    results = []
    for native in (True, False):
        env = AutoReset(make_env(f"{name}-binary", "mujoco", native=native, threads=2), 7)
        states = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 5))
        actions = jax.random.uniform(jax.random.key(1), (16, 5, env.action_size), minval=-1.0)
        roll = jax.jit(lambda s, a, env=env: jax.lax.scan(lambda s, a: (jax.vmap(env.step)(s, a),) * 2, s, a)[1])
        results.append(roll(states, actions))
    for state in results:
        assert len(np.unique(np.asarray(state.pipeline_state.raw)[-1], axis=0)) == 5
    jax.tree.map(
        np.testing.assert_array_equal,
        *[(s.obs, s.reward, s.done, s.pipeline_state) for s in results],
    )


def test_every_episode_has_a_new_scene():
    env = AutoReset(make_env("door", "mujoco"), 5)
    state = env.reset(jax.random.key(0))
    heights = [float(state.obs[34])]  # of the handle, which depends on the scene only
    step = jax.jit(env.step)
    for _ in range(14):
        state = step(state, jnp.zeros(28))
        heights.append(float(state.obs[34]))
    episodes = np.reshape(heights, (3, 5))
    assert np.ptp(episodes, 1).max() < 1e-3
    assert np.abs(np.diff(episodes[:, 0])).min() > 2e-3


def test_mjx_is_refused_with_a_reason():
    for name, reason in {"pen": "CYLINDER", "door": "CYLINDER", "hammer": "CYLINDER", "relocate": "noslip"}.items():
        with pytest.raises(ConfigError, match=f"(?s){reason}.*physics='mujoco'"):
            make_env(name, "mjx")


def test_versions_of_other_tasks_are_refused():
    with pytest.raises(UnknownNameError, match="v1"):
        make_env("door", "mujoco", "v5")
    with pytest.raises(UnknownNameError, match="v5"):
        make_env("hopper", "mujoco", "v1")


def test_a_missing_package_is_named(monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gymnasium_robotics" else find(name))
    with pytest.raises(ConfigError, match="pip install gymnasium-robotics"):
        make_env("door", "mujoco")


def test_scenes_of_a_wrong_shape_are_refused():
    env = make_env("door", "mujoco")
    qpos, qvel = np.array(env._engine.init_qpos), np.zeros(30)
    with pytest.raises(ConfigError, match="scene"):
        env.reset_to(qpos, qvel, np.zeros(4))
    with pytest.raises(ConfigError, match="scene"):
        env.reset_to(qpos[None], qvel[None], np.zeros(3))


def test_an_agent_is_trained_on_the_door_and_fine_tuned_there():
    """Offline pre-training, transfer, fine-tuning, evaluation and resets work on the task."""
    env, rng = make_env("door", "mujoco"), np.random.default_rng(0)
    data = smac_jax.Dataset.from_arrays(
        observations=rng.normal(size=(300, 39)),
        actions=rng.uniform(-1, 1, (300, 28)),
        rewards=rng.normal(size=300),
        terminals=np.zeros(300),
        timeouts=np.arange(300) % 100 == 99,
        next_observations=rng.normal(size=(300, 39)),
        task="door",
    )
    config = {"network": {"actor_hidden": (16,), "critic_hidden": (16,)}, "batch_size": 16}
    off = smac_jax.pretrain("td3_bc", data, seeds=2, num_updates=4, config=config, progress=False)
    on = smac_jax.finetune(
        "sac", off.actor_critic, env, data, seeds=2, num_steps=8, warm_start=8, eval_episodes=2,
        episode_length=6, config={"batch_size": 16}, progress=False,
    )  # fmt: skip
    assert np.isfinite(on.returns).all()
    assert on.returns.shape == (2, 3, 2)
    seen = np.asarray(on.buffer.storage.observation)
    assert len(np.unique(seen[0, [0, 6, 12], 34])) == 3  # the handle has another height in each episode
