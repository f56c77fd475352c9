"""D4RL files: written and read again, public ones, and damaged ones."""

import contextlib
import os
import time
from pathlib import Path

import h5py
import jax
import numpy as np
import pytest
from fake_logs import make_log
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smac_jax.data import load_dataset
from smac_jax.data.dataset import Dataset
from smac_jax.data.readers.d4rl import infer_timeouts, read_d4rl, write_d4rl
from smac_jax.errors import ConfigError, DatasetError, UnknownNameError

DOOR_HUMAN = Path(__file__).parents[4] / "shared" / "data" / "door-human.hdf5"


def write_raw(path, arrays):
    """Writes an HDF5 file with exactly these arrays, without a check."""
    with h5py.File(path, "w") as file:
        for key, value in arrays.items():
            file[key] = value
    return path


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, jax.tree.leaves(a), jax.tree.leaves(b))


# Written and read again


@pytest.mark.parametrize("compression", [0, 9])
def test_a_written_file_is_read_with_the_same_contents(tmp_path, log, compression):
    path = tmp_path / "hopper-mine.hdf5"
    write_d4rl(
        path, log, metadata={"recipe": "by hand: ü", "seed": 3, "task": "walker2d", "note": ""}, compression=compression
    )
    data = read_d4rl(path)
    assert_same(data, Dataset.from_arrays(**log))
    assert (data.name, data.task) == (
        "hopper-mine",
        "walker2d",
    )  # the metadata take precedence over the name of the file
    assert data.metadata == (("note", ""), ("recipe", "by hand: ü"), ("seed", "3"), ("task", "walker2d"))
    again = tmp_path / "hopper-mine-again.hdf5"
    write_d4rl(again, data)
    assert_same(read_d4rl(again), data)
    assert read_d4rl(again).metadata == data.metadata
    assert [p.name for p in tmp_path.iterdir() if p not in (path, again)] == []


def test_the_layout_is_that_of_d4rl(tmp_path, log):
    write_d4rl(tmp_path / "a.hdf5", log, metadata={"algorithm": "SAC"})
    with h5py.File(tmp_path / "a.hdf5") as file:
        assert sorted(file) == sorted([*log, "metadata"])
        assert {key: file[key].dtype for key in log} == {key: np.asarray(value).dtype for key, value in log.items()}
        assert file["metadata/algorithm"][()] == b"SAC"


def test_without_next_observations_the_last_rows_of_cut_episodes_are_dropped(tmp_path, log):
    write_d4rl(tmp_path / "hopper.hdf5", log, next_observations=False)
    log.pop("next_observations")
    data = read_d4rl(tmp_path / "hopper.hdf5")
    assert data.size == 10
    assert_same(data, Dataset.from_arrays(**log))


def test_the_same_arrays_give_the_same_bytes(tmp_path, log):
    write_d4rl(tmp_path / "a.hdf5", log, metadata={"b": 1, "a": "text"})
    time.sleep(1.1)  # HDF5 stores times in whole seconds
    other_order = dict(reversed(log.items()))
    write_d4rl(tmp_path / "b.hdf5", other_order, metadata={"a": "text", "b": 1})
    assert (tmp_path / "a.hdf5").read_bytes() == (tmp_path / "b.hdf5").read_bytes()


def test_a_refused_write_leaves_the_earlier_file(tmp_path, log):
    path = tmp_path / "a.hdf5"
    write_d4rl(path, log)
    before = path.read_bytes()
    with pytest.raises(DatasetError, match=r"a\.hdf5: .*dtype"):
        write_d4rl(path, log, metadata={"x": object()})
    with pytest.raises(DatasetError, match="rewards"):
        write_d4rl(path, log | {"rewards": np.full(12, np.nan)})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_arrays_outside_d4rls_layout_are_not_written(tmp_path, log):
    with pytest.raises(DatasetError, match=r"expected the arrays observations.*got .*qpos"):
        write_d4rl(tmp_path / "a.hdf5", log | {"qpos": np.zeros(12)})
    with pytest.raises(DatasetError, match="expected the arrays"):
        write_d4rl(tmp_path / "a.hdf5", {"rewards": np.zeros(12)})
    with pytest.raises(DatasetError, match=r"outside \[-1, 1\]"):
        write_d4rl(tmp_path / "a.hdf5", log | {"actions": log["actions"] * 3})
    with pytest.raises(DatasetError, match="nowhere does not exist"):
        write_d4rl(tmp_path / "nowhere" / "a.hdf5", log)
    with pytest.raises(ConfigError, match=r"compression = 10.*\[0, 9\]"):
        write_d4rl(tmp_path / "a.hdf5", log, compression=10)


def test_infos_are_written_in_their_precision_and_not_read(log, tmp_path):
    qpos = np.random.default_rng(0).normal(size=(12, 6))
    write_d4rl(tmp_path / "a.hdf5", log)
    size = read_d4rl(tmp_path / "a.hdf5").size
    write_d4rl(tmp_path / "a.hdf5", log, infos={"qpos": qpos, "checkpoint": np.arange(12, dtype=np.int32)})
    with h5py.File(tmp_path / "a.hdf5") as file:
        np.testing.assert_array_equal(file["infos/qpos"], qpos)
        assert file["infos/checkpoint"].dtype == np.int32
    assert read_d4rl(tmp_path / "a.hdf5").size == size
    with pytest.raises(DatasetError, match=r"infos/qpos has shape \(11, 6\), rewards has 12 rows"):
        write_d4rl(tmp_path / "a.hdf5", log, infos={"qpos": qpos[1:]})
    with pytest.raises(DatasetError, match="infos/name holds <U1, expected numbers"):
        write_d4rl(tmp_path / "a.hdf5", log, infos={"name": np.array(["a"] * 12)})
    with pytest.raises(DatasetError, match="infos/x holds 12 numbers that are not finite"):
        write_d4rl(tmp_path / "a.hdf5", log, infos={"x": np.full(12, np.nan)})


@pytest.mark.parametrize("where", ["create_dataset", "replace"])
def test_a_write_that_fails_halfway_leaves_the_earlier_file(tmp_path, log, monkeypatch, where):
    path = tmp_path / "a.hdf5"
    write_d4rl(path, log)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(h5py.File if where == "create_dataset" else os, where, fail)
    with pytest.raises(OSError, match="No space left"):
        write_d4rl(path, log | {"rewards": np.ones(12)})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_data_set_with_dropped_rows_keeps_its_returns_when_written_and_read(tmp_path):
    log = make_log([4, 3, 5], ["timeout", "terminal", "cut"])
    data = Dataset.from_arrays(**log)
    returns = [part.sum(dtype=np.float64) for part in np.split(log["rewards"], [4, 7])]
    for name, how in {"a": {}, "b": {"next_observations": False}}.items():
        path = tmp_path / f"hopper-{name}.hdf5"
        write_d4rl(path, data, **how)
        data = read_d4rl(path)
        np.testing.assert_allclose(data.episode_returns(), returns, rtol=1e-6)
        np.testing.assert_allclose(
            np.unique(data.conditions), np.unique((returns - min(returns)) / np.ptp(returns)), atol=1e-6
        )
    # two more rows were dropped from the second file, and the summary says so
    assert (data.size, dict(data.metadata)["dropped_rows"]) == (8, "4")
    assert data.summary().endswith(
        "dropped rows, which have no next observation (their rewards count in the returns): 4"
    )


def test_breaks_are_marked_when_next_observations_are_not_written(tmp_path):
    log = make_log([4, 3, 5], ["cut", "terminal", "cut"], next_observations=True)
    write_d4rl(tmp_path / "hopper.hdf5", log, next_observations=False)
    data = read_d4rl(tmp_path / "hopper.hdf5")
    np.testing.assert_array_equal(np.flatnonzero(data.timeouts), [2, 9])
    np.testing.assert_allclose(
        data.episode_returns(), [log["rewards"][a:b].sum() for a, b in [(0, 4), (4, 7), (7, 12)]]
    )


@pytest.mark.parametrize("missing", [["timeouts"], ["terminals"], ["terminals", "timeouts"]])
def test_a_file_without_flags_is_split_at_its_breaks(tmp_path, missing):
    log = make_log([4, 3, 5], ["timeout", "terminal", "cut"], next_observations=True)
    for key in missing:
        del log[key]
    data = read_d4rl(write_raw(tmp_path / "mine.hdf5", log))
    np.testing.assert_array_equal(np.flatnonzero(data.terminals + data.timeouts), [3, 6, 11])
    np.testing.assert_array_equal(np.flatnonzero(data.terminals), [] if "terminals" in missing else [6])
    assert ("the file has no terminals" in data.summary()) == ("terminals" in missing)
    del log["next_observations"]
    with pytest.raises(DatasetError, match=r"has no '(terminals|timeouts)'"):
        read_d4rl(write_raw(tmp_path / "less.hdf5", log))


def test_unmarked_breaks_also_end_demonstrations_of_binary_tasks(tmp_path):
    """Each demonstration is cut after its own last success, although the file joins two of them."""
    log = make_log([4, 3], ["cut", "cut"], next_observations=True)
    wide = {key: np.tile(log[key], (1, 23))[:, :45] for key in ("observations", "next_observations")}
    log |= wide | {"rewards": np.array([-1.0, 0.0, -1.0, -1.0, -1.0, 0.0, -1.0])}
    data = read_d4rl(write_raw(tmp_path / "pen-binary.hdf5", log))
    np.testing.assert_array_equal(data.rewards, [-1, 0, -1, 0])
    np.testing.assert_array_equal(data.terminals, [0, 1, 0, 1])
    assert dict(data.metadata)["unmarked_breaks"] == "1"


# Variants of the layout


def test_float64_columns_and_infos_are_read_as_float32(tmp_path, log):
    wide = {key: value.astype(np.float64) for key, value in log.items() if value.dtype != bool}
    flags = {key: log[key].astype(np.uint8)[:, None] for key in ("terminals", "timeouts")}
    infos = {"infos/qpos": np.zeros((12, 6)), "metadata/policy/fc0/weight": np.ones((4, 2)), "metadata/iteration": 7}
    infos["metadata/algorithm"] = "SAC"  # of variable length
    data = read_d4rl(write_raw(tmp_path / "hopper_medium_replay-v2.hdf5", wide | flags | infos))
    assert_same(data, Dataset.from_arrays(**log))
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(data))
    assert (data.task, data.metadata) == ("hopper", (("algorithm", "SAC"), ("iteration", "7")))


def test_timeouts_are_inferred_if_a_file_has_none(tmp_path, log):
    log["terminals"][:] = False
    log["terminals"][5] = True
    del log["timeouts"]
    path = write_raw(tmp_path / "whole.hdf5", log)
    # next observations show the breaks after rows 3 and 6; row 10, cut by the limit, has the next row's observation
    np.testing.assert_array_equal(np.flatnonzero(read_d4rl(path, max_episode_steps=4).timeouts), [3, 6, 9, 10])
    np.testing.assert_array_equal(np.flatnonzero(read_d4rl(path, task="hopper").timeouts), [3, 6, 11])
    np.testing.assert_array_equal(np.flatnonzero(read_d4rl(path).timeouts), [3, 6, 11])
    assert "breaks of the log that are not marked as ends: 2" in read_d4rl(path).summary()
    del log["next_observations"]
    path = write_raw(tmp_path / "mine.hdf5", log)
    for limit, last in {4: [2, 7, 8], 1000: [10]}.items():  # the last rows of cut episodes are dropped
        np.testing.assert_array_equal(np.flatnonzero(read_d4rl(path, max_episode_steps=limit).timeouts), last)
    with pytest.raises(DatasetError, match=r"mine\.hdf5: the file has no 'timeouts'.*max_episode_steps"):
        read_d4rl(path)
    with pytest.raises(ConfigError, match="max_episode_steps = 0"):
        read_d4rl(path, max_episode_steps=0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 6))
def test_inferred_timeouts_equal_counting(terminals, limit):
    wanted, length = [], 0
    for terminal in terminals:
        length += 1
        wanted.append(not terminal and length == limit)
        if terminal or length == limit:
            length = 0
    np.testing.assert_array_equal(infer_timeouts(np.array(terminals), limit), wanted)


def test_the_task_comes_from_argument_metadata_or_name(tmp_path, log):
    write_d4rl(tmp_path / "walker2d_medium-v2.hdf5", log)
    assert load_dataset(tmp_path / "walker2d_medium-v2.hdf5").task == "walker2d"
    assert read_d4rl(tmp_path / "walker2d_medium-v2.hdf5", task="hopper").task == "hopper"
    with pytest.raises(UnknownNameError, match="hoper"):
        read_d4rl(tmp_path / "walker2d_medium-v2.hdf5", task="hoper")
    with pytest.raises(UnknownNameError, match="hoper"):  # and not the error about missing timeouts
        read_d4rl(write_raw(tmp_path / "v0.hdf5", without("timeouts")(log)), task="hoper")
    write_d4rl(
        tmp_path / "ant.hdf5", log, metadata={"task": "brax:ant"}
    )  # not the task that the name of the file suggests
    assert read_d4rl(tmp_path / "ant.hdf5").task is None
    write_d4rl(tmp_path / "mine.hdf5", log)
    assert read_d4rl(tmp_path / "mine.hdf5").task is None


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("hopper_medium_replay-v2.hdf5", "hopper"),
        ("halfcheetah-medium-v2.hdf5", "halfcheetah"),
        ("halfcheetah_full_replay-v2.hdf5", "halfcheetah"),
        ("ant_expert.hdf5", "ant"),
        ("door-human.hdf5", "door"),
        ("kappa-0.5.hdf5", None),
    ],
)
def test_the_task_follows_from_d4rls_file_names(tmp_path, log, name, task):
    data = read_d4rl(write_raw(tmp_path / name, log))
    assert (data.task, data.name) == (task, name.removesuffix(".hdf5"))


@pytest.mark.skipif(not DOOR_HUMAN.exists(), reason="shared/data/door-human.hdf5 is not beside this checkout")
@pytest.mark.filterwarnings("ignore:.*not D4RL's")  # the file is a repacked copy
def test_the_metadata_say_if_a_binary_data_set_holds_human_demonstrations_only(tmp_path, monkeypatch):
    monkeypatch.setenv("SMAC_JAX_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "door-human-v1.hdf5").write_bytes(DOOR_HUMAN.read_bytes())
    notes = dict(load_dataset("door-binary-v0").metadata)
    assert "the human demonstrations alone" in notes["alone"]
    assert "alone" not in dict(load_dataset("door-human-v1").metadata)


@pytest.mark.skipif(not DOOR_HUMAN.exists(), reason="shared/data/door-human.hdf5 is not beside this checkout")
def test_door_human_is_read_row_by_row():
    """It has 25 demonstrations that end with time-outs, no next observations, and actions outside [-1, 1]."""
    data = load_dataset(str(DOOR_HUMAN))
    with h5py.File(DOOR_HUMAN) as file:
        raw = {key: file[key][()] for key in ("observations", "actions", "rewards", "timeouts")}
        assert "next_observations" not in file
    last = np.flatnonzero(raw["timeouts"])
    kept = np.setdiff1d(np.arange(6729), last)
    assert (len(last), data.size, data.task) == (25, 6729 - 25, "door")
    np.testing.assert_array_equal(data.observations, raw["observations"][kept])
    np.testing.assert_array_equal(data.next_observations, raw["observations"][kept + 1])
    np.testing.assert_array_equal(data.actions, np.clip(raw["actions"][kept], -1, 1))
    assert float(data.terminals.sum()) == 0.0
    assert float(data.timeouts.sum()) == 25.0
    returns = [part.sum(dtype=np.float64) for part in np.split(raw["rewards"], last[:-1] + 1)]
    np.testing.assert_allclose(data.episode_returns(), returns, rtol=1e-6)
    assert (float(data.conditions.min()), float(data.conditions.max())) == (0.0, 1.0)
    assert dict(data.metadata)["clipped_actions"] == "10594 of 188412 numbers, range [-1.27875, 1.36619]"
    with pytest.raises(DatasetError, match=r"actions are outside \[-1, 1\] in 10594 of 188412"):
        read_d4rl(DOOR_HUMAN, clip_actions=False)


# Damaged files


@pytest.mark.parametrize("how", ["link", "external", "virtual"])
def test_arrays_stored_in_another_file_are_not_read(tmp_path, log, how):
    secret, path = tmp_path / "secret", tmp_path / "hopper.hdf5"
    write_d4rl(path, log)
    write_d4rl(secret, log)
    shape = np.asarray(log["rewards"]).shape
    with h5py.File(path, "r+") as file:
        del file["rewards"]
        if how == "link":
            file["rewards"] = h5py.ExternalLink(str(secret), "rewards")
        elif how == "external":
            file.create_dataset("rewards", shape, np.float32, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
        else:
            layout = h5py.VirtualLayout(shape, np.float32)
            layout[:] = h5py.VirtualSource(str(secret), "rewards", shape)
            file.create_virtual_dataset("rewards", layout)
    with pytest.raises(DatasetError, match=r"hopper\.hdf5: 'rewards' is (a link to another|stored in other) file"):
        read_d4rl(path)


def without(key):
    return lambda log: {k: v for k, v in log.items() if k != key}


def row(key, index, value):
    def change(log):
        array = log[key].astype(np.float64)
        array[index] = value
        return log | {key: array}

    return change


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            without("rewards"),
            "has no 'rewards'. D4RL files have .* this one has actions, next_observations, observations",
        ),
        (
            lambda log: {"data": np.zeros(3)},
            "has no 'observations', 'actions', 'rewards', 'terminals'.* this one has data",
        ),
        (lambda log: {}, "this one has nothing"),
        (row("rewards", 3, np.nan), "rewards is NaN or infinite .* 1 of 12 rows, first in row 3"),
        (row("actions", 2, 7.0), r"actions are outside \[-1, 1\] in 3 of 36 numbers, range \[.*, 7\], first in row 2"),
        (row("terminals", 1, 2), "terminals is 2 in row 1, expected true or false"),
        (lambda log: log | {"rewards": log["rewards"][:-1]}, "rows, rewards has 11"),
        (
            lambda log: log | {"observations": np.zeros(12)},
            r"observations has shape \[12\], expected \[rows, numbers\]",
        ),
        (lambda log: {k: v[:0] for k, v in log.items()}, "empty .rewards has 0 rows."),
        (lambda log: log | {"rewards": ["text"] * 12}, "rewards holds object .*, expected numbers. It was not read"),
        (lambda log: log | {"rewards": h5py.Empty("f")}, "rewards holds float32 of shape None"),
        (lambda log: without("actions")(log) | {"actions/x": np.zeros(2)}, "'actions' is a group, expected an array"),
        (lambda log: log | {"metadata/author": np.bytes_(b"\xff\xfe\xfa")}, "metadata/author is not UTF-8 text"),
        (
            lambda log: log | {"metadata/blob": np.void(b"\x80\x04K\x01.")},
            "metadata/blob holds .V5, which is neither text nor",
        ),
    ],
)
def test_the_error_about_a_damaged_file_names_file_and_array(tmp_path, log, damage, words):
    path = write_raw(tmp_path / "hopper.hdf5", damage(log))
    with pytest.raises(DatasetError, match=rf"^{path}:? ?.*{words}"):
        read_d4rl(path)


def test_files_that_are_not_hdf5_are_refused(tmp_path, log):
    with pytest.raises(DatasetError, match="does not exist"):
        read_d4rl(tmp_path / "absent.hdf5")
    with pytest.raises(DatasetError, match="is a folder"):
        read_d4rl(tmp_path)
    for content in (b"", b"obs,act\n1,2\n"):
        (tmp_path / "text.hdf5").write_bytes(content)
        with pytest.raises(DatasetError, match=rf"text\.hdf5 is not an HDF5 file \({len(content)} bytes"):
            read_d4rl(tmp_path / "text.hdf5")
    write_d4rl(tmp_path / "whole.hdf5", log)
    content = (tmp_path / "whole.hdf5").read_bytes()
    for length in (600, len(content) // 2, len(content) - 1):
        (tmp_path / "part.hdf5").write_bytes(content[:length])
        with pytest.raises(DatasetError, match=r"part\.hdf5 is truncated or damaged; download or make it again"):
            read_d4rl(tmp_path / "part.hdf5")


def test_an_array_larger_than_the_memory_is_refused(tmp_path, log):
    path = write_raw(tmp_path / "hopper.hdf5", without("rewards")(log))
    with h5py.File(path, "a") as file:
        file.create_dataset("rewards", shape=(2**60,), chunks=(1024,), dtype="f4")
    with pytest.raises(DatasetError, match="damaged"):
        read_d4rl(path)


@pytest.fixture(scope="module")
def fuzz_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    write_d4rl(folder / "hopper.hdf5", make_log([4, 3], ["terminal", "timeout"], True), metadata={"task": "hopper"})
    return folder


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4))
def test_overwritten_bytes_raise_no_other_error(fuzz_folder, changes):
    content = bytearray((fuzz_folder / "hopper.hdf5").read_bytes())
    for place, value in changes:
        content[int(place * len(content))] = value
    (fuzz_folder / "changed.hdf5").write_bytes(content)
    with contextlib.suppress(DatasetError):
        read_d4rl(fuzz_folder / "changed.hdf5", task="hopper")
