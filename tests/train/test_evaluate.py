"""The comparison of the critics' values with the policy's returns, in a problem with known values.

State and action are numbers, ``s' = A s + B a``, ``r = -(W s^2 + R a^2) / 2``, and the policy acts by ``a = -K s``. Its
value is quadratic: ``V(s) = -P s^2 / 2`` with ``P = W + R K^2 + gamma (A - B K)^2 P``, and
``Q(s, a) = r + gamma V(A s + B a)``.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import Env, State

import smac_jax
from smac_jax.algorithms import ActorCritic, make_offline, make_online
from smac_jax.analysis.diagnosis import NOT_SOUND, SOUND, diagnose, gather
from smac_jax.train import offline
from smac_jax.train.evaluate import Probes, make_evaluator, measured_values, run_evaluation, value_discount
from smac_jax.train.sharding import SeedLayout

A, B, W, R, K, DISCOUNT = 0.9, 0.6, 2.0, 1.5, 0.7, 0.9
P = (W + R * K**2) / (1 - DISCOUNT * (A - B * K) ** 2)
LAYOUT = SeedLayout.over([0, 1])


@dataclasses.dataclass(frozen=True)
class Linear(Env):
    """The problem. With ``goal``, an episode ends if the magnitude of the state is at most ``goal``."""

    goal: float = 0.0
    own_limit: int = 10_000

    observation_size = action_size = 1
    backend = "none"

    def reset(self, rng):
        s = jax.random.uniform(rng, (1,), jnp.float32, 0.5, 1.0)
        zero = jnp.zeros((), jnp.float32)
        return State(None, s, zero, zero, {}, {"count": zero, "truncated": zero})

    def step(self, state, action):
        s, a = state.obs, action
        following = A * s + B * a
        count = state.info["count"] + 1
        return state.replace(
            obs=following,
            reward=-(W * s[0] ** 2 + R * a[0] ** 2) / 2,
            done=jnp.where(jnp.abs(following[0]) < self.goal, 1.0, 0.0),
            info={"count": count, "truncated": jnp.where(count >= self.own_limit, 1.0, 0.0)},
        )


@dataclasses.dataclass(frozen=True)
class Proportional:
    """The policy ``a = -K s``."""

    action_size = 1

    def apply(self, params, observation):
        del params
        return Exactly(-K * observation)


@dataclasses.dataclass(frozen=True)
class Exactly:
    """A policy that always takes the same action."""

    action: jax.Array

    def mode(self):
        return self.action


@dataclasses.dataclass(frozen=True)
class Known:
    """Critics ``scale * Q(s, a) + offset``; the first is lower and the second higher by the same amount."""

    def apply(self, params, observation, action):
        s, a = observation[..., 0], action[..., 0]
        q = -(W * s**2 + R * a**2 + DISCOUNT * P * (A * s + B * a) ** 2) / 2
        return params["scale"] * q + params["offset"]


def agent(factor=1.0, offset=0.0, reward_scale=1.0, reward_bias=0.0):
    """Returns two seeds whose critics are correct for ``factor`` 1 and ``offset`` 0, in the units of scaled rewards."""
    right = reward_bias / (1 - DISCOUNT)
    two = jnp.ones((2, 1), jnp.float32)
    return ActorCritic(
        actor_params={},
        critic_params={
            "scale": jnp.full((2, 2), factor * reward_scale, jnp.float32),
            "offset": jnp.full((2, 2), right + offset, jnp.float32) + jnp.array([-0.5, 0.5], jnp.float32),
        },
        target_critic_params={},
        observation_mean=0.0 * two,
        observation_std=two,
        reward_scale=reward_scale * two[:, 0],
        reward_bias=reward_bias * two[:, 0],
        temperature=None,
        actor=Proportional(),
        critic=Known(),
    )


def measure(agent, env=None, length=40, discount=DISCOUNT, rounds=1):
    evaluator = make_evaluator(env or Linear(), 3, length, True, LAYOUT, discount)
    return run_evaluation(evaluator, agent, 0, rounds, LAYOUT)


@pytest.mark.parametrize("length", [3, 8, 40])
def test_correct_critics_are_not_optimistic_for_any_time_limit(length):
    _, found = measure(agent(), length=length)
    np.testing.assert_allclose(found["optimism"], 0.0, atol=1e-5)
    assert (found["discounted_return"] < -0.01).all()
    np.testing.assert_allclose(found["value"], found["discounted_return"], atol=1e-5)


@pytest.mark.parametrize("env", [Linear(), Linear(own_limit=10)])
def test_a_constant_error_of_the_critics_is_measured(env):
    for offset in (0.75, -0.25):
        _, found = measure(agent(offset=offset), env)
        np.testing.assert_allclose(found["optimism"], offset, atol=1e-5)


def test_values_and_rewards_are_compared_in_the_units_of_the_critics():
    _, plain = measure(agent(offset=0.5))
    _, scaled = measure(agent(offset=5.0, reward_scale=10.0))
    np.testing.assert_allclose(scaled["optimism"], 10 * plain["optimism"], rtol=1e-4)
    np.testing.assert_allclose(scaled["relative_optimism"], plain["relative_optimism"], rtol=1e-4)
    _, shifted = measure(agent(reward_bias=2.0))
    np.testing.assert_allclose(shifted["optimism"], 0.0, atol=1e-4)
    np.testing.assert_allclose(shifted["discounted_return"] - measure(agent())[1]["discounted_return"], 20.0, rtol=1e-4)


def test_a_terminated_episode_is_compared_with_its_return():
    # each step multiplies the state by 0.48, so the goal is reached in the second or third step
    env = Linear(goal=0.3)
    returns, found = measure(agent(), env)
    assert (returns < 0).all()
    # by hand: the rewards until the goal, from the start only, because the next comparison would be at step five
    starts = jax.vmap(jax.vmap(env.reset))(jax.vmap(lambda key: jax.random.split(key, 3))(_keys())).obs[..., 0]
    earned, value = np.zeros((2, 3)), np.zeros((2, 3))
    for i, s in np.ndenumerate(np.asarray(starts, float)):
        value[i] = -P * s**2 / 2
        for t in range(40):
            earned[i] += DISCOUNT**t * -(W + R * K**2) * s**2 / 2
            s = (A - B * K) * s
            if abs(s) < 0.3:
                break
    np.testing.assert_allclose(found["discounted_return"], earned.mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(found["value"], value.mean(axis=1), rtol=1e-4)
    assert (found["optimism"] < 0).all()  # the critics include the rewards that would have followed
    np.testing.assert_allclose(
        found["relative_optimism"], found["optimism"] / np.sqrt((earned**2).mean(axis=1)), rtol=1e-4
    )


def _keys():
    from smac_jax.train.keys import fold_in, stream_keys

    return fold_in(stream_keys([0, 1], "evaluation"), 0)


def test_the_share_of_preferred_random_actions_equals_that_of_better_ones():
    # critics with equal values prefer no action
    assert measure(agent(factor=0.0))[1]["random_preferred"].tolist() == [0.0, 0.0]
    _, found = measure(agent(), rounds=80)
    greedy = DISCOUNT * P * A * B / (R + DISCOUNT * P * B**2)
    # Q is quadratic in a around -greedy s, so actions closer to it than -K s are better
    share = []
    for t in range(0, 40, 5):
        for s in np.linspace(0.5, 1.0, 51) * (A - B * K) ** t:
            share.append(abs(K - greedy) * s)  # the length of the interval divided by that of the box, 2
    np.testing.assert_allclose(found["random_preferred"], np.mean(share), atol=0.01)
    _, upside_down = measure(agent(factor=-1.0), rounds=80)
    np.testing.assert_allclose(upside_down["random_preferred"], 1.0 - np.mean(share), atol=0.01)


def test_the_diagnosis_finds_optimism_only_of_inflated_critics():
    def judged(agent):
        _, found = measure(agent)
        metrics = {name: values[:, None] for name, values in found.items()}
        return [diagnose(seed).findings["optimism"] for seed in gather({"phase": np.zeros(0, str)}, metrics)]

    assert [(finding.verdict, finding.figure) for finding in judged(agent())] == [(SOUND, "+0 %")] * 2
    # rewards are negative, so critics of zero are optimistic
    assert [finding.verdict for finding in judged(agent(factor=0.0))] == [NOT_SOUND] * 2
    assert [finding.verdict for finding in judged(agent(factor=2.0))] == [SOUND] * 2


def test_repeated_evaluations_have_new_starts_and_are_pooled():
    once, _ = measure(agent())
    thrice, found = measure(agent(offset=0.5), rounds=3)
    assert thrice.shape == (2, 9)
    np.testing.assert_allclose(thrice[:, :3], once, rtol=1e-6)
    assert len(np.unique(thrice)) == 18
    np.testing.assert_allclose(found["optimism"], 0.5, atol=1e-5)


def test_without_a_discount_the_critics_are_not_evaluated():
    returns, found = measure(agent(), discount=None)
    assert found == {}
    np.testing.assert_allclose(returns, measure(agent())[0], rtol=1e-6)


def test_values_without_a_comparable_episode_are_undefined():
    """These are undiscounted values if the time limit cuts all episodes, and cases without any measurement."""
    _, found = measure(agent(), discount=1.0)
    assert np.isnan(found["optimism"]).all()
    nothing = measured_values(Probes(*(np.zeros((1, 2, 3)),) * 5))
    assert all(np.isnan(values).all() for values in nothing.values())


def test_values_with_entropy_are_not_compared_with_returns():
    assert value_discount(make_offline("smac", {"discount": 0.95}).config) == 0.95
    assert value_discount(make_online("sac", {"entropy_backup": True}).config) is None
    assert value_discount(object()) is None


@pytest.mark.parametrize(("name", "draws"), [("fql", True), ("td3_bc", False)])
def test_an_algorithm_says_whether_evaluations_draw_from_its_policy(name, draws, monkeypatch):
    class Made(Exception):
        pass

    def made(env, episodes, episode_length, deterministic, layout, discount):
        raise Made(deterministic)

    monkeypatch.setattr(offline, "make_evaluator", made)
    rows = np.linspace(-1, 1, 8)
    data = smac_jax.Dataset.from_arrays(rows[:, None], rows[:, None], rows, rows > 2)
    network = {"actor_hidden": (4,), "critic_hidden": (4,)}
    with pytest.raises(Made) as found:
        smac_jax.pretrain(name, data, 1, 1, {"network": network}, env=Linear(), progress=False)
    assert found.value.args == (not draws,)
