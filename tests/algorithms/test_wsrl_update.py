"""SAC on WSRL's base computes the updates of WSRL's code, which are implemented here again: losses, order, optimizers.

Source: ``wsrl/agents/sac.py`` and ``wsrl/common/common.py`` of its authors (Zhou et al. 2024): in an update every
gradient is taken at the parameters before it; all members of the ensemble share their last layer; in the high-UTD
update, the optimizers of networks that are not updated take a step with a gradient of zero. In both implementations
noise is zero, and the pair of critics in the targets is always the same.
"""

from __future__ import annotations

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_algorithms import noise_batch

from smac_jax.algorithms import sac
from smac_jax.algorithms.actor_critic import NetworkConfig, new_actor_critic
from smac_jax.algorithms.temperature import temperature_of
from smac_jax.config import resolve
from smac_jax.presets import wsrl, wsrl_base

OBSERVATIONS, ACTIONS, ROWS, MEMBERS = 4, 2, 32, 10
PAIR = (3, 7)
RATES = {"actor": 1e-4, "critic": 3e-4, "temperature": 1e-4}


@pytest.fixture(scope="module")
def networks():
    smaller = {"actor_hidden": (8, 8), "critic_hidden": (8, 8)}
    network = resolve(NetworkConfig, wsrl_base.get_config().smac.network.to_dict() | smaller)
    new = jax.jit(lambda key: new_actor_critic(network, key, jnp.zeros(OBSERVATIONS), jnp.ones(OBSERVATIONS), ACTIONS))
    ac = new(jax.random.key(0))
    return ac.replace(target_critic_params=jax.tree.map(lambda x: 0.9 * x, ac.critic_params))


@pytest.fixture(scope="module")
def rows():
    return noise_batch(ROWS, OBSERVATIONS, ACTIONS)


@pytest.fixture(scope="module", autouse=True)
def without_noise(networks, rows):
    """Sets noise to zero after the networks and the batch have been made."""
    del networks, rows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.random, "normal", lambda key, shape=(), dtype=jnp.float32: jnp.zeros(shape, dtype))
        patch.setattr(jax.random, "randint", lambda *_, **__: jnp.array(PAIR))
        yield


# --- the second writing -----------------------------------------------------------------------------------------------
def dense(layer, x):
    return x @ layer["kernel"] + layer["bias"]


def normed(layers, i, x):
    x = dense(layers[f"Dense_{i}"], x)
    x = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return x * layers[f"LayerNorm_{i}"]["scale"] + layers[f"LayerNorm_{i}"]["bias"]


def policy(params, observation):
    """The action without noise, and its log density."""
    x = observation
    for i in range(2):
        x = jax.nn.relu(normed(params["trunk"], i, x))
    mean, std = dense(params["mean"], x), jnp.clip(jnp.exp(dense(params["log_std"], x)), 1e-5, 10.0)
    density = -jnp.log(std) - 0.5 * jnp.log(2 * jnp.pi) - jnp.log1p(-(jnp.tanh(mean) ** 2))
    return jnp.tanh(mean), density.sum(-1)


def values(params, observation, action):
    """Returns values ``[member, row]``. The hidden layers are stacked, and the last layer is shared."""

    def trunk(layers):
        x = jnp.concatenate([observation, action], -1)
        for i in range(2):
            x = jnp.tanh(normed(layers, i, x))
        return x

    return dense(params["head"], jax.vmap(trunk)(params["trunk"]))[..., 0]


def losses(params, target_critic, batch, entropy):
    actor, temperature = params["actor"], jax.nn.softplus(params["temperature"])
    fixed = jax.lax.stop_gradient(params)

    def critic_loss():
        next_action, _ = policy(fixed["actor"], batch.next_observation)
        value = values(target_critic, batch.next_observation, next_action)[jnp.array(PAIR)].min(0)
        target = batch.reward + 0.99 * (1 - batch.terminal) * value
        return jnp.mean((values(params["critic"], batch.observation, batch.action) - target) ** 2)

    def actor_loss():
        action, density = policy(actor, batch.observation)
        value = values(fixed["critic"], batch.observation, action).min(0)
        return -value.mean() + jnp.mean(jax.lax.stop_gradient(temperature) * density)

    def temperature_loss():
        _, density = policy(fixed["actor"], batch.next_observation)
        return temperature * (-density.mean() - entropy)

    return {"critic": critic_loss(), "actor": actor_loss(), "temperature": temperature_loss()}


@partial(jax.jit, static_argnames=("turn", "entropy"))
def update(params, target, optimizers, batch, turn, entropy):
    gradient = jax.grad(lambda p: sum(losses(p, target, batch, entropy)[name] for name in turn))(params)
    new, optimizers = {}, {**optimizers}
    for name, rate in RATES.items():
        step, optimizers[name] = optax.adam(rate).update(gradient[name], optimizers[name])
        new[name] = optax.apply_updates(params[name], step)
    if "critic" in turn:
        target = jax.tree.map(lambda p, t: 0.005 * p + 0.995 * t, new["critic"], target)
    return new, target, optimizers


def as_theirs(params):
    (layers,) = params["params"].values()
    head = jax.tree.map(lambda x: x[0], layers["Dense_2"])
    return {"trunk": {name: layer for name, layer in layers.items() if name != "Dense_2"}, "head": head}


def configured(preset=wsrl_base, **fields):
    smaller = {"batch_size": ROWS, "temperature_learning_rate": 1e-4, **fields}
    return resolve(sac.SACConfig, preset.get_config().sac.to_dict() | smaller)


@cache
def update_of(config):
    return jax.jit(partial(sac.update, config))


@pytest.fixture(scope="module")
def trained_by(networks, rows):
    """A config to the state after one update offline and two of UTD 4."""
    first = configured(utd=1, temperature_start="config", optimizer_start="fresh")
    start, _ = update_of(first)(sac.init(first, jax.random.key(0), networks), rows, jax.random.key(0))

    @cache
    def train(config):
        state = sac.init(config, jax.random.key(0), start.actor_critic, sac.training_state(first, start))
        for i in range(2):
            state, _ = update_of(config)(state, rows, jax.random.key(i))
        ac, temperature = state.actor_critic, temperature_of(config, state.temperature_parameter)
        return ac.actor_params, ac.critic_params, temperature

    return train


def assert_equal(state, config, params, target):
    ac = state.actor_critic
    got = (ac.actor_params["params"], as_theirs(ac.critic_params), as_theirs(ac.target_critic_params))
    for ours, theirs in zip(got, (params["actor"], params["critic"], target), strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6), ours, theirs)
    temperature = jax.nn.softplus(params["temperature"])
    np.testing.assert_allclose(temperature_of(config, state.temperature_parameter), temperature, rtol=1e-6)


@pytest.mark.parametrize(("preset", "scale"), [(wsrl_base, -10.0), (wsrl, -1.0)], ids=["wsrl_base", "wsrl"])
def test_offline_and_high_utd_updates(preset, scale, networks, rows):
    """Three offline updates are followed by three updates of UTD 4 with the same optimizers."""
    offline = configured(preset, utd=1, policy_critics="previous", temperature_start="config", optimizer_start="fresh")
    online = configured(preset)
    assert online.utd == 4
    entropy = scale * ACTIONS
    params = {
        "actor": networks.actor_params["params"],
        "critic": as_theirs(networks.critic_params),
        "temperature": jnp.log(jnp.expm1(1.0)),
    }
    target = as_theirs(networks.target_critic_params)
    optimizers = {name: optax.adam(rate).init(params[name]) for name, rate in RATES.items()}
    state = sac.init(offline, jax.random.key(0), networks)
    for i in range(3):
        state, _ = update_of(offline)(state, rows, jax.random.key(i))
        params, target, optimizers = update(params, target, optimizers, rows, tuple(RATES), entropy)
    assert_equal(state, offline, params, target)

    state = sac.init(online, jax.random.key(0), state.actor_critic, sac.training_state(offline, state))
    for i in range(3):
        state, _ = update_of(online)(state, rows, jax.random.key(i))
        for part in range(4):
            some = jax.tree.map(lambda x, part=part: x.reshape(4, -1, *x.shape[1:])[part], rows)
            params, target, optimizers = update(params, target, optimizers, some, ("critic",), entropy)
        params, target, optimizers = update(params, target, optimizers, rows, ("actor", "temperature"), entropy)
    assert_equal(state, online, params, target)


@pytest.mark.parametrize(
    "field",
    [
        {"waiting_optimizers": "stop"},
        {"temperature_parameterization": "exp"},
        {"backup_aggregation": "min"},
        {"td_reduction": "sum"},
        {"optimizer_start": "fresh"},
    ],
    ids=lambda field: next(iter(field)),
)
def test_each_field_is_needed(trained_by, field):
    """Without the field, two updates of UTD 4 have another result."""
    ends = trained_by(configured()), trained_by(configured(**field))
    apart = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), *ends)
    assert max(jax.tree.leaves(apart)) > 1e-6


@pytest.mark.parametrize("where", ["current", "next"])
def test_the_gradient_of_the_temperature_uses_the_entropy_at_the_chosen_observations(networks, rows, where):
    """The gradient is ten times Adam's first average. Adam's first step does not depend on its size."""
    config = configured(utd=1, temperature_start="config", optimizer_start="fresh", entropy_observations=where)
    state = sac.init(config, jax.random.key(0), networks)
    state, _ = update_of(config)(state, rows, jax.random.key(0))
    observation = rows.observation if where == "current" else rows.next_observation
    _, density = policy(networks.actor_params["params"], observation)
    slope = jax.nn.sigmoid(jnp.log(jnp.expm1(1.0)))
    want = slope * (-density.mean() + 10.0 * ACTIONS)
    np.testing.assert_allclose(10.0 * state.temperature_optimizer[0].mu, want, rtol=1e-4)
