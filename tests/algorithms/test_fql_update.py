"""FQL computes the updates of its authors' code, which are implemented here again: networks, losses, order, optimizer.

Source: ``agents/fql.py`` and ``utils/networks.py`` of seohongpark/fql (Park et al. 2025), which have one loss for all
networks, one gradient, one step of Adam, and Euler's steps in a loop. Both implementations get the same random numbers.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_algorithms import noise_batch

from smac_jax.algorithms import fql, make_offline
from smac_jax.algorithms.actor_critic import new_actor_critic
from smac_jax.algorithms.learner import actor_optimizer, new_learner
from smac_jax.config import resolve
from smac_jax.errors import ConfigError
from smac_jax.networks import OneStepFlow

OBSERVATIONS, ACTIONS, ROWS, UPDATES = 4, 2, 16, 3
FIELDS = {"alpha": 3.0, "flow_steps": 7}
LAYERS = 3


@pytest.fixture(scope="module")
def rows():
    return noise_batch(ROWS, OBSERVATIONS, ACTIONS)


def configured(**fields):
    network = {"actor_hidden": (8,) * LAYERS, "critic_hidden": (8,) * LAYERS}
    return resolve(fql.FQLConfig, {"network": network, "batch_size": ROWS, **FIELDS, **fields})


def first_state(config):
    """Returns a state in which all parameters differ, also from those of the targets, and actions exceed the box."""
    ac = new_actor_critic(config.network, jax.random.key(0), jnp.zeros(OBSERVATIONS), jnp.ones(OBSERVATIONS), ACTIONS)
    rng = np.random.default_rng(1)

    def moved(tree):
        return jax.tree.map(lambda x: x + jnp.asarray(0.2 * rng.normal(size=x.shape), jnp.float32), tree)

    def stretched(tree):
        last = tree[f"Dense_{LAYERS}"]
        return {**tree, f"Dense_{LAYERS}": {**last, "kernel": 3.0 * last["kernel"]}}

    ac = ac.replace(
        actor_params={"params": {"flow": stretched(moved(ac.actor_params)["params"]["flow"])}},
        critic_params=moved(ac.critic_params),
        target_critic_params=moved(ac.critic_params),
    )
    flow = fql.flow_network(ac).init(jax.random.key(1), jnp.zeros(OBSERVATIONS + ACTIONS + 1))
    flow = {"params": stretched(moved(flow)["params"])}
    learner = new_learner(config, ac)
    return fql.State(ac, learner.critic_optimizer, learner.actor_optimizer, flow, actor_optimizer(config).init(flow))


# --- the second implementation ----------------------------------------------------------------------------------------
def dense(layer, x):
    return x @ layer["kernel"] + layer["bias"]


def gelu(x):
    return 0.5 * x * (1 + jnp.tanh(jnp.sqrt(2 / jnp.pi) * (x + 0.044715 * x**3)))


def norm(layer, x):
    mean, mean_of_squares = x.mean(-1, keepdims=True), (x * x).mean(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(mean_of_squares - mean**2 + 1e-6) * layer["scale"] + layer["bias"]


def mlp(layers, x):
    for i in range(LAYERS):
        x = gelu(dense(layers[f"Dense_{i}"], x))
        if f"LayerNorm_{i}" in layers:
            x = norm(layers[f"LayerNorm_{i}"], x)
    return dense(layers[f"Dense_{LAYERS}"], x)


def value(layers, s, a):
    return jax.vmap(lambda member: mlp(member, jnp.concatenate([s, a], -1)).squeeze(-1))(layers)


def one_step(params, s, z):
    return mlp(params["actor_onestep_flow"], jnp.concatenate([s, z], -1))


def draws(key):
    """As our update takes them from its key."""
    target, start, time, noise = jax.random.split(key, 4)
    normal = lambda key: jax.random.normal(key, (ROWS, ACTIONS), jnp.float32)  # noqa: E731
    return normal(jax.random.split(target)[0]), normal(start), jax.random.uniform(time, (ROWS,))[:, None], normal(noise)


def total_loss(params, frozen, batch, key, alpha, flow_steps, normalize_q_loss, q_agg):
    z_next, x_0, t, noises = draws(key)
    # critic
    next_actions = jnp.clip(one_step(frozen, batch.next_observation, z_next), -1, 1)
    next_qs = value(frozen["target_critic"], batch.next_observation, next_actions)
    next_q = next_qs.min(axis=0) if q_agg == "min" else next_qs.mean(axis=0)
    target_q = batch.reward + 0.99 * (1 - batch.terminal) * next_q
    critic_loss = jnp.square(value(params["critic"], batch.observation, batch.action) - target_q).mean()
    # flow
    x_t = (1 - t) * x_0 + t * batch.action
    pred = mlp(params["actor_bc_flow"], jnp.concatenate([batch.observation, x_t, t], -1))
    bc_flow_loss = jnp.mean((pred - (batch.action - x_0)) ** 2)
    # distillation
    actions = noises
    for i in range(flow_steps):
        at = jnp.full((ROWS, 1), i / flow_steps)
        vels = mlp(frozen["actor_bc_flow"], jnp.concatenate([batch.observation, actions, at], -1))
        actions = actions + vels / flow_steps
    actor_actions = one_step(params, batch.observation, noises)
    distill_loss = jnp.mean((actor_actions - jnp.clip(actions, -1, 1)) ** 2)
    # Q
    q = jnp.mean(value(frozen["critic"], batch.observation, jnp.clip(actor_actions, -1, 1)), axis=0)
    q_loss = -q.mean()
    if normalize_q_loss:
        q_loss = jax.lax.stop_gradient(1 / jnp.abs(q).mean()) * q_loss
    return critic_loss + bc_flow_loss + alpha * distill_loss + q_loss


def published(state, rows, alpha=3.0, flow_steps=7, normalize_q_loss=False, q_agg="mean", tau=0.005):
    @jax.jit
    def update(old, optimizer, key):
        gradient = jax.grad(total_loss)(old, old, rows, key, alpha, flow_steps, normalize_q_loss, q_agg)
        updates, optimizer = optax.adam(3e-4).update(gradient, optimizer)
        target = jax.tree.map(lambda p, tp: p * tau + tp * (1 - tau), old["critic"], old["target_critic"])
        return optax.apply_updates(old, updates) | {"target_critic": target}, optimizer

    params = named(state)
    optimizer = optax.adam(3e-4).init(params)
    for i in range(UPDATES):
        params, optimizer = update(params, optimizer, jax.random.key(i))
        yield params


def named(state):
    """Our parameters under the published names."""
    ac = state.actor_critic
    ((critic,), (target,)) = (p["params"].values() for p in (ac.critic_params, ac.target_critic_params))
    return {
        "critic": critic,
        "target_critic": target,
        "actor_bc_flow": state.flow_params["params"],
        "actor_onestep_flow": ac.actor_params["params"]["flow"],
    }


def ours(config, state, rows):
    update = jax.jit(lambda state, key: fql.update(config, state, rows, key))
    for i in range(UPDATES):
        state, _ = update(state, jax.random.key(i))
        yield state


@pytest.mark.parametrize(
    ("fields", "of_theirs"),
    [
        ({}, {}),
        ({"normalize_q": True}, {"normalize_q_loss": True}),
        ({"backup_aggregation": "min"}, {"q_agg": "min"}),
    ],
    ids=["default", "normalized", "min"],
)
def test_updates_are_those_of_the_published_code(rows, fields, of_theirs):
    config = configured(**fields)
    start = first_state(config)
    for state, want in zip(ours(config, start, rows), published(start, rows, **of_theirs), strict=True):
        # Adam's steps of 3e-4 magnify the rounding of gradients that are nearly zero
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-6), named(state), want)


@pytest.mark.parametrize(
    "field", [{"alpha": 3.1}, {"flow_steps": 6}, {"normalize_q": True}, {"backup_aggregation": "min"}], ids=str
)
def test_each_field_is_needed(rows, field):
    """With another value three updates end elsewhere, so the test above would see it."""
    start = first_state(configured())
    *_, want = published(start, rows)
    *_, state = ours(configured(**field), start, rows)
    apart = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), named(state), want)
    assert max(jax.tree.leaves(apart)) > 1e-5


def test_actions_reach_beyond_the_box_in_these_tests(rows):
    """So that it matters where they are clipped."""
    state = first_state(configured())
    noise = jax.random.normal(jax.random.key(0), rows.action.shape)
    velocity = partial(fql.velocity, state.actor_critic, state.flow_params, rows.observation)
    for action in (state.actor_critic.policy(rows.observation).at(noise), fql.flow_action(velocity, noise, 7)):
        outside = jnp.abs(action) >= 1.0
        assert 0 < outside.sum() < outside.size


def test_parameters_start_as_published():
    """Glorot's kernels, biases of zero; four layers of 512; layer norm in the critics alone."""
    config = resolve(fql.FQLConfig)
    size = 11
    ac = new_actor_critic(config.network, jax.random.key(0), jnp.zeros(size), jnp.ones(size), ACTIONS)
    (critic,) = ac.critic_params["params"].values()
    actor = ac.actor_params["params"]["flow"]
    assert {name for name in critic if "Norm" in name} == {f"LayerNorm_{i}" for i in range(4)}
    assert set(actor) == {f"Dense_{i}" for i in range(5)}
    for layers, last in ((critic, 1), (actor, ACTIONS)):
        for i, (inputs, outputs) in enumerate(((size + ACTIONS, 512), *[(512, 512)] * 3, (512, last))):
            layer = layers[f"Dense_{i}"]
            assert layer["kernel"].shape[-2:] == (inputs, outputs)
            assert not layer["bias"].any()
            bound = (6 / (inputs + outputs)) ** 0.5
            assert 0.98 * bound < float(jnp.abs(layer["kernel"]).max()) <= bound
            np.testing.assert_allclose(layer["kernel"].std(), bound / 3**0.5, rtol=0.05)


def test_a_flow_of_constant_velocity_moves_noise_by_it():
    noise = jnp.array([[0.1, -0.9], [0.0, 0.0]])
    speed = jnp.array([0.5, -0.5])
    for steps in (1, 10):
        got = fql.flow_action(lambda action, time: jnp.broadcast_to(speed, action.shape), noise, steps)
        np.testing.assert_allclose(got, [[0.6, -1.0], [0.5, -0.5]], atol=1e-6)


def test_time_runs_from_zero_to_the_last_step_before_one():
    """``da/dt = t``: Euler's method gives ``(n - 1) / 2 n``."""
    got = fql.flow_action(lambda action, time: jnp.broadcast_to(time[:, None], action.shape), jnp.zeros((1, 1)), 10)
    np.testing.assert_allclose(got, [[0.45]], atol=1e-6)


def test_mode_and_sample_are_clipped_and_differ_by_the_noise():
    ac = first_state(configured()).actor_critic
    policy = ac.policy(jnp.zeros((500, OBSERVATIONS)))
    assert isinstance(policy, OneStepFlow)
    sample = policy.sample(jax.random.key(0))
    noise = jax.random.normal(jax.random.key(0), (500, ACTIONS), jnp.float32)
    np.testing.assert_allclose(sample, jnp.clip(policy.at(noise), -1, 1), atol=1e-6)
    np.testing.assert_allclose(policy.mode(), jnp.clip(policy.at(jnp.zeros((500, ACTIONS))), -1, 1), atol=1e-6)
    assert float(sample.std(axis=0).min()) > 0.05
    assert float(policy.mode().std(axis=0).max()) < 1e-6  # zero noise, and one observation


def test_a_density_is_refused_by_name():
    policy = first_state(configured()).actor_critic.policy(jnp.zeros(OBSERVATIONS))
    with pytest.raises(ConfigError, match=r"one-step flow .* has no density"):
        policy.log_prob(jnp.zeros(ACTIONS))
    with pytest.raises(ConfigError, match=r"one-step flow .* has no density"):
        policy.sample_and_log_prob(jax.random.key(0))


def test_another_distribution_is_refused():
    with pytest.raises(ConfigError, match="distribution = 'box_gaussian': must be 'one_step_flow'"):
        make_offline("fql", {"network": {"distribution": "box_gaussian"}})
