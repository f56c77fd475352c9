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
    params = made.actor_params["params"]
    if "log_std" in params:
        params = {**params, "log_std": jax.tree.map(lambda x: 8.0 * x, params["log_std"])}
    return made.replace(actor_params={"params": params}, observation_std=jnp.abs(made.observation_std) + 0.5)


class Flows:
    """One-step flows of every seed, as Flax computes them."""

    def __init__(self, actor_critic: ActorCritic, observation: np.ndarray) -> None:
        self.actor_critic, self.observation = actor_critic, jnp.asarray(observation, jnp.float32)

    def mode(self):
        return jax.vmap(lambda one: one.policy(self.observation).mode())(self.actor_critic)

    def sampled(self, noise: np.ndarray):
        """With noise ``[*batch, action]``, or ``[seed, *batch, action]``."""
        noise = jnp.broadcast_to(jnp.asarray(noise, jnp.float32), (SEEDS, *self.observation.shape[:-1], ACTIONS))
        at = jax.vmap(lambda one, noise: one.policy(self.observation).at(noise))(self.actor_critic, noise)
        return np.clip(at, -1.0, 1.0)


class Gaussians:
    """The same of Gaussians."""

    def __init__(self, actor_critic: ActorCritic, observation: np.ndarray) -> None:
        of_one = lambda one: one.policy(jnp.asarray(observation, jnp.float32))  # noqa: E731
        self.flax, self.squashed = jax.vmap(of_one)(actor_critic), actor_critic.actor.distribution == "tanh_gaussian"
        self.log_std = self.flax.log_std

    def mode(self):
        return self.flax.mode()

    def sampled(self, noise: np.ndarray):
        draw = self.flax.mean + np.exp(self.flax.log_std) * noise
        return np.tanh(draw) if self.squashed else np.clip(draw, -1.0, 1.0)


def every_seed(actor_critic: ActorCritic, observation: np.ndarray) -> Flows | Gaussians:
    """What Flax computes, ``[seed, *batch, action]``."""
    kind = Flows if actor_critic.actor.distribution == "one_step_flow" else Gaussians
    return kind(actor_critic, observation)


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
