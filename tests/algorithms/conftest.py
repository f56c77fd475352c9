"""Fixtures for the tests of losses: one actor-critic of each kind of policy, and one batch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_networks import BATCH, BOX_NETWORK, NETWORK
from small_algorithms import ACTIONS, OBSERVATIONS

from smac_jax.algorithms.actor_critic import new_actor_critic
from smac_jax.types import Transition


def moved(network):
    """Changes target critics and standard deviations, so that confusing them with others changes results."""
    new = jax.jit(lambda key: new_actor_critic(network, key, jnp.zeros(OBSERVATIONS), jnp.ones(OBSERVATIONS), ACTIONS))
    ac = new(jax.random.key(3))
    return ac.replace(
        target_critic_params=jax.tree.map(lambda x: 0.8 * x + 0.05, ac.target_critic_params),
        actor_params=jax.tree.map(lambda x: x + 0.1, ac.actor_params),
    )


@pytest.fixture(scope="module")
def actor_critic():
    return moved(NETWORK)


@pytest.fixture(scope="module")
def box_actor_critic():
    return moved(BOX_NETWORK)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return Transition(
        observation=jnp.asarray(rng.normal(size=(BATCH, OBSERVATIONS)), jnp.float32),
        action=jnp.asarray(rng.uniform(-1, 1, (BATCH, ACTIONS)), jnp.float32),
        reward=jnp.asarray(rng.normal(size=BATCH), jnp.float32),
        next_observation=jnp.asarray(rng.normal(size=(BATCH, OBSERVATIONS)), jnp.float32),
        terminal=jnp.asarray(np.arange(BATCH) % 2, jnp.float32),
        condition=jnp.ones(BATCH),
        return_to_go=jnp.asarray(rng.normal(size=BATCH), jnp.float32),
    )
