"""Action chunks: several consecutive actions as one larger action.

    a_chunk = (a_t, ..., a_(t+n-1)) ,   r_chunk = r_t + gamma r_(t+1) + ... + gamma^(n-1) r_(t+n-1) ,   s' = s_(t+n)

An algorithm learns from such transitions as from any others, with the discount ``gamma^n``. Their targets are unbiased
``n``-step targets, because the input of the critics includes all actions whose rewards are summed. The environment for
such actions is :class:`smac_jax.envs.chunks.ActionChunks`.

Source: Q-chunking (Li, Zhou and Levine 2025, arXiv 2507.07969), section 4, and ``sample_sequence`` in the authors' code
(``utils/datasets.py`` of ColinQiyangLi/qc). Deviation: chunks that are longer than the rest of their episode are left
out. The code uses them for cloning, where it masks the actions after the end, and masks them in the critics' loss.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from smac_jax.chunk_names import DISCOUNT, chunks_name
from smac_jax.config import real_number, whole_number
from smac_jax.data.dataset import Dataset
from smac_jax.errors import DatasetError


def in_chunks(data: Dataset, length: int, discount: float = DISCOUNT) -> Dataset:
    """Returns a data set of transitions whose actions are ``length`` consecutive actions.

    A chunk begins at every row after which the episode has at least ``length - 1`` more rows. The rows of the result
    are ordered as trajectories: each episode becomes ``length`` trajectories, which begin at its first ``length`` rows
    and consist of consecutive chunks. Therefore everything that is computed from trajectories is also right for chunks,
    such as the returns-to-go with the discount ``discount ** length``.
    :attr:`~smac_jax.Dataset.trajectory_returns` are the returns of the whole episodes.

    Args:
      data: a data set of single actions, in the order in which they were logged.
      length: the number of actions in a chunk.
      discount: the discount of a single step. The algorithm needs the discount ``discount ** length``.

    Raises:
      ConfigError: an argument is out of range.
      DatasetError: the rows are not in the order of the log, or no episode has ``length`` transitions.
    """
    length = whole_number("in_chunks: length", length, 1)
    discount = real_number("in_chunks: discount", discount, 0.0, 1.0)
    notes = dict(data.metadata)
    if "not_in_order" in notes:
        raise DatasetError(f"{data.name} cannot be cut in chunks: {notes['not_in_order']}.")
    ended = np.asarray(data.ended) > 0.5
    last = ended | (np.asarray(data.timeouts) > 0.5)
    last[-1] = True
    starts, is_last = _starts(last, length)
    if not starts.size:
        raise DatasetError(f"{data.name} cannot be cut in chunks of {length} actions: no episode is that long.")
    rows: Int[np.ndarray, "chunk length"] = starts[:, None] + np.arange(length)
    rewards: Float[np.ndarray, "chunk length"] = np.asarray(data.rewards, np.float64)[rows]
    terminal = ended[rows[:, -1]]
    env = notes.get("env") or data.task
    for lost in ("dropped_rows", "env"):  # the rewards of dropped rows are in the returns, which are given
        notes.pop(lost, None)
    return Dataset.from_arrays(
        observations=np.asarray(data.observations)[starts],
        actions=np.asarray(data.actions)[rows].reshape(len(rows), -1),
        rewards=rewards @ discount ** np.arange(length),
        terminals=terminal,
        timeouts=is_last & ~terminal,
        next_observations=np.asarray(data.next_observations)[rows[:, -1]],
        name=chunks_name(length, data.name),
        metadata=notes
        | {"chunks": f"{length} actions each, with a discount of {discount:g} inside"}
        | ({} if env is None else {"env": chunks_name(length, env)}),
        trajectory_returns=np.asarray(data.trajectory_returns)[starts],
    )


def _starts(last: np.ndarray, length: int) -> tuple[Int[np.ndarray, " chunk"], np.ndarray]:
    """Returns the first rows of all chunks by trajectory, and whether each chunk is the last of its trajectory."""
    ends = np.flatnonzero(last)
    episode = np.searchsorted(ends, np.arange(len(last)))
    first = np.append(0, ends[:-1] + 1)[episode]
    whole = np.flatnonzero(np.arange(len(last)) + length - 1 <= ends[episode])
    offset, place = (whole - first[whole]) % length, (whole - first[whole]) // length
    order = np.lexsort((place, offset, episode[whole]))
    starts, trajectory = whole[order], (episode[whole] * length + offset)[order]
    return starts, np.append(trajectory[1:] != trajectory[:-1], True)[: len(starts)]
