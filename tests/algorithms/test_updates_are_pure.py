"""The update of every algorithm depends only on state, batch and key: not on compilation, and not on other seeds."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_algorithms import NETWORK, TRAINED, small

from smac_jax.algorithms import OFFLINE, ONLINE, make_offline, make_online

SEEDS = 3


def take(tree, seed):
    return jax.tree.map(lambda x: x[seed], tree)


def assert_pure(update, states, batches, keys):
    """Compares the update of each seed among other seeds, alone, and without compilation (for the last seed)."""
    together = jax.jit(jax.vmap(update))(states, batches, keys)
    compiled = jax.jit(update)
    for seed in range(SEEDS):
        arguments = take(states, seed), take(batches, seed), keys[seed]
        alone = compiled(*arguments)
        chex.assert_trees_all_close(take(together, seed), alone, rtol=2e-4, atol=2e-6)
        chex.assert_trees_all_equal(compiled(*arguments), alone)
    chex.assert_trees_all_close(update(*arguments), alone, rtol=2e-4, atol=2e-6)


def batches_of(data, size):
    return jax.vmap(lambda key: data.sample(key, size))(jax.random.split(jax.random.key(1), SEEDS))


@pytest.fixture(scope="module")
def offline(data):
    """Returns every offline algorithm with one state for each seed."""
    keys = jax.random.split(jax.random.key(0), SEEDS)
    made = {name: make_offline(name, small(name)) for name in OFFLINE}
    return {name: (it, jax.jit(jax.vmap(it.init, (0, None)))(keys, it.prepare(data))) for name, it in made.items()}


@pytest.mark.parametrize("name", TRAINED)
def test_an_offline_update_is_the_same_plain_compiled_and_among_other_seeds(name, offline, data):
    algorithm, states = offline[name]
    for phase in algorithm.phases:
        batches = batches_of(algorithm.prepare(data), phase.batch_size)
        assert_pure(phase.update, states, batches, jax.random.split(jax.random.key(2), SEEDS))


@pytest.mark.parametrize("name", ONLINE)
def test_an_online_update_is_the_same_plain_compiled_and_among_other_seeds(name, offline, data):
    algorithm = make_online(name, {"batch_size": 16, "utd": 2})
    smac, states = offline["smac"]
    keys = jax.random.split(jax.random.key(3), SEEDS)
    states = jax.jit(jax.vmap(algorithm.init))(keys, jax.vmap(smac.actor_critic)(states))
    assert_pure(algorithm.update, states, batches_of(data, 16), keys)


def test_the_policy_delay_counts_the_updates_of_seeds_that_are_not_frozen(offline, data):
    """The first seed was frozen at its first update, so its counter stays.

    The policies of the others must be updated.
    """
    algorithm, states = offline["td3_bc"]
    states = states.replace(step=jnp.array([0, 7, 7]))
    before = states.actor_critic.actor_params
    keys = jax.random.split(jax.random.key(2), SEEDS)
    (phase,) = algorithm.phases
    states, _ = jax.jit(jax.vmap(phase.update))(states, batches_of(data, phase.batch_size), keys)
    after = states.actor_critic.actor_params
    moved = [not np.array_equal(a[1:], b[1:]) for a, b in zip(*map(jax.tree.leaves, (before, after)), strict=True)]
    assert any(moved)  # the eighth update has a policy step, and the first update of the frozen seed has none


@settings(max_examples=8, deadline=None)
@given(
    observations=st.integers(1, 40),
    actions=st.integers(1, 30),
    rows=st.integers(1, 9),
    members=st.sampled_from([1, 2, 5]),
)
@pytest.mark.parametrize("name", TRAINED)
def test_a_step_keeps_every_shape_and_type(name, observations, actions, rows, members, data):
    """The state of a compiled loop must have the same shapes and types before and after an update, for any sizes."""
    wide = data.replace(
        observations=jnp.zeros((500, observations)),
        next_observations=jnp.zeros((500, observations)),
        actions=jnp.zeros((500, actions)),
    )
    network = {**NETWORK, "num_critics": members}
    algorithm = make_offline(name, {**small(name), "batch_size": rows, "network": network})
    key, wide = jax.random.key(0), algorithm.prepare(wide)
    state = jax.eval_shape(algorithm.init, key, wide)
    for phase in algorithm.phases:
        batch = jax.eval_shape(lambda wide=wide, size=phase.batch_size: wide.sample(key, size))
        after, metrics = jax.eval_shape(phase.update, state, batch, key)
        assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(lambda x: (x.shape, x.dtype), state)
        assert all(x.shape == () and x.dtype == jnp.float32 for x in jax.tree.leaves(metrics))
