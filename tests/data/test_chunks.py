"""Chunks of actions of logged data, against the masks of the published code written a second time."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import smac_jax
from smac_jax.data.chunks import in_chunks
from smac_jax.errors import ConfigError, DatasetError

DISCOUNT = 0.9


def logged(lengths, terminated, seed=0):
    """Episodes of random walks; of those that did not terminate the last transition bootstraps."""
    rng = np.random.default_rng(seed)
    columns = {"observations": [], "next_observations": [], "actions": [], "rewards": [], "terminals": []}
    ends = []
    for length, ended in zip(lengths, terminated, strict=True):
        walk = rng.normal(size=(length + 1, 2))
        columns["observations"].append(walk[:-1])
        columns["next_observations"].append(walk[1:])
        columns["actions"].append(rng.uniform(-1, 1, (length, 3)))
        columns["rewards"].append(rng.normal(size=length))
        last = np.arange(length) == length - 1
        columns["terminals"].append(last & ended)
        ends.append(last)
    arrays = {name: np.concatenate(parts) for name, parts in columns.items()}
    timeouts = np.concatenate(ends) & ~arrays["terminals"]
    return smac_jax.Dataset.from_arrays(**arrays, timeouts=timeouts, task="hopper", name="walks")


def published_chunks(data, length):
    """``{first row: (actions, reward, next observation, terminal)}`` of the valid chunks of the code."""
    rewards, ended = np.asarray(data.rewards, float), np.asarray(data.terminals)
    done = np.maximum(ended, np.asarray(data.timeouts))
    found = {}
    for row in range(data.size - length + 1):
        total, mask, terminal, valid = 0.0, 1.0, 0.0, 1.0
        for i in range(length):
            valid = 1.0 - terminal  # of the chunk up to here: no end before this step
            total += DISCOUNT**i * rewards[row + i]
            mask = min(mask, 1.0 - ended[row + i])
            terminal = max(terminal, done[row + i])
        if valid:
            actions = np.asarray(data.actions[row : row + length]).ravel()
            found[row] = actions, total, data.next_observations[row + length - 1], 1.0 - mask
    return found


@pytest.mark.parametrize("length", [1, 2, 3, 5])
@pytest.mark.parametrize("lengths", [(7, 3, 11), (5, 5, 5), (1, 2, 9)])
def test_chunks_are_those_of_the_published_code(length, lengths):
    data = logged(lengths, (True, False, True))
    want, got = published_chunks(data, length), in_chunks(data, length, DISCOUNT)
    starts = [
        int(np.flatnonzero((data.observations == first).all(axis=1))[0]) for first in np.asarray(got.observations)
    ]
    assert sorted(starts) == sorted(want)
    for row, start in enumerate(starts):
        actions, reward, following, terminal = want[start]
        np.testing.assert_array_equal(got.actions[row], actions)
        np.testing.assert_allclose(got.rewards[row], reward, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(got.next_observations[row], following)
        assert got.terminals[row] == terminal
        assert got.trajectory_returns[row] == data.trajectory_returns[start]


def test_chunks_of_one_action_are_the_transitions():
    data = logged((4, 6), (True, False))
    got = in_chunks(data, 1)
    jax.tree.map(np.testing.assert_array_equal, got.transitions(), data.transitions())
    np.testing.assert_array_equal(got.timeouts, data.timeouts)


def test_rows_follow_each_other_so_that_returns_and_next_chunks_are_right():
    """The return of the chunks that follow one another, up to the episode's end, is that of the steps."""
    data, length = logged((11, 8), (True, True)), 3
    chunks = in_chunks(data, length, DISCOUNT).with_returns_to_go(DISCOUNT**length)
    of_steps = np.asarray(data.with_returns_to_go(DISCOUNT).returns_to_go)
    starts = [int(np.flatnonzero((data.observations == first).all(axis=1))[0]) for first in chunks.observations]
    left = np.array([(11 if row < 11 else 19) - row for row in starts])
    to_the_end = left % length == 0
    assert to_the_end.any()
    np.testing.assert_allclose(
        np.asarray(chunks.returns_to_go)[to_the_end], of_steps[starts][to_the_end], rtol=1e-4, atol=1e-5
    )
    complete = chunks.with_next_actions()
    inside = np.asarray(complete.terminals) < 0.5
    for first, following in zip(complete.next_observations[inside], complete.next_actions[inside], strict=True):
        row = int(np.flatnonzero((data.observations == first).all(axis=1))[0])
        np.testing.assert_array_equal(following, np.asarray(data.actions[row : row + length]).ravel())


def test_a_name_stands_for_the_chunks_and_their_environment():
    data = smac_jax.load_dataset("chunks:5:hopper-medium-replay")
    single = smac_jax.load_dataset("hopper-medium-replay")
    assert data.actions.shape[1] == 5 * single.actions.shape[1]
    assert dict(data.metadata)["env"] == "chunks:5:hopper"
    assert data.name == "chunks:5:hopper-medium-replay"
    assert 0.9 * single.size < data.size < single.size
    assert "dropped_rows" not in dict(data.metadata)


def test_what_is_refused():
    data = logged((4, 6), (True, False))
    with pytest.raises(DatasetError, match="walks cannot be cut in chunks of 7 actions: no episode is that long"):
        in_chunks(data, 7)
    with pytest.raises(ConfigError, match="in_chunks: length = 0: must be at least 1"):
        in_chunks(data, 0)
    for name in ("chunks:0:hopper", "chunks:hopper-medium-replay", "chunks:5:"):
        with pytest.raises(ConfigError, match=f"'{name}': expected chunks:LENGTH:NAME"):
            smac_jax.load_dataset(name)
    shuffled = data.replace(metadata=(("not_in_order", "the rows are shuffled"),))
    with pytest.raises(DatasetError, match="walks cannot be cut in chunks: the rows are shuffled"):
        in_chunks(shuffled, 2)
