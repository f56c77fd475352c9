"""Policies that D4RL's authors trained in D4RL's environments have the reported returns in this package's environments.

Source: J. Fu et al., "Benchmarks for Deep Off-Policy Evaluation", 2021 (arXiv 2103.16596): eleven checkpoints for each
task, from weak to strong, with the mean return and its standard deviation over episodes. ``pytest -s`` prints the
table.

The reported returns of locomotion are those of sampled actions: with mean actions the first half cheetah stands still,
and its reported return is -309. Those of the hand are of mean actions: with these, the returns of door and relocate
agree within 2 % in the mean over checkpoints, and their deviations agree, too (40 to 60 for the last four checkpoints
of door). With sampled actions the returns are 5 to 20 % lower, and their deviations several times as large. The returns
of pen are 4 % lower here.

The number of reported episodes is not known. The tolerance for a checkpoint assumes ten, and adds a tenth of the
return. The tolerance for the mean over checkpoints is a twentieth of it plus three standard errors.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smac_jax.deploy.policy_source import act_with, read_policy_source
from smac_jax.envs import ADROIT, make_env
from smac_jax.tasks import TASKS

EPISODES = 40


class _Episodes(NamedTuple):
    state: jax.Array
    alive: jax.Array
    total: jax.Array
    step: jax.Array


def evaluate_checkpoints(task: str, path, deterministic: bool, version: str = "d4rl") -> np.ndarray:
    """Evaluates all checkpoints of a file in one compiled program, with returns ``[checkpoint, episode]``."""
    env, limit = make_env(task, "mujoco", version), TASKS[task].episode_length
    policies = [read_policy_source(path, i).fit(env.observation_size, env.action_size, task) for i in range(11)]
    network, actions = policies[0].network, policies[0].action_size
    parameters = jax.tree.map(lambda *arrays: jnp.stack(arrays), *(policy.parameters for policy in policies))

    def act(parameters, observation, key):
        return act_with(network, parameters, actions, observation, None if deterministic else key)

    act = jax.vmap(jax.vmap(act, in_axes=(None, 0, 0)))

    @jax.jit
    def run(parameters, keys):
        def advance(now):
            step_keys = jax.vmap(jax.vmap(jax.random.fold_in, in_axes=(0, None)), in_axes=(0, None))(keys, now.step)
            state = jax.vmap(jax.vmap(env.step))(now.state, act(parameters, now.state.obs, step_keys))
            total = now.total + jnp.where(now.alive, state.reward, 0.0)
            return _Episodes(state, now.alive & (state.done == 0), total, now.step + 1)

        def running(now):
            return (now.step < limit) & now.alive.any()

        start = jax.vmap(jax.vmap(lambda key: env.reset(jax.random.fold_in(key, limit))))(keys)
        first = _Episodes(start, jnp.ones(keys.shape, bool), jnp.zeros(keys.shape), jnp.int32(0))
        return jax.lax.while_loop(running, advance, first).total

    return np.asarray(run(parameters, jax.random.split(jax.random.key(0), (len(policies), EPISODES))))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["hopper", "walker2d", "halfcheetah", "ant", "pen", "door", "relocate"])
def test_checkpoints_of_deep_ope_have_the_reported_returns(task, shared_data):
    if task in ADROIT:
        pytest.importorskip("gymnasium_robotics", reason="the models come with gymnasium-robotics")
    path = shared_data / "policies" / f"dope-{task}.npz"
    with np.load(path) as file:
        reported, spread = file["reported_return"], file["reported_std"]
    returns = evaluate_checkpoints(task, path, deterministic=task in ADROIT)
    means, sd = returns.mean(1), returns.std(1, ddof=1)
    error = sd / np.sqrt(EPISODES)
    print(f"\n{task:<12} checkpoint  reported      sd |     here      sd  standard error")
    for i in range(len(means)):
        print(f"{i:>23} {reported[i]:>9.1f} {spread[i]:>7.1f} | {means[i]:>8.1f} {sd[i]:>7.1f} {error[i]:>15.1f}")
    tolerance = 0.1 * np.abs(reported) + 3 * np.hypot(error, spread / np.sqrt(10))
    far = np.flatnonzero(np.abs(means - reported) > tolerance)
    assert not len(far), f"checkpoints {far}: {means[far]}, reported {reported[far]}"
    error_of_mean = np.sqrt(np.sum(error**2)) / len(means)
    print(f"{'mean':>23} {reported.mean():>9.1f} {'':>7} | {means.mean():>8.1f} {'':>7} {error_of_mean:>15.1f}")
    assert abs(means.mean() - reported.mean()) <= 0.05 * reported.mean() + 3 * error_of_mean
