"""Binary rewards for demonstrations with dense rewards: which steps succeed, and where trajectories are cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smac_jax.data.dataset import Dataset
from smac_jax.data.readers.binary import succeeds, to_binary
from smac_jax.data.readers.d4rl import read_d4rl, write_d4rl
from smac_jax.errors import DatasetError, UnknownNameError


def door(angles):
    """Observations of the door with its hinge at the given angles."""
    observations = np.zeros((len(angles), 39), np.float32)
    observations[:, 28] = angles
    return observations


def arrays_of(episodes):
    """Columns of episodes that are given as lists of hinge angles, without next observations."""
    angles = np.concatenate(episodes)
    ends = np.cumsum([len(e) for e in episodes]) - 1
    n = len(angles)
    return {
        "observations": door(angles),
        "actions": np.arange(n * 28).reshape(n, 28) / (n * 28),
        "rewards": np.full(n, 0.7),
        "terminals": np.zeros(n, bool),
        "timeouts": np.isin(np.arange(n), ends),
    }


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=2, max_size=8), min_size=1, max_size=5))
def test_trajectories_are_cut_after_their_last_success(opens):
    binary = to_binary("door-binary", arrays_of([np.where(o, 1.4, 0.1) for o in opens]))
    rewards, terminals, timeouts = [], [], []
    for o in opens:
        success = o[1:]  # of the steps whose next state is known
        if any(success):
            length = max(i for i, s in enumerate(success) if s) + 1
            rewards += [float(s) - 1 for s in success[:length]]
            terminals += [False] * (length - 1) + [True]
            timeouts += [False] * length
        else:
            rewards += [-1.0] * len(o)
            terminals += [False] * len(o)
            timeouts += [False] * (len(o) - 1) + [True]
    assert binary["rewards"].tolist() == rewards
    assert binary["terminals"].tolist() == terminals
    assert binary["timeouts"].tolist() == timeouts
    assert len(binary["observations"]) == len(binary["actions"]) == len(rewards)


def test_the_last_step_can_succeed_with_next_observations():
    arrays = arrays_of([[0.0, 0.5, 1.0]])
    binary = to_binary("door-binary", arrays | {"next_observations": door([0.5, 1.0, 1.4])})
    assert binary["rewards"].tolist() == [-1, -1, 0]
    assert binary["terminals"].tolist() == [False, False, True]


def test_a_file_is_read_as_the_binary_task_by_its_name(tmp_path):
    path = tmp_path / "door-binary-human-v0.hdf5"
    write_d4rl(path, arrays_of([[0.0, 1.4, 1.4, 0.2], [0.0, 0.1, 0.2]]))
    data = read_d4rl(path)
    assert data.task == "door-binary"
    assert np.asarray(data.rewards).tolist() == [0, 0, -1, -1]
    assert np.asarray(data.terminals).tolist() == [0, 1, 0, 0]
    again = tmp_path / "door-binary-again.hdf5"
    write_d4rl(again, data)
    assert np.asarray(read_d4rl(again).rewards).tolist() == [0, 0, -1, -1]  # binary already
    dense = tmp_path / "door-human-v0.hdf5"
    write_d4rl(dense, arrays_of([[0.0, 1.4, 1.4, 0.2]]))
    assert np.asarray(read_d4rl(dense).rewards).tolist() == pytest.approx([0.7] * 3)


def test_success_is_read_from_observations_of_the_other_tasks():
    pen = np.zeros((4, 45))
    pen[:, 33:36] = pen[:, 36:39] = (0, 0, 1)
    pen[1, 39] = 0.08  # the position is too far away
    pen[2, 33:36] = (0.4, 0, 0.9165)  # the direction is wrong
    pen[3, 33:36] = (0.3, 0, 0.954)
    assert succeeds("pen-binary", pen).tolist() == [True, False, False, True]
    relocate = np.zeros((2, 39))
    relocate[1, 36:39] = 0.06
    assert succeeds("relocate-binary", relocate).tolist() == [True, False]
    hammer = np.zeros((2, 46))
    hammer[1, 26] = 0.085
    assert succeeds("hammer-binary", hammer).tolist() == [False, True]


def test_other_tasks_and_sizes_are_refused():
    with pytest.raises(DatasetError, match="39 numbers"):
        succeeds("door-binary", np.zeros((3, 45)))
    with pytest.raises(UnknownNameError, match="pen-binary"):
        succeeds("kitchen", np.zeros((3, 60)))


def test_the_return_of_a_kitchen_trajectory_is_its_largest_number_of_completed_subtasks():
    data = Dataset.from_arrays(
        np.zeros((6, 60)), np.zeros((6, 9)), [0, 1, 2, 0, 1, 0], [0, 0, 1, 0, 0, 1], task="kitchen-partial"
    )
    assert np.asarray(data.trajectory_returns).tolist() == [2, 2, 2, 1, 1, 1]
    assert np.asarray(data.conditions).tolist() == [1, 1, 1, 0, 0, 0]
