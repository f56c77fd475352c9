"""The published statistics of public data sets, against arrays that are counted in another way."""

from __future__ import annotations

import warnings

import h5py
import numpy as np
import pytest

from smac_jax.data import load_dataset
from smac_jax.data import sources as sources_module
from smac_jax.data.d4rl_statistics import Counts, count, differences, published_name, published_statistics
from smac_jax.data.readers.d4rl_files import d4rl_files


def ends_of(lengths, terminal):
    """Flags of episodes of given lengths; the last row of each is a terminal or a time-out."""
    rows = np.sum(lengths)
    last = np.cumsum(lengths) - 1
    terminals, timeouts = np.zeros(rows, bool), np.zeros(rows, bool)
    terminals[last[np.array(terminal)]] = True
    timeouts[last[~np.array(terminal)]] = True
    return terminals, timeouts


def qlearning_dataset(terminals, timeouts):
    """The published numbers of D4RL's function: its rows, the breaks between them, and the terminals among them."""
    kept = np.flatnonzero(~timeouts[:-1])  # it skips time-outs, and never looks at the last row
    breaks = int(np.sum(np.diff(kept) > 1))
    return len(kept), breaks, int(terminals[kept].sum())


def hopper_medium_replay():
    """Flags with as many rows, terminals and time-outs as the published file."""
    rng = np.random.default_rng(0)
    terminal = np.ones(2041, bool)
    terminal[rng.choice(2040, 401, replace=False)] = False  # the last row is a terminal or a time-out: a terminal here
    lengths = np.where(terminal, 1, 800)
    lengths[np.flatnonzero(terminal)[0]] += 402_000 - lengths.sum()
    return ends_of(lengths, terminal)


def test_the_counts_of_hopper_medium_replay_are_the_published_ones():
    terminals, timeouts = hopper_medium_replay()
    assert qlearning_dataset(terminals, timeouts) == (401_598, 401, 1639)
    counts = count(np.ones(402_000), terminals, timeouts)
    assert (counts.rows, counts.episodes) == (402_000, 2041)
    published = published_statistics()["hopper-medium-replay-v2"].counts
    assert (published.rows, published.episodes) == (counts.rows, counts.episodes)
    assert published.return_mean == pytest.approx(467.302, abs=1e-3)


def test_an_episode_cut_by_the_end_of_the_log_counts_but_has_no_return():
    terminals, timeouts = ends_of([3, 2, 4], [True, False, True])
    terminals[-1] = False
    counts = count([1, 1, 1, 2, 2, 9, 9, 9, 9], terminals, timeouts)
    assert counts == Counts(9, 3, 3.5, 0.5, 4.0, 3.0, tail=4)
    assert count([1, 1], np.zeros(2), np.zeros(2)) == Counts(2, 1, None, None, None, None, tail=2)
    assert count([1, 1], np.zeros(2), None) == Counts(2, None, None, None, None, None)
    # a row with both flags is one end
    assert count([1, 1], np.array([0, 1]), np.array([0, 1])).episodes == 1


def test_the_table_of_statistics_is_consistent():
    table = published_statistics()
    assert {name for name in table if not name.startswith("minari:")} <= set(d4rl_files())
    for name, (counts, source) in table.items():
        assert counts.rows is not None
        assert source
        if counts.episodes is None:
            assert name.endswith("-v0")
        if counts.return_mean is not None:
            assert counts.return_min < counts.return_mean < counts.return_max
    # a medium-expert file joins the two others, without the last episode of medium, which the end of its log cut
    for robot, tail in (("hopper", 94), ("walker2d", 5), ("halfcheetah", 0)):
        medium, expert, both = (table[f"{robot}-{kind}-v2"].counts for kind in ("medium", "expert", "medium-expert"))
        assert both.rows == medium.rows + expert.rows - tail
        assert both.episodes == medium.episodes + expert.episodes - (tail > 0)


def test_differences_name_both_numbers():
    published = published_statistics()["walker2d-medium-replay-v2"].counts
    assert differences("walker2d-medium-replay-v2", published) == []
    nearly = published._replace(return_mean=published.return_mean * 1.0001)
    assert differences("walker2d-medium-replay-v2", nearly) == []
    other = published._replace(rows=301_000, episodes=1092, return_mean=700.0)
    assert differences("walker2d-medium-replay-v2", other) == [
        "301,000 rows, not 302,000",
        "1,092 episodes, not 1,093",
    ]
    only_returns = published._replace(return_mean=700.0)
    assert differences("walker2d-medium-replay-v2", only_returns) == ["return mean 700.00, not 682.70"]


def test_names_and_file_names_of_published_data_sets_are_recognized():
    assert published_name("hopper-medium-replay-v2") == "hopper-medium-replay-v2"
    assert published_name("minari:D4RL/pen/human-v2") == "minari:D4RL/pen/human-v2"
    assert published_name("/data/hopper_medium_replay-v2.hdf5") == "hopper-medium-replay-v2"
    assert published_name("hopper-medium-replay-v2.hdf5") == "hopper-medium-replay-v2"
    for own in ("hopper-medium-replay", "hopper_medium.hdf5", "mine.hdf5", "part:0.1:hopper-medium-replay-v2"):
        assert published_name(own) is None


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a file with D4RL's name to the folder of the data."""
    monkeypatch.setenv("SMAC_JAX_DATA", str(tmp_path))

    def write(name, terminals, timeouts, **more):
        path = tmp_path / d4rl_files()[name].name
        rows = len(terminals)
        columns = {
            "observations": np.zeros((rows, 1)), "actions": np.zeros((rows, 1)), "rewards": np.zeros(rows),
            "terminals": terminals, "timeouts": timeouts,
        }  # fmt: skip
        with h5py.File(path, "w") as file:
            for key, values in (columns | more).items():
                file[key] = values
        return path

    return write


@pytest.mark.parametrize("logged", [{}, {"next_observations": np.zeros((1_000_000, 1))}])
def test_a_file_with_the_published_statistics_is_read_without_a_warning(write, logged):
    """The file is read with and without next observations, so that rows are kept or dropped."""
    terminals, timeouts = ends_of(np.full(1000, 1000), np.zeros(1000, bool))
    path = write("halfcheetah-random-v2", terminals, timeouts, **logged)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_dataset(path)


def test_a_truncated_file_is_read_with_a_warning(write):
    terminals, timeouts = ends_of(np.full(10, 1000), np.zeros(10, bool))
    path = write("halfcheetah-random-v2", terminals, timeouts)
    wanted = r"halfcheetah-random-v2: this data set has 10,000 rows, not 1,000,000; 10 episodes, not 1,000"
    for name in ("halfcheetah-random-v2", path):
        with pytest.warns(UserWarning, match=wanted):
            load_dataset(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_dataset(path.rename(path.with_name("halfcheetah-mine.hdf5")))


def test_names_lead_to_files(tmp_path, write):
    path = write("halfcheetah-random-v2", *ends_of([5], [False]))
    assert sources_module.files_of("halfcheetah-random-v2") == (path,)
    assert sources_module.files_of(f"part:0.5:{path}") == (path,)
    assert sources_module.files_of("minari:D4RL/pen/human-v2") == ()
    assert [p.name for p in sources_module.files_of("hopper-medium-replay")] == ["hopper-medium-replay.hdf5"]
