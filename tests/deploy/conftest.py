"""Fixtures: actor-critics of every kind of actor with random parameters."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smac_jax.algorithms.actor_critic import ActorCritic, NetworkConfig, new_actor_critic

OBSERVATIONS, ACTIONS, SEEDS = 5, 3, 3


def make(seeds: int | None = SEEDS, **network) -> ActorCritic:
    """Makes an actor-critic with random biases and normalization, whose standard deviations exceed both limits."""
    config = NetworkConfig(**{"actor_hidden": (16, 8), "critic_hidden": (4,), **network})
    zeros = jnp.zeros(OBSERVATIONS)
    # shapes suffice, and avoid a compilation for each kind
    shapes = jax.eval_shape(lambda: new_actor_critic(config, jax.random.key(0), zeros, zeros, ACTIONS))
    rng, leading = np.random.default_rng(0), () if seeds is None else (seeds,)
    made = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=(*leading, *x.shape)), x.dtype), shapes)
    spread = jax.tree.map(lambda x: 8.0 * x, made.actor_params["params"]["log_std"])
    params = {"params": {**made.actor_params["params"], "log_std": spread}}
    return made.replace(actor_params=params, observation_std=jnp.abs(made.observation_std) + 0.5)


def every_seed(actor_critic: ActorCritic, observation: np.ndarray):
    """Returns the distributions of the Flax actors, ``[seed, *batch, action]``."""
    return jax.vmap(lambda one: one.policy(jnp.asarray(observation, jnp.float32)))(actor_critic)


@pytest.fixture(scope="session")
def make_actor_critic() -> Callable[..., ActorCritic]:
    return make


@pytest.fixture(scope="session")
def flax_policies():
    return every_seed


@pytest.fixture(scope="session")
def observations() -> np.ndarray:
    """Returns observations with two leading axes, of sizes 2 and 3."""
    return 2.0 * np.random.default_rng(1).normal(size=(2, 3, OBSERVATIONS))


@pytest.fixture(scope="session")
def stacked() -> ActorCritic:
    """Returns three seeds of the default kind of actor."""
    return make()
