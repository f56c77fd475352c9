"""Minari's data sets, which are made here by its own collector, and written by this package."""

import contextlib
import importlib.util
import io
import sys
import types
import warnings

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_logs import make_log
from fake_mazes import ANTMAZE_FILE, antmaze_log, write

import smac_jax
from smac_jax.data import load_dataset
from smac_jax.data.readers.d4rl import read_d4rl
from smac_jax.data.readers.minari import write_minari
from smac_jax.errors import DatasetError
from smac_jax.minari_sets import NamedEnvironment, environment_of
from smac_jax.sweep.datasets import check_fits
from smac_jax.sweep.datasets import environment_of as environment_of_data

minari = pytest.importorskip("minari")

# the metadata of a published data set
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Counter(gymnasium.Env):
    """Observes ``[episode, step]``; an action of 4 in its first number terminates."""

    def __init__(self, dictionary=False, high=4.0):
        self.action_space = gymnasium.spaces.Box(np.array([-2.0, 0.0]), np.array([high, 1.0]), dtype=np.float64)
        vector = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
        inner = {"z": vector, "inner": gymnasium.spaces.Dict(place=vector)}
        picture = gymnasium.spaces.Dict(picture=gymnasium.spaces.Box(0, 255, (2, 2), np.uint8))
        kinds = {True: gymnasium.spaces.Dict(inner), False: vector, "picture": picture}
        self.observation_space = kinds[dictionary]
        self.dictionary, self.episode = dictionary, -1

    def seen(self):
        vector = np.array([self.episode, self.count], np.float64)
        if self.dictionary == "picture":
            return {"picture": np.zeros((2, 2), np.uint8)}
        return {"z": vector, "inner": {"place": vector + 10}} if self.dictionary else vector

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.count = self.episode + 1, 0
        return self.seen(), {}

    def step(self, action):
        self.count += 1
        return self.seen(), float(self.count), bool(action[0] == 4.0), False, {}


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Logs three episodes: one reaches the time limit, one terminates there, and one is cut by the end of the log."""
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


def test_a_published_data_set_with_another_size_causes_a_warning(make):
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


def test_dictionaries_are_flattened_as_gymnasium_does(make):
    make("test/counter-v0", dictionary=True)
    data = load_dataset("minari:test/counter-v0")
    np.testing.assert_array_equal(data.observations[4], [11, 11, 1, 1])
    np.testing.assert_array_equal(data.next_observations[4], [11, 12, 1, 2])
    env = Counter(True)
    env.reset(seed=0)
    np.testing.assert_array_equal(gymnasium.spaces.flatten(env.observation_space, env.seen()), [10, 10, 0, 0])


@pytest.mark.parametrize(
    ("kw", "match"),
    [({"dictionary": "picture"}, "is Dict, expected a Box .* or a dictionary"), ({"high": np.inf}, "no finite bounds")],
)
def test_other_spaces_are_refused(make, kw, match):
    make("test/counter-v0", **kw)
    with pytest.raises(DatasetError, match=rf"minari:test/counter-v0: .*{match}.*from_arrays"):
        load_dataset("minari:test/counter-v0")


class DictKitchen(gymnasium.Env):
    """The kitchen's spaces with made-up joints: the microwave opens at step 2 and closes at 3, the kettle stays."""

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
    np.testing.assert_array_equal(
        data.rewards, [0, 1, 0, 0]
    )  # the number of objects at their goals after the step, and not the logged reward


def test_the_error_about_a_missing_data_set_says_how_to_download_it(make, monkeypatch):
    def no_network(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("minari.storage.hosting.download_dataset", no_network)
    with pytest.raises(DatasetError, match=r"could not be downloaded .*minari download test/absent-v0"):
        load_dataset("minari:test/absent-v0")


@pytest.mark.parametrize("name", ["", "no version", "../../x-v0"])
def test_a_malformed_name_is_refused(make, name):
    with pytest.raises(DatasetError, match=f"minari:{name}"):
        load_dataset(f"minari:{name}")


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(DatasetError, match=r"pip install 'smac_jax\[data\]'"):
        load_dataset("minari:D4RL/pen/human-v2")


# The environments that data sets name


def spec_of(env_id, kwargs=None, limit=None, dataset_id="test/x-v0", entry="gymnasium.envs.mujoco:Env", **more):
    """Returns the spec of a data set with an environment."""
    env = gymnasium.envs.registration.EnvSpec(env_id, entry, kwargs=kwargs or {}, max_episode_steps=limit, **more)
    return types.SimpleNamespace(env_spec=env, dataset_id=dataset_id, namespace=dataset_id.rpartition("/")[0] or None)


MAP = [[1, 1, 1, 1, 1], [1, "r", 0, "g", 1], [1, 1, 1, 1, 1]]
ROBOTICS = "gymnasium_robotics.envs.maze.ant_maze_v3:AntMazeEnv"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (spec_of("Hopper-v5", limit=1000), ("hopper", "v5", {}, 1000)),
        (spec_of("HalfCheetah-v4"), ("halfcheetah", "v4", {}, None)),
        (spec_of("Hopper-v5", {"healthy_reward": 0.0}), ("gymnasium:Hopper-v5", None, {"healthy_reward": 0.0}, None)),
        (spec_of("Hopper-v3"), ("gymnasium:Hopper-v3", None, {}, None)),
        (spec_of("AdroitHandPen-v1", {"reward_type": "dense"}, 200), ("pen", "v1", {}, 200)),
        (
            spec_of("AdroitHandPenSparse-v1", {"reward_type": "sparse"}, entry="gymnasium_robotics.envs:X"),
            ("gymnasium:gymnasium_robotics:AdroitHandPenSparse-v1", None, {"reward_type": "sparse"}, None),
        ),
        (
            spec_of("FrankaKitchen-v1", {"tasks_to_complete": ["kettle"]}, 450, "D4RL/kitchen/mixed-v2"),
            ("kitchen-mixed", "d4rl", {}, 450),
        ),
        (
            spec_of("AntMaze_Medium_Diverse_GR-v4", {"maze_map": MAP, "reward_type": "sparse"}, 1000),
            ("antmaze-medium", "robotics-v4", {"maze_map": MAP, "reward_type": "sparse"}, 1000),
        ),
        (
            spec_of("PointMaze_UMazeDense-v3", {"maze_map": MAP, "reset_target": True}),
            ("maze2d-umaze-dense", "robotics-v3", {"maze_map": MAP, "reset_target": True}, None),
        ),
        # versions, options and maps that this package does not have
        (
            spec_of("AntMaze_UMaze-v3", entry=ROBOTICS),
            ("gymnasium:gymnasium_robotics:AntMaze_UMaze-v3", None, {}, None),
        ),
        (
            spec_of("AntMaze_UMaze-v5", {"xml_file": "mine.xml"}, entry=ROBOTICS),
            ("gymnasium:gymnasium_robotics:AntMaze_UMaze-v5", None, {"xml_file": "mine.xml"}, None),
        ),
        (
            spec_of("AntMaze_Large_Diverse_G-v4", entry=ROBOTICS),
            ("gymnasium:gymnasium_robotics:AntMaze_Large_Diverse_G-v4", None, {}, None),
        ),
        (spec_of("Mine-v0", entry="my_package.envs:Mine"), ("gymnasium:my_package:Mine-v0", None, {}, None)),
    ],
)
def test_the_environment_in_the_metadata_is_this_packages_task_if_they_are_equal(spec, expected):
    assert environment_of(spec) == NamedEnvironment(*expected)


def test_metadata_without_an_environment_or_with_wrappers_are_refused():
    nothing = types.SimpleNamespace(env_spec=None, dataset_id="test/x-v0", namespace="test")
    wrapper = gymnasium.envs.registration.WrapperSpec("ClipAction", "gymnasium.wrappers:ClipAction", {})
    for spec, match in (
        (nothing, "minari:test/x-v0: its metadata name no environment"),
        (spec_of("Hopper-v5", additional_wrappers=(wrapper,)), "Hopper-v5 has wrappers \\(ClipAction\\)"),
    ):
        with pytest.raises(DatasetError, match=match) as error:
            environment_of(spec)
        assert "\n" not in str(error.value)


@pytest.fixture
def robotics(monkeypatch, tmp_path):
    """Imports gymnasium-robotics, and gives Minari an empty folder."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    if importlib.util.find_spec("imageio") is None:
        sys.modules["imageio"] = types.ModuleType("imageio")  # Gymnasium imports it to render, which no test does
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        module = pytest.importorskip("gymnasium_robotics")
    gymnasium.register_envs(module)


def test_a_maze_of_minari_reproduces_its_log(robotics):
    """The log is from gymnasium-robotics's environment with another map.

    It is replayed in the environment of the metadata.
    """
    cells = [[1, 1, 1, 1, 1], [1, "c", 0, "c", 1], [1, 1, 1, 0, 1], [1, "g", 0, 0, 1], [1, 1, 1, 1, 1]]
    made = gymnasium.make("PointMaze_UMaze-v3", maze_map=cells, max_episode_steps=30, disable_env_checker=True)
    logger, rng = minari.DataCollector(made, record_infos=False), np.random.default_rng(0)
    for seed in range(2):
        logger.reset(seed=seed)
        for _ in range(30):
            logger.step(rng.uniform(-1, 1, 2).astype(np.float32))
    logger.create_dataset("D4RL/pointmaze/umaze-mine-v2")
    data = load_dataset("minari:D4RL/pointmaze/umaze-mine-v2")
    assert (data.task, data.size) == ("maze2d-umaze", 60)
    np.testing.assert_array_equal(np.flatnonzero(data.timeouts), [29, 59])
    name = environment_of_data(data, None)
    assert name == "minari:D4RL/pointmaze/umaze-mine-v2"
    env = smac_jax.make_env(name, margins="sum")
    check_fits(data, name, env)
    assert env.episode_length == 30
    identity = smac_jax.envs.identity_of(env)
    assert (identity["is"]["name"], identity["is"]["version"]) == ("maze2d-umaze", "robotics-v3")
    seen = np.asarray(data.observations)
    qpos, qvel, _ = env.task.state(seen)
    for row in (0, 17, 45):
        state = env.reset_to(qpos[row], qvel[row], memory={"goal": seen[row, 2:4]})
        state = env.step(state, data.actions[row])
        np.testing.assert_allclose(state.obs, data.next_observations[row], rtol=1e-5, atol=1e-5)
        assert state.reward == data.rewards[row]


def test_another_environment_runs_on_the_host(make):
    """The environment has the options in the metadata."""
    make("test/counter-v0", high=6.0)
    env = smac_jax.make_env("minari:test/counter-v0")
    assert (env.backend, env.episode_length, env.observation_size) == ("gymnasium", 3, 2)
    state = env.step(env.reset(jax.random.key(0)), jnp.array([0.0, 0.0]))
    assert state.reward == 1.0
    state = env.step(state, jnp.array([0.5, 0.0]))  # -2 to 6: an action of 4, which terminates
    assert state.done == 1


def test_the_error_about_a_missing_environment_says_how_to_install_it(make, monkeypatch):
    monkeypatch.setattr(
        "minari.storage.hosting.download_dataset", lambda *_, **__: (_ for _ in ()).throw(OSError("no"))
    )
    with pytest.raises(DatasetError, match="minari download mujoco/hopper/expert-v9"):
        smac_jax.make_env("minari:mujoco/hopper/expert-v9")


# Written


@pytest.fixture
def here(monkeypatch, tmp_path):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path


def assert_same_rows(data, again):
    for key in ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts"):
        np.testing.assert_array_equal(getattr(again, key), getattr(data, key), err_msg=key)


def test_minari_loads_a_written_data_set(here):
    log = make_log([4, 3, 5], ["terminal", "timeout", "cut"], next_observations=True)
    data = smac_jax.Dataset.from_arrays(**log, name="mine", task="hopper", metadata={"recipe": "by hand"})
    write_minari(data, "mine/hopper/made-v3", author="me", algorithm="none")
    theirs = minari.load_dataset("mine/hopper/made-v3")
    assert (theirs.total_episodes, theirs.total_steps, theirs.spec.env_spec) == (3, 12, None)
    first, second, third = theirs.iterate_episodes()
    np.testing.assert_array_equal(first.observations, [[0, 0], [0, 1], [0, 2], [0, 3], [0, 4]])
    np.testing.assert_array_equal(first.actions, log["actions"][:4])
    assert first.terminations.tolist() == [False, False, False, True]
    assert second.truncations.tolist() == [False, False, True]
    assert third.truncations[-1]  # the end of the log cuts this episode
    metadata = theirs.storage.metadata
    assert "recipe: by hand" in metadata["description"]
    again = load_dataset("minari:mine/hopper/made-v3")
    assert_same_rows(data, again)
    np.testing.assert_array_equal(again.trajectory_returns, data.trajectory_returns)
    assert again.task == "hopper"  # by its name
    assert "env" not in dict(again.metadata)


def test_the_embedded_data_are_equal_after_writing_and_reading_minari(here, robotics, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(here / "minari"))
    data = load_dataset("part:0.02:halfcheetah-medium-replay")
    write_minari(data, "mine/halfcheetah/replay-v0", env="HalfCheetah-v4")
    again = load_dataset("minari:mine/halfcheetah/replay-v0")
    assert_same_rows(data, again)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = minari.load_dataset("mine/halfcheetah/replay-v0").recover_environment()
    assert theirs.spec.id == "HalfCheetah-v4"
    env = smac_jax.make_env(environment_of_data(again, None))
    assert (env.backend, smac_jax.envs.identity_of(env)["is"]["version"]) == ("mujoco", "v4")


def test_actions_are_written_in_the_units_of_the_environment(here):
    """The torque of Pendulum is within 2. The environment of Minari's metadata can replay the actions."""
    log = make_log([40, 60], ["timeout", "timeout"], next_observations=True)
    log["actions"] = np.random.default_rng(0).uniform(-1, 1, (100, 1)).astype(np.float32)
    log["actions"][:2] = [[-1.0], [1.0]]
    for key in ("observations", "next_observations"):
        log[key] = np.pad(log[key], ((0, 0), (0, 1)))
    data = smac_jax.Dataset.from_arrays(**log, name="mine")
    for number, env in enumerate(("Pendulum-v1", gymnasium.spec("Pendulum-v1"), gymnasium.make("Pendulum-v1"))):
        write_minari(data, f"mine/pendulum/made-v{number}", env=env)
        theirs = minari.load_dataset(f"mine/pendulum/made-v{number}")
        assert theirs.spec.action_space == theirs.recover_environment().action_space
        episode = next(theirs.iterate_episodes())
        np.testing.assert_allclose(episode.actions, 2.0 * log["actions"][:40], rtol=1e-6)
        np.testing.assert_array_equal(episode.actions[:2], [[-2.0], [2.0]])
        again = load_dataset(f"minari:mine/pendulum/made-v{number}")
        np.testing.assert_allclose(again.actions, data.actions, atol=1e-6)


def test_a_log_that_continues_after_its_goal_is_one_episode_in_minari(here):
    data = read_d4rl(write(here / ANTMAZE_FILE, antmaze_log([40, 60, 50, 45])))
    write_minari(data, "mine/antmaze/medium-v0")
    assert minari.load_dataset("mine/antmaze/medium-v0").total_episodes == 4
    again = load_dataset("minari:mine/antmaze/medium-v0")
    assert again.task == "antmaze-medium"
    assert_same_rows(data, again)
    np.testing.assert_array_equal(again.episode_scores(), data.episode_scores())


def test_data_that_minari_cannot_store_are_refused(here, robotics, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(here / "minari"))
    log = make_log([4, 3], ["terminal", "timeout"], next_observations=True)
    data = smac_jax.Dataset.from_arrays(**log, name="mine")
    shuffled = make_log([30, 30], ["timeout", "timeout"], next_observations=True)
    order = np.random.default_rng(0).permutation(60)
    shuffled = smac_jax.Dataset.from_arrays(**{key: value[order] for key, value in shuffled.items()}, name="shuffled")
    write_minari(data, "mine/there-v0")
    for held, name, env, match in (
        (data, "mine/there-v0", None, "exists already, in .*Choose another"),
        (data, "no version", None, r"A name has the form \[NAMESPACE/\]NAME-vNUMBER"),
        (data, "../mine-v0", None, r"A name has the form \[NAMESPACE/\]NAME-vNUMBER"),
        (data, "mine/a-v0", "Frog-v0", "cannot be written .*Frog"),
        (data, "mine/a-v0", "Hopper-v4", "Hopper-v4 has 11 observations and 3 actions, but the data set has 2 and 3"),
        (shuffled, "mine/a-v0", None, "the episodes of shuffled are unknown .*not the next rows'"),
    ):
        with pytest.raises(DatasetError, match=match) as error:
            write_minari(held, name, env=env)
        assert "\n" not in str(error.value)
    assert [*minari.list_local_datasets()] == ["mine/there-v0"]
