"""OGBench's data sets and environments, against the package itself, with files that are written here."""

from __future__ import annotations

import contextlib
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import smac_jax
from smac_jax.errors import ConfigError, DatasetError, SmacError, UnknownNameError
from smac_jax.ogbench_sets import parse_ogbench

NAME = "antmaze-medium-navigate-singletask-task2-v0"
LENGTHS = (6, 9, 4)


@pytest.fixture(scope="module")
def package():
    """Imports the package ``ogbench``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("ogbench")


@pytest.fixture(scope="module")
def make_log(package):
    """Makes rows as the package's generators do: states of the simulator, and their observations."""
    env = package.make_env_and_datasets(NAME, env_only=True).unwrapped
    env.reset(seed=0)
    goal = np.array(env.cur_goal_xy)

    def make(**changes):
        rng, rows = np.random.default_rng(0), sum(LENGTHS)
        qpos, qvel = rng.normal(size=(rows, 15)), rng.normal(size=(rows, 14))
        qpos[:, :2] = rng.uniform(-2, 20, (rows, 2))
        qpos[[3, 4, 12, 14], :2] = goal + rng.uniform(-0.3, 0.3, (4, 2))  # 14 is the last row of its trajectory
        return {
            "observations": np.concatenate([qpos, qvel], 1).astype(np.float32),
            "actions": rng.uniform(-1, 1, (rows, 8)).astype(np.float32),
            "terminals": np.isin(np.arange(rows), np.cumsum(LENGTHS) - 1),
            "qpos": qpos.astype(np.float32),
            "qvel": qvel.astype(np.float32),
        } | changes

    return make


@pytest.fixture
def folder(tmp_path, monkeypatch, package):
    """Returns the folder in which the package looks for files."""
    monkeypatch.setattr(package.utils, "DEFAULT_DATASET_DIR", str(tmp_path))
    return tmp_path


def write(folder, log, name="antmaze-medium-navigate-v0"):
    np.savez_compressed(folder / f"{name}.npz", **log)
    np.savez_compressed(folder / f"{name}-val.npz", **log)


def test_rows_and_rewards_equal_those_of_the_package(folder, make_log, package):
    write(folder, make_log())
    data = smac_jax.load_dataset(f"ogbench:{NAME}")
    train, _ = package.make_env_and_datasets(
        NAME,
        dataset_path=str(folder / "antmaze-medium-navigate-v0.npz"),
        dataset_only=True,
        cur_env=package.make_env_and_datasets(NAME, env_only=True),
    )
    for key in ("observations", "actions", "next_observations", "rewards"):
        np.testing.assert_array_equal(getattr(data, key), train[key], err_msg=key)
    np.testing.assert_array_equal(data.terminals, 1 - train["masks"])
    np.testing.assert_array_equal(data.timeouts, np.minimum(train["terminals"], train["masks"]))
    assert set(np.asarray(data.rewards).tolist()) == {0, -1}
    np.testing.assert_array_equal(np.flatnonzero(data.terminals), [3, 4, 11])
    assert data.task is None  # OGBench's maze is not D4RL's of a similar name
    assert data.name == f"ogbench:{NAME}"


def test_the_environment_of_the_data_is_that_of_the_package(folder, make_log):
    from smac_jax.sweep.datasets import check_fits, environment_of, references

    write(folder, make_log())
    data = smac_jax.load_dataset(f"ogbench:{NAME}")
    assert environment_of(data, None) == f"ogbench:{NAME}"
    env = smac_jax.make_env(environment_of(data, None))
    check_fits(data, "the environment", env)
    assert (env.episode_length, env.backend) == (1000, "ogbench")
    assert references(data) == {}  # returns are not in the units of evaluations, which are successes
    part = smac_jax.load_dataset(f"part:0.5:ogbench:{NAME}")
    assert environment_of(part, None) == f"ogbench:{NAME}"


def test_an_episode_of_ogbench_is_reproducible_and_its_score_is_its_success(package):
    """The episode is the same without the live environment. The user's own random numbers do not change."""
    env = smac_jax.make_env(f"ogbench:{NAME}", instances=1)
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.random(4)  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    step, key = jax.jit(env.step), jax.random.key(5)
    state = env.reset(key)
    first = [state]
    for t in range(3):
        first.append(step(first[-1], jnp.full(8, 0.3 * t - 0.2)))
    env.reset(jax.random.key(6))  # uses the only environment
    again = step(first[2], jnp.full(8, 0.4))
    np.testing.assert_array_equal(again.obs, first[3].obs)
    np.testing.assert_array_equal(env.reset(key).obs, state.obs)
    np.testing.assert_array_equal(np.random.random(4), expected)  # noqa: NPY002
    assert [float(s.reward) for s in first] == [0, -1, -1, -1]
    assert all(s.metrics["score"] == 0 for s in first)

    state = env.reset(key)
    inner = next(iter(env._instances._live.values()))[0]._env
    inner.unwrapped.set_xy(inner.unwrapped.cur_goal_xy)
    solved = step(state, jnp.zeros(8))
    assert (float(solved.reward), float(solved.done), float(solved.metrics["score"])) == (0, 1, 1)
    assert step(solved, jnp.zeros(8)).metrics["score"] == 0  # steps after the end change nothing


def test_a_file_is_downloaded_from_the_url_of_the_package(folder, monkeypatch):
    asked = []

    def download(url, path, **_):
        asked.append((url, path))
        raise DatasetError("no network")

    monkeypatch.setattr("smac_jax.data.readers.ogbench.download", download)
    with pytest.raises(DatasetError, match="no network"):
        smac_jax.load_dataset(f"ogbench:{NAME}")
    file = "antmaze-medium-navigate-v0.npz"
    assert asked == [(f"https://rail.eecs.berkeley.edu/datasets/ogbench/{file}", folder / file)]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"actions": np.zeros((5, 8))},
            r"actions holds float64 of shape \(5, 8\), expected numbers with 2 axes and 19 rows",
        ),
        ({"actions": np.zeros((19, 3))}, "actions have 3 numbers per row, but the environment antmaze-medium-.* has 8"),
        ({"observations": np.zeros((19, 31))}, "observations have 31 numbers per row, .* has 29"),
        ({"terminals": np.zeros(19, bool)}, "ends inside a trajectory"),
        ({"terminals": np.ones(19, bool)}, "every row is the last of its trajectory"),
        ({"qpos": None}, "no qpos; it has observations"),
        ({"qpos": np.zeros((19, 1), object)}, "is not an .npz file, or is damaged"),
    ],
)
def test_a_file_with_other_sizes_than_the_environment_is_refused(folder, make_log, changes, match):
    write(folder, {key: value for key, value in make_log(**changes).items() if value is not None})
    with pytest.raises(DatasetError, match=match) as error:
        smac_jax.load_dataset(f"ogbench:{NAME}")
    assert "\n" not in str(error.value)


def test_a_damaged_file_of_ogbench_is_refused(folder):
    (folder / "antmaze-medium-navigate-v0.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DatasetError, match=r"navigate-v0\.npz: is not an \.npz file, or is damaged"):
        smac_jax.load_dataset(f"ogbench:{NAME}")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("antmaze-large-navigate-v0", "goal-conditioned.*ogbench:antmaze-large-navigate-singletask-v0"),
        ("antmaze-large-navigate-oraclerep-v0", "goal-conditioned.*ogbench:antmaze-large-navigate-singletask-v0"),
        ("visual-cube-single-play-singletask-v0", "has images as observations"),
        ("powderworld-easy-play-singletask-v0", "has images as observations"),
        ("antmaze", "does not have the form ENVIRONMENT-DATA-singletask-vNUMBER"),
        ("", "does not have the form"),
    ],
)
@pytest.mark.parametrize("make", [smac_jax.make_env, smac_jax.load_dataset])
def test_invalid_names_of_ogbench_are_refused_with_an_alternative(name, match, make):
    with pytest.raises((ConfigError, DatasetError), match=match) as error:
        make(f"ogbench:{name}")
    assert "\n" not in str(error.value)


def test_an_unknown_maze_is_refused(package):
    with pytest.raises(UnknownNameError, match=r"antmaze-gigantic-singletask-v0.*antmaze-giant"):
        smac_jax.make_env("ogbench:antmaze-gigantic-navigate-singletask-v0")
    with pytest.raises(DatasetError, match="OGBench has no environment antmaze-gigantic-singletask-v0"):
        smac_jax.load_dataset("ogbench:antmaze-gigantic-navigate-singletask-v0")


def test_names_of_ogbench_are_parsed_as_by_the_package():
    found = parse_ogbench("cube-double-play-singletask-task3-v0", SmacError)
    assert found[1:] == ("cube-double-singletask-task3-v0", "cube-double-play-v0")
    found = parse_ogbench("humanoidmaze-large-navigate-singletask-v0", SmacError)
    assert found[1:] == ("humanoidmaze-large-singletask-v0", "humanoidmaze-large-navigate-v0")


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    with contextlib.suppress(ImportError):
        import ogbench  # noqa: F401
    monkeypatch.setitem(__import__("sys").modules, "ogbench", None)
    for make, error in ((smac_jax.make_env, ConfigError), (smac_jax.load_dataset, DatasetError)):
        with pytest.raises(error, match=r"pip install 'smac_jax\[ogbench\]'"):
            make(f"ogbench:{NAME}")
