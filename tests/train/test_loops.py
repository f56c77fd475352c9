"""Pre-training, transfer, fine-tuning and evaluation on hopper, at a tiny scale."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import smac_jax
from smac_jax.algorithms.actor_critic import NetworkConfig, new_actor_critic
from smac_jax.analysis.diagnosis import gather
from smac_jax.envs.agreement import one_step_agreement, states_from_observations
from smac_jax.errors import ConfigError
from smac_jax.train.keys import seed_numbers, stream_keys

NETWORK = {"actor_hidden": (16,), "critic_hidden": (16,)}
CONFIGS = {
    "smac": {
        "network": NETWORK,
        "batch_size": 16,
        "alpha_hidden": (8,),
        "score_model": {
            "num_updates": 12,
            "batch_size": 16,
            "hidden": 8,
            "num_blocks": 1,
            "embedding": 4,
            "condition_hidden": (8,),
        },
    },
    "td3_bc": {"network": NETWORK, "batch_size": 16},
}


@pytest.fixture(scope="module")
def env():
    return smac_jax.make_env("hopper", physics="mujoco")


def pretrain(algorithm, data, seeds, num_updates=20, **kw):
    return smac_jax.pretrain(algorithm, data, seeds, num_updates, CONFIGS[algorithm], progress=False, **kw)


@pytest.fixture(scope="module")
def off(data):
    return pretrain("smac", data, [0, 3])


def finetune(actor_critic, env, data, seeds, **kw):
    settings = {"num_steps": 30, "warm_start": 40, "eval_every": 20, "eval_episodes": 2, "episode_length": 60}
    settings |= {"final_episodes": 3} | kw
    return smac_jax.finetune(
        "sac", actor_critic, env, data, seeds, config={"batch_size": 16}, progress=False, **settings
    )


@pytest.fixture(scope="module")
def on(off, env, data):
    return finetune(off.actor_critic, env, data, [0, 3])


def close(a, b, rtol=1e-4, atol=1e-5):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=rtol, atol=atol), a, b)


def take(tree, i):
    return jax.tree.map(lambda x: x[i : i + 1], tree)


def test_a_pretrained_seed_does_not_depend_on_the_other_seeds(off, data):
    alone = pretrain("smac", data, [3])
    close(alone.actor_critic, take(off.actor_critic, 1))  # equal up to the rounding of batched matrix products


def test_different_seeds_differ(off):
    kernels = off.actor_critic.actor_params["params"]["mean"]["kernel"]
    assert not np.allclose(kernels[0], kernels[1])


def test_a_run_in_chunks_equals_a_run_in_one_chunk(off, data):
    cut = pretrain("smac", data, [0, 3], eval_every=7)
    close(cut.actor_critic, off.actor_critic, rtol=1e-6, atol=1e-7)
    resumed = pretrain("smac", data, [0, 3], num_updates=12, resume=pretrain("smac", data, [0, 3], num_updates=8))
    close(resumed.actor_critic, off.actor_critic, rtol=1e-6, atol=1e-7)
    assert resumed.updates == off.updates == 20


def test_metrics_show_whether_the_identity_holds(off):
    assert list(off.metrics["phase"]) == ["score model", "offline", "offline"]
    assert list(off.metrics["step"]) == [12, 0, 20]
    for name in (
        "alpha_mean",
        "alpha_std",
        *(f"{m}_{at}" for m in ("action_gradient", "cosine", "residual") for at in ("data", "policy", "uniform")),
    ):
        assert np.isfinite(off.metrics[name][1:]).all(), name
        assert off.metrics[name].shape == (3, 2)


def test_results_can_be_diagnosed(off, on, data, env):
    found = gather(off.metrics, off.evaluations.metrics, on.evaluations.metrics)
    assert len(found) == 2
    for i, seed in enumerate(found):
        cosines = off.metrics["cosine_policy"][-1, i], off.metrics["cosine_uniform"][-1, i]
        assert seed.cosine == pytest.approx(np.mean(cosines), rel=1e-5)
        assert np.isnan(seed.optimism)  # there were no evaluations offline
        assert seed.final_optimism == on.evaluations.metrics["relative_optimism"][i, -1]
        assert np.isfinite(seed.final_optimism)
    (seed,) = gather(*evaluated(data, env))
    assert np.isfinite([seed.optimism, seed.preferred]).all()
    assert np.isnan(seed.cosine)


def evaluated(data, env):
    """Returns the results of a run of an algorithm without a score."""
    off = pretrain("td3_bc", data, [0], 4, env=env, eval_every=2, eval_episodes=1, episode_length=10, final_episodes=3)
    return off.metrics, off.evaluations.metrics


def test_td3_bc_pretrains_and_transfers(data, env):
    off = pretrain("td3_bc", data, 2)
    on = finetune(off.actor_critic, env, data, 2, num_steps=5, warm_start=5)
    assert np.isfinite(on.returns).all()


def test_finetune_evaluates_at_the_transfer_and_after_the_warm_start_until_the_end(on):
    assert list(on.evaluation_steps) == [0, 40, 60, 70]
    assert on.returns.shape == (2, 4, 2)
    # at the transfer and at the end, evaluations are repeated until there are at least three episodes
    assert [episodes.shape for episodes in on.evaluations.episodes] == [(2, 4), (2, 2), (2, 2), (2, 4)]
    for episodes in (on.evaluations.episodes[0], on.evaluations.episodes[-1]):
        assert np.ptp(episodes, axis=1).min() > 0  # each episode has its own first state
        assert len(np.unique(episodes)) == 8
    np.testing.assert_allclose(on.mean_returns[:, 0], on.evaluations.episodes[0].mean(axis=1))


def test_pretraining_ends_with_an_evaluation_of_more_episodes(data, env):
    small = {"env": env, "eval_every": 2, "eval_episodes": 1, "final_episodes": 3, "episode_length": 10}
    first = pretrain("td3_bc", data, [0], 4, **small)
    assert [episodes.shape[1] for episodes in first.evaluations.episodes] == [1, 1, 3]
    second = pretrain("td3_bc", data, [0], 2, resume=first, **small)
    assert [episodes.shape[1] for episodes in second.evaluations.episodes] == [3, 3]
    whole = first.evaluations.followed_by(second.evaluations)
    assert whole.steps.tolist() == [0, 2, 4, 6]
    assert whole.returns.shape == (1, 4, 1)
    assert whole.metrics["optimism"].shape == (1, 4)
    # both evaluations have the same policy and the same episodes
    np.testing.assert_allclose(second.evaluations.episodes[0], first.evaluations.episodes[-1], rtol=1e-5)


def test_nothing_is_learned_in_the_warm_start(off, env, data):
    seen = []

    def stop_after_warm_start(step, returns):
        seen.append(step)
        return step == 40

    stopped = finetune(off.actor_critic, env, data, [0, 3], on_evaluation=stop_after_warm_start)
    assert seen == [0, 40]
    jax.tree.map(np.testing.assert_array_equal, stopped.actor_critic, off.actor_critic)
    assert np.asarray(stopped.buffer.size).tolist() == [40, 40]


def test_learning_starts_after_the_warm_start(on, off):
    kernel = lambda result: result.actor_critic.actor_params["params"]["mean"]["kernel"]  # noqa: E731
    assert not np.allclose(kernel(on), kernel(off))


def test_the_buffer_has_the_transitions_of_the_environment(on, env):
    assert np.asarray(on.buffer.size).tolist() == [70, 70]
    stored = jax.tree.map(lambda x: np.asarray(x)[0, :70], on.buffer.storage)
    follows = (stored.observation[1:] == stored.next_observation[:-1]).all(axis=1)
    ended = stored.terminal[:-1] > 0.5
    # each row leads to the next one unless its episode ends there, by a terminal or by the limit of 60 steps
    assert follows[~ended].mean() > 0.95
    assert not follows[ended].any()
    # a stored transition is a step of the environment from the state in its observation
    arrays = {
        "observations": stored.observation,
        "actions": stored.action,
        "rewards": stored.reward,
        "next_observations": stored.next_observation,
    }
    states = states_from_observations(env, stored.observation)
    agreed = one_step_agreement(env, states, arrays)
    assert agreed.rows > 60
    assert min(agreed.share, agreed.reward_share) > 0.95, agreed
    # other actions do not give this transition
    mixed_up = one_step_agreement(env, states, {**arrays, "actions": stored.action[::-1]})
    assert mixed_up.share < 0.2, mixed_up
    assert stored.terminal.sum() >= 1  # an untrained hopper falls
    assert np.abs(stored.action).max() <= 1.0


def test_a_fine_tuned_seed_does_not_depend_on_the_other_seeds(on, off, env, data):
    alone = finetune(take(off.actor_critic, 1), env, data, [3])

    def apart(index: int, what) -> float:
        """Returns the median difference between the results of the seed alone and those of a seed among others."""
        pairs = zip(jax.tree.leaves(take(what(on), index)), jax.tree.leaves(what(alone)), strict=True)
        return float(np.median(np.concatenate([np.abs(np.asarray(a - b)).ravel() for a, b in pairs])))

    def learned(result):
        return result.actor_critic.actor_params, result.actor_critic.critic_params

    def seen(result):
        return jax.tree.map(lambda x: x[:, 40:70], (result.buffer.storage.observation, result.buffer.storage.action))

    # equal up to the rounding of batched matrix products, which the simulation and learning amplify, after the warm
    # start too
    close(take(on.buffer, 1).storage.observation[:, :41], alone.buffer.storage.observation[:, :41], 1e-3, 1e-3)
    for what in (learned, seen):
        assert apart(1, what) < 0.01 * apart(0, what)
    np.testing.assert_allclose(on.returns[1:], alone.returns, rtol=1e-2)


def test_evaluation_equals_a_python_loop(off, env):
    got = smac_jax.evaluate(off.actor_critic, env, episodes=3, seed=5, episode_length=50)
    assert got.shape == (2, 3)
    policy = jax.tree.map(lambda x: x[1], off.actor_critic)
    step = jax.jit(env.step)
    for episode, key in enumerate(jax.random.split(jax.random.key(5), 3)):
        state, total = env.reset(key), 0.0
        for _ in range(50):
            state = step(state, policy.policy(state.obs).mode())
            total += float(state.reward)
            if state.done:
                break
        np.testing.assert_allclose(got[1, episode], total, rtol=1e-3)


def test_one_policy_without_a_seed_axis_can_be_evaluated(off, env):
    single = jax.tree.map(lambda x: x[0], off.actor_critic)
    both = smac_jax.evaluate(off.actor_critic, env, episodes=2, episode_length=30)
    np.testing.assert_allclose(smac_jax.evaluate(single, env, episodes=2, episode_length=30), both[:1], rtol=1e-4)


def test_the_networks_get_normalized_observations():
    mean, std = jnp.array([1.0, -2.0]), jnp.array([0.5, 4.0])
    ac = new_actor_critic(NetworkConfig(actor_hidden=(4,), critic_hidden=(4,)), jax.random.key(0), mean, std, 1)
    observation = jnp.array([2.0, 2.0])
    seen = ac.actor.apply(ac.actor_params, jnp.array([2.0, 1.0]))
    close(ac.policy(observation), seen)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda off, env, data: finetune(off.actor_critic, env, data, 3), "seeds has 3, but the actor-critic has 2"),
        (lambda off, env, data: finetune(off.actor_critic, env, data, 2, data_fraction=1.5), "data_fraction = 1.5"),
        (lambda off, env, data: finetune(off.actor_critic, env, data, 2, num_steps=0), "num_steps = 0"),
        (
            lambda off, env, data: finetune(take(off.actor_critic, 0), smac_jax.make_env("walker2d"), data, 1),
            "The policy maps 11 observations to 3 actions, but the environment has 17 and 6",
        ),
        (lambda off, env, data: pretrain("smac", data, 2, num_updates=0), "num_updates = 0"),
        (lambda off, env, data: pretrain("smac", data, []), "seeds = "),
        (lambda off, env, data: smac_jax.evaluate(off.actor_critic, env, episodes=0), "episodes = 0"),
        (lambda off, env, data: smac_jax.evaluate(off.actor_critic, env, seed=2**32), "evaluate: seed = 4294967296"),
        (lambda off, env, data: smac_jax.evaluate(off.actor_critic, env, deterministic=1), "deterministic = 1: must"),
        (lambda off, env, data: finetune(off.actor_critic, env, data, 2, buffer_capacity=0), "buffer_capacity = 0"),
        (lambda off, env, data: finetune(off.actor_critic, env, data, 2, episode_length=0.5), "episode_length = 0.5"),
        (lambda off, env, data: finetune(off.actor_critic, env, data, 2, warm_start="5"), "warm_start = '5'"),
        (lambda off, env, data: pretrain("smac", data, 2, eval_every=True), "eval_every = True: must be a whole"),
        (lambda off, env, data: pretrain("smac", data, 2, q_limit=np.nan), "q_limit = nan"),
    ],
)
def test_invalid_arguments_are_refused_before_training(call, words, off, env, data):
    with pytest.raises(ConfigError, match=words):
        call(off, env, data)


def test_seed_numbers_and_streams_of_keys_are_distinct():
    assert seed_numbers(3) == (0, 1, 2)
    assert seed_numbers([5, 2]) == (5, 2)
    for given in (np.int64(3), np.float32(3), jnp.int32(3), np.arange(3), range(3), [0, 1.0, np.uint8(2)]):
        assert seed_numbers(given) == (0, 1, 2)
        assert all(type(seed) is int for seed in seed_numbers(given))
    assert seed_numbers([2**32 - 1]) == (2**32 - 1,)
    keys = [jax.random.key_data(stream_keys([0, 1], stream)) for stream in ("offline", "online")]
    assert len(np.unique(np.concatenate(keys), axis=0)) == 4


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (0, "seeds = 0: must be at least 1"),
        (-3, "seeds = -3: must be at least 1"),
        ([], "at least one number"),
        ([1, 2, 1], "seeds = [1, 2, 1]: 1 is there more than once"),
        ([1, 1.0], "1 is there more than once"),
        ([-1], "seeds[0] = -1: must be in [0, 4294967295]"),
        ([0, 2**32], "seeds[1] = 4294967296: must be in [0, 4294967295]"),
        ([1.7], "seeds[0] = 1.7: must be a whole number"),
        (1.7, "seeds = 1.7: must be a whole number"),
        ([True], "seeds[0] = True: must be a whole number"),
        (True, "seeds = True: must be a whole number"),
        ("3", "seeds = '3': must be a whole number"),
        (["3"], "seeds[0] = '3': must be a whole number"),
        (None, "seeds = None: must be a whole number"),
        (np.array([[1, 2]]), "must be a whole number"),
    ],
    ids=repr,
)
def test_invalid_seeds_are_refused_by_name(given, words):
    with pytest.raises(ConfigError) as error:
        seed_numbers(given)
    assert words in str(error.value)


def test_numpy_numbers_give_the_same_run(on, off, env, data):
    counts = {"num_steps": np.int64(30), "warm_start": 40.0, "eval_every": np.int32(20), "eval_episodes": np.uint8(2)}
    counts |= {"episode_length": jnp.int32(60), "buffer_capacity": np.float32(70), "data_fraction": np.float16(0.5)}
    same = finetune(off.actor_critic, env, data, np.array([0, 3]), **counts)
    close(same.actor_critic, on.actor_critic, rtol=0, atol=0)
    np.testing.assert_array_equal(same.evaluation_steps, on.evaluation_steps)
    ways = [{"episodes": 2, "seed": 1, "episode_length": 9}, {"episodes": 2.0, "seed": np.int64(1)}]
    ways[1] |= {"episode_length": np.int32(9), "deterministic": np.bool_(True)}
    first, second = (smac_jax.evaluate(off.actor_critic, env, **way) for way in ways)
    np.testing.assert_array_equal(first, second)


def test_a_result_can_be_used_for_two_runs(data):
    first = pretrain("td3_bc", data, [0], num_updates=4)
    again = [pretrain("td3_bc", data, [0], num_updates=4, resume=first).actor_critic for _ in range(2)]
    close(*again, rtol=0, atol=0)
    assert dataclasses.is_dataclass(first)


@pytest.mark.slow
def test_pretraining_transfer_and_fine_tuning_run_on_mjx(data):
    """On a GPU, resets, steps and updates run without the C engine. The size is the smallest."""
    env = smac_jax.make_env("hopper", physics="mjx")
    off = pretrain("smac", data, seeds=2, num_updates=4)
    on = smac_jax.finetune(
        "sac",
        off.actor_critic,
        env,
        data,
        seeds=2,
        num_steps=4,
        warm_start=4,
        eval_every=4,
        eval_episodes=1,
        episode_length=6,
        config={"batch_size": 8},
        progress=False,
    )
    assert on.returns.shape == (2, 3, 1)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((on.actor_critic, on.buffer.storage)))
    # the first transitions of the buffer agree with the C engine
    first = jax.tree.map(lambda x: np.asarray(x)[:, 0], on.buffer.storage)
    exact = smac_jax.make_env("hopper", physics="mujoco")
    states = states_from_observations(exact, first.observation)
    after = jax.vmap(exact.step)(exact.reset_to(states.qpos, states.qvel), first.action)
    np.testing.assert_allclose(first.next_observation, after.obs, atol=1e-3)
    np.testing.assert_allclose(first.reward, after.reward, atol=1e-3)
    assert (
        np.abs(first.next_observation - first.observation).max() > 1e-2
    )  # the observations change by more than the tolerance
