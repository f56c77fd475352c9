"""A replay buffer as a pytree, for the compiled training loop."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from smac_jax.config import real_number, whole_number
from smac_jax.data.dataset import Dataset
from smac_jax.errors import ConfigError
from smac_jax.short_repr import of_value
from smac_jax.types import Array, Key, Transition


class ReplayBuffer(struct.PyTreeNode):
    """A ring buffer of transitions, in which new transitions overwrite the oldest ones.

    Attributes:
      storage: the transitions, ``[capacity, ...]``. Rows from ``size`` on are empty.
      position: ``[]``, the row that the next transition is written to.
      size: ``[]``, how many transitions the buffer holds.
    """

    storage: Transition
    position: Array
    size: Array

    def __repr__(self) -> str:
        return f"ReplayBuffer(size={of_value(self.size)}, observation={of_value(self.storage.observation)})"


def init(capacity: int, observation_size: int, action_size: int) -> ReplayBuffer:
    """Returns an empty buffer.

    Args:
      capacity: how many transitions the buffer can hold.
      observation_size: how many numbers an observation has.
      action_size: how many numbers an action has.

    Raises:
      ConfigError: an argument is not a positive whole number, or is not known before compilation.
    """
    capacity = whole_number("Replay buffer: capacity", capacity, 1)
    observation_size = whole_number("Replay buffer: observation_size", observation_size, 1)
    action_size = whole_number("Replay buffer: action_size", action_size, 1)
    # Each column needs its own zeros: a buffer that is donated to a compiled loop must not hold the same array twice.
    storage = Transition(
        observation=jnp.zeros((capacity, observation_size), jnp.float32),
        action=jnp.zeros((capacity, action_size), jnp.float32),
        reward=jnp.zeros(capacity, jnp.float32),
        next_observation=jnp.zeros((capacity, observation_size), jnp.float32),
        terminal=jnp.zeros(capacity, jnp.float32),
        condition=jnp.zeros(capacity, jnp.float32),
        return_to_go=jnp.zeros(capacity, jnp.float32),
    )
    return ReplayBuffer(storage, position=jnp.zeros((), jnp.int32), size=jnp.zeros((), jnp.int32))


def insert(buffer: ReplayBuffer, transition: Transition) -> ReplayBuffer:
    """Returns the buffer with one more transition. In a scan the buffer is updated in place.

    Args:
      buffer: the buffer before.
      transition: one transition. Its ``next_observation`` must be the one before any reset.
    """
    capacity = buffer.storage.reward.shape[0]

    def write(column: Array, value: Array) -> Array:
        return jax.lax.dynamic_update_index_in_dim(column, jnp.asarray(value, column.dtype), buffer.position, 0)

    return ReplayBuffer(
        storage=jax.tree.map(write, buffer.storage, transition),
        position=(buffer.position + 1) % capacity,
        size=jnp.minimum(buffer.size + 1, capacity),
    )


def insert_many(buffer: ReplayBuffer, transitions: Transition) -> ReplayBuffer:
    """Returns the buffer with several more transitions, as if they were inserted one after the other.

    Args:
      buffer: the buffer before.
      transitions: ``[number, ...]``, not more than the capacity.

    Raises:
      ConfigError: there are more transitions than the buffer can hold.
    """
    capacity, number = buffer.storage.reward.shape[0], transitions.reward.shape[0]
    if number > capacity:
        raise ConfigError(f"Replay buffer: {number} transitions at once do not fit into a capacity of {capacity}.")
    rows = (buffer.position + jnp.arange(number)) % capacity
    return ReplayBuffer(
        storage=jax.tree.map(lambda column, new: column.at[rows].set(new), buffer.storage, transitions),
        position=(buffer.position + number) % capacity,
        size=jnp.minimum(buffer.size + number, capacity),
    )


def sample(buffer: ReplayBuffer, key: Key, batch_size: int) -> Transition:
    """Returns ``batch_size`` transitions, drawn uniformly with replacement; zeros if the buffer is empty."""
    rows = jax.random.randint(key, (batch_size,), 0, jnp.maximum(buffer.size, 1), jnp.int32)
    return jax.tree.map(lambda column: column[rows], buffer.storage)


def sample_mixed(
    key: Key, dataset: Dataset, buffer: ReplayBuffer, batch_size: int, data_fraction: float = 0.5
) -> Transition:
    """Returns a batch of rows from the data set and from the buffer.

    Exactly ``round(batch_size * data_fraction)`` rows come from the data set. The rows are shuffled, so that each part
    of a batch that is split for several critic updates has rows of both.

    Args:
      key: the random key.
      dataset: the offline data.
      buffer: the online data.
      batch_size: the number of rows.
      data_fraction: the share of the rows that come from the data set.

    Raises:
      ConfigError: ``data_fraction`` is outside ``[0, 1]``.
    """
    data_fraction = real_number("data_fraction", data_fraction, 0.0, 1.0)
    from_data = round(batch_size * data_fraction)
    data_key, buffer_key, order_key = jax.random.split(key, 3)
    parts = dataset.sample(data_key, from_data), sample(buffer, buffer_key, batch_size - from_data)
    order = jax.random.permutation(order_key, batch_size)
    return jax.tree.map(lambda *columns: jnp.concatenate(columns)[order], *parts)
