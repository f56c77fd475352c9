"""SMAC's loss and update with fixed parameters and a fixed batch, sample by sample and member by member."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_networks import BATCH, NETWORK
from small_algorithms import dataset, policy_of, smac_case

import smac_jax
from smac_jax.algorithms import sac, smac
from smac_jax.algorithms.alpha import alpha_network, alpha_of, update_alpha
from smac_jax.algorithms.temperature import temperature_of
from smac_jax.scores import action_gradient

case = partial(smac_case, network=NETWORK, batch_size=BATCH)


def loss_of(config, score, state, batch):
    """Returns ``L_SM`` as a function of the critics' parameters and of ``psi``."""
    key = jax.random.key(8)
    return jax.jit(lambda critics, psi: smac.score_matching_loss(config, score, state, critics, psi, batch, key))


@partial(jax.jit, static_argnums=0)
def matched(score, state, batch):
    """Returns the actions and the weighted score of :func:`loss_of`."""
    policy = policy_of(state, batch.observation)
    action = score.actions(policy, batch, jax.random.key(8))
    return action, score.evaluate(state.score, policy, batch.observation, action)


def with_critic(state, critic):
    return state.replace(sac=state.sac.replace(actor_critic=state.sac.actor_critic.replace(critic=critic)))


@pytest.mark.parametrize("parameterization", ["softplus", "free", "fixed", "temperature"])
def test_the_penalty_and_the_gradient_of_alpha_equal_a_loop_over_samples(batch, parameterization):
    config, score, state = case(alpha_parameterization=parameterization, initial_temperature=0.2)
    ac, psi = state.sac.actor_critic, state.alpha.params

    def by_hand(critic_params, psi):
        action, at = matched(score, state, batch)
        raw = alpha_network(config).apply(psi, batch.observation)[:, 0] if psi else None
        factor = {
            "softplus": lambda: 0.1 + jnp.log1p(jnp.exp(raw)),
            "free": lambda: raw,
            "fixed": lambda: jnp.full(BATCH, 0.1),
            "temperature": lambda: jnp.full(BATCH, 0.2),
        }[parameterization]()
        total = 0.0
        for i in range(3):
            member = jax.tree.map(lambda x, i=i: x[i], critic_params)
            for s, a, t in zip(batch.observation, action, factor[:, None] * at.score, strict=True):
                total += jnp.sum((jax.grad(ac.critic.apply, argnums=2)(member, s, a) - t) ** 2) / BATCH
        return total

    ours = lambda *args: loss_of(config, score, state, batch)(*args)[0]  # noqa: E731
    both = [jax.jit(jax.value_and_grad(f, argnums=(0, 1)))(ac.critic_params, psi) for f in (ours, by_hand)]
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5), *both)
    assert (psi == {}) == (parameterization in ("fixed", "temperature"))


def test_a_penalty_on_a_part_of_the_rows_is_unbiased(batch):
    rows = BATCH // 4
    config, score, state = case(score="policy", policy_score_actions="dataset")
    few = dataclasses.replace(config, penalty_fraction=rows / BATCH)

    def gradient(config, batch):
        loss = loss_of(config, score, state, batch)
        return jax.jit(jax.grad(lambda p: loss(p, state.alpha.params)[0]))(state.sac.actor_critic.critic_params)

    parts = [gradient(few, jax.tree.map(lambda x, i=i: jnp.roll(x, -i * rows, axis=0), batch)) for i in range(4)]
    mean = jax.tree.map(lambda *x: sum(x) / 4, *parts)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5), mean, gradient(config, batch))


def test_smac_without_penalty_equals_sac(batch):
    config, score, state = case(kappa=0.0)
    key = jax.random.key(9)
    got, _ = jax.jit(partial(smac.update, config, score))(state, batch, key)
    target_key, _, policy_key = jax.random.split(key, 3)
    batch = state.sac.actor_critic.normalize_batch(batch)
    want, _ = jax.jit(partial(sac.critic_step, config))(state.sac, batch, target_key)
    want, _ = jax.jit(partial(sac.policy_step, config))(want, batch, policy_key)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), got.sac, want)


def test_the_score_model_is_trained_first_and_then_frozen(batch):
    config, _, state = case()
    phases = smac.smac(config).phases
    assert [phase.name for phase in phases] == ["score model", "offline"]
    learned, _ = jax.jit(phases[0].update)(state, batch, jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, learned.replace(score=None), state.replace(score=None))
    assert any(
        not np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (learned.score, state.score)), strict=True)
    )
    after, _ = jax.jit(phases[1].update)(learned, batch, jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, after.score, learned.score)
    of_policy = dataclasses.replace(config, score="policy", alpha_parameterization="auto")
    assert [phase.name for phase in smac.smac(of_policy).phases] == ["offline"]


@pytest.mark.parametrize("fields", [{"score": "policy"}, {"score": "policy", "policy_score_actions": "dataset"}])
def test_the_penalty_with_the_policy_score_is_zero_if_the_identity_holds(batch, fields):
    # grad_a Q is exactly temperature * grad_a log pi
    config, score, state = case(**fields, initial_temperature=0.2)
    ac = state.sac.actor_critic

    class LogDensity:
        @staticmethod
        def apply(params, observation, action):
            del params
            return 0.2 * ac.actor.apply(ac.actor_params, observation).log_prob(action)

    args = ac.critic_params, state.alpha.params
    loss, _ = loss_of(config, score, with_critic(state, LogDensity), batch)(*args)
    other, _ = loss_of(config, score, state, batch)(*args)
    assert float(loss) < 1e-6 < float(other)


def test_relative_residual_of_a_flat_q_is_one(batch):
    config, score, state = case()
    # the last layer of the score network is zero at first, so the target would be zero
    state = state.replace(score=state.score.replace(params=jax.tree.map(lambda x: x + 0.1, state.score.params)))
    # steeper than new critics, whose gradient is small in comparison with the score
    critics = jax.tree.map(lambda x: 4.0 * x, state.sac.actor_critic.critic_params)
    flat = jax.tree.map(jnp.zeros_like, critics)
    loss = loss_of(config, score, state, batch)
    _, metrics = loss(flat, state.alpha.params)
    np.testing.assert_allclose(metrics["relative_residual"], 1.0, rtol=1e-4)
    # the penalty of a flat Q is the square of alpha times the score
    action, at = matched(score, state, batch)
    alpha = np.asarray(alpha_of(config, state.alpha.params, batch.observation, jnp.float32(0.1)))
    target = alpha[:, None] * np.asarray(at.score)
    np.testing.assert_allclose(metrics["score_matching_loss"], np.mean(np.sum(target**2, axis=-1)), rtol=1e-4)
    # and for another Q it is the squared distance from it
    _, sloped = loss(critics, state.alpha.params)
    each = jax.vmap(action_gradient, in_axes=(None, 0, None, None))
    gradient = np.asarray(each(state.sac.actor_critic.critic.apply, critics, batch.observation, action))
    want = np.mean(np.sum((gradient - target) ** 2, axis=-1)) / np.mean(np.sum(target**2, axis=-1))
    np.testing.assert_allclose(sloped["relative_residual"], want, rtol=1e-4)
    assert abs(want - 1.0) > 0.01


def test_with_alpha_zero_the_penalty_is_the_squared_action_gradient(batch):
    config, score, state = case(alpha_parameterization="fixed", alpha_value=0.0, uniform_fraction=1.0)
    ac = state.sac.actor_critic

    def flatness(params):
        action, _ = matched(score, state, batch)
        each = jax.vmap(lambda p: jax.grad(lambda a: ac.critic.apply(p, batch.observation, a).sum())(action))
        return jnp.sum(jnp.mean(jnp.sum(each(params) ** 2, -1), -1))

    loss = lambda params: loss_of(config, score, state, batch)(params, {})[0]  # noqa: E731
    np.testing.assert_allclose(loss(ac.critic_params), flatness(ac.critic_params), rtol=1e-5)
    got, want = (jax.jit(jax.grad(f))(ac.critic_params) for f in (loss, flatness))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6), got, want)


def test_reductions_over_the_ensemble(batch):
    found = {}
    for how in ("sum", "mean"):
        config, score, state = case(penalty_reduction=how)
        params = state.sac.actor_critic.critic_params, state.alpha.params
        found[how], _ = loss_of(config, score, state, batch)(*params)
    np.testing.assert_allclose(found["sum"], 3 * found["mean"], rtol=1e-5)
    # the reduction of the squared errors only matters relative to the penalty, because Muon and Adam are scale-
    # invariant
    steps = []
    for how in ("sum", "mean"):
        config, score, state = case(td_reduction=how)
        state, _ = jax.jit(partial(smac.update, config, score))(state, batch, jax.random.key(2))
        steps.append(state.sac.actor_critic.critic_params)
    assert max(jax.tree.leaves(jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), *steps))) > 1e-6


def test_sac_can_start_with_the_alpha_of_smac():
    config = {"network": {"actor_hidden": (8,), "critic_hidden": (8,)}, "batch_size": 16, "alpha_value": 0.37}
    config |= {"alpha_parameterization": "fixed", "score_model": {"num_updates": 2, "hidden": 8, "embedding": 4}}
    run = smac_jax.pretrain("smac", dataset(), [0], 5, config, progress=False)
    ac = jax.tree.map(lambda x: x[0], run.actor_critic)
    np.testing.assert_allclose(ac.temperature, 0.37, rtol=1e-4)
    for start, want in (("offline", 0.37), ("config", 0.2)):
        online = sac.SACConfig(initial_temperature=0.2, temperature_start=start)
        state = sac.init(online, jax.random.key(0), ac)
        np.testing.assert_allclose(temperature_of(online, state.temperature_parameter), want, rtol=1e-4)


def test_the_alpha_that_is_transferred_is_a_running_mean():
    config, _, state = case(alpha_parameterization="fixed")
    assert smac.actor_critic(state).temperature == 0.0  # there is no measurement yet
    for alpha, want in ((2.0, 2.0), (4.0, 2.02), (-8.0, 0.99 * 2.02 - 0.08)):
        state = state.replace(alpha=jax.jit(partial(update_alpha, config))(state.alpha, {}, jnp.float32(alpha)))
        np.testing.assert_allclose(smac.actor_critic(state).temperature, want, rtol=1e-6)


def test_sac_uses_its_own_temperature_if_none_was_transferred(actor_critic):
    assert actor_critic.temperature is None
    # unknown; negative, as alpha in the literal variant; and NaN, with which earlier versions marked an unknown
    # temperature
    for temperature in (None, -0.3, jnp.nan):
        known = None if temperature is None else jnp.asarray(temperature, jnp.float32)
        ac = actor_critic.replace(temperature=known)
        state = sac.init(sac.SACConfig(initial_temperature=0.2, temperature_start="offline"), jax.random.key(0), ac)
        np.testing.assert_allclose(jnp.exp(state.temperature_parameter), 0.2, rtol=1e-5)
