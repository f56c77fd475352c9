"""Minari's data sets, made here through its own collector."""

import sys

import gymnasium
import numpy as np
import pytest

from smac_jax.data import load_dataset
from smac_jax.errors import DatasetError

minari = pytest.importorskip("minari")

# what a published set would say of itself
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Counter(gymnasium.Env):
    """Observes ``[episode, step]``; an action of 4 in its first number terminates."""

    def __init__(self, dictionary=False, high=4.0):
        self.action_space = gymnasium.spaces.Box(np.array([-2.0, 0.0]), np.array([high, 1.0]), dtype=np.float64)
        vector = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.observation_space = gymnasium.spaces.Dict(a=vector) if dictionary else vector
        self.dictionary, self.episode = dictionary, -1

    def seen(self):
        vector = np.array([self.episode, self.count], np.float64)
        return {"a": vector} if self.dictionary else vector

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.count = self.episode + 1, 0
        return self.seen(), {}

    def step(self, action):
        self.count += 1
        return self.seen(), float(self.count), bool(action[0] == 4.0), False, {}


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Logs three episodes: one runs out of time, one terminates at the limit, one is cut by the end of the log."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    monkeypatch.setitem(
        gymnasium.registry, "Hopper-v77", gymnasium.envs.registration.EnvSpec("Hopper-v77", f"{__name__}:Counter")
    )

    def make(name, **kw):
        env = minari.DataCollector(gymnasium.make("Hopper-v77", max_episode_steps=3, disable_env_checker=True, **kw))
        for actions in ([1, 1, 1], [-2, 1, 4], [1, 1]):
            env.reset(seed=0)
            for action in actions:
                env.step(np.array([action, 0.25]))
        env.create_dataset(name)

    return make


def test_terminations_truncations_and_last_observations(make):
    make("test/counter-v0")
    data = load_dataset("minari:test/counter-v0")
    assert (data.name, data.task) == ("minari:test/counter-v0", "hopper")
    observations = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [2, 0], [2, 1]]
    np.testing.assert_array_equal(data.observations, observations)
    np.testing.assert_array_equal(data.next_observations, np.add(observations, [0, 1]))
    np.testing.assert_array_equal(data.terminals, [0, 0, 0, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(data.timeouts, [0, 0, 1, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(data.trajectory_returns, [6, 6, 6, 6, 6, 6, 3, 3])


def test_a_published_set_of_another_size_is_warned_of(make):
    make("mujoco/hopper/expert-v0")
    with pytest.warns(
        UserWarning, match=r"hopper/expert-v0: this data set has 8 rows, not 999,164; 3 episodes, not 1,086"
    ):
        load_dataset("minari:mujoco/hopper/expert-v0")


def test_actions_are_rescaled_from_their_bounds(make):
    make("test/counter-v0")
    actions = load_dataset("minari:test/counter-v0").actions
    np.testing.assert_allclose(actions[:, 0], [0, 0, 0, -1, 0, 1, 0, 0], atol=1e-7)
    np.testing.assert_allclose(actions[:, 1], -0.5)


@pytest.mark.parametrize(("kw", "match"), [({"dictionary": True}, "is Dict"), ({"high": np.inf}, "no finite bounds")])
def test_other_spaces_are_refused(make, kw, match):
    make("test/counter-v0", **kw)
    with pytest.raises(DatasetError, match=rf"minari:test/counter-v0: .*{match}.*from_arrays"):
        load_dataset("minari:test/counter-v0")


class DictKitchen(gymnasium.Env):
    """The kitchen's spaces with made-up joints: the microwave opens at step 2 and shuts at 3, the kettle stays."""

    goals = {"microwave": [-0.75], "kettle": [-0.23, 0.75, 1.62, 0.99, 0.0, 0.0, -0.06]}  # noqa: RUF012

    def __init__(self):
        def box(n):
            return gymnasium.spaces.Box(-np.inf, np.inf, (n,), np.float64)

        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (9,), np.float64)
        goal = gymnasium.spaces.Dict({thing: box(len(at)) for thing, at in self.goals.items()})
        spaces = {"observation": box(59), "desired_goal": goal, "achieved_goal": goal}
        self.observation_space = gymnasium.spaces.Dict(spaces)

    def seen(self):
        observation = np.arange(59) + 100.0 * self.count
        observation[18 + 22 - 9] = -0.7 if self.count == 2 else 0.0  # joint 22, after 9 + 9 numbers of the robot
        goal = {thing: np.array(at) for thing, at in self.goals.items()}
        return {"observation": observation, "desired_goal": goal, "achieved_goal": goal}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self.seen(), {}

    def step(self, action):
        self.count += 1
        return self.seen(), 7.0, False, False, {}


def test_the_kitchens_dictionaries_become_d4rls_sixty_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    spec = gymnasium.envs.registration.EnvSpec("FrankaKitchen-v1", f"{__name__}:DictKitchen")
    monkeypatch.setitem(gymnasium.registry, "FrankaKitchen-v1", spec)
    env = minari.DataCollector(gymnasium.make("FrankaKitchen-v1", max_episode_steps=4, disable_env_checker=True))
    env.reset(seed=0)
    for _ in range(4):
        env.step(np.full(9, 0.5))
    env.create_dataset("D4RL/kitchen/mixed-v2")
    data = load_dataset("minari:D4RL/kitchen/mixed-v2")
    assert data.task == "kitchen-mixed"
    first = np.asarray(data.observations[1])
    np.testing.assert_array_equal(first[:9], 100 + np.arange(9))  # the robot's joints, not its velocities
    np.testing.assert_array_equal(first[9:22], 100 + np.arange(18, 31))
    np.testing.assert_array_equal(first[23:30], 100 + np.arange(32, 39))
    goal = np.zeros(30)
    goal[22:] = [-0.75, -0.23, 0.75, 1.62, 0.99, 0.0, 0.0, -0.06]
    np.testing.assert_allclose(first[30:], goal, rtol=1e-6)
    np.testing.assert_array_equal(data.rewards, [0, 1, 0, 0])  # what is right after the step, whatever was paid


def test_what_is_not_there_says_how_to_fetch_it(make, monkeypatch):
    def no_network(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("minari.storage.hosting.download_dataset", no_network)
    with pytest.raises(DatasetError, match=r"could not be fetched .*minari download test/absent-v0"):
        load_dataset("minari:test/absent-v0")


@pytest.mark.parametrize("name", ["", "no version", "../../x-v0"])
def test_a_malformed_name_is_refused(make, name):
    with pytest.raises(DatasetError, match=f"minari:{name}"):
        load_dataset(f"minari:{name}")


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(DatasetError, match=r"pip install 'smac_jax\[data\]'"):
        load_dataset("minari:D4RL/pen/human-v2")
