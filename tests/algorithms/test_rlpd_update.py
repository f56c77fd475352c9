"""RLPD computes the updates of its authors' code, which are implemented here again: losses, order, minibatches.

Source: ``rlpd/agents/sac/sac_learner.py`` (Ball et al. 2023): ``utd_ratio`` critic steps on consecutive minibatches,
each followed by an update of the targets; then the policy and the temperature on the last minibatch. In both
implementations noise is zero, and the pair of critics in the targets is always the same.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_algorithms import noise_batch

from smac_jax.algorithms import make_online, sac
from smac_jax.algorithms.actor_critic import NetworkConfig, new_actor_critic
from smac_jax.algorithms.temperature import temperature_of
from smac_jax.config import resolve
from smac_jax.presets import rlpd as preset

OBSERVATIONS, ACTIONS, ROWS, UTD, MEMBERS = 4, 2, 40, 5, 10
PAIR = (3, 7)
UPDATES = 3


@pytest.fixture
def without_noise(monkeypatch):
    monkeypatch.setattr(jax.random, "normal", lambda key, shape=(), dtype=jnp.float32: jnp.zeros(shape, dtype))
    monkeypatch.setattr(jax.random, "permutation", lambda *_, **__: jnp.array(PAIR))


@pytest.fixture(scope="module")
def networks():
    smaller = {"actor_hidden": (8, 8), "critic_hidden": (8, 8)}
    network = resolve(NetworkConfig, preset.get_config().none.network.to_dict() | smaller)
    ac = new_actor_critic(network, jax.random.key(0), jnp.zeros(OBSERVATIONS), jnp.ones(OBSERVATIONS), ACTIONS)
    return ac.replace(target_critic_params=jax.tree.map(lambda x: 0.9 * x, ac.critic_params))


@pytest.fixture(scope="module")
def rows():
    return noise_batch(ROWS, OBSERVATIONS, ACTIONS)


# --- the second implementation ----------------------------------------------------------------------------------------
def dense(layer, x):
    return x @ layer["kernel"] + layer["bias"]


def policy(params, observation):
    """Returns the action without noise, and its log density."""
    x = observation
    for i in range(2):
        x = jax.nn.relu(dense(params["trunk"][f"Dense_{i}"], x))
    mean, log_std = dense(params["mean"], x), jnp.clip(dense(params["log_std"], x), -20.0, 2.0)
    density = -log_std - 0.5 * jnp.log(2 * jnp.pi) - jnp.log1p(-(jnp.tanh(mean) ** 2))
    return jnp.tanh(mean), density.sum(-1)


def values(params, observation, action):
    """Returns values ``[member, row]``."""

    def one(layers):
        x = jnp.concatenate([observation, action], -1)
        for i in range(2):
            x = dense(layers[f"Dense_{i}"], x)
            x = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6)
            x = jax.nn.relu(x * layers[f"LayerNorm_{i}"]["scale"] + layers[f"LayerNorm_{i}"]["bias"])
        return dense(layers["Dense_2"], x)[..., 0]

    return jax.vmap(one)(params)


@jax.jit
def update_critic(params, target, batch):
    next_action, density = policy(params["actor"], batch.next_observation)
    value = values(target, batch.next_observation, next_action)[jnp.array(PAIR)].min(0)
    wanted = batch.reward + 0.99 * (1 - batch.terminal) * value
    wanted -= 0.99 * (1 - batch.terminal) * jnp.exp(params["log_temperature"]) * density
    loss = lambda critic: ((values(critic, batch.observation, batch.action) - wanted) ** 2).mean()  # noqa: E731
    return jax.grad(loss)(params["critic"])


@jax.jit
def update_actor(params, batch):
    def loss(actor):
        action, density = policy(actor, batch.observation)
        value = values(params["critic"], batch.observation, action).mean(0)
        return (density * jnp.exp(params["log_temperature"]) - value).mean(), -density.mean()

    return jax.grad(loss, has_aux=True)(params["actor"])


def published_updates(networks, rows):
    """Returns parameters and targets after some updates, which begin with new optimizers."""
    (critic,) = networks.critic_params["params"].values()
    (target,) = networks.target_critic_params["params"].values()
    params = {"actor": networks.actor_params["params"], "critic": critic, "log_temperature": jnp.log(1.0)}
    adam = optax.adam(3e-4)
    states = {name: adam.init(value) for name, value in params.items()}

    def step(name, gradient):
        change, states[name] = adam.update(gradient, states[name])
        params[name] = optax.apply_updates(params[name], change)

    for _ in range(UPDATES):
        for i in range(UTD):
            some = jax.tree.map(lambda x, i=i: x[i * ROWS // UTD : (i + 1) * ROWS // UTD], rows)
            step("critic", update_critic(params, target, some))
            target = jax.tree.map(lambda p, t: 0.005 * p + 0.995 * t, params["critic"], target)
        gradient, entropy = update_actor(params, some)
        step("actor", gradient)
        # temperature * (entropy - target entropy), of which the code's target is minus half the number of actions
        step("log_temperature", jnp.exp(params["log_temperature"]) * (entropy + ACTIONS / 2))
    return params, target


def configured(**fields):
    smaller = {"batch_size": ROWS, "utd": UTD}
    return make_online("rlpd", preset.get_config().rlpd.to_dict() | smaller | fields)


def updated(algorithm, networks, rows):
    state, update = algorithm.init(jax.random.key(0), networks), jax.jit(algorithm.update)
    for i in range(UPDATES):
        state, _ = update(state, rows, jax.random.key(i))
    return state


@pytest.mark.usefixtures("without_noise")
def test_updates_are_those_of_the_published_code(networks, rows):
    built = configured()
    params, target = published_updates(networks, rows)
    state = updated(built, networks, rows)
    ac = state.actor_critic
    (critic,), (slow,) = ac.critic_params["params"].values(), ac.target_critic_params["params"].values()
    got, want = (ac.actor_params["params"], critic, slow), (params["actor"], params["critic"], target)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6), got, want)
    temperature = temperature_of(built.config, state.temperature_parameter)
    np.testing.assert_allclose(temperature, jnp.exp(params["log_temperature"]), rtol=1e-6)


@pytest.mark.usefixtures("without_noise")
@pytest.mark.parametrize(
    "field",
    [
        {"entropy_backup": False},
        {"backup_aggregation": "min"},
        {"policy_aggregation": "min"},
        {"target_entropy_scale": 5.0},
        {"actor_learning_rate": 1e-4},
        {"utd": 4},
    ],
    ids=lambda field: next(iter(field)),
)
def test_each_field_is_needed(networks, rows, field):
    assert apart(updated(configured(), networks, rows), updated(configured(**field), networks, rows)) > 1e-6


@pytest.mark.usefixtures("without_noise")
def test_the_policy_of_rlpd_learns_from_the_last_minibatch_and_that_of_sac_from_all(networks, rows):
    built = configured()
    plain = resolve(sac.SACConfig, dataclasses.asdict(built.config))
    whole = built._replace(update=lambda state, batch, key: sac.update(plain, state, batch, key))
    assert apart(updated(built, networks, rows), updated(whole, networks, rows)) > 1e-6


def apart(a, b):
    """Returns the largest difference between the networks and temperatures of two states."""
    parts = [(x.actor_critic.actor_params, x.actor_critic.critic_params, x.temperature_parameter) for x in (a, b)]
    return max(jax.tree.leaves(jax.tree.map(lambda x, y: float(jnp.abs(x - y).max()), *parts)))
