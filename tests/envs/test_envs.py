"""Properties of every environment: purity, resets, engines and errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smac_jax.envs import LOCOMOTION, AutoReset, identity_of, make_env
from smac_jax.errors import ConfigError, UnknownNameError

SIZES = {"hopper": (11, 3), "walker2d": (17, 6), "halfcheetah": (17, 6), "ant": (27, 8)}


@pytest.fixture(scope="module", params=LOCOMOTION)
def env(request):
    """Each task on the C engine."""
    return make_env(request.param, physics="mujoco")


@pytest.fixture(scope="module")
def hopper():
    """The hopper on the C engine."""
    return make_env("hopper", physics="mujoco")


def bits(tree):
    """Returns the bytes of all arrays, for comparisons bit for bit."""
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def test_observations_and_actions_have_the_sizes_of_the_task():
    for name, (observation, action) in SIZES.items():
        env = make_env(name, physics="mujoco")
        assert (env.observation_size, env.action_size, env.backend) == (observation, action, "mujoco")
    assert make_env("hopper", "mujoco").dt == pytest.approx(0.008)
    assert make_env("ant", "mujoco").dt == pytest.approx(0.05)
    assert make_env("ant", "mujoco", "v5").observation_size == 105


def test_the_ant_of_d4rl_observes_84_additional_zeros():
    state = make_env("ant", "mujoco", "d4rl").reset(jax.random.key(0))
    assert state.obs.shape == (111,)
    assert not state.obs[27:].any()


def test_a_batch_equals_its_members_bit_for_bit(env):
    """Nested vmaps over seeds and environments inside a compiled scan equal each environment alone."""
    keys = jax.random.split(jax.random.key(0), (3, 5))

    def rollout(key):
        key_reset, key_actions = jax.random.split(key)
        actions = jax.random.uniform(key_actions, (30, env.action_size), minval=-1.0)
        return jax.lax.scan(lambda s, a: (env.step(s, a),) * 2, env.reset(key_reset), actions)[1]

    batch = jax.jit(jax.vmap(jax.vmap(rollout)))(keys)
    alone = jax.jit(rollout)
    for i in range(3):
        for j in range(0, 5, 2):
            one = alone(keys[i, j])
            assert bits(jax.tree.map(lambda x, i=i, j=j: x[i, j], batch.pipeline_state)) == bits(one.pipeline_state)
            np.testing.assert_array_equal(batch.obs[i, j], one.obs)
            np.testing.assert_array_equal(batch.done[i, j], one.done)
            np.testing.assert_allclose(
                batch.reward[i, j], one.reward, rtol=1e-6, atol=1e-6
            )  # XLA sums a batch in another order


def test_the_number_of_threads_does_not_change_the_numbers(env):
    name = {v: k for k, v in SIZES.items()}.get((env.observation_size, env.action_size), "hopper")
    many = make_env(name, "mujoco", threads=3)
    one = make_env(name, "mujoco", threads=1)
    states = jax.vmap(one.reset)(jax.random.split(jax.random.key(1), 13))
    actions = jax.random.uniform(jax.random.key(2), (13, one.action_size), minval=-1.0)
    assert bits(jax.jit(jax.vmap(one.step))(states, actions)) == bits(jax.jit(jax.vmap(many.step))(states, actions))


def test_one_callback_steps_the_whole_batch(monkeypatch):
    calls = []
    hopper = make_env("hopper", "mujoco", native=False)
    engine = hopper._engine
    step_batch = engine._step_batch
    monkeypatch.setattr(
        engine, "_step_batch", lambda given, *rest: (calls.append(len(given)), step_batch(given, *rest))
    )
    env = AutoReset(hopper, 2)
    states = jax.vmap(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), (4, 6)))
    assert calls == []
    scan = jax.jit(
        lambda s: jax.lax.scan(lambda s, _: (jax.vmap(jax.vmap(env.step))(s, jnp.zeros((4, 6, 3))), None), s, None, 5)[
            0
        ]
    )
    jax.block_until_ready(scan(states))
    assert calls == [24] * 5


def test_an_action_without_a_batch_axis_is_shared(hopper):
    states = jax.vmap(hopper.reset)(jax.random.split(jax.random.key(0), 4))
    shared = jax.vmap(hopper.step, in_axes=(0, None))(states, jnp.full(3, 0.5))
    each = jax.vmap(hopper.step)(states, jnp.full((4, 3), 0.5))
    assert bits(shared) == bits(each)


def test_large_batches_do_not_deadlock(hopper):
    """Large arguments of a callback are copied by a thread that may itself wait for the callback."""
    states = jax.vmap(hopper.reset)(jax.random.split(jax.random.key(0), 2048))
    scan = jax.jit(
        lambda s: jax.lax.scan(lambda s, _: (jax.vmap(hopper.step)(s, jnp.zeros((2048, 3))), None), s, None, 3)[0]
    )
    assert jax.block_until_ready(scan(states)).obs.shape == (2048, 11)


def test_reset_noise_has_the_distribution_of_gymnasium(env):
    states = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 4096))
    qpos, qvel = np.asarray(states.pipeline_state.qpos), np.asarray(states.pipeline_state.qvel)
    noise = qpos - env._engine.init_qpos
    scale = 5e-3 if env.dt == pytest.approx(0.008) else 0.1
    assert np.abs(noise).max() <= scale + 1e-6
    np.testing.assert_allclose(noise.mean(0), 0, atol=0.05 * scale)
    np.testing.assert_allclose(noise.std(0), scale / np.sqrt(3), rtol=0.05)
    np.testing.assert_allclose(qvel.mean(0), 0, atol=0.07 * scale)
    np.testing.assert_allclose(qvel.std(0), scale / np.sqrt(3) if scale < 0.1 else scale, rtol=0.05)
    if scale == 0.1:  # normal noise exceeds the scale
        assert np.abs(qvel).max() > 3 * scale
    else:
        assert np.abs(qvel).max() <= scale + 1e-6
    everything = np.concatenate([noise, qvel], -1)
    correlation = np.corrcoef(everything.T) - np.eye(everything.shape[-1])
    assert np.abs(correlation).max() < 0.08


def test_reset_state_reaches_the_engine_unchanged(env):
    """The conversion from float32 to float64 in 32-bit integer arithmetic is exact."""
    physics = jax.jit(env.reset)(jax.random.key(3)).pipeline_state
    carried = np.asarray(physics.raw).view(np.float64)
    nq, nv = len(physics.qpos), len(physics.qvel)
    np.testing.assert_array_equal(carried[:nq], np.asarray(physics.qpos, np.float64))
    np.testing.assert_array_equal(carried[nq : nq + nv], np.asarray(physics.qvel, np.float64))


def test_the_conversion_to_float64_is_exact_for_every_kind_of_number():
    from smac_jax.envs.physics.mujoco import _widen

    x = np.array([0.0, -0.0, 1.0, -1.5, 3.14159, 1e-30, -2.5e38, 1.1754944e-38, np.inf, -np.inf, np.nan], np.float32)
    wide = np.asarray(jax.jit(_widen)(x)).view(np.float64)
    np.testing.assert_array_equal(wide, x.astype(np.float64))
    np.testing.assert_array_equal(np.signbit(wide[:2]), [False, True])


def test_reset_to_accepts_a_batch(env):
    rng = np.random.default_rng(0)
    qpos = env._engine.init_qpos + rng.normal(size=(2, 3, len(env._engine.init_qpos))) * 0.01
    qvel = rng.normal(size=(2, 3, len(env._engine.init_qvel))) * 0.01
    batch = env.reset_to(qpos, qvel)
    assert bits(jax.tree.map(lambda x: x[1, 2], batch)) == bits(env.reset_to(qpos[1, 2], qvel[1, 2]))


def test_a_diverged_simulation_ends_the_episode_and_stays_finite(env, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    start = env._engine.init_qpos.astype(np.float64)
    state = env.reset_to(start, np.full(env._engine.init_qvel.shape, 1e9))
    state = jax.jit(env.step)(state, jnp.zeros(env.action_size))
    assert state.done == 1
    assert state.pipeline_state.diverged
    assert all(
        np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves((state.obs, state.reward, state.metrics))
    )
    assert not list(tmp_path.iterdir())  # no MUJOCO_LOG.TXT
    assert capfd.readouterr() == ("", "")


def test_an_invalid_action_leaves_the_state_finite(env, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    states = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 4))
    actions = jnp.array([jnp.nan, jnp.inf, 1e6, 0.0])[:, None] * jnp.ones((4, env.action_size))
    after = jax.jit(jax.vmap(env.step))(states, actions)
    assert np.isfinite(after.obs).all()
    clamped = env.step(jax.tree.map(lambda x: x[2], states), jnp.ones(env.action_size))
    np.testing.assert_array_equal(after.obs[2], clamped.obs)  # the torque is clipped to the range of the motor
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_an_error_inside_mujoco_ends_one_episode_only(hopper, monkeypatch):
    import mujoco

    real = mujoco.mj_setState
    calls = iter(range(100))

    def fails_once(*args):
        if next(calls) == 1:
            raise mujoco.FatalError("out of memory")
        return real(*args)

    monkeypatch.setattr(mujoco, "mj_setState", fails_once)
    states = jax.vmap(hopper.reset)(jax.random.split(jax.random.key(0), 4))
    env = make_env("hopper", "mujoco", threads=1, native=False)
    after = jax.vmap(env.step)(states, jnp.zeros((4, 3)))
    assert after.done.tolist() == [0, 1, 0, 0]


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="halfcheetah"):
        make_env("swimmer")
    with pytest.raises(UnknownNameError, match="mjx"):
        make_env("hopper", physics="bullet")
    with pytest.raises(UnknownNameError, match="v5"):
        make_env("hopper", version="v3")
    with pytest.raises(UnknownNameError, match="brax:humanoid"):
        make_env("brax:no-such-robot")


def test_unknown_options_are_refused():
    with pytest.raises(ConfigError, match="threads"):
        make_env("hopper", physics="mujoco", iterations=4)
    with pytest.raises(ConfigError, match="backend"):
        make_env("brax:fast", physics="mujoco")
    with pytest.raises(ConfigError, match="iterations"):
        make_env("hopper", physics="mjx", iterations=0)
    with pytest.raises(ConfigError, match="elliptic"):
        make_env("hopper", physics="mjx", cone="round")
    with pytest.raises(ConfigError, match="threads"):
        make_env("hopper", physics="mujoco", threads=0)
    with pytest.raises(ConfigError, match="episode_length"):
        AutoReset(make_env("hopper", "mujoco"), 0)


def test_states_of_a_wrong_shape_are_refused(hopper):
    with pytest.raises(ConfigError, match="qpos"):
        hopper.reset_to(np.zeros(5), np.zeros(6))
    with pytest.raises(ConfigError, match="qvel"):
        hopper.reset_to(np.zeros(6), np.full(6, np.nan))


def test_a_missing_model_file_is_named(monkeypatch):
    from smac_jax.envs.base import model_path

    with pytest.raises(ConfigError, match=r"no-such-robot\.xml"):
        model_path("no-such-robot.xml")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install"):
        model_path("hopper.xml")


def test_importing_and_making_environments_is_quick_and_silent(tmp_path):
    code = (
        "import sys, smac_jax.envs as envs\n"
        "assert not {'brax', 'mujoco', 'gymnasium'} & set(sys.modules)\n"
        "envs.make_env('halfcheetah', 'mujoco'); envs.make_env('brax:fast'); envs.make_env('ant', 'mjx')\n"
        "assert not {'gymnasium'} & set(sys.modules)\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())


def test_the_identity_of_an_environment_names_task_version_and_options():
    env = make_env("hopper", physics="mujoco", version="v5", threads=1)
    assert identity_of(env) == {"name": "hopper", "version": "v5"}
    assert identity_of(env, engine=True) == {"name": "hopper", "version": "v5", "engine": "mujoco"}
    assert identity_of(AutoReset(env, 10)) == identity_of(env)
    assert identity_of(make_env("hopper", physics="mujoco", margins="sum"))["options"] == {"margins": "sum"}
