"""D4RL's files of mazes, which are made here as by D4RL's scripts."""

import numpy as np
import pytest
from fake_mazes import ANTMAZE_FILE, GOAL, antmaze_log, write

import smac_jax
from smac_jax.data.readers.d4rl import read_d4rl, write_d4rl
from smac_jax.errors import DatasetError


def qlearning_dataset(log):
    """Returns the same as D4RL's function of this name: each row that is not a time-out, with the row after it."""
    rows = [i for i in range(len(log["rewards"]) - 1) if not log["timeouts"][i]]
    following = [i + 1 for i in rows]
    return {
        "observations": log["observations"][rows],
        "next_observations": log["observations"][following],
        "actions": log["actions"][rows],
        "rewards": log["rewards"][rows],
        "terminals": log["terminals"][rows],
    }


@pytest.mark.parametrize("one_reward", [False, True])
def test_antmaze_has_the_transitions_of_d4rls_function(tmp_path, one_reward):
    log = antmaze_log([40, 60, 50, 45, 30, 70], one_reward=one_reward)
    data = read_d4rl(write(tmp_path / ANTMAZE_FILE, log))
    assert data.task == "antmaze-medium"
    for key, expected in qlearning_dataset(log).items():
        np.testing.assert_array_equal(getattr(data, key), expected, err_msg=key)
    np.testing.assert_array_equal(data.ended, data.terminals)
    assert data.is_sparse
    assert dict(data.metadata)["left_out"].startswith("6 last rows of episodes left out")
    # no next observation is from another episode
    follows = (np.asarray(data.next_observations)[:-1] == np.asarray(data.observations)[1:]).all(1)
    assert (np.asarray(data.terminals + data.timeouts)[:-1][~follows] > 0).all()


def test_the_reward_of_the_next_episodes_start_does_not_belong_to_the_last_row(tmp_path):
    log = antmaze_log([40, 60, 50, 45, 30, 70])
    last = np.cumsum([40, 60, 50])[-1] - 1  # episode 3 begins at the goal, and episode 2 did not end there
    log["observations"][last, :2] = GOAL + 5
    log["observations"][last - 1, :2] = GOAL + 5
    log["rewards"][last - 1], log["terminals"][last - 1] = 0, False
    assert (log["rewards"][last], log["terminals"][last]) == (1, True)
    data = read_d4rl(write(tmp_path / "antmaze-umaze-mine.hdf5", log))
    row = int(np.flatnonzero((np.asarray(data.observations) == log["observations"][last - 1]).all(1))[0])
    assert (data.rewards[row], data.terminals[row], data.timeouts[row]) == (0, 0, 1)
    assert not (np.asarray(data.observations) == log["observations"][last]).all(1).any()


def test_each_row_at_the_goal_ends_a_trajectory_and_a_logged_episode_succeeds_once(tmp_path):
    lengths = [40, 60, 50, 45, 30, 70]
    log = antmaze_log(lengths)
    data = read_d4rl(write(tmp_path / "antmaze-umaze-v2.hdf5", log))
    kept = qlearning_dataset(log)
    assert len(data.episode_returns()) > kept["terminals"].sum() > 20
    np.testing.assert_array_equal(np.unique(data.trajectory_returns), [0, 1])
    episode = np.repeat(np.arange(6), np.array(lengths) - 1)
    succeeded = [kept["rewards"][episode == e].max() for e in range(6)]
    assert 0 < np.mean(succeeded) < 1
    np.testing.assert_array_equal(data.episode_scores(), succeeded)
    assert f"{np.mean(succeeded):.0%} of 6 uninterrupted logs succeed" in data.summary()


def test_ends_with_wrong_marks_are_found(tmp_path):
    """In -v0 ends are found by a change of the goal or a jump of the ant; without goals, by a jump only."""
    lengths = [40, 60, 50, 45, 30, 70]
    log = antmaze_log(lengths, timeouts=False)
    first = np.cumsum(lengths)[:-1]
    # the first episode ends where the second begins, and the third ends where the fourth begins
    log["observations"][: first[0], :2] += (
        log["observations"][first[0], :2] - 0.3 - log["observations"][first[0] - 1, :2]
    )
    for goals in (True, False):
        held = {key: value for key, value in log.items() if goals or key != "infos/goal"}
        data = read_d4rl(write(tmp_path / f"antmaze-umaze-{goals}.hdf5", held))
        steps = np.linalg.norm(np.asarray(data.next_observations - data.observations)[:, :2], axis=1)
        assert steps.max() < 1
        crossing = (np.asarray(data.next_observations) == log["observations"][first[0]]).all(1).any()
        assert crossing == (not goals)
        assert dict(data.metadata)["unmarked_breaks"] == ("5" if goals else "3")


def test_a_data_set_of_a_maze_is_equal_after_writing_and_reading(tmp_path):
    data = read_d4rl(write(tmp_path / "antmaze-umaze-v2.hdf5", antmaze_log([40, 60, 50])))
    write_d4rl(tmp_path / "again.hdf5", data)
    again = read_d4rl(tmp_path / "again.hdf5")
    assert again.task == "antmaze-umaze"
    assert again.fingerprint() == data.fingerprint()


def test_d4rls_file_is_found_by_the_data_sets_name(tmp_path, monkeypatch):
    monkeypatch.setenv("SMAC_JAX_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path))
    write(tmp_path / ANTMAZE_FILE, antmaze_log([40, 60, 50]))
    with pytest.warns(UserWarning, match="this is not D4RL's antmaze-medium-diverse-v2"):
        data = smac_jax.load_dataset("antmaze-medium-diverse-v2")
    assert (data.name, data.task) == ("antmaze-medium-diverse-v2", "antmaze-medium")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"infos/goal": np.zeros((3, 2))}, r"infos/goal has shape \(3, 2\), expected \(100, 2\)"),
        ({"actions": np.zeros((7, 8))}, "actions has 7 rows, rewards has 100"),
        ({"timeouts": np.ones(100, bool)}, "every row is the last of an episode"),
    ],
)
def test_input_that_does_not_fit_causes_a_one_line_message(tmp_path, changes, match):
    path = write(tmp_path / "antmaze-umaze-v2.hdf5", antmaze_log([40, 60]) | changes)
    with pytest.raises(DatasetError, match=match) as error:
        read_d4rl(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("dense", ["", "-dense"])
def test_late_rewards_of_maze2d_are_noted_and_kept(tmp_path, late, dense):
    rng = np.random.default_rng(0)
    places = np.clip(np.cumsum(rng.normal(size=(300, 2)) * 0.2, axis=0) + 1, 0.5, 3)
    distance = np.linalg.norm(places - (1, 1), axis=1)
    rewards = np.exp(-distance) if dense else (distance <= 0.5).astype(np.float32)
    log = {
        "observations": np.concatenate([places, rng.normal(size=(300, 2))], 1).astype(np.float32),
        "actions": rng.uniform(-1, 1, (300, 2)).astype(np.float32),
        "rewards": (rewards if late else np.append(rewards[1:], 0)).astype(np.float32),
        "terminals": np.zeros(300, bool),
        "timeouts": np.arange(300) % 100 == 99,
    }
    data = read_d4rl(write(tmp_path / f"maze2d-umaze{dense}-v1.hdf5", log))
    assert data.task == f"maze2d-umaze{dense}"
    assert ("one step late" in dict(data.metadata).get("rewards_of", "")) == late
    np.testing.assert_array_equal(data.rewards, log["rewards"][~log["timeouts"]])
