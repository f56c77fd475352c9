"""MJX against the C engine: the same tasks in float32, over short horizons."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smac_jax.envs import AutoReset, make_env

slow = pytest.mark.slow  # ten to thirty seconds of compilation each


def errors(name, version="v4", steps=20, x=0.0, **kw):
    """Returns the largest differences of observations and rewards over some steps of small random actions."""
    c, m = make_env(name, "mujoco", version), make_env(name, "mjx", version, **kw)
    start = c.reset(jax.random.key(0)).pipeline_state
    qpos = np.array(start.qpos)
    qpos[0] += x
    actions = jax.random.uniform(jax.random.key(1), (steps, c.action_size), minval=-0.3, maxval=0.3)

    def roll(env):
        return jax.jit(lambda s: jax.lax.scan(lambda s, a: (env.step(s, a),) * 2, s, actions)[1])(
            env.reset_to(qpos, np.array(start.qvel))
        )

    actual, exact = roll(m), roll(c)
    assert (np.asarray(actual.done) == np.asarray(exact.done)).all()
    return np.abs(actual.obs - exact.obs).max(), np.abs(actual.reward - exact.reward).max()


def test_hopper_agrees_far_from_the_origin():
    """At 100 m, float32 positions have a resolution of 8e-6, which over 8 ms would be a velocity error of 1e-3."""
    observation, reward = errors("hopper", x=100.0)
    assert observation < 2e-5
    assert reward < 5e-6


@slow
@pytest.mark.parametrize(("name", "bound"), [("walker2d", 3e-4), ("halfcheetah", 3e-4)])
def test_walker2d_and_halfcheetah_agree(name, bound):
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
def test_ant_agrees_with_elliptic_cones(version):
    """With elliptic cones the contact frame does not matter. With those of the model it does (upstream issue 2774)."""
    # 15 steps, because in the 18th step a leg touches the ground one physics step earlier in float32
    observation, reward = errors("ant", version, steps=15, x=50.0, cone="elliptic", iterations=50, ls_iterations=50)
    # The contact forces of v5 multiply a float32 penetration depth by a large stiffness.
    assert observation < (2e-2 if version == "v5" else 2e-3)
    assert reward < 1e-3


@pytest.mark.parametrize("task", ["hopper", "ant"])
def test_every_product_of_the_physics_is_of_full_precision(task):
    """An accelerator would round the operands of products with lower precision."""
    env = make_env(task, physics="mjx")
    state = jax.eval_shape(env.reset, jax.random.key(0))
    traced = jax.make_jaxpr(env.step)(state, jnp.zeros(env.action_size))
    products = [equation for equation in equations(traced.jaxpr) if equation.primitive.name == "dot_general"]
    assert len(products) > 10
    for product in products:
        assert product.params["precision"] == (jax.lax.Precision.HIGHEST,) * 2, product


def equations(jaxpr):
    """Yields the equations of a traced function and of the functions that it calls."""
    for equation in jaxpr.eqns:
        yield equation
        for parameter in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            if hasattr(parameter, "eqns"):
                yield from equations(getattr(parameter, "jaxpr", parameter))
