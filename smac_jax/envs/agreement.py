"""Whether logged rows come from this simulator: a step from each logged state, beside what the log has next.

A difference in the physics that no return shows is plain here: with contact margins that are summed, where they were
not when the data were logged, a quarter of hopper's rows come out otherwise, by up to 0.5 in one step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from smac_jax.errors import DatasetError

if TYPE_CHECKING:
    from smac_jax.envs.task_env import TaskEnv

TOLERANCE = 1e-4
_BATCH = 4096  # rows a call


class States(NamedTuple):
    """Physics states of logged rows.

    Attributes:
      qpos, qvel: joint positions and velocities.
      known: rows in which these are the whole state.
      scene: values of the task's ``Model.scene``; None for the model's own.
    """

    qpos: Float[np.ndarray, "row qpos"]
    qvel: Float[np.ndarray, "row qvel"]
    known: Bool[np.ndarray, " row"]
    scene: Float[np.ndarray, "row scene"] | None = None


class Agreement(NamedTuple):
    """How many of the logged rows the simulator reproduces in one step.

    Attributes:
      rows: how many were compared: those whose state and whose next observation are known.
      skipped: how many were not.
      share: of ``rows``, those in which no number of the next observation is off by more than the tolerance.
      reward_share: of ``rows``, those whose reward is the logged one, within ten times the tolerance.
      worst_row: its index in the log.
      worst_number: the index of the number in it that is off most.
      worst_error: by how much.
    """

    rows: int
    skipped: int
    share: float
    reward_share: float
    worst_row: int
    worst_number: int
    worst_error: float

    def __str__(self) -> str:
        text = f"{self.share:.1%} of {self.rows:,} rows reproduced in one step (rewards {self.reward_share:.1%})"
        if self.share < 1:
            text += f"; worst: row {self.worst_row}, observation[{self.worst_number}] off by {self.worst_error:.2g}"
        return text + (f"; {self.skipped:,} rows not compared" if self.skipped else "")


def states_shown(env: TaskEnv, observations: Float[np.ndarray, "row observation"]) -> States | None:
    """The states that observations show; None for a task whose observations do not hold the whole state."""
    state = getattr(env.task, "state", None)
    return None if state is None else States(*state(np.asarray(observations, np.float64)))


def one_step_agreement(
    env: TaskEnv,
    states: States,
    arrays: Mapping[str, Any],
    *,
    tolerance: float = TOLERANCE,
) -> Agreement:
    """Steps once from every logged state and compares.

    Args:
      env: of this package's tasks, not wrapped.
      states: of the rows.
      arrays: ``observations``, ``actions``, ``rewards``, ``next_observations``; without the last, the next row's
        observation where ``terminals`` and ``timeouts`` do not end an episode.
      tolerance: for each number, plus a tenth of it for each unit of the number's size.

    Raises:
      DatasetError: rows of sizes that are not the environment's, or none to compare.
    """
    columns = {key: np.asarray(value) for key, value in arrays.items() if value is not None}
    observations, actions = columns["observations"], columns["actions"]
    found, expected = (observations.shape[-1], actions.shape[-1]), (env.observation_size, env.action_size)
    if found != expected:
        raise DatasetError(
            f"The rows have {found[0]} observations and {found[1]} actions, the environment {expected[0]} and "
            f"{expected[1]}: are they of the same task and version?"
        )
    known = states.known.copy()
    if "next_observations" in columns:
        after = columns["next_observations"]
    else:
        after = np.concatenate([observations[1:], observations[-1:]])
        ends = [np.reshape(columns[key], -1) > 0.5 for key in ("terminals", "timeouts") if key in columns]
        known &= ~np.any(ends, axis=0) if ends else True
        known[-1] = False
    rows = np.flatnonzero(known)
    if not len(rows):
        raise DatasetError("No row shows its whole state and what follows, so none can be compared.")

    step = jax.jit(jax.vmap(env.step))
    seen, paid = [], []
    for first in range(0, len(rows), _BATCH):
        chunk = rows[first : first + _BATCH]
        scene = None if states.scene is None else states.scene[chunk]
        state = step(env.reset_to(states.qpos[chunk], states.qvel[chunk], scene), actions[chunk].astype(np.float32))
        seen.append(np.asarray(state.obs))
        paid.append(np.asarray(state.reward))
    error = np.abs(np.concatenate(seen) - after[rows])
    wrong = np.abs(np.concatenate(paid) - np.reshape(columns["rewards"], -1)[rows])
    worst, number = np.unravel_index(int(np.argmax(error)), error.shape)
    return Agreement(
        rows=len(rows),
        skipped=len(known) - len(rows),
        share=float(np.mean((error <= tolerance * (1 + 0.1 * np.abs(after[rows]))).all(1))),
        reward_share=float(np.mean(wrong <= 10 * tolerance)),
        worst_row=int(rows[worst]),
        worst_number=int(number),
        worst_error=float(error[worst, number]),
    )
