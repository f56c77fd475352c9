"""The data set: episode boundaries, returns, sampling, and the arrays that it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_logs import make_log
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import smac_jax
from smac_jax.data.dataset import Dataset
from smac_jax.data.sources import short_name
from smac_jax.errors import ConfigError, DatasetError, SmacError

episodes = st.lists(st.tuples(st.integers(1, 6), st.sampled_from(["terminal", "timeout"])), min_size=1, max_size=8)


@st.composite
def logs(draw, next_observations):
    """Lengths and ends of episodes, and their log. The last episode may be cut."""
    drawn = draw(episodes)
    lengths, ends = [length for length, _ in drawn], [end for _, end in drawn]
    if draw(st.booleans()):
        ends[-1] = "cut"
    return lengths, ends, make_log(lengths, ends, next_observations, seed=draw(st.integers(0, 99)))


@settings(max_examples=60, deadline=None)
@given(logs(next_observations=False))
def test_next_observations_never_come_from_another_episode(drawn):
    lengths, ends, log = drawn
    wanted = []  # (episode, step, next step, terminal, time-out) of each usable row, from a plain loop
    for episode, (length, end) in enumerate(zip(lengths, ends, strict=True)):
        for step in range(length):
            if end == "terminal":
                last = step == length - 1
                wanted.append((episode, step, step if last else step + 1, last, False))
            elif step < length - 1:
                wanted.append((episode, step, step + 1, False, step == length - 2))
    if not wanted:
        with pytest.raises(DatasetError, match="no transition is left"):
            Dataset.from_arrays(**log)
        return
    data = Dataset.from_arrays(**log)
    episode, step, next_step, terminal, timeout = np.array(wanted, np.float32).T
    np.testing.assert_array_equal(data.observations, np.stack([episode, step], 1))
    np.testing.assert_array_equal(data.next_observations, np.stack([episode, next_step], 1))
    np.testing.assert_array_equal(data.terminals, terminal)
    np.testing.assert_array_equal(data.timeouts, timeout)
    returns = [log["rewards"][log["observations"][:, 0] == e].sum(dtype=np.float64) for e in range(len(lengths))]
    np.testing.assert_allclose(data.trajectory_returns, np.array(returns)[episode.astype(int)], rtol=1e-6, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(logs(next_observations=True))
def test_given_next_observations_are_kept_with_every_row(drawn):
    lengths, ends, log = drawn
    data = Dataset.from_arrays(**log)
    np.testing.assert_array_equal(data.next_observations, log["next_observations"])
    last = np.cumsum(lengths) - 1
    np.testing.assert_array_equal(np.flatnonzero(data.terminals), last[[end == "terminal" for end in ends]])
    np.testing.assert_array_equal(np.flatnonzero(data.timeouts), last[[end != "terminal" for end in ends]])
    assert len(data.episode_returns()) == len(lengths)


def test_a_row_with_both_flags_is_terminal():
    log = make_log([3, 2], ["terminal", "terminal"])
    log["timeouts"][:] = log["terminals"]
    data = Dataset.from_arrays(**log)
    assert data.size == 5
    np.testing.assert_array_equal(data.terminals, [0, 0, 1, 0, 1])
    np.testing.assert_array_equal(data.timeouts, np.zeros(5))


def test_without_timeouts_only_terminals_and_the_end_of_the_log_end_episodes():
    log = make_log([3, 2], ["terminal", "cut"])
    del log["timeouts"]
    data = Dataset.from_arrays(**log)
    np.testing.assert_array_equal(data.terminals, [0, 0, 1, 0])
    np.testing.assert_array_equal(data.timeouts, [0, 0, 0, 1])


def test_conditions_are_returns_scaled_to_the_unit_interval(log):
    log["rewards"] = np.array([1.0] * 4 + [0.0] * 3 + [1 / 5] * 5)  # returns 4, 0, 1
    data = Dataset.from_arrays(**log)
    np.testing.assert_allclose(data.conditions, [1.0] * 4 + [0.0] * 3 + [0.25] * 5)
    np.testing.assert_array_equal(Dataset.from_arrays(**log | {"rewards": np.zeros(12)}).conditions, np.ones(12))


def test_conditions_are_scaled_over_the_trajectories_that_are_kept():
    log = make_log([2, 3, 1], ["terminal", "terminal", "cut"])  # returns 2, 6 and 9; the last one loses its only row
    log["rewards"] = np.array([1.0, 1.0, 2.0, 2.0, 2.0, 9.0])
    np.testing.assert_array_equal(Dataset.from_arrays(**log).conditions, [0, 0, 1, 1, 1])
    log["rewards"] = np.array([3.0, 3.0, 2.0, 2.0, 2.0, 9.0])
    np.testing.assert_array_equal(Dataset.from_arrays(**log).conditions, np.ones(5))


def test_returns_count_the_rows_that_are_dropped():
    log = make_log([3, 2], ["timeout", "terminal"])
    log["rewards"] = np.array([1.0, 1.0, 100.0, 1.0, 1.0])
    np.testing.assert_array_equal(Dataset.from_arrays(**log).trajectory_returns, [102, 102, 2, 2])


@pytest.mark.parametrize("rounding", [0.0, 1e-7])
def test_a_break_between_two_rows_ends_an_episode(rounding):
    """Only the second of three episodes is marked. The others end with a time-out, and the summary says so."""
    log = make_log([4, 3, 5], ["cut", "terminal", "cut"], next_observations=True)
    log["next_observations"] = log["next_observations"] * np.float32(1 + rounding)
    data = Dataset.from_arrays(**log)
    np.testing.assert_array_equal(np.flatnonzero(data.timeouts), [3, 11])
    np.testing.assert_array_equal(np.flatnonzero(data.terminals), [6])
    parts = np.split(log["rewards"], [4, 7])
    returns = np.array([part.sum(dtype=np.float64) for part in parts])
    np.testing.assert_allclose(data.episode_returns(), returns, rtol=1e-6)
    conditions = (returns - returns.min()) / np.ptp(returns)
    np.testing.assert_allclose(data.conditions, np.repeat(conditions, [4, 3, 5]), atol=1e-6)
    to_go = [part[::-1].cumsum()[::-1] for part in parts]
    np.testing.assert_allclose(data.with_returns_to_go(1.0).returns_to_go, np.concatenate(to_go), rtol=1e-5, atol=1e-6)
    assert dict(data.metadata) == {"unmarked_breaks": "1"}
    assert "breaks of the log that are not marked as ends: 1" in data.summary()


def test_breaks_are_found_in_columns_of_every_size_and_rounding_is_no_break():
    """The tolerance depends on the column: a break in a small column counts, rounding in a large one does not."""
    rng = np.random.default_rng(0)
    path = np.cumsum(rng.normal(size=(41, 3)), axis=0) * [1e-6, 1.0, 1.0] + [0.0, 0.0, 1e5]
    rows = {"actions": np.zeros((40, 1)), "rewards": np.ones(40), "terminals": np.zeros(40)}
    following = path[1:].copy()
    assert dict(Dataset.from_arrays(path[:-1], next_observations=following, **rows).metadata) == {}
    following[:, 2] = np.nextafter(following[:, 2].astype(np.float32), np.float32(np.inf))
    assert dict(Dataset.from_arrays(path[:-1], next_observations=following, **rows).metadata) == {}
    following[19, 0] += 1e-7
    data = Dataset.from_arrays(path[:-1], next_observations=following, **rows)
    np.testing.assert_array_equal(data.episode_returns(), [20, 20])


def test_rows_in_random_order_are_not_split_and_the_summary_says_so():
    rng = np.random.default_rng(0)
    log = make_log([20, 20], ["terminal", "terminal"], next_observations=True)
    for change in (rng.permutation(40), None):  # shuffled rows, or noisy observations
        rows = log if change is None else {key: value[change] for key, value in log.items()}
        rows = rows | {"next_observations": rows["next_observations"] + (change is None) * rng.normal(size=(40, 2))}
        data = Dataset.from_arrays(**rows)
        assert data.size == 40
        assert "next observations are not the next rows' in" in data.summary()
        assert "unmarked_breaks" not in dict(data.metadata)


def test_a_cut_row_that_holds_the_next_episodes_first_observation_is_dropped():
    """Such rows exist if the next observations were made by shifting the observations by one row, as in D4RL."""
    log = make_log([4, 3, 5], ["timeout", "terminal", "timeout"], next_observations=True)
    log["next_observations"][3] = log["observations"][4]
    data = Dataset.from_arrays(**log)
    kept = np.delete(np.arange(12), 3)
    np.testing.assert_array_equal(data.observations, log["observations"][kept])
    np.testing.assert_array_equal(data.next_observations, log["next_observations"][kept])
    np.testing.assert_array_equal(np.flatnonzero(data.timeouts), [2, 10])
    np.testing.assert_allclose(data.episode_returns()[0], log["rewards"][:4].sum(), rtol=1e-6)
    assert dict(data.metadata) == {"dropped_rows": "1"}
    # if nothing moves, the first observation of the next episode equals this one
    still = {key: np.zeros_like(log[key]) for key in ("observations", "next_observations")}
    assert Dataset.from_arrays(**log | still).size == 12


def test_dropped_rows_are_counted_and_their_rewards_count_in_the_returns():
    log = make_log([3, 2, 4], ["timeout", "terminal", "cut"])
    data = Dataset.from_arrays(**log)
    assert data.size == 7
    assert data.summary().endswith(
        "dropped rows, which have no next observation (their rewards count in the returns): 2"
    )
    returns = [part.sum(dtype=np.float64) for part in np.split(log["rewards"], [3, 5])]
    np.testing.assert_allclose(data.episode_returns(), returns, rtol=1e-6)


def test_given_returns_must_be_equal_within_an_episode(log):
    returns = np.repeat([1.0, 2.0, 3.0], [4, 3, 5])
    np.testing.assert_array_equal(Dataset.from_arrays(**log, trajectory_returns=returns).episode_returns(), [1, 2, 3])
    returns[1] = 7.0
    with pytest.raises(DatasetError, match=r"changes inside an episode, from 1 to 7 after row 0\. Give"):
        Dataset.from_arrays(**log, trajectory_returns=returns)


def replaced(key, change):
    """The log with one array changed."""

    def apply(log):
        return log | {key: change(log[key])}

    return apply


def with_value(row, value):
    def change(array):
        array = array.astype(np.float64)
        array[row] = value
        return array

    return change


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            replaced("rewards", with_value(7, np.nan)),
            "log: rewards is NaN or infinite .* in 1 of 12 rows, first in row 7",
        ),
        (
            replaced("observations", with_value([5, 9], np.inf)),
            "log: observations is NaN .* 2 of 12 rows, first in row 5",
        ),
        (replaced("next_observations", with_value(2, 1e300)), "log: next_observations is NaN or infinite .as float32."),
        (
            replaced("actions", with_value(3, 2.5)),
            r"log: actions are outside \[-1, 1\] in 3 of 36 .* 2.5.*row 3.*Rescale",
        ),
        (replaced("terminals", with_value(4, 0.5)), "log: terminals is 0.5 in row 4, expected true or false"),
        (replaced("timeouts", with_value(4, -1)), "log: timeouts is -1 in row 4"),
        (replaced("actions", lambda a: a[:-2]), "log: actions has 10 rows, rewards has 12"),
        (
            replaced("observations", lambda a: a[:, 0]),
            r"log: observations has shape \[12\], expected \[rows, numbers\]",
        ),
        (replaced("actions", lambda a: a[:, :0]), r"log: actions has shape \[12, 0\]"),
        (
            replaced("rewards", lambda a: a[:, None] * np.ones(2)),
            r"log: rewards has shape \[12, 2\], expected \[rows\]",
        ),
        (replaced("rewards", lambda a: a[0]), r"log: rewards has shape \[\]"),
        (
            replaced("next_observations", lambda a: a[:, :1]),
            "log: next_observations has shape .12, 1., observations has shape .12, 2.",
        ),
        (replaced("rewards", lambda a: a.astype(object)), "log: rewards holds object, expected numbers"),
        (replaced("rewards", lambda a: a.astype(str)), "log: rewards holds <U.*, expected numbers"),
        (replaced("rewards", lambda a: [[1], [2, 3]]), "log: rewards is not an array"),
        (lambda log: {key: value[:0] for key, value in log.items()}, "log: the data set is empty .rewards has 0 rows."),
    ],
)
def test_unusable_arrays_are_refused_by_name(log, damage, words):
    with pytest.raises(DatasetError, match=words):
        Dataset.from_arrays(**damage(log), name="log")


def test_an_unknown_task_is_refused(log):
    with pytest.raises(SmacError, match=r"Unknown task 'hoper'.*hopper"):
        Dataset.from_arrays(**log, task="hoper")


def test_rounding_is_clipped_silently_and_larger_actions_only_if_the_simulator_clips(log):
    for excess in (1e-6, 5e-6):
        rounding = Dataset.from_arrays(**log | {"actions": with_value(0, 1 + excess)(log["actions"])})
        assert float(rounding.actions.max()) == 1.0
        assert rounding.metadata == ()
    wide = log | {"actions": with_value(0, -1.5)(log["actions"])}
    for allowed in ({"task": "door"}, {"clip_actions": True}):
        data = Dataset.from_arrays(**wide, **allowed)
        assert float(data.actions.min()) == -1.0
        assert "3 of 36 numbers" in dict(data.metadata)["clipped_actions"]
        assert "clipped" in data.summary()
    for refused in ({"task": "hopper"}, {"task": "door", "clip_actions": False}):
        with pytest.raises(DatasetError, match="outside"):
            Dataset.from_arrays(**wide, **refused)


def test_samples_are_whole_rows_drawn_uniformly():
    rows = 50
    numbers = np.arange(rows, dtype=np.float32)
    column = numbers[:, None]
    data = Dataset.from_arrays(
        column, column / rows, numbers, np.zeros(rows), next_observations=column + 1, timeouts=np.ones(rows)
    )
    batch = jax.jit(lambda key: data.sample(key, 20_000))(jax.random.key(0))
    np.testing.assert_array_equal(batch.observation[:, 0], batch.reward)
    np.testing.assert_array_equal(batch.next_observation[:, 0], batch.reward + 1)
    np.testing.assert_allclose(batch.action[:, 0] * rows, batch.reward, rtol=1e-6)
    np.testing.assert_array_equal(batch.condition, data.conditions[batch.reward.astype(int)])
    counts = np.bincount(np.asarray(batch.reward, int), minlength=rows)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_sampling_is_the_same_plain_jitted_vmapped_and_scanned(log):
    data = Dataset.from_arrays(**log)
    keys = jax.random.split(jax.random.key(1), 3)
    plain = [data.sample(key, 4) for key in keys]
    want = jax.tree.map(lambda *x: jnp.stack(x), *plain)
    jitted = jax.jit(lambda data, key: data.sample(key, 4))  # the data set as an argument: it is a pytree
    sample = lambda key: data.sample(key, 4)  # noqa: E731
    for got in (
        jax.tree.map(lambda *x: jnp.stack(x), *[jitted(data, key) for key in keys]),
        jax.vmap(sample)(keys),
        jax.lax.scan(lambda carry, key: (carry, sample(key)), None, keys)[1],
    ):
        jax.tree.map(np.testing.assert_array_equal, got, want)


def test_all_transitions_are_the_columns(log):
    data = Dataset.from_arrays(**log)
    batch = data.transitions()
    np.testing.assert_array_equal(batch.observation, log["observations"])
    np.testing.assert_array_equal(batch.terminal, log["terminals"])
    assert batch.condition.shape == (data.size,) == (12,)


def test_observation_statistics_equal_numpys_with_a_lower_bound(log):
    log["observations"][:, 0] = 7.0
    log["observations"][:, 1] = np.random.default_rng(0).normal(3, 2, 12)
    mean, std = Dataset.from_arrays(**log).observation_statistics()
    np.testing.assert_allclose(mean, log["observations"].mean(0), rtol=1e-6)
    np.testing.assert_allclose(std, [1e-3, log["observations"][:, 1].std()], rtol=1e-5)


def test_the_summary_has_rows_episodes_returns_and_score(log):
    log["rewards"] = np.array([1000.0] * 4 + [0.0] * 3 + [200.0] * 5)
    text = Dataset.from_arrays(**log, name="tiny", task="hopper").summary()
    assert text == (
        "tiny: 12 transitions, 3 episodes, observations 2, actions 3; returns 0.0 to 4000.0, mean 1666.7 "
        "(normalized score 51.8)"
    )
    assert "score" not in Dataset.from_arrays(**log).summary()


@pytest.mark.parametrize("key", ["observations", "actions", "rewards", "terminals"])
def test_a_required_array_that_is_none_is_refused(log, key):
    with pytest.raises(DatasetError, match=f"{key} is None"):
        Dataset.from_arrays(**log | {key: None})


def test_a_part_holds_whole_episodes():
    data = smac_jax.load_dataset("hopper-medium-replay")
    part = data.part(0.1)
    assert 0.1 * data.size <= part.size < 0.1 * data.size + 1000
    # every episode of the part is whole: it has the return of an episode of all data
    rewards, last = np.asarray(part.rewards), np.asarray(part.terminals + part.timeouts) > 0.5
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    all_returns = {float(x) for x in data.episode_returns()}
    assert {float(x) for x in part.episode_returns()} <= all_returns
    sums = [rewards[a : b + 1].sum() for a, b in zip(starts, ends, strict=True) if part.terminals[b]]
    np.testing.assert_allclose(sums, part.episode_returns()[np.asarray(part.terminals)[ends] > 0.5], rtol=1e-4)
    assert (part.conditions.min(), part.conditions.max()) == (0.0, 1.0)
    assert part.fingerprint() == data.part(0.1).fingerprint() != data.part(0.1, seed=1).fingerprint()
    assert data.part(1.0).size == data.size


def test_a_part_is_loaded_by_name():
    part = smac_jax.load_dataset("part:0.01:hopper-medium-replay")
    assert part.name == "hopper-medium-replay, 0.01 of it"
    assert short_name("part:0.01:data/hopper-tiny.hdf5") == "hopper-tiny-part-0.01"
    with pytest.raises(ConfigError, match="the fraction of a part must be above 0 and at most 1; got 2"):
        smac_jax.load_dataset("part:2:hopper-medium-replay")
    with pytest.raises(DatasetError, match="expected part:FRACTION:NAME"):
        smac_jax.load_dataset("part:half:hopper-medium-replay")
