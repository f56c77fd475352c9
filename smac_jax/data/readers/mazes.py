"""What is particular about D4RL's files of AntMaze and maze2d.

Sources: D4RL's code (``scripts/generation/generate_ant_maze_datasets.py``, ``relabel_antmaze_rewards.py``,
``relabel_maze2d_rewards.py``, ``qlearning_dataset``) and its issues 77, 194 and 199.

**AntMaze.** The ant was sent to one goal after the other (``infos/goal``), a thousand steps to each, and the rewards
were written over afterwards for the one goal of the environment:

* Every row whose *next* position is within 0.5 m of that goal has a reward of 1 and is a terminal, and the log goes on
  (in umaze-diverse only the first such row of an episode). IQL, CORL and Cal-QL learn from all these rows, and so do
  we: each terminal ends a trajectory, the rows after it begin another.
* An episode of the log ends where ``timeouts`` says so. What followed its last row was not logged; the next row begins
  another episode. The reward and the terminal of the last row were computed from that next row, so that they are of
  another episode. The row is left out, as by D4RL.
* In -v0 the marks are not where episodes end. There, and wherever else marks are missing, an episode ends where the
  goal changes or the ant jumps: it moves by less than 0.4 m a step, and starts again metres away.

**maze2d.** ``rewards`` of a file say whether the row's *own* position is at the goal, not its next one as in the
environment. Everybody's published results were learned from these, so that they are left as they are, and noted.
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
    """Rows of AntMaze with their next observations, without the last one of each logged episode.

    Args:
      arrays: of the file, without ``next_observations``.
      goals: ``infos/goal``, where the file has them.
      notes: gets what was left out (``left_out``) and how many ends were not marked (``unmarked_breaks``).
      where: what errors name them by.

    Raises:
      DatasetError: arrays that do not fit together, or goals for another number of rows.
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
    notes["left_out"] = f"{np.sum(last):,} last rows of logged episodes left out, as by D4RL: nothing follows them"
    kept = np.flatnonzero(~last)
    columns = {key: column[kept] for key, column in checked.items()}
    columns["next_observations"] = checked["observations"][kept + 1]
    columns["timeouts"] = (last[kept + 1] & (columns["terminals"] < 0.5)).astype(np.float32)
    return columns


def note_rewards_of_maze2d(arrays: dict[str, Any], task: str, notes: dict[str, str]) -> None:
    """Says in the notes (``rewards_of``) where rewards are of the rows' own positions."""
    kind, _, dense = task.removeprefix("maze2d-").partition("-")
    own, rewards = np.asarray(arrays["observations"]), np.asarray(arrays["rewards"]).ravel()
    if own.ndim != 2 or own.shape[1] != 4 or len(own) != len(rewards):
        return
    distance = np.linalg.norm(own[:, :2] - np.array(BALL_GOALS[kind]), axis=1)
    of_own = np.exp(-distance) if dense else (distance <= D4RL_RADIUS).astype(float)
    # a row may be at the very edge of the goal
    if np.mean(np.abs(of_own - rewards) < 1e-4) > 0.9999 and np.ptp(rewards) > 0:
        notes["rewards_of"] = "rewards are of the state before the action, a step late, as in D4RL's files"
