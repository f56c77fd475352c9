"""The particularities of D4RL's files of AntMaze and maze2d.

Sources: D4RL's code (``scripts/generation/generate_ant_maze_datasets.py``, ``relabel_antmaze_rewards.py``,
``relabel_maze2d_rewards.py``, ``qlearning_dataset``) and its issues 77, 194 and 199.

**AntMaze.** In the logs, the ant ran to a series of goals (``infos/goal``) for a thousand steps each. Rewards and
terminals were computed afterwards for the single goal of the environment:

* Every row whose *next* position is within 0.5 m of that goal has a reward of 1 and is a terminal, and the log
  continues after it (in umaze-diverse only the first such row of an episode is marked). IQL, CORL and Cal-QL train on
  all these rows, and so does this package: each terminal ends a trajectory, and the rows after it begin another one.
* An episode of the log ends where ``timeouts`` is true. The observation after its last row was not logged, and the next
  row begins another episode. The reward and the terminal of the last row were computed from that next row, so they
  belong to another episode. The last row is left out, as in D4RL.
* In -v0 the time-outs are not at the ends of the episodes. There, and where time-outs are missing, an episode ends
  where the goal changes or the ant jumps: it moves by less than 0.4 m in a step, and starts again meters away.

**maze2d.** The ``rewards`` of a file depend on whether the row's *own* position is at the goal. In the environment they
depend on the next position. All published results were trained on the file's rewards, so they are not changed; a note
in the metadata mentions it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from smac_jax.data.validation import check_arrays
from smac_jax.errors import DatasetError
from smac_jax.mazes import BALL_GOALS, D4RL_RADIUS

JUMP = 1.0  # m


def antmaze_columns(
    arrays: dict[str, Any], goals: Float[np.ndarray, "row 2"] | None, notes: dict[str, str], where: str
) -> dict[str, Any]:
    """Returns the rows of AntMaze with their next observations, without the last row of each logged episode.

    Args:
      arrays: the arrays of the file, without ``next_observations``.
      goals: ``infos/goal``, if the file has it.
      notes: is given the rows that were left out (``left_out``) and the number of unmarked ends (``unmarked_breaks``).
      where: the name of the data in error messages.

    Raises:
      DatasetError: the arrays do not fit together, or the goals have another number of rows.
    """
    checked = check_arrays(arrays, where)
    rows = len(checked["rewards"])
    if goals is not None and np.shape(goals) != (rows, 2):
        raise DatasetError(f"{where}: infos/goal has shape {np.shape(goals)}, expected ({rows}, 2).")
    marked = checked.get("timeouts", np.zeros(rows)) > 0.5
    found = np.linalg.norm(np.diff(checked["observations"][:, :2], axis=0), axis=1) > JUMP
    if goals is not None:
        found |= (np.diff(goals, axis=0) != 0).any(1)
    last = marked.copy()
    last[:-1] |= found
    unmarked = int(np.sum(last & ~marked))
    last[-1] = True
    if last.all():
        raise DatasetError(f"{where}: every row is the last of an episode, so no transition is left.")
    if unmarked:
        notes["unmarked_breaks"] = str(unmarked)
    notes["left_out"] = f"{np.sum(last):,} last rows of episodes left out as in D4RL, without a next observation"
    kept = np.flatnonzero(~last)
    columns = {key: column[kept] for key, column in checked.items()}
    columns["next_observations"] = checked["observations"][kept + 1]
    columns["timeouts"] = (last[kept + 1] & (columns["terminals"] < 0.5)).astype(np.float32)
    return columns


def note_rewards_of_maze2d(arrays: dict[str, Any], task: str, notes: dict[str, str]) -> None:
    """Adds a note (``rewards_of``) if the rewards depend on the rows' own positions."""
    kind, _, dense = task.removeprefix("maze2d-").partition("-")
    own, rewards = np.asarray(arrays["observations"]), np.asarray(arrays["rewards"]).ravel()
    if own.ndim != 2 or own.shape[1] != 4 or len(own) != len(rewards):
        return
    distance = np.linalg.norm(own[:, :2] - np.array(BALL_GOALS[kind]), axis=1)
    of_own = np.exp(-distance) if dense else (distance <= D4RL_RADIUS).astype(float)
    # a row may be exactly at the edge of the goal
    if np.mean(np.abs(of_own - rewards) < 1e-4) > 0.9999 and np.ptp(rewards) > 0:
        notes["rewards_of"] = "rewards depend on the state before the action, one step late, as in D4RL's files"
