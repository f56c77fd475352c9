"""The replay buffer: a ring buffer, sampled uniformly, mixed with a data set in exact parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_logs import make_log
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from smac_jax.data.dataset import Dataset
from smac_jax.data.replay import init, insert, insert_many, sample, sample_changing_mix, sample_mixed
from smac_jax.errors import ConfigError
from smac_jax.types import Transition


def numbered(i):
    """The i-th transition, with its number in every field."""
    i = jnp.asarray(i, jnp.float32)
    return Transition(jnp.full(2, i), jnp.full(3, i), i, jnp.full(2, i + 0.5), i % 2, jnp.zeros(()), jnp.zeros(()))


def filled(capacity, count):
    """A buffer after ``count`` insertions in one compiled scan."""
    step = lambda buffer, i: (insert(buffer, numbered(i)), None)  # noqa: E731
    return jax.jit(lambda: jax.lax.scan(step, init(capacity, 2, 3), jnp.arange(count))[0])()


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 7), st.integers(0, 20))
def test_the_buffer_keeps_the_latest_transitions(capacity, count):
    buffer = filled(capacity, count)
    ring = np.full(capacity, np.nan)
    for i in range(count):
        ring[i % capacity] = i
    size = min(count, capacity)
    assert (int(buffer.size), int(buffer.position)) == (size, count % capacity)
    np.testing.assert_array_equal(buffer.storage.reward[:size], ring[:size])
    np.testing.assert_array_equal(buffer.storage.observation[:size, 1], ring[:size])
    np.testing.assert_array_equal(buffer.storage.action[:size, 2], ring[:size])
    np.testing.assert_array_equal(buffer.storage.next_observation[:size, 0], ring[:size] + 0.5)
    np.testing.assert_array_equal(buffer.storage.terminal[:size], ring[:size] % 2)
    np.testing.assert_array_equal(buffer.storage.reward[size:], 0)


def test_inserting_is_the_same_plain_scanned_and_vmapped():
    plain = init(4, 2, 3)
    for i in range(6):
        plain = insert(plain, numbered(i))
    jax.tree.map(np.testing.assert_array_equal, plain, filled(4, 6))
    many = jax.vmap(lambda _: init(4, 2, 3))(jnp.arange(3))
    for i in range(6):
        many = jax.vmap(insert)(many, jax.vmap(numbered)(i + 100 * jnp.arange(3)))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[0]), plain, many)
    np.testing.assert_array_equal(many.storage.reward[2], plain.storage.reward + 200)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 7), st.lists(st.integers(1, 7), max_size=5))
def test_inserting_many_at_once_is_inserting_one_after_the_other(capacity, numbers):
    one_by_one = at_once = init(capacity, 2, 3)
    first = 0
    for number in (min(number, capacity) for number in numbers):
        at_once = insert_many(at_once, jax.vmap(numbered)(first + jnp.arange(number)))
        for i in range(number):
            one_by_one = insert(one_by_one, numbered(first + i))
        first += number
    jax.tree.map(np.testing.assert_array_equal, at_once, one_by_one)


def test_more_at_once_than_fit_are_refused():
    with pytest.raises(ConfigError, match="4 transitions at once do not fit into a capacity of 3"):
        insert_many(init(3, 2, 3), jax.vmap(numbered)(jnp.arange(4)))


@pytest.mark.parametrize(("capacity", "count"), [(40, 25), (40, 40), (40, 70)])
def test_samples_are_whole_rows_drawn_uniformly_from_the_filled_part(capacity, count):
    batch = sample(filled(capacity, count), jax.random.key(0), 20_000)
    np.testing.assert_array_equal(batch.observation[:, 0], batch.reward)
    np.testing.assert_array_equal(batch.next_observation[:, 1], batch.reward + 0.5)
    counts = np.bincount(np.asarray(batch.reward, int), minlength=count)
    size = min(capacity, count)
    assert counts[: count - size].sum() == 0  # overwritten
    assert stats.chisquare(counts[count - size :]).pvalue > 1e-4


def test_an_empty_buffer_gives_zeros():
    batch = sample(init(5, 2, 3), jax.random.key(0), 4)
    assert all(not np.asarray(leaf).any() for leaf in batch)


@pytest.mark.parametrize("bad", [0, -1, 2.5, "many", None])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_sizes_must_be_positive_whole_numbers(bad, place):
    sizes = [10, 2, 3]
    sizes[place] = bad
    name = ("capacity", "observation_size", "action_size")[place]
    with pytest.raises(ConfigError, match=rf"{name} = {bad!r}: must be (a whole number|at least 1)\."):
        init(*sizes)


def test_sizes_must_be_known_before_compilation():
    with pytest.raises(ConfigError, match=r"capacity = .* must be a whole number"):
        jax.jit(lambda n: init(n, 2, 3))(4)


def test_a_fresh_buffer_can_be_donated():
    step = jax.jit(insert, donate_argnums=0)  # fails if two columns share their zeros
    assert int(step(init(4, 2, 3), numbered(1)).size) == 1


@pytest.fixture(scope="module")
def data():
    """Rows whose reward is -1. Rewards in the buffer are 0 or more."""
    log = make_log([30, 30], ["terminal", "terminal"])
    return Dataset.from_arrays(**log | {"rewards": np.full(60, -1.0)})


@pytest.mark.parametrize(
    ("batch_size", "fraction", "from_data"),
    [(256, 0.5, 128), (10, 0.25, 2), (7, 0.5, 4), (8, 0.0, 0), (8, 1.0, 8)],
)
def test_mixed_batches_have_exact_parts(data, batch_size, fraction, from_data):
    buffer = filled(20, 20)
    draw = jax.jit(lambda key: sample_mixed(key, data, buffer, batch_size, fraction))
    for seed in range(5):
        batch = draw(jax.random.key(seed))
        assert int((batch.reward == -1).sum()) == from_data
        assert batch.observation.shape == (batch_size, 2)
        from_buffer = np.asarray(batch.reward) >= 0
        np.testing.assert_array_equal(batch.next_observation[from_buffer, 0], batch.reward[from_buffer] + 0.5)
        assert set(np.asarray(batch.condition)[from_buffer]) <= {0.0}
        assert set(np.asarray(batch.condition)[~from_buffer]) <= {1.0}


def test_a_share_that_changes_has_exact_parts_in_one_program(data):
    buffer = filled(20, 20)
    draw = jax.jit(lambda key, share: sample_changing_mix(key, data, buffer, 10, share))
    seen = set()
    for seed, (share, from_data) in enumerate([(0.0, 0), (0.25, 2), (0.31, 3), (0.5, 5), (1.0, 10)]):
        batch = draw(jax.random.key(seed), jnp.float32(share))
        is_data = np.asarray(batch.reward) == -1
        assert is_data.sum() == from_data
        np.testing.assert_array_equal(batch.next_observation[~is_data, 0], batch.reward[~is_data] + 0.5)
        assert set(np.asarray(batch.condition)[is_data]) <= {1.0}
        seen.add(tuple(np.flatnonzero(is_data)))
    assert draw._cache_size() == 1
    assert tuple(range(5)) not in seen  # the rows are shuffled


def test_each_part_of_a_mixed_batch_has_both(data):
    batch = sample_mixed(jax.random.key(0), data, filled(20, 20), 256)
    shares = (batch.reward == -1).reshape(4, 64).mean(axis=1)
    assert ((shares > 0.25) & (shares < 0.75)).all()


def test_mixing_is_the_same_plain_and_vmapped(data):
    buffer, keys = filled(20, 25), jax.random.split(jax.random.key(3), 2)
    got = jax.vmap(lambda key: sample_mixed(key, data, buffer, 6))(keys)
    want = jax.tree.map(lambda *x: jnp.stack(x), *[sample_mixed(key, data, buffer, 6) for key in keys])
    jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_a_data_fraction_outside_the_unit_interval_is_refused(data, fraction):
    with pytest.raises(ConfigError, match=r"data_fraction = .*: must be in \[0, 1\]"):
        sample_mixed(jax.random.key(0), data, filled(4, 4), 8, fraction)
