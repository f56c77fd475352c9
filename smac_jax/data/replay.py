"""A ring of transitions that lives inside the compiled loop."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from smac_jax.config import real_number, whole_number
from smac_jax.data.dataset import Dataset
from smac_jax.short_repr import of_value
from smac_jax.types import Array, Key, Transition


class ReplayBuffer(struct.PyTreeNode):
    """Transitions, the oldest overwritten first.

    Attributes:
      storage: the transitions, ``[capacity, ...]``; rows from ``size`` on are empty.
      position: ``[]``, where the next one goes.
      size: ``[]``, how many there are.
    """

    storage: Transition
    position: Array
    size: Array

    def __repr__(self) -> str:
        return f"ReplayBuffer(size={of_value(self.size)}, observation={of_value(self.storage.observation)})"


def init(capacity: int, observation_size: int, action_size: int) -> ReplayBuffer:
    """An empty buffer.

    Raises:
      ConfigError: a size that is not a positive whole number known before compilation.
    """
    capacity = whole_number("Replay buffer: capacity", capacity, 1)
    observation_size = whole_number("Replay buffer: observation_size", observation_size, 1)
    action_size = whole_number("Replay buffer: action_size", action_size, 1)
    # each column its own zeros: a buffer donated to a compiled loop must not hold the same array twice
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
    """The buffer with one more transition.

    ``transition.next_observation`` is the true one, before any reset. In a scan the buffer is updated in place.
    """
    capacity = buffer.storage.reward.shape[0]

    def write(column: Array, value: Array) -> Array:
        return jax.lax.dynamic_update_index_in_dim(column, jnp.asarray(value, column.dtype), buffer.position, 0)

    return ReplayBuffer(
        storage=jax.tree.map(write, buffer.storage, transition),
        position=(buffer.position + 1) % capacity,
        size=jnp.minimum(buffer.size + 1, capacity),
    )


def sample(buffer: ReplayBuffer, key: Key, batch_size: int) -> Transition:
    """Rows drawn uniformly from what is filled, with replacement. Of an empty buffer: zeros."""
    rows = jax.random.randint(key, (batch_size,), 0, jnp.maximum(buffer.size, 1), jnp.int32)
    return jax.tree.map(lambda column: column[rows], buffer.storage)


def sample_mixed(
    key: Key, dataset: Dataset, buffer: ReplayBuffer, batch_size: int, data_fraction: float = 0.5
) -> Transition:
    """A batch with exactly ``round(batch_size * data_fraction)`` rows from the data set, the rest from the buffer.

    The rows come shuffled, so that a batch cut in parts (several critic updates a step) has both in each.

    Raises:
      ConfigError: a fraction outside ``[0, 1]``.
    """
    data_fraction = real_number("data_fraction", data_fraction, 0.0, 1.0)
    from_data = round(batch_size * data_fraction)
    data_key, buffer_key, order_key = jax.random.split(key, 3)
    parts = dataset.sample(data_key, from_data), sample(buffer, buffer_key, batch_size - from_data)
    order = jax.random.permutation(order_key, batch_size)
    return jax.tree.map(lambda *columns: jnp.concatenate(columns)[order], *parts)
