"""Offline algorithms that continue online: updates, transferred state, Cal-QL's returns, and errors."""

from __future__ import annotations

import signal
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from brax.envs.base import Env, State

import smac_jax
from smac_jax.algorithms import make_offline
from smac_jax.algorithms.contracts import Phase
from smac_jax.data.replay import UNKNOWN_RETURN, sample
from smac_jax.errors import ConfigError
from smac_jax.runs.folder import RunFolder
from smac_jax.runs.interrupts import Interrupted
from smac_jax.train import plan

sys.path.append(str(Path(__file__).parents[1] / "algorithms"))
from small_algorithms import small

CONTINUING = ("smac", "td3_bc", "fql", "iql", "cql", "cal_ql", "awac")
SEEDS, UPDATES, LENGTH = (0, 3), 4, 7


class AtEachChunk:
    """A signal to stop after the next chunk."""

    number = signal.SIGTERM


class PointMass(Env):
    """A point in a plane must be pushed to the origin.

    The reward is minus the distance, or -1 if it is not ``near``.
    """

    def __init__(self, near=None):
        self.near = near

    def reset(self, rng):
        obs = jnp.concatenate([jax.random.uniform(rng, (2,), minval=-1.0, maxval=1.0), jnp.zeros(2)])
        zero = jnp.zeros(())
        return State(pipeline_state=None, obs=obs, reward=zero, done=zero, metrics={}, info={})

    def step(self, state, action):
        velocity = 0.9 * state.obs[2:] + 0.1 * action
        position = state.obs[:2] + 0.1 * velocity
        distance = jnp.linalg.norm(position)
        reward = -distance if self.near is None else jnp.where(distance < self.near, 0.0, -1.0)
        return state.replace(obs=jnp.concatenate([position, velocity]), reward=reward)

    observation_size = property(lambda self: 4)
    action_size = property(lambda self: 2)
    backend = property(lambda self: "jax")


def logged(policy, episodes=40, length=50):
    """Returns a data set of episodes of ``policy(rng, observation)``."""
    rng, env = np.random.default_rng(0), PointMass()
    step = jax.jit(env.step)
    columns = {"observations": [], "actions": [], "rewards": [], "next_observations": []}
    for episode in range(episodes):
        state = env.reset(jax.random.key(episode))
        for _ in range(length):
            action = np.clip(policy(rng, np.asarray(state.obs)), -1, 1)
            after = step(state, action)
            for column, value in zip(columns.values(), (state.obs, action, after.reward, after.obs), strict=True):
                column.append(np.asarray(value))
            state = after
    rows = np.arange(episodes * length)
    return smac_jax.Dataset.from_arrays(
        **{name: np.stack(column) for name, column in columns.items()},
        terminals=np.zeros(len(rows)),
        timeouts=rows % length == length - 1,
    )


@pytest.fixture(scope="module")
def point_data():
    return logged(lambda rng, observation: rng.uniform(-1, 1, 2), episodes=4)


@pytest.fixture(scope="module")
def trained(point_data):
    made = {}

    def train(name):
        if name not in made:
            made[name] = smac_jax.pretrain(name, point_data, SEEDS, UPDATES, small(name), progress=False)
        return made[name]

    return train


def finetune(algorithm, start, data, folder=None, env=None, **changes):
    settings = {"num_steps": 12, "warm_start": 9, "eval_every": 6, "eval_episodes": 1, "final_episodes": 1}
    settings |= {"episode_length": LENGTH, "folder": folder, "progress": False} | changes
    return smac_jax.finetune(algorithm, start, env or PointMass(), data, SEEDS, **settings)


def continued(result, carry="all", **changes):
    """Returns the online algorithm, and its initial state for the first seed."""
    online = result.algorithm.continue_online(result.algorithm, changes, carry)
    one = jax.tree.map(lambda x: x[0], (result.actor_critic, result.state))
    return online, online.init(jax.random.key(0), *one)


def adam_steps(state):
    """Returns the number of steps of every Adam in a state, by its path."""
    found = jax.tree_util.tree_leaves_with_path(state, is_leaf=lambda x: isinstance(x, optax.ScaleByAdamState))
    return {jax.tree_util.keystr(path): int(x.count) for path, x in found if isinstance(x, optax.ScaleByAdamState)}


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


# --- the update and the state -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", CONTINUING)
def test_the_first_update_online_equals_the_next_update_offline(name, trained, point_data):
    """The whole state is compared: networks, targets, optimizers, temperature, alpha, kappa, and counts of updates."""
    off = trained(name)
    batch = off.algorithm.prepare(point_data).sample(jax.random.key(1), 16)
    online, state = continued(off)
    offline_state = jax.tree.map(lambda x: x[0], off.state)
    want, _ = jax.jit(off.algorithm.phases[-1].update)(offline_state, batch, jax.random.key(2))
    got, _ = jax.jit(online.update)(state, batch, jax.random.key(2))
    assert_same(got, want)
    assert max(adam_steps(got).values()) == UPDATES + 1 or name == "td3_bc"  # its policy is delayed


@pytest.mark.parametrize("name", CONTINUING)
def test_partial_transfers_carry_over_the_named_parts(name, trained):
    off = trained(name)
    steps = {carry: adam_steps(continued(off, carry)[1]) for carry in ("networks", "optimizers", "all")}
    scalars = ("temperature", "kappa", "score")  # the score model never changes
    of_networks = {
        carry: {place: n for place, n in found.items() if not any(word in place for word in scalars)}
        for carry, found in steps.items()
    }
    assert set(of_networks["networks"].values()) == {0}
    assert of_networks["optimizers"] == of_networks["all"]
    assert max(of_networks["all"].values()) == UPDATES
    temperatures = [n for place, n in steps["optimizers"].items() if "temperature" in place]
    assert set(temperatures) <= {0}
    online, state = continued(off, "networks")
    assert_same(online.actor_critic(state), jax.tree.map(lambda x: x[0], off.actor_critic))


def test_iqls_value_network_always_continues(trained):
    off = trained("iql")
    value = jax.tree.map(lambda x: x[0], off.state.value_params)
    for carry in ("networks", "optimizers", "all"):
        assert_same(continued(off, carry)[1].value_params, value)


def test_online_training_starts_from_the_offline_networks(trained, point_data):
    """After that they change by Adam's small steps."""
    off = trained("iql")
    on = finetune("iql", off, point_data, data_fraction=0.5, final_data_fraction=0.0)
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), on.actor_critic, off.actor_critic)
    assert 1e-5 < max(jax.tree.leaves(moved.critic_params)) < 12 * 3e-4 * 3
    assert on.algorithm.carry == "all"
    assert on.algorithm.config == off.algorithm.config


def test_the_offline_result_can_be_used_again(trained, point_data):
    off = trained("iql")
    before = jax.tree.map(np.array, off.state)
    finetune("same", off, point_data)
    assert_same(off.state, before)


@pytest.mark.parametrize("name", ["rebrac", "fql"])
def test_what_an_algorithm_has_of_its_own_goes_through_the_online_loop(name, trained, point_data):
    """ReBRAC's weight of cloning, which falls, and its noise; FQL's flow, and its draws."""
    off = trained(name)
    on = finetune("same", off, point_data, data_fraction=0.5)
    assert (on.algorithm.name, on.algorithm.carry, on.algorithm.evaluate_draws) == (name, "all", name == "fql")
    assert np.isfinite(on.returns).all()
    assert (on.diverged == -1).all()
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), on.actor_critic, off.actor_critic)
    assert 0 < max(jax.tree.leaves(moved.actor_params)) < 13 * on.algorithm.config.actor_learning_rate
    first = jax.tree.map(lambda x: x[:, 0], on.buffer.storage)
    mode = jax.vmap(lambda ac, seen: ac.policy(seen).mode())(off.actor_critic, first.observation)
    assert 0 < np.abs(first.action - mode).max() < {"rebrac": 5 * 0.03, "fql": np.inf}[name]


@pytest.mark.slow
def test_a_run_that_is_stopped_after_each_chunk_equals_an_uninterrupted_one(trained, point_data, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "CHUNK", 3)
    off = trained("cal_ql")
    whole, stops = finetune("cal_ql", off, point_data, environments=3), 0
    while True:
        try:
            with RunFolder(tmp_path, save_every=0, interrupts=AtEachChunk()) as folder:
                resumed = finetune("cal_ql", off, point_data, folder, environments=3)
            break
        except Interrupted:
            stops += 1
    assert stops >= 5
    assert_same(resumed.actor_critic, whole.actor_critic)
    assert_same(resumed.buffer, whole.buffer)


# --- returns-to-go of online episodes ---------------------------------------------------------------------------------
def returns_of(rewards, ends, discount):
    """Computes returns-to-go backwards, episode by episode. Those of the last episode, which has no end, are None."""
    found, value = [], None
    for reward, end in zip(rewards[::-1], ends[::-1], strict=True):
        value = reward if end else None if value is None else reward + discount * value
        found.append(value)
    return found[::-1]


@pytest.fixture(scope="module")
def collected(trained, point_data):
    """Returns 17 rows of one environment: two complete episodes of 7 rows, and 3 rows of a third."""
    return finetune("cal_ql", trained("cal_ql"), point_data, warm_start=5, num_steps=12).buffer


def test_returns_to_go_of_online_episodes_equal_a_backward_loop(collected, trained):
    discount = trained("cal_ql").algorithm.config.discount
    for seed in range(len(SEEDS)):
        rows = jax.tree.map(lambda x, seed=seed: np.asarray(x[seed]), collected.storage)
        ends = np.arange(17) % LENGTH == LENGTH - 1  # no episode ends before the time limit
        assert not rows.terminal.any()
        want = returns_of(rows.reward.astype(float).tolist(), ends.tolist(), discount)
        np.testing.assert_allclose(rows.return_to_go[:14], want[:14], rtol=1e-5)
        assert want[14:] == [None] * 3


def test_the_return_of_a_running_episode_is_not_a_bound(collected):
    buffer = jax.tree.map(lambda x: x[0], collected)
    drawn = sample(buffer, jax.random.key(0), 200, unfinished=jnp.array([3]))
    rewards = np.asarray(buffer.storage.reward)
    row = np.argmin(np.abs(np.asarray(drawn.reward)[:, None] - rewards), axis=1)
    assert ((np.asarray(drawn.return_to_go) == UNKNOWN_RETURN) == (row >= 14)).all()
    assert (row >= 14).any()
    assert (row < 14).any()


def test_sparse_rewards_have_the_returns_to_go_of_logged_episodes(trained, point_data):
    """Three environments. An episode that is cut without a success counts as a failure that continues forever."""
    sparse = point_data.replace(rewards=jnp.where(point_data.rewards > -0.6, 0.0, -1.0))
    off = trained("cal_ql")
    on = finetune("cal_ql", off, sparse, env=PointMass(near=0.6), environments=3, warm_start=63, num_steps=21)
    episode_by_episode = np.arange(84).reshape(28, 3).T.ravel()
    rows = jax.tree.map(lambda x: np.asarray(x[0])[episode_by_episode], on.buffer.storage)
    ends = np.arange(84) % LENGTH == LENGTH - 1
    same = smac_jax.Dataset.from_arrays(
        rows.observation, rows.action, rows.reward, rows.terminal, ends, rows.next_observation
    )
    assert same.is_sparse
    want = same.with_returns_to_go(off.algorithm.config.discount).returns_to_go
    np.testing.assert_allclose(rows.return_to_go, want, rtol=1e-5)
    assert 0 < (rows.return_to_go < -99.9).sum() < 84


# --- whose update continues -------------------------------------------------------------------------------------------
def test_an_algorithm_that_only_shares_a_name_is_not_continued_as_the_built_in_one(trained, point_data):
    """The algorithm has the name, the configuration and the state of IQL, but another update."""
    iql = make_offline("iql", small("iql"))
    own = lambda config, state, batch, key: iql.phases[-1].update(state, batch, key)  # noqa: E731
    replaced = iql._replace(phases=(Phase("offline", partial(own, iql.config), 16),))
    off = smac_jax.pretrain(replaced, point_data, SEEDS, 2, progress=False)
    for name in ("iql", "same"):
        with pytest.raises(ConfigError, match="trained offline with another update than that of its"):
            finetune(name, off, point_data)
    off = smac_jax.pretrain(replaced._replace(continue_online=None), point_data, SEEDS, 2, progress=False)
    with pytest.raises(ConfigError, match="'iql' cannot continue online"):
        finetune("iql", off, point_data)


def test_an_algorithm_object_is_refused_a_state_of_another_configuration(trained, point_data):
    """Of other units, of other networks; and of another algorithm."""
    off = trained("iql")
    for fields, message in (
        ({"reward_scale": 2.0}, "IQLConfig.reward_scale = 2.0: the offline state was made with"),
        ({"value_hidden": (9,)}, r"IQLConfig.value_hidden = \(9,\): the offline state was"),
    ):
        other = make_offline("iql", {**small("iql"), **fields})
        with pytest.raises(ConfigError, match=message):
            finetune(other.continue_online(other), off, point_data)
    mine = make_offline("iql", {**small("iql"), "beta": 1.0})  # what may change
    on = finetune(mine.continue_online(mine), off, point_data.with_next_actions(), data_fraction=0.5)
    assert on.algorithm.config.beta == 1.0
    with pytest.raises(
        ConfigError, match="'iql' continues the offline training of 'iql', and 'awac' was trained offline"
    ):
        finetune(other.continue_online(other), trained("awac"), point_data)


@pytest.mark.parametrize(
    ("algorithm", "start", "changes", "message"),
    [
        ("iql", "networks alone", {}, r"'iql' continues offline training, and there was none. Pass the result of"),
        ("cql", "iql", {}, r"'cql' continues the offline training of 'cql', and 'iql' was trained offline"),
        ("same", "bc", {}, "'bc' cannot continue online. Choose one of the online algorithms sac, "),
        ("iql", "iql", {"config": {"value_hidden": (9,)}}, r"IQLConfig.value_hidden = \(9,\): the offline state was"),
        ("iql", "iql", {"config": {"network": {"num_critics": 3}}}, r"IQLConfig.network = .* cannot change after"),
        ("iql", "iql", {"config": {"optimizer": "muon"}}, "iql online: the offline state was made with another"),
        ("iql", "iql", {"config": {"expectyle": 0.8}}, "IQLConfig has no field 'expectyle'"),
        ("iql", "iql", {"carry": "everything"}, "carry = 'everything': must be one of 'all', 'optimizers', 'networks'"),
        ("sac", "iql", {"carry": "all"}, "carry = 'all': is for an offline algorithm that continues online"),
    ],
)
def test_invalid_arguments_are_refused(algorithm, start, changes, message, trained, point_data):
    before = trained("iql").actor_critic if start == "networks alone" else trained(start)
    with pytest.raises(ConfigError, match=message):
        finetune(algorithm, before, point_data, **changes)


def test_fresh_networks_need_no_data_and_are_those_of_no_offline_training(point_data):
    sizes = {"num_steps": 2, "warm_start": 2}
    alone = finetune("sac", None, None, config={"batch_size": 8}, **sizes)
    off = smac_jax.pretrain("none", point_data, SEEDS, progress=False)
    assert (off.updates, off.algorithm.name, off.evaluations.steps.size) == (0, "none", 0)
    assert_same(alone.actor_critic.observation_std, off.actor_critic.observation_std)
    apart = jax.tree.map(lambda a, b: np.abs(a - b).max(), alone.actor_critic, off.actor_critic)
    assert 0 < max(jax.tree.leaves(apart)) <= 2 * 3.1e-4  # two updates, starting from the same new networks
    for name in ("iql", "same"):
        with pytest.raises(ConfigError, match=f"{name!r} continues offline training, and with 'none' there was none"):
            finetune(name, off, point_data)


def test_continuing_with_another_optimizer_is_possible(trained, point_data):
    on = finetune("iql", trained("iql"), point_data, config={"optimizer": "muon"}, carry="networks")
    assert on.algorithm.config.optimizer == "muon"
    assert (on.diverged == -1).all()


# --- does it help? ----------------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize(("name", "fields"), [("iql", {}), ("cal_ql", {"min_q_weight": 1.0, "num_actions": 4})])
def test_continuing_online_improves_the_policy(name, fields):
    """The data are random pushes. Every seed improves by more than the differences between episodes."""
    data = logged(lambda rng, observation: rng.uniform(-1, 1, 2), episodes=40)
    network = {"actor_hidden": (64, 64), "critic_hidden": (64, 64)}
    config = {"batch_size": 128, "network": network, **fields}
    off = smac_jax.pretrain(name, data, SEEDS, 500, config, progress=False)
    size = {"num_steps": 6000, "warm_start": 500, "eval_every": 6000, "eval_episodes": 50, "episode_length": 50}
    on = finetune(name, off, data, **size)
    before, after = on.returns[:, 0], on.returns[:, -1]
    error = np.sqrt(before.var(axis=1) / before.shape[1] + after.var(axis=1) / after.shape[1])
    assert (after.mean(axis=1) - before.mean(axis=1) > 3 * error).all(), (before.mean(axis=1), after.mean(axis=1))
