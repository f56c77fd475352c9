"""The C engine equals Gymnasium step for step, with the contact margins of the data and of the installed MuJoCo."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smac_jax.envs import LOCOMOTION, AutoReset, make_env

TOLERANCE = 1e-5


VARIANTS = [(task, version, "max") for task in LOCOMOTION for version in ("v4", "v5")]
# with the margins of the installed MuJoCo; only these two robots have margins
VARIANTS += [("hopper", "v4", "sum"), ("ant", "v5", "sum")]


@pytest.fixture(scope="module", params=VARIANTS, ids="-".join)
def pair(request, make_gymnasium):
    """Gymnasium's environment, this package's environment, and its compiled step."""
    name, version, margins = request.param
    env = make_env(name, physics="mujoco", version=version, margins=margins)
    return make_gymnasium(name, version, margins), env, jax.jit(env.step)


def episode(pair, seed: int, policy, length: int = 1000) -> int:
    """Runs both for one episode, asserts in each step that they agree, and returns its length."""
    reference, env, step = pair
    observation, _ = reference.reset(seed=seed)
    state = env.reset_to(reference.data.qpos.copy(), reference.data.qvel.copy())
    np.testing.assert_allclose(state.obs, observation, rtol=TOLERANCE, atol=TOLERANCE)
    for t in range(length):
        action = policy(observation)
        observation, reward, terminated, _, info = reference.step(action)
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
        # first actions outside [-1, 1], for which MuJoCo clips the torque; then small ones, for long episodes
        scale = 1.3 if seed == 0 else 0.3
        size = pair[1].action_size
        episode(pair, seed, lambda _, rng=rng, scale=scale, size=size: rng.uniform(-scale, scale, size).astype("f4"))


def test_physics_state_agrees_bit_for_bit(pair):
    reference, env, step = pair
    reference.reset(seed=0)
    state = env.reset_to(reference.data.qpos.copy(), reference.data.qvel.copy())
    rng = np.random.default_rng(0)
    for _ in range(300):
        action = rng.uniform(-1, 1, env.action_size).astype(np.float32)
        reference.step(action)
        state = step(state, action)
    nq, nv = reference.model.nq, reference.model.nv
    carried = np.asarray(state.pipeline_state.raw).view(np.float64)
    np.testing.assert_array_equal(carried[:nq], reference.data.qpos)
    np.testing.assert_array_equal(carried[nq : nq + nv], reference.data.qvel)
    np.testing.assert_array_equal(carried[nq + nv : nq + 2 * nv], reference.data.qacc_warmstart)


@pytest.mark.parametrize("name", ["hopper", "halfcheetah"])
@pytest.mark.parametrize("version", ["v4", "v5"])
def test_a_trained_policy_has_the_return_of_gymnasium(name, version, make_gymnasium, load_policy):
    """Returns of whole episodes agree within 0.01 if the policy acts on the observations of each environment."""
    reference, env, policy = make_gymnasium(name, version), make_env(name, "mujoco", version), load_policy(name)
    step = jax.jit(env.step)
    for seed in range(2):
        observation, _ = reference.reset(seed=seed)
        state = env.reset_to(reference.data.qpos.copy(), reference.data.qvel.copy())
        returns, lengths = [0.0, 0.0], [0, 0]
        for _ in range(1000):
            observation, reward, terminated, _, _ = reference.step(policy(np.float32(observation)))
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
def test_a_trained_policy_has_its_known_return_in_a_compiled_scan(name, expected, make_gymnasium, load_policy):
    """The whole loop runs in JAX, with the policy in float32 on the device."""
    reference, env, policy = make_gymnasium(name, "v4"), AutoReset(make_env(name, "mujoco")), load_policy(name)
    reference.reset(seed=0)
    first = env.begin(env.reset_to(reference.data.qpos.copy(), reference.data.qvel.copy()), jax.random.key(0))

    def step(state, _):
        state = env.step(state, policy(state.obs, jnp))
        return state, (state.done, state.info["last_episode_return"])

    done, last_return = jax.jit(lambda state: jax.lax.scan(step, state, None, length=1000)[1])(first)
    # The tolerance is large because the order of float32 sums in the policy changes the trajectory of a chaotic system.
    assert float(last_return[int(np.argmax(done))]) == pytest.approx(expected, rel=0.02)
