"""Losses and whole updates of IQL, CQL, Cal-QL, AWAC, AWR, BC and TD3, against independent NumPy code."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_networks import (
    BATCH,
    BOX_NETWORK,
    MEMBERS,
    NETWORK,
    as_numpy,
    box_log_prob,
    box_policy,
    dense,
    numpy_policy,
    numpy_q,
    numpy_sample,
    smallest_q,
)
from scipy.special import logsumexp
from small_algorithms import ACTIONS, dataset

from smac_jax.algorithms import awac, awr, bc, cal_ql, cql, iql, sac, td3, td3_bc
from smac_jax.algorithms.learner import new_learner
from smac_jax.algorithms.pretraining import actor_critic_for
from smac_jax.config import resolve
from smac_jax.errors import ConfigError

BOX = dataclasses.asdict(BOX_NETWORK)


def adam_step(params, gradient, learning_rate):
    """Returns the parameters after Adam's first step, which is lr * g / (|g| + eps) because of the bias correction."""
    return jax.tree.map(lambda p, g: p - learning_rate * g / (jnp.abs(g) + 1e-8), params, gradient)


def close(got, want, rtol=1e-4, atol=2e-6):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=rtol, atol=atol), got, want)


# --- IQL


@pytest.fixture(scope="module")
def iql_case(box_actor_critic):
    config = resolve(iql.IQLConfig, {"network": BOX, "value_hidden": (8,), "expectile": 0.8, "beta": 2.0})
    state = jax.jit(partial(iql.init, config))(jax.random.key(5), dataset())
    return config, state.replace(actor_critic=box_actor_critic)


def numpy_value(params, s):
    p = params["params"]
    return dense(np.maximum(dense(s, p["Dense_0"]), 0), p["Dense_1"])[:, 0]


def test_iql_value_loss_is_the_expectile_of_the_target_critics(iql_case, batch):
    config, state = iql_case
    b = as_numpy(batch)
    q = smallest_q(state.actor_critic.target_critic_params, b.observation, b.action)
    error = q - numpy_value(state.value_params, b.observation)
    want = np.mean(np.abs(0.8 - (error < 0)) * error**2)  # the weight as the paper writes it
    got, _ = iql.value_loss(config, state.value_params, batch, jnp.asarray(q, jnp.float32))
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert 0 < (error < 0).sum() < BATCH


def test_expectile_loss_has_its_minimum_at_the_expectile():
    # for many samples of Q, the best constant V is their expectile: tau E(q - v)+ = (1 - tau) E(v - q)+
    q = jax.random.normal(jax.random.key(0), (2000,))
    grid = jnp.linspace(-1, 3, 401)
    best = grid[jnp.argmin(jax.vmap(lambda v: iql.expectile_loss(q - v, 0.9))(grid))]
    above = 0.9 * np.maximum(np.asarray(q) - best, 0).mean()
    below = 0.1 * np.maximum(best - np.asarray(q), 0).mean()
    np.testing.assert_allclose(above, below, rtol=0.03)


def test_iql_weights_are_clipped_and_use_the_new_value(iql_case, batch):
    config, state = iql_case
    b = as_numpy(batch)
    advantage = np.linspace(-1.0, 4.0, BATCH)  # exp(2 * 4) is far above the limit of 100
    weight = np.minimum(np.exp(2.0 * advantage), 100.0)
    assert weight.max() == 100.0
    want = -np.mean(weight * box_log_prob(state.actor_critic.actor_params, b.observation, b.action))
    ac = state.actor_critic
    got = iql.policy_loss(config, ac, ac.actor_params, batch, jnp.asarray(advantage, jnp.float32))
    np.testing.assert_allclose(got, want, rtol=1e-4)


def test_iql_updates_the_value_then_the_policy_then_the_critics(iql_case, batch):
    config, state = iql_case
    got, _ = jax.jit(partial(iql.update, config))(state, batch, jax.random.key(0))
    ac = state.actor_critic
    b = as_numpy(batch)
    q = jnp.asarray(smallest_q(ac.target_critic_params, b.observation, b.action), jnp.float32)

    def value(params, observation):
        hidden = jax.nn.relu(observation @ params["params"]["Dense_0"]["kernel"] + params["params"]["Dense_0"]["bias"])
        return (hidden @ params["params"]["Dense_1"]["kernel"] + params["params"]["Dense_1"]["bias"])[:, 0]

    def value_loss(params):
        error = q - value(params, batch.observation)
        return jnp.mean(jnp.where(error > 0, 0.8, 0.2) * error**2)

    new_value = adam_step(state.value_params, jax.grad(value_loss)(state.value_params), 3e-4)
    close(got.value_params, new_value)

    weight = jnp.minimum(jnp.exp(2.0 * (q - value(new_value, batch.observation))), 100.0)
    log_prob = lambda params: ac.actor.apply(params, batch.observation).log_prob(batch.action)  # noqa: E731
    gradient = jax.grad(lambda params: -jnp.mean(weight * log_prob(params)))(ac.actor_params)
    close(got.actor_critic.actor_params, adam_step(ac.actor_params, gradient, 3e-4), atol=2e-5)

    target = batch.reward + 0.99 * (1 - batch.terminal) * value(new_value, batch.next_observation)

    def critic_loss(params):
        members = [jax.tree.map(lambda x, i=i: x[i], params) for i in range(MEMBERS)]
        return sum(jnp.mean((ac.critic.apply(m, batch.observation, batch.action) - target) ** 2) for m in members)

    new_critic = adam_step(ac.critic_params, jax.grad(critic_loss)(ac.critic_params), 3e-4)
    close(got.actor_critic.critic_params, new_critic)
    want = jax.tree.map(lambda t, n: 0.995 * t + 0.005 * n, ac.target_critic_params, new_critic)
    close(got.actor_critic.target_critic_params, want)


# --- CQL and Cal-QL

CQL = {"network": dataclasses.asdict(NETWORK), "num_actions": 4}


def cql_case(actor_critic, config_class=cql.CQLConfig, **fields):
    config = resolve(config_class, {**CQL, **fields})
    return config, sac.new_state(config, actor_critic, config.initial_temperature)


def numpy_gap(ac, batch, key, lower_bound=None):
    """Computes the conservative term of each member action by action, with noise from the same keys."""
    b = as_numpy(batch)
    uniform_key, current_key, next_key = jax.random.split(key, 3)
    uniform = np.asarray(jax.random.uniform(uniform_key, (BATCH, 4, ACTIONS), minval=-1.0, maxval=1.0), np.float64)
    gaps = []
    for i in range(MEMBERS):
        columns = [numpy_q(ac.critic_params, i, b.observation, uniform[:, n]) for n in range(4)]
        columns = [column - np.log(0.5**ACTIONS) for column in columns]
        for source, source_key in ((b.next_observation, next_key), (b.observation, current_key)):
            for draw_key in jax.random.split(source_key, 4):
                noise = np.asarray(jax.random.normal(draw_key, (BATCH, ACTIONS)), np.float64)
                action, log_prob = numpy_sample(ac.actor_params, source, noise)
                q = numpy_q(
                    ac.critic_params, i, b.observation, action
                )  # the critics are evaluated at s for all actions, also for those of the next state
                if lower_bound is not None:
                    q = np.maximum(q, lower_bound)
                columns.append(q - log_prob)
        at_data = numpy_q(ac.critic_params, i, b.observation, b.action)
        gaps.append(np.mean(logsumexp(np.stack(columns), axis=0) - at_data))
    return np.array(gaps)


def test_the_conservative_term_of_cql_equals_numpy(actor_critic, batch):
    config, state = cql_case(actor_critic)
    ac, key = state.actor_critic, jax.random.key(11)
    got = cql.action_gap(ac, ac.critic_params, batch, values_of(ac, batch), cql.propose(config, ac, batch, key))
    np.testing.assert_allclose(got, numpy_gap(ac, batch, key), rtol=1e-4)


def values_of(ac, batch):
    return jnp.stack([ac.critic.apply(member(ac, i), batch.observation, batch.action) for i in range(MEMBERS)])


def member(ac, i):
    return jax.tree.map(lambda x: x[i], ac.critic_params)


def test_the_conservative_term_estimates_the_integral_over_actions(actor_critic, batch):
    # with many importance samples, the result is the log of the integral of exp Q over the box plus the log of their
    # number
    config, state = cql_case(actor_critic, num_actions=3000)
    ac = state.actor_critic
    ac = ac.replace(critic_params=jax.tree.map(lambda x: 2.0 * x, ac.critic_params))
    values = jnp.zeros((MEMBERS, BATCH))
    got = cql.action_gap(ac, ac.critic_params, batch, values, cql.propose(config, ac, batch, jax.random.key(0)))
    axis = (np.arange(60) + 0.5) / 30 - 1
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    for i in range(MEMBERS):
        q = [numpy_q(ac.critic_params, i, np.tile(s, (len(grid), 1)), grid) for s in as_numpy(batch).observation]
        integral = logsumexp(q, axis=1) + np.log(4.0 / len(grid))
        np.testing.assert_allclose(got[i], np.mean(integral) + np.log(9000), atol=0.03)


def test_cal_ql_bounds_values_of_policy_actions_but_not_of_uniform_actions(actor_critic, batch):
    config, state = cql_case(actor_critic, cal_ql.CalQLConfig)
    ac, key = state.actor_critic, jax.random.key(11)
    values = values_of(ac, batch)
    proposals = cql.propose(config, ac, batch, key)
    got = cql.action_gap(ac, ac.critic_params, batch, values, proposals, batch.return_to_go)
    want = numpy_gap(ac, batch, key, lower_bound=np.asarray(batch.return_to_go, np.float64))
    np.testing.assert_allclose(got, want, rtol=1e-4)
    assert (want > numpy_gap(ac, batch, key)).all()
    # if the bound is above every value, the term has no gradient at the policy's actions, but still one at uniform
    # actions
    gap = partial(cql.action_gap, ac, batch=batch, values=values, lower_bound=jnp.full(BATCH, 50.0))
    gradient = jax.grad(lambda p: gap(critic_params=p, proposals=proposals).sum())(ac.critic_params)
    assert max(float(jnp.abs(g).max()) for g in jax.tree.leaves(gradient)) < 1e-6
    free = jax.grad(lambda p: cql.action_gap(ac, p, batch, values, proposals, jnp.full(BATCH, -50.0)).sum())(
        ac.critic_params
    )
    assert max(float(jnp.abs(g).max()) for g in jax.tree.leaves(free)) > 1e-3


def test_only_cal_ql_depends_on_the_return_to_go(actor_critic, batch):
    higher = batch._replace(return_to_go=batch.return_to_go + 5.0)
    for config_class, build, same in ((cql.CQLConfig, cql.cql, True), (cal_ql.CalQLConfig, cal_ql.cal_ql, False)):
        config, state = cql_case(actor_critic, config_class)
        update = jax.jit(build(config).phases[0].update)
        gaps = [float(update(state, b, jax.random.key(0))[1]["action_gap"]) for b in (batch, higher)]
        assert (gaps[0] == gaps[1]) == same


def test_cql_computes_every_loss_at_the_parameters_before_the_update(actor_critic, batch):
    config, state = cql_case(actor_critic, initial_temperature=0.3)
    key = jax.random.key(21)
    got, metrics = jax.jit(partial(cql.update, config, False))(state, batch, key)
    ac = state.actor_critic
    target_key, proposal_key, policy_key = jax.random.split(key, 3)
    target = sac.temporal_difference_target(config, state, batch, target_key)  # another test compares it with NumPy
    proposals = cql.propose(config, ac, batch, proposal_key)

    def critic_loss(params):
        values = jnp.stack(
            [
                ac.critic.apply(jax.tree.map(lambda x, i=i: x[i], params), batch.observation, batch.action)
                for i in range(MEMBERS)
            ]
        )
        gap = cql.action_gap(ac, params, batch, values, proposals)
        return jnp.sum(jnp.mean((values - target) ** 2, axis=1)) + 5.0 * jnp.sum(gap)

    close(got.actor_critic.critic_params, adam_step(ac.critic_params, jax.grad(critic_loss)(ac.critic_params), 3e-4))
    # the loss of the policy uses the critics from before the update
    want, _ = sac.policy_loss(config, state, ac.actor_params, batch, policy_key)
    np.testing.assert_allclose(metrics["policy_loss"], want, rtol=1e-5)
    # alpha's loss in the published codes: -log_alpha (log pi + target entropy)
    sign = np.sign(float(metrics["entropy"]) + ACTIONS)
    np.testing.assert_allclose(got.temperature_parameter, np.log(0.3) - sign * 1e-4, rtol=1e-5)


def test_cql_max_target_backup_takes_the_best_of_several_actions(actor_critic, batch):
    config, state = cql_case(actor_critic, max_target_backup=True)
    key = jax.random.key(2)
    got = cql.temporal_difference_target(config, state, batch, key)
    ac, b = state.actor_critic, as_numpy(batch)
    values = []
    for draw_key in jax.random.split(jax.random.split(key)[0], 4):
        noise = np.asarray(jax.random.normal(draw_key, (BATCH, ACTIONS)), np.float64)
        action, _ = numpy_sample(ac.actor_params, b.next_observation, noise)
        values.append(smallest_q(ac.target_critic_params, b.next_observation, action))
    want = b.reward + 0.99 * (1 - b.terminal) * np.max(values, 0)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


# --- AWAC, AWR, BC


def test_awac_target_advantage_and_loss_equal_numpy(box_actor_critic, batch):
    config = resolve(awac.AWACConfig, {"network": BOX, "temperature": 0.5})
    ac, b, key = box_actor_critic, as_numpy(batch), jax.random.key(4)
    mean, log_std = box_policy(ac.actor_params, b.next_observation)
    noise = np.asarray(jax.random.normal(jax.random.split(key)[0], (BATCH, ACTIONS)), np.float64)
    next_action = np.clip(mean + np.exp(log_std) * noise, -1, 1)
    value = smallest_q(ac.target_critic_params, b.next_observation, next_action)
    got = awac.temporal_difference_target(config, ac, batch, key)
    np.testing.assert_allclose(got, b.reward + 0.99 * (1 - b.terminal) * value, rtol=1e-4, atol=1e-5)

    mean, log_std = box_policy(ac.actor_params, b.observation)
    drawn = np.clip(mean + np.exp(log_std) * noise, -1, 1)
    want = smallest_q(ac.critic_params, b.observation, b.action) - smallest_q(ac.critic_params, b.observation, drawn)
    better = awac.advantage(ac, batch, key)
    np.testing.assert_allclose(better, want, rtol=1e-3, atol=1e-5)

    weight = np.minimum(np.exp(want / 0.5), 100.0)
    loss = awac.policy_loss(ac, ac.actor_params, batch, jnp.asarray(weight, jnp.float32))
    np.testing.assert_allclose(
        loss, -np.mean(weight * box_log_prob(ac.actor_params, b.observation, b.action)), rtol=1e-4
    )


@pytest.mark.parametrize("algorithm", ["awac", "awr"])
def test_advantage_weighted_update_divides_by_its_temperature(box_actor_critic, batch, algorithm):
    build = {"awac": lambda f: resolve(awac.AWACConfig, {"network": BOX, **f}), "awr": partial(resolve, awr.AWRConfig)}
    config = build[algorithm]({"temperature": 1e-5, "weight_limit": 7.0})
    state = new_learner(config, box_actor_critic)
    after, metrics = jax.jit(partial(awac.update, config))(state, batch, jax.random.key(1))
    # the temperature is so low that every weight is 0 or the limit, so the mean is a multiple of limit / batch
    share = float(metrics["weight"]) * BATCH / 7.0
    assert abs(share - round(share)) < 0.05
    # the policy step uses the new critics
    ac = after.actor_critic.replace(actor_params=box_actor_critic.actor_params)
    policy_key = jax.random.split(jax.random.key(1))[1]
    better = awac.advantage(ac, batch, policy_key)
    np.testing.assert_allclose(metrics["advantage"], better.mean(), rtol=1e-4, atol=1e-6)


def test_bc_is_maximum_likelihood(box_actor_critic, batch):
    config = resolve(bc.BCConfig, {"network": BOX})
    state = new_learner(config, box_actor_critic)
    after, metrics = jax.jit(partial(bc.update, config))(state, batch, jax.random.key(1))
    b = as_numpy(batch)
    want = -box_log_prob(box_actor_critic.actor_params, b.observation, b.action).mean()
    np.testing.assert_allclose(metrics["policy_loss"], want, rtol=1e-4)
    later = -box_log_prob(after.actor_critic.actor_params, b.observation, b.action).mean()
    assert later < want


# --- TD3


def test_td3_policy_ascends_the_first_critic(actor_critic, batch):
    b = as_numpy(batch)
    action = np.tanh(numpy_policy(actor_critic.actor_params, b.observation)[0])
    loss, _ = td3.policy_loss(actor_critic, actor_critic.actor_params, batch)
    np.testing.assert_allclose(loss, -numpy_q(actor_critic.critic_params, 0, b.observation, action).mean(), rtol=1e-4)


def test_td3_explores_around_the_mode(actor_critic):
    config = td3.TD3Config(exploration_noise=0.1)
    state = td3.init(config, jax.random.key(0), actor_critic)
    keys = jax.random.split(jax.random.key(1), 4000)
    observation = jnp.array([0.1, -0.3, 0.2])
    actions = np.asarray(jax.vmap(lambda key: td3.act(config, state, observation, key))(keys))
    np.testing.assert_allclose(actions.mean(0), actor_critic.policy(observation).mode(), atol=0.01)
    np.testing.assert_allclose(actions.std(0), 0.1, rtol=0.1)


def test_the_delayed_policy_step_stays_a_branch_under_a_seed_axis(batch):
    config = resolve(td3_bc.TD3BCConfig, {"network": CQL["network"]})
    algorithm = td3_bc.td3_bc(config)
    update = algorithm.phases[0].update
    states = jax.jit(jax.vmap(algorithm.init, in_axes=(0, None)))(jax.random.split(jax.random.key(0), 2), dataset())
    keys = jax.random.split(jax.random.key(1), 2)
    over_seeds = jax.vmap(update, in_axes=(0, None, 0))
    assert "cond[" in str(jax.make_jaxpr(over_seeds)(states, batch, keys))
    got, metrics = jax.jit(over_seeds)(states, batch, keys)
    np.testing.assert_array_equal(
        metrics["policy_loss"], [[0.0, 0.0], [0.0, 0.0]]
    )  # the metric of an update without a policy step
    got, metrics = jax.jit(over_seeds)(got, batch, keys)
    np.testing.assert_array_equal(metrics["policy_loss"].steps, 1.0)
    assert (np.asarray(metrics["policy_loss"].value) != 0.0).all()
    for i in range(2):
        alone = jax.tree.map(lambda x, i=i: x[i], states)
        for _ in range(2):
            alone, _ = jax.jit(update)(alone, batch, keys[i])
        close(jax.tree.map(lambda x, i=i: x[i], got), alone)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: sac.sac(sac.SACConfig(batch_size=10, utd=3)), "SACConfig.batch_size = 10: must be a multiple of utd"),
        (lambda: td3.td3(td3.TD3Config(batch_size=10, utd=3)), "TD3Config.batch_size = 10: must be a multiple of utd"),
        (lambda: awr.awr(awr.AWRConfig(batch_size=10, utd=3)), "AWRConfig.batch_size = 10: must be a multiple of utd"),
        (lambda: resolve(cql.CQLConfig, {"utd": 2}), "CQLConfig has no field 'utd'"),
        (lambda: resolve(iql.IQLConfig, {"expectile": 1.0}), "expectile = 1.0"),
        (lambda: resolve(awr.AWRConfig, {"temperature": 0.0}), "temperature = 0.0"),
    ],
)
def test_invalid_settings_are_refused_by_name(build, words):
    with pytest.raises(ConfigError, match=words):
        build()


def test_rewards_are_rescaled_to_a_span_of_returns():
    """As in IQL's code for locomotion, rewards are first multiplied by 1000 / (highest - lowest return)."""
    data = dataset()
    returns = np.asarray(data.rewards).reshape(-1, 16).sum(axis=1)  # 16 rows an episode
    config = resolve(iql.IQLConfig, {"network": NETWORK, "return_span": 1000.0, "reward_scale": 2.0})
    ac = actor_critic_for(config, jax.random.key(0), data)
    np.testing.assert_allclose(ac.reward_scale, 2.0 * 1000.0 / (returns.max() - returns.min()), rtol=1e-5)
    batch = data.sample(jax.random.key(0), 64)._replace(reward=data.rewards)
    learned = np.asarray(ac.normalize_batch(batch).reward).reshape(-1, 16).sum(axis=1)
    np.testing.assert_allclose(np.ptp(learned), 2000.0, rtol=1e-4)
