"""A replay buffer as a pytree, for the compiled training loop."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Bool, Float, Int

from smac_jax.config import real_number, whole_number
from smac_jax.data.dataset import Dataset
from smac_jax.errors import ConfigError
from smac_jax.short_repr import of_value
from smac_jax.types import Array, Key, Transition

UNKNOWN_RETURN = -1e30
"""The return-to-go of a transition whose episode has not ended. As a lower bound of values it has no effect."""


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


def add_rewards(
    buffer: ReplayBuffer,
    rewards: Float[Array, "environment"],
    lengths: Int[Array, "environment"],
    discount: float,
    window: int,
) -> ReplayBuffer:
    """Returns the buffer with rewards added to the returns-to-go of the transitions of their episodes.

    The rewards are those of the transitions that were inserted last, one for each environment. Called after every
    insertion, the column ``return_to_go`` of a whole episode is the discounted sum of the rewards from each transition
    to the end of its episode.

    Args:
      buffer: the buffer after the insertion.
      rewards: the rewards of the last transitions, in the units of the returns.
      lengths: the number of transitions of each environment's episode so far, the last one included.
      discount: the discount factor.
      window: the longest episode. Of longer ones only the last transitions are updated.
    """
    rows, ago = _last_rows(buffer, rewards.shape[0], window)
    added = jnp.where(ago < lengths, jnp.float32(discount) ** ago * rewards, 0.0)
    column = buffer.storage.return_to_go.at[rows].add(added)
    return buffer.replace(storage=buffer.storage._replace(return_to_go=column))


def highest_rewards(
    buffer: ReplayBuffer, lengths: Int[Array, "environment"], window: int
) -> Float[Array, "environment"]:
    """Returns the highest reward of each environment's last episode; arguments as in :func:`add_rewards`."""
    rows, ago = _last_rows(buffer, lengths.shape[0], window)
    return jnp.where(ago < lengths, buffer.storage.reward[rows], -jnp.inf).max(axis=0)


def _last_rows(buffer: ReplayBuffer, environments: int, window: int) -> tuple[Array, Array]:
    """Returns the rows of the last insertions ``[window, environment]``, and how many insertions ago they were made."""
    capacity = buffer.storage.reward.shape[0]
    ago = jnp.arange(min(window, capacity // environments), dtype=jnp.int32)[:, None]
    rows = buffer.position - environments * (ago + 1) + jnp.arange(environments, dtype=jnp.int32)
    return rows % capacity, ago


def in_unfinished_episode(
    buffer: ReplayBuffer, rows: Int[Array, "row"], lengths: Int[Array, "environment"]
) -> Bool[Array, "row"]:
    """Returns whether transitions belong to the episodes that are still running.

    Args:
      buffer: the buffer, into which one transition of each environment is inserted at a time.
      rows: the rows of the transitions.
      lengths: the number of transitions of each environment's running episode.
    """
    ago = (buffer.position - 1 - rows) % buffer.storage.reward.shape[0]
    environments = lengths.shape[0]
    return ago // environments < lengths[environments - 1 - ago % environments]


def sample(
    buffer: ReplayBuffer, key: Key, batch_size: int, unfinished: Int[Array, "environment"] | None = None
) -> Transition:
    """Returns ``batch_size`` transitions, drawn uniformly with replacement; zeros if the buffer is empty.

    Args:
      buffer: the buffer.
      key: the random key.
      batch_size: the number of transitions.
      unfinished: the lengths of the running episodes, whose returns-to-go then are :data:`UNKNOWN_RETURN`.
    """
    rows = jax.random.randint(key, (batch_size,), 0, jnp.maximum(buffer.size, 1), jnp.int32)
    drawn = jax.tree.map(lambda column: column[rows], buffer.storage)
    if unfinished is None:
        return drawn
    known = ~in_unfinished_episode(buffer, rows, unfinished)
    return drawn._replace(return_to_go=jnp.where(known, drawn.return_to_go, UNKNOWN_RETURN))


def sample_mixed(
    key: Key,
    dataset: Dataset,
    buffer: ReplayBuffer,
    batch_size: int,
    data_fraction: float = 0.5,
    unfinished: Int[Array, "environment"] | None = None,
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
      unfinished: as in :func:`sample`.

    Raises:
      ConfigError: ``data_fraction`` is outside ``[0, 1]``.
    """
    data_fraction = real_number("data_fraction", data_fraction, 0.0, 1.0)
    from_data = round(batch_size * data_fraction)
    data_key, buffer_key, order_key = jax.random.split(key, 3)
    parts = dataset.sample(data_key, from_data), sample(buffer, buffer_key, batch_size - from_data, unfinished)
    order = jax.random.permutation(order_key, batch_size)
    return jax.tree.map(lambda *columns: jnp.concatenate(columns)[order], *parts)


def sample_changing_mix(
    key: Key,
    dataset: Dataset,
    buffer: ReplayBuffer,
    batch_size: int,
    data_fraction: Float[Array, ""],
    unfinished: Int[Array, "environment"] | None = None,
) -> Transition:
    """Returns the same as :func:`sample_mixed` for a ``data_fraction []`` that is an array in a compiled program.

    Compiled programs have fixed shapes. Therefore a whole batch is drawn from each of the two, and then rows of both
    are taken.
    """
    data_key, buffer_key, order_key = jax.random.split(key, 3)
    parts = dataset.sample(data_key, batch_size), sample(buffer, buffer_key, batch_size, unfinished)
    is_data = jax.random.permutation(order_key, batch_size) < jnp.round(batch_size * data_fraction)

    def choose(data: Array, online: Array) -> Array:
        return jnp.where(is_data.reshape(-1, *[1] * (data.ndim - 1)), data, online)

    return jax.tree.map(choose, *parts)
