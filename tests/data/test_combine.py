"""Several data sets combined into one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from smac_jax.data import load_dataset
from smac_jax.data.combine import concatenate
from smac_jax.data.dataset import Dataset
from smac_jax.data.readers.d4rl import write_d4rl
from smac_jax.errors import DatasetError, UnknownNameError

COLUMNS = ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts")
RNG = np.random.default_rng(0)


def door(*episodes, name="mine", task="door", **kw):
    """Demonstrations of the door, given as lists of hinge angles. The last angle is the one after the last step."""
    angles = [np.array(angles, np.float32) for angles in episodes]
    before, after = (np.concatenate([a[cut] for a in angles]) for cut in (slice(None, -1), slice(1, None)))
    rows = RNG.normal(size=(2, len(before), 39)).astype(np.float32)
    rows[0, :, 28], rows[1, :, 28] = before, after
    ends = np.cumsum([len(a) - 1 for a in angles]) - 1
    return Dataset.from_arrays(
        rows[0],
        RNG.uniform(-1, 1, (len(before), 28)),
        kw.pop("rewards", RNG.normal(size=len(before))),
        np.zeros(len(before)),
        np.isin(np.arange(len(before)), ends),
        rows[1],
        name=name,
        task=task,
        **kw,
    )


def assert_equal_columns(one, other):
    for key in (*COLUMNS, "conditions", "trajectory_returns"):
        np.testing.assert_array_equal(getattr(one, key), getattr(other, key), err_msg=key)


def test_dense_demonstrations_become_binary_and_are_cut():
    people = door([0, 1.4, 1.5, 0.2], [0, 0.1, 0.2], name="people")
    clones = door([0, 0.5, 1.4], name="clones")
    whole, parts = concatenate([people, clones], "door-binary", "door-binary")
    assert (whole.name, whole.task) == ("door-binary", "door-binary")
    np.testing.assert_array_equal(whole.rewards, [0, 0, -1, -1, -1, 0])
    np.testing.assert_array_equal(whole.terminals, [0, 1, 0, 0, 0, 1])
    np.testing.assert_array_equal(whole.timeouts, [0, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(whole.trajectory_returns, [0, 0, -2, -2, -1, -1])
    np.testing.assert_array_equal(whole.conditions, [1, 1, 0, 0, 0.5, 0.5])
    np.testing.assert_array_equal(whole.observations[:2], people.observations[:2])
    np.testing.assert_array_equal(whole.next_observations[4:], clones.next_observations)
    assert [(p.rows, p.episodes, p.successes, p.left_out, p.mean_return) for p in parts] == [
        (4, 2, 1, 0, -1.0),
        (2, 1, 1, 0, -1.0),
    ]


def test_failures_can_be_left_out():
    people = door([0, 1.4], [0, 0.1, 0.2], name="people")
    whole, (part,) = concatenate([people], "door-binary", "door-binary", failures=False)
    assert (whole.size, part.episodes, part.left_out) == (1, 1, 1)
    assert dict(whole.metadata)["part_1"].startswith(
        "people: 1 rows, 1 episodes, 1 successes, 1 episodes without success left out; fingerprint "
    )
    lost = door([0, 0.1], name="lost")
    with pytest.raises(DatasetError, match="whole: no episode of lost, lost succeeds, so nothing is left"):
        concatenate([lost, lost], "whole", "door-binary", failures=False)


def test_parts_with_binary_rewards_are_cut_without_looking_at_their_observations():
    binary = door([0, 0, 0, 0], task="door-binary", rewards=[-1, 0, -1])
    dense = door([0, 1.4])
    whole, parts = concatenate([binary, dense], "door-binary")
    np.testing.assert_array_equal(whole.rewards, [-1, 0, 0])
    assert [part.successes for part in parts] == [1, 1]


def test_a_terminal_without_a_next_observation_is_no_success():
    """The row's own observation is repeated as its next observation, and may show a success."""
    rows = np.zeros((2, 39), np.float32)
    rows[:, 28] = 1.4
    data = Dataset.from_arrays(rows, rows[:, :28] * 0, [1.0, 2.0], [0, 1], name="mine", task="door")
    whole, _ = concatenate([data], "door-binary", "door-binary")
    np.testing.assert_array_equal(whole.rewards, [0])


@pytest.mark.parametrize("name", ["door-binary", "anything"])
@pytest.mark.parametrize("failures", [True, False])
def test_a_written_combination_is_read_as_the_binary_task(tmp_path, name, failures):
    parts = [door([0, 1.4, 1.4, 0.2], [0, 0.1]), door([0, 0.5, 1.4], [0, 0.2, 0.1])]
    whole, _ = concatenate(parts, name, "door-binary", failures=failures)
    write_d4rl(tmp_path / f"{name}.hdf5", whole)
    again = load_dataset(tmp_path / f"{name}.hdf5")
    assert (again.name, again.task) == (name, "door-binary")
    assert_equal_columns(again, whole)
    assert dict(whole.metadata).items() <= dict(again.metadata).items()
    once_more, _ = concatenate([again], name)
    assert_equal_columns(once_more, whole)


def test_reading_a_file_as_binary_and_converting_its_dense_rows_are_the_same(tmp_path):
    """The file is read with and without logged next observations."""
    log = door([0, 1.4, 1.4, 0.2], [0, 0.1, 0.3], [0, 0.5, 1.0, 1.4, 1.5])
    columns = {key: np.asarray(getattr(log, key)) for key in COLUMNS}
    for keep in (True, False):
        for name in ("door-mine", "door-binary-mine"):
            write_d4rl(tmp_path / f"{name}.hdf5", columns, next_observations=keep)
        dense, binary = (load_dataset(tmp_path / f"{name}.hdf5") for name in ("door-mine", "door-binary-mine"))
        whole, _ = concatenate([dense], "whole", "door-binary")
        for key in ("observations", "actions", "rewards", "terminals", "timeouts"):
            np.testing.assert_array_equal(getattr(whole, key), getattr(binary, key), err_msg=key)
        if keep:  # otherwise only one of them has a next observation at a success, where nothing is bootstrapped
            assert_equal_columns(whole, binary)


def test_files_of_awac_and_d4rl_together(tmp_path):
    """Failures are left out of AWAC's files, as in Cal-QL's code, and are kept in D4RL's."""
    held = np.empty(2, object)
    for i, rewards in enumerate(([-1, 0, -1], [-1, -1, -1])):
        rows = RNG.normal(size=(4, 39)).astype(np.float32)
        held[i] = {
            "observations": rows[:-1], "next_observations": rows[1:], "rewards": np.float64(rewards),
            "actions": RNG.uniform(-1, 1, (3, 28)), "terminals": np.zeros(3),
        }  # fmt: skip
    np.save(tmp_path / "door2_sparse.npy", held, allow_pickle=True)
    awac = load_dataset(tmp_path / "door2_sparse.npy")
    whole, parts = concatenate([awac, door([0, 0.1], name="d4rl")], "door-binary")
    assert [(p.rows, p.episodes, p.successes) for p in parts] == [(2, 1, 1), (1, 1, 0)]
    np.testing.assert_array_equal(whole.rewards, [-1, 0, -1])
    assert "without_success: 1 of 2 episodes without success left out" in dict(whole.metadata)["part_1"]


def test_data_sets_with_dense_rewards_are_joined_unchanged(data):
    other = data.replace(name="other")
    whole, parts = concatenate([data, other], "both")
    assert (whole.task, whole.size) == ("hopper", 1000)
    np.testing.assert_array_equal(whole.rewards, np.tile(data.rewards, 2))
    np.testing.assert_array_equal(whole.terminals, np.tile(data.terminals, 2))
    np.testing.assert_allclose(whole.conditions, np.tile(data.conditions, 2), rtol=1e-6)
    assert [part.successes for part in parts] == [None, None]
    assert [part.episodes for part in parts] == [10, 10]


def test_episodes_of_dense_parts_that_succeed_are_counted():
    whole, (part,) = concatenate([door([0, 1.4, 0.1], [0, 0.1])], "both")
    assert whole.task == "door"
    assert (part.episodes, part.successes, part.left_out) == (2, 1, 0)


def sized(name, observations, actions, task=None):
    return Dataset.from_arrays(
        np.ones((3, observations)), np.zeros((3, actions)), np.ones(3), [0, 0, 1], name=name, task=task
    )


@pytest.mark.parametrize(
    ("parts", "task", "match"),
    [
        ([], None, "whole: there are no data sets to combine"),
        (
            [("a", 27, 8), ("b", 111, 8)],
            "ant",
            "^a has 27 observations per row and b has 111, so they cannot be combined",
        ),
        ([("a", 39, 28), ("b", 39, 30)], None, "^a has 28 actions per row and b has 30"),
        (
            [("a", 39, 28, "door"), ("b", 39, 30, "relocate")],
            None,
            "^a is of door and b is of relocate; all parts must",
        ),
        ([("a", 39, 28, "door")], "pen-binary", "^a is of door, but all parts must be of pen-binary"),
        ([("a", 39, 28)], "pen-binary", "^a: observations of pen have 45 numbers"),
    ],
)
def test_errors_about_parts_that_do_not_fit_name_both_parts(parts, task, match):
    with pytest.raises(DatasetError, match=match):
        concatenate([sized(*part) for part in parts], "whole", task)


def test_errors_about_binary_parts_and_unknown_tasks_name_them():
    binary = door([0, 0, 0], task="door-binary", rewards=[-1, 0], name="b")
    with pytest.raises(
        DatasetError, match="b has the binary rewards of door-binary; it does not contain the dense rewards of door"
    ):
        concatenate([door([0, 0.1]), binary], "whole", "door")
    with pytest.raises(UnknownNameError, match="pan-binary"):
        concatenate([binary], "whole", "pan-binary")


# With public data, if they are beside the checkout.

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
HANDS = {
    "door": (("door-human.hdf5", 25, 7), ("adroit/door-dope-mix.hdf5", 50, 35)),
    "pen": (("adroit/pen-dope-mix.hdf5", 100, 56),),
    "relocate": (("adroit/relocate-human-replayed.hdf5", 24, 24), ("adroit/relocate-dope-mix.hdf5", 60, 22)),
}


@pytest.mark.parametrize("hand", HANDS)
def test_demonstrations_and_rollouts_of_the_hand(hand, tmp_path):
    """Rollouts of mediocre policies succeed in 37 to 70 of 100 episodes, human demonstrations of relocate always."""
    files = HANDS[hand]
    if not all((REAL / file).is_file() for file, _, _ in files):
        pytest.skip(f"no files in {REAL}")
    whole, parts = concatenate([load_dataset(REAL / file) for file, _, _ in files], f"{hand}-binary", f"{hand}-binary")
    assert [(part.episodes, part.successes) for part in parts] == [tuple(counts) for _, *counts in files]
    rollouts = parts[-1]
    assert 0.36 < rollouts.successes / rollouts.episodes < 0.71
    path = tmp_path / f"{hand}-binary.hdf5"
    write_d4rl(path, whole)
    again = load_dataset(path)
    assert again.task == f"{hand}-binary"
    assert_equal_columns(again, whole)
    ends = np.asarray(again.terminals + again.timeouts) > 0.5
    assert np.asarray(again.rewards)[np.asarray(again.terminals) > 0.5].max() == 0.0
    assert ends.sum() == sum(part.episodes for part in parts)


def test_dropped_rows_of_the_parts_count_in_the_combined_returns():
    rows = {"observations": np.arange(14.0).reshape(7, 2), "actions": np.zeros((7, 1)), "rewards": np.arange(7.0)}
    cut = Dataset.from_arrays(**rows, terminals=np.zeros(7), timeouts=np.arange(7) == 2, name="cut")
    kept = Dataset.from_arrays(
        **rows, terminals=np.arange(7) == 6, next_observations=rows["observations"] + 2.0, name="kept"
    )
    whole, _ = concatenate([cut, kept], "whole")
    np.testing.assert_array_equal(whole.episode_returns(), [0 + 1 + 2, 3 + 4 + 5 + 6, 21])
    assert whole.size == 2 + 3 + 7
    assert "dropped rows, which have no next observation (their rewards count in the returns): 2" in whole.summary()
    again, _ = concatenate([whole], "again")
    assert_equal_columns(again, whole)


def test_a_failed_episode_whose_last_row_was_dropped_keeps_its_return(tmp_path):
    people = door([0, 1.4, 0.2], [0, 0.1, 0.2, 0.3], task="door-binary", rewards=np.array([0.0, -1, -1, -1, -1]))
    columns = {key: np.asarray(getattr(people, key)) for key in COLUMNS if key != "next_observations"}
    data = Dataset.from_arrays(**columns, task="door-binary", name="people")
    np.testing.assert_array_equal(data.episode_returns(), [-1, -3])
    whole, _ = concatenate([data], "door-binary", "door-binary")
    np.testing.assert_array_equal(whole.episode_returns(), [0, -3])
    write_d4rl(tmp_path / "door-binary.hdf5", whole)
    assert_equal_columns(load_dataset(tmp_path / "door-binary.hdf5"), whole)
