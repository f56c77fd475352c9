"""MJX against the C engine: the same tasks in float32, over short horizons."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smac_jax.envs import AutoReset, make_env

slow = pytest.mark.slow  # ten to thirty seconds of compilation each


def errors(name, version="v4", steps=20, x=0.0, **kw):
    """Largest differences of observation and reward over some steps of small random actions, same first state."""
    c, m = make_env(name, "mujoco", version), make_env(name, "mjx", version, **kw)
    start = c.reset(jax.random.key(0)).pipeline_state
    qpos = np.array(start.qpos)
    qpos[0] += x
    actions = jax.random.uniform(jax.random.key(1), (steps, c.action_size), minval=-0.3, maxval=0.3)

    def roll(env):
        return jax.jit(lambda s: jax.lax.scan(lambda s, a: (env.step(s, a),) * 2, s, actions)[1])(
            env.reset_to(qpos, np.array(start.qvel))
        )

    ours, exact = roll(m), roll(c)
    assert (np.asarray(ours.done) == np.asarray(exact.done)).all()
    return np.abs(ours.obs - exact.obs).max(), np.abs(ours.reward - exact.reward).max()


def test_hopper_agrees_far_from_the_origin():
    """At 100 m, where float32 positions are 8e-6 apart: as velocities over 8 ms, that would be off by 1e-3."""
    observation, reward = errors("hopper", x=100.0)
    assert observation < 2e-5
    assert reward < 5e-6


@slow
@pytest.mark.parametrize(("name", "bound"), [("walker2d", 3e-4), ("halfcheetah", 3e-4)])
def test_the_others_agree(name, bound):
    observation, reward = errors(name)
    assert observation < bound
    assert reward < 1e-4


@slow
def test_auto_reset_and_vmap_run_on_mjx():
    env = AutoReset(make_env("hopper", "mjx"), 10)
    states = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 3))
    scan = jax.jit(lambda s: jax.lax.scan(lambda s, _: (jax.vmap(env.step)(s, jnp.zeros((3, 3))),) * 2, s, None, 12)[1])
    after = scan(states)
    assert np.flatnonzero(after.info["truncation"][:, 0]).tolist() == [9]
    assert np.isfinite(after.obs).all()


@slow
@pytest.mark.usefixtures("elliptic_c_engine")
@pytest.mark.parametrize("version", ["v4", "v5"])
def test_ant_agrees_under_elliptic_cones(version):
    """Where the frame of a contact does not matter (upstream issue 2774); with the model's own cones it does."""
    # 15 steps: at the 18th a leg strikes a physics step earlier in float32, and its velocity is off by a blow
    observation, reward = errors("ant", version, steps=15, x=50.0, cone="elliptic", iterations=50, ls_iterations=50)
    # The contact forces of v5 multiply a float32 penetration depth by a large stiffness.
    assert observation < (2e-2 if version == "v5" else 2e-3)
    assert reward < 1e-3
