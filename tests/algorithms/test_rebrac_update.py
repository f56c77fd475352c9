"""ReBRAC computes the updates of its authors' code, which are implemented here again: networks, losses, optimizers.

Source: ``src/algorithms/rebrac.py`` and ``src/networks.py`` of DT6A/ReBRAC, and ``algorithms/offline/rebrac.py`` of
CORL (Tarasov et al. 2023). The noise of the target policy is the same array in both implementations.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_algorithms import noise_batch

from smac_jax.algorithms import make_offline, rebrac
from smac_jax.algorithms.actor_critic import new_actor_critic
from smac_jax.config import resolve
from smac_jax.data.dataset import Dataset
from smac_jax.errors import ConfigError, DatasetError

OBSERVATIONS, ACTIONS, ROWS, UPDATES = 4, 2, 16, 5
FIELDS = {"actor_bc_coef": 0.3, "critic_bc_coef": 0.7}
NOISE = np.asarray(np.random.default_rng(5).normal(size=(ROWS, ACTIONS)), np.float32)
LAYERS = 3


@pytest.fixture
def one_noise(monkeypatch):
    monkeypatch.setattr(jax.random, "normal", lambda key, shape=(), dtype=jnp.float32: jnp.asarray(NOISE))


@pytest.fixture(scope="module")
def rows():
    next_actions = np.tanh(np.random.default_rng(2).normal(size=(ROWS, ACTIONS)))
    return noise_batch(ROWS, OBSERVATIONS, ACTIONS)._replace(next_action=jnp.asarray(next_actions, jnp.float32))


def configured(**fields):
    network = {"actor_hidden": (8,) * LAYERS, "critic_hidden": (8,) * LAYERS}
    return resolve(rebrac.ReBRACConfig, {"network": network, "batch_size": ROWS, **FIELDS, **fields})


def first_state(config):
    """Returns a state in which all parameters differ, also from those of the targets."""
    ac = new_actor_critic(config.network, jax.random.key(0), jnp.zeros(OBSERVATIONS), jnp.ones(OBSERVATIONS), ACTIONS)
    rng = np.random.default_rng(1)

    def moved(tree):
        return jax.tree.map(lambda x: x + jnp.asarray(0.2 * rng.normal(size=x.shape), jnp.float32), tree)

    ac = ac.replace(
        actor_params=moved(ac.actor_params),
        critic_params=moved(ac.critic_params),
        target_critic_params=moved(ac.critic_params),
    )
    return rebrac.new_state(config, ac, -1).replace(target_actor_params=moved(ac.actor_params))


# --- the second implementation ----------------------------------------------------------------------------------------
def dense(layer, x):
    return x @ layer["kernel"] + layer["bias"]


def norm(layer, x):
    mean, mean_of_squares = x.mean(-1, keepdims=True), (x * x).mean(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(mean_of_squares - mean**2 + 1e-6) * layer["scale"] + layer["bias"]


def pi(params, s):
    x = s
    for i in range(LAYERS):
        x = jax.nn.relu(dense(params["trunk"][f"Dense_{i}"], x))
    return jnp.tanh(dense(params["mean"], x))


def q(params, s, a):
    """``[member, row]``."""

    def member(layers):
        x = jnp.hstack([s, a])
        for i in range(LAYERS):
            x = norm(layers[f"LayerNorm_{i}"], jax.nn.relu(dense(layers[f"Dense_{i}"], x)))
        return dense(layers[f"Dense_{LAYERS}"], x).squeeze(-1)

    return jax.vmap(member)(params)


def update_critic(actor, critic, batch, beta, gamma=0.99, policy_noise=0.2, noise_clip=0.5):
    noise = jnp.clip(NOISE * policy_noise, -noise_clip, noise_clip)
    next_actions = jnp.clip(pi(actor["target"], batch.next_observation) + noise, -1, 1)
    bc_penalty = ((next_actions - batch.next_action) ** 2).sum(-1)
    next_q = q(critic["target"], batch.next_observation, next_actions).min(0) - beta * bc_penalty
    target_q = batch.reward + (1 - batch.terminal) * gamma * next_q

    def loss(params):
        return ((q(params, batch.observation, batch.action) - target_q[None, ...]) ** 2).mean(1).sum(0)

    return apply_gradients(critic, jax.grad(loss)(critic["params"]))


def update_actor(actor, critic, batch, beta, normalize_q=True, tau=0.005):
    def loss(params):
        actions = pi(params, batch.observation)
        bc_penalty = ((actions - batch.action) ** 2).sum(-1)
        q_values = q(critic["params"], batch.observation, actions).min(0)
        lmbda = jax.lax.stop_gradient(1 / jnp.abs(q_values).mean()) if normalize_q else 1
        return (beta * bc_penalty - lmbda * q_values).mean()

    new_actor = apply_gradients(actor, jax.grad(loss)(actor["params"]))
    new_actor["target"] = optax.incremental_update(actor["params"], actor["target"], tau)
    new_critic = critic | {"target": optax.incremental_update(critic["params"], critic["target"], tau)}
    return new_actor, new_critic


def apply_gradients(network, gradient):
    updates, optimizer = optax.adam(1e-3).update(gradient, network["optimizer"])
    return network | {"params": optax.apply_updates(network["params"], updates), "optimizer": optimizer}


def as_published(params, target):
    return {"params": params, "target": target, "optimizer": optax.adam(1e-3).init(params)}


def of_actor(params):
    return {name: params["params"][name] for name in ("trunk", "mean")}


def of_critic(params):
    (layers,) = params["params"].values()
    return layers


def published(state, rows, normalize_q=True):
    """Actor and critic after each of five updates."""
    ac = state.actor_critic
    actor = as_published(of_actor(ac.actor_params), of_actor(state.target_actor_params))
    critic = as_published(of_critic(ac.critic_params), of_critic(ac.target_critic_params))
    critic_step = jax.jit(lambda actor, critic: update_critic(actor, critic, rows, FIELDS["critic_bc_coef"]))
    actor_step = jax.jit(lambda *both: update_actor(*both, rows, FIELDS["actor_bc_coef"], normalize_q))
    for i in range(UPDATES):
        critic = critic_step(actor, critic)
        if i % 2 == 0:
            actor, critic = actor_step(actor, critic)
        yield actor, critic


def ours(config, state, rows):
    update = jax.jit(lambda state, key: rebrac.update(config, state, rows, key))
    for i in range(UPDATES):
        state, _ = update(state, jax.random.key(i))
        yield state


def apart(a, b):
    return max(jax.tree.leaves(jax.tree.map(lambda x, y: float(jnp.abs(x - y).max()), a, b)))


@pytest.mark.usefixtures("one_noise")
@pytest.mark.parametrize("normalize_q", [True, False])
def test_updates_are_those_of_the_published_code(rows, normalize_q):
    """Five in a row: with and without a policy's step, on optimizers that have a past."""
    config = configured(normalize_q=normalize_q)
    start = first_state(config)
    for state, (actor, critic) in zip(ours(config, start, rows), published(start, rows, normalize_q), strict=True):
        ac = state.actor_critic
        pairs = [
            (of_actor(ac.actor_params), actor["params"]),
            (of_actor(state.target_actor_params), actor["target"]),
            (of_critic(ac.critic_params), critic["params"]),
            (of_critic(ac.target_critic_params), critic["target"]),
        ]
        for got, want in pairs:
            # Adam's steps of 1e-3 magnify the rounding of gradients that are nearly zero
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-6), got, want)


@pytest.mark.usefixtures("one_noise")
@pytest.mark.parametrize(
    "field",
    [
        {"actor_bc_coef": 0.31},
        {"critic_bc_coef": 0.71},
        {"normalize_q": False},
        {"policy_delay": 1},
        {"backup_aggregation": "mean"},
        {"noise_clip": 0.1},
        {"network": {"layer_norm_position": "before_activation"}},
    ],
    ids=lambda field: str(field),
)
def test_each_field_is_needed(rows, field):
    """With another value five updates end elsewhere, so the test above would see it."""
    config = configured()
    start = first_state(config)
    *_, (actor, critic) = published(start, rows)
    network = {"network": {"actor_hidden": (8,) * LAYERS, "critic_hidden": (8,) * LAYERS, **field.get("network", {})}}
    other = configured(**{**field, **network})
    if "network" in field:
        position = other.network.layer_norm_position
        module = start.actor_critic.critic.clone(layer_norm_position=position)
        start = start.replace(actor_critic=start.actor_critic.replace(critic=module))
    *_, state = ours(other, start, rows)
    ac = state.actor_critic
    far = max(apart(of_actor(ac.actor_params), actor["params"]), apart(of_critic(ac.critic_params), critic["params"]))
    assert far > 1e-5


@pytest.mark.usefixtures("one_noise")
def test_online_updates_are_those_of_the_published_code(rows):
    """``rebrac_finetune.py``: no distance in the target; beta_pi falls by a fifth of itself in each update."""
    config = configured()
    offline = make_offline("rebrac", config)
    online = offline.continue_online(offline, {"online_decay_steps": 5, "online_decay_floor": 0.3}, "all")
    assert (online.config.critic_bc_coef, offline.config.critic_bc_coef) == (0.0, FIELDS["critic_bc_coef"])
    start = first_state(config)
    *_, state = ours(config, start, rows)
    *_, (actor, critic) = published(start, rows)
    assert (int(state.since_transfer), int(state.step)) == (-1, UPDATES)
    state = online.init(jax.random.key(0), state.actor_critic, state)
    update = jax.jit(online.update)
    for i in range(UPDATES):
        state, _ = update(state, rows._replace(next_action=None), jax.random.key(i))
        critic = update_critic(actor, critic, rows, beta=0.0)
        if (UPDATES + i) % 2 == 0:  # the updates are counted on
            share = max(0.3, (UPDATES - i) / UPDATES)
            actor, critic = update_actor(actor, critic, rows, FIELDS["actor_bc_coef"] * share)
    ac = state.actor_critic
    for got, want in (
        (of_actor(ac.actor_params), actor["params"]),
        (of_critic(ac.critic_params), critic["params"]),
        (of_critic(ac.target_critic_params), critic["target"]),
    ):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=5e-6), got, want)


def test_exploration_online_is_noise_on_the_mode():
    offline = make_offline("rebrac", configured())
    online = offline.continue_online(offline, {"exploration_noise": 0.2}, "all")
    state = first_state(offline.config)
    seen = jnp.ones(OBSERVATIONS)
    mode = state.actor_critic.policy(seen).mode()
    acted = jax.vmap(lambda key: online.act(state, seen, key))(jax.random.split(jax.random.key(0), 400))
    want = jnp.clip(mode + 0.2 * np.random.default_rng(0).normal(size=(4000, ACTIONS)), -1, 1)
    np.testing.assert_allclose(acted.std(axis=0), want.std(axis=0), rtol=0.15)


def test_a_distance_in_the_target_is_refused_online():
    offline = make_offline("rebrac", configured())
    for changes in ({"critic_bc_coef": 0.1}, offline.config):
        with pytest.raises(ConfigError, match=r"ReBRACConfig.critic_bc_coef = 0\.\d online: must be 0"):
            offline.continue_online(offline, changes, "all")


def test_parameters_start_as_published():
    """Kernels as PyTorch's, biases at 0.1; last layers, biases too, uniform and small (``src/nn.py``)."""
    config = resolve(rebrac.ReBRACConfig)
    size = 17
    ac = new_actor_critic(config.network, jax.random.key(0), jnp.zeros(size), jnp.ones(size), ACTIONS)
    actor, critic = of_actor(ac.actor_params), of_critic(ac.critic_params)
    assert set(critic) == {*(f"Dense_{i}" for i in range(4)), *(f"LayerNorm_{i}" for i in range(3))}
    assert set(actor["trunk"]) == {f"Dense_{i}" for i in range(3)}  # no layer norm
    for i, inputs in enumerate((size + ACTIONS, 256, 256)):
        layer = critic[f"Dense_{i}"]
        np.testing.assert_array_equal(layer["bias"], np.full((2, 256), np.float32(0.1)))
        np.testing.assert_allclose(jnp.abs(layer["kernel"]).max(), inputs**-0.5, rtol=1e-3)
        np.testing.assert_allclose(layer["kernel"].std(), (3 * inputs) ** -0.5, rtol=0.02)
    for layer, bound in ((critic["Dense_3"], 3e-3), (actor["mean"], 1e-3)):
        assert 0.9 * bound < float(jnp.abs(layer["kernel"]).max()) <= bound
        assert 0.0 < float(jnp.abs(layer["bias"]).max()) <= bound


def episodes(ends, **arrays):
    rows = len(ends)
    return Dataset.from_arrays(
        np.arange(rows)[:, None], np.linspace(-1, 1, rows)[:, None], np.ones(rows), np.array(ends) == "t", **arrays
    )


def test_next_actions_are_those_of_the_same_episode():
    """A terminal needs none; behind a cut there is none, and the transition is left out."""
    data = episodes(
        [".", ".", "t", ".", ".", ".", "."],
        timeouts=np.arange(7) == 4,
        next_observations=[[1], [2], [99], [4], [98], [6], [97]],
    )
    complete = data.with_next_actions()
    np.testing.assert_array_equal(complete.observations[:, 0], [0, 1, 2, 3, 5])
    action = np.linspace(-1, 1, 7).astype(np.float32)
    np.testing.assert_array_equal(complete.next_actions[:, 0], [action[1], action[2], 0.0, action[4], action[6]])
    np.testing.assert_array_equal(complete.transitions(np.array([1])).next_action, [[action[2]]])
    assert data.transitions(np.array([1])).next_action is None
    assert complete.fingerprint() != data.fingerprint()


def test_a_log_without_any_next_action_is_refused():
    rows = np.arange(3)
    data = episodes([".", ".", "."], timeouts=rows >= 0, next_observations=100.0 + rows[:, None])
    with pytest.raises(DatasetError, match="no next action is known"):
        data.with_next_actions()
    assert rebrac.prepare(configured(critic_bc_coef=0.0), data) is data
