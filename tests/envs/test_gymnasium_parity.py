"""The C engine is Gymnasium, step for step, in the data's world and in that of today's MuJoCo."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smac_jax.envs import LOCOMOTION, AutoReset, make_env

TOLERANCE = 1e-5


WORLDS = [(task, version, "max") for task in LOCOMOTION for version in ("v4", "v5")]
# as Gymnasium is installed; only these two have margins
WORLDS += [("hopper", "v4", "sum"), ("ant", "v5", "sum")]


@pytest.fixture(scope="module", params=WORLDS, ids="-".join)
def pair(request, make_gymnasium):
    """Gymnasium's environment, ours, and our compiled step."""
    name, version, margins = request.param
    env = make_env(name, physics="mujoco", version=version, margins=margins)
    return make_gymnasium(name, version, margins), env, jax.jit(env.step)


def episode(pair, seed: int, policy, length: int = 1000) -> int:
    """Runs both side by side for one episode, asserts at each step that they agree, and returns its length."""
    theirs, env, step = pair
    observation, _ = theirs.reset(seed=seed)
    state = env.reset_to(theirs.data.qpos.copy(), theirs.data.qvel.copy())
    np.testing.assert_allclose(state.obs, observation, rtol=TOLERANCE, atol=TOLERANCE)
    for t in range(length):
        action = policy(observation)
        observation, reward, terminated, _, info = theirs.step(action)
        state = step(state, action)
        np.testing.assert_allclose(state.obs, observation, rtol=TOLERANCE, atol=TOLERANCE, err_msg=f"step {t}")
        np.testing.assert_allclose(state.reward, reward, rtol=TOLERANCE, atol=TOLERANCE, err_msg=f"step {t}")
        np.testing.assert_allclose(state.metrics["x_velocity"], info["x_velocity"], rtol=TOLERANCE, atol=TOLERANCE)
        assert bool(state.done) == terminated
        if terminated:
            break
    return t + 1


def test_whole_episodes_agree_under_random_actions(pair):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        # Beyond [-1, 1], where neither clips the action and MuJoCo clamps the torque; then small, for long episodes.
        scale = 1.3 if seed == 0 else 0.3
        size = pair[1].action_size
        episode(pair, seed, lambda _, rng=rng, scale=scale, size=size: rng.uniform(-scale, scale, size).astype("f4"))


def test_physics_state_agrees_bit_for_bit(pair):
    theirs, env, step = pair
    theirs.reset(seed=0)
    state = env.reset_to(theirs.data.qpos.copy(), theirs.data.qvel.copy())
    rng = np.random.default_rng(0)
    for _ in range(300):
        action = rng.uniform(-1, 1, env.action_size).astype(np.float32)
        theirs.step(action)
        state = step(state, action)
    nq, nv = theirs.model.nq, theirs.model.nv
    carried = np.asarray(state.pipeline_state.raw).view(np.float64)
    np.testing.assert_array_equal(carried[:nq], theirs.data.qpos)
    np.testing.assert_array_equal(carried[nq : nq + nv], theirs.data.qvel)
    np.testing.assert_array_equal(carried[nq + nv : nq + 2 * nv], theirs.data.qacc_warmstart)


@pytest.mark.parametrize("name", ["hopper", "halfcheetah"])
@pytest.mark.parametrize("version", ["v4", "v5"])
def test_trained_policy_earns_gymnasiums_return(name, version, make_gymnasium, load_policy):
    """Returns to 0.01 over whole episodes, the policy acting on our observations here and on Gymnasium's there."""
    theirs, env, policy = make_gymnasium(name, version), make_env(name, "mujoco", version), load_policy(name)
    step = jax.jit(env.step)
    for seed in range(2):
        observation, _ = theirs.reset(seed=seed)
        state = env.reset_to(theirs.data.qpos.copy(), theirs.data.qvel.copy())
        returns, lengths = [0.0, 0.0], [0, 0]
        for _ in range(1000):
            observation, reward, terminated, _, _ = theirs.step(policy(np.float32(observation)))
            returns[0] += reward
            lengths[0] += 1
            if terminated:
                break
        for _ in range(1000):
            state = step(state, policy(state.obs))
            returns[1] += float(state.reward)
            lengths[1] += 1
            if state.done:
                break
        assert lengths[0] == lengths[1]
        assert returns[1] == pytest.approx(returns[0], abs=0.01)


@pytest.mark.parametrize(("name", "expected"), [("hopper", 1100), ("halfcheetah", 9406)])
def test_trained_policy_earns_its_published_return_in_a_compiled_scan(name, expected, make_gymnasium, load_policy):
    """The whole loop in JAX: policy in float32 on the device, engine through the callback."""
    theirs, env, policy = make_gymnasium(name, "v4"), AutoReset(make_env(name, "mujoco")), load_policy(name)
    theirs.reset(seed=0)
    first = env.begin(env.reset_to(theirs.data.qpos.copy(), theirs.data.qvel.copy()), jax.random.key(0))

    def step(state, _):
        state = env.step(state, policy(state.obs, jnp))
        return state, (state.done, state.info["last_episode_return"])

    done, last_return = jax.jit(lambda state: jax.lax.scan(step, state, None, length=1000)[1])(first)
    # Another order of float32 sums in the policy is another trajectory of a chaotic system; hence the percents.
    assert float(last_return[int(np.argmax(done))]) == pytest.approx(expected, rel=0.02)
