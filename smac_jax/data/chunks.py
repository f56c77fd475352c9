"""Action chunks: several actions in a row as one larger action.

    a_chunk = (a_t, ..., a_(t+n-1)) ,   r_chunk = r_t + gamma r_(t+1) + ... + gamma^(n-1) r_(t+n-1) ,   s' = s_(t+n)

An algorithm learns from such transitions as from any others, with the discount ``gamma^n``. They are unbiased targets
of ``n`` steps, since the critics see all the actions whose rewards are summed. The environment that goes with them is
:class:`smac_jax.envs.chunks.ActionChunks`.

Source: Q-chunking (Li, Zhou and Levine 2025, arXiv 2507.07969), section 4, and ``sample_sequence`` in the authors' code
(``utils/datasets.py`` of ColinQiyangLi/qc). Deviation: chunks that an episode's end cuts are left out. The code keeps
them for cloning, where it masks the actions behind the end, and masks them in the critics' loss.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from smac_jax.chunk_names import DISCOUNT, chunks_name
from smac_jax.config import real_number, whole_number
from smac_jax.data.dataset import Dataset
from smac_jax.errors import DatasetError


def in_chunks(data: Dataset, length: int, discount: float = DISCOUNT) -> Dataset:
    """Returns the transitions of a data set whose actions are ``length`` actions in a row.

    A chunk begins at every row from which the episode has ``length`` rows left. The rows are ordered as trajectories:
    those chunks of an episode that follow one another, once for each of the ``length`` rows at which the first of them
    can begin. So whatever a data set can compute of its trajectories, such as returns-to-go with the discount
    ``discount ** length``, holds for chunks, too. :attr:`~smac_jax.Dataset.trajectory_returns` are those of the whole
    episodes.

    Args:
      data: single actions, in the order in which they were logged.
      length: the number of actions in a chunk.
      discount: the discount of a single step. That of the algorithm is ``discount ** length``.

    Raises:
      ConfigError: an argument is out of range.
      DatasetError: the rows do not follow each other, or no episode has ``length`` transitions.
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
    for lost in ("dropped_rows", "env"):  # what was dropped belongs to the returns, which are given
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
    """The rows at which chunks begin, trajectory by trajectory, and whether a chunk is the last of its trajectory."""
    ends = np.flatnonzero(last)
    episode = np.searchsorted(ends, np.arange(len(last)))
    first = np.append(0, ends[:-1] + 1)[episode]
    whole = np.flatnonzero(np.arange(len(last)) + length - 1 <= ends[episode])
    offset, place = (whole - first[whole]) % length, (whole - first[whole]) // length
    order = np.lexsort((place, offset, episode[whole]))
    starts, trajectory = whole[order], (episode[whole] * length + offset)[order]
    return starts, np.append(trajectory[1:] != trajectory[:-1], True)[: len(starts)]
