"""Compares logged rows with the simulator: one step from each logged state against the next observation in the log.

The comparison shows differences in the physics that returns do not show. For example, if contact margins are summed,
and they were not when the data were logged, a quarter of hopper's rows differ, by up to 0.5 after one step.
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
_BATCH = 4096  # rows per call


class States(NamedTuple):
    """The physics states of logged rows.

    Attributes:
      qpos, qvel: joint positions and velocities.
      known: the rows whose joint positions and velocities are the whole state.
      scene: the values of the task's ``Model.scene``; None for those of the model.
    """

    qpos: Float[np.ndarray, "row qpos"]
    qvel: Float[np.ndarray, "row qvel"]
    known: Bool[np.ndarray, " row"]
    scene: Float[np.ndarray, "row scene"] | None = None


class Agreement(NamedTuple):
    """How many of the logged rows the simulator reproduces in one step.

    Attributes:
      rows: how many rows were compared. Their state and their next observation are known.
      skipped: how many rows were not compared.
      share: the share of ``rows`` in which no number of the next observation differs by more than the tolerance.
      reward_share: the share of ``rows`` whose reward equals the logged one within ten times the tolerance.
      worst_row: the index in the log of the row with the largest error.
      worst_number: the index of that error in the observation.
      worst_error: its magnitude.
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


def states_from_observations(env: TaskEnv, observations: Float[np.ndarray, "row observation"]) -> States | None:
    """Returns the states that observations contain; None if the task's observations do not contain the whole state."""
    state = getattr(env.task, "state", None)
    return None if state is None else States(*state(np.asarray(observations, np.float64)))


def check_sizes(env: TaskEnv, arrays: Mapping[str, Any]) -> None:
    """Raises DatasetError if rows have other numbers of observations or actions than the environment."""
    sizes = np.shape(arrays["observations"])[-1], np.shape(arrays["actions"])[-1]
    expected = env.observation_size, env.action_size
    if sizes != expected:
        raise DatasetError(
            f"The rows have {sizes[0]} observations and {sizes[1]} actions, but the environment has {expected[0]} and "
            f"{expected[1]}. They must be of the same task and version."
        )


def one_step_agreement(
    env: TaskEnv,
    states: States,
    arrays: Mapping[str, Any],
    *,
    tolerance: float = TOLERANCE,
) -> Agreement:
    """Steps once from every logged state, and compares the result with the log.

    Args:
      env: one of this package's tasks, without a wrapper.
      states: the states of the rows.
      arrays: ``observations``, ``actions``, ``rewards`` and ``next_observations``. Without ``next_observations``, the
        next row's observation is used, except at rows where ``terminals`` or ``timeouts`` end an episode.
      tolerance: the tolerance of each number, to which a tenth of it is added for each unit of the number's magnitude.

    Raises:
      DatasetError: the rows have other sizes than the environment, or no row can be compared.
    """
    columns = {key: np.asarray(value) for key, value in arrays.items() if value is not None}
    observations, actions = columns["observations"], columns["actions"]
    check_sizes(env, columns)
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
        raise DatasetError("The log has no row with a whole state and a next observation, so no row can be compared.")

    step = jax.jit(jax.vmap(env.step))
    simulated, rewards = [], []
    for first in range(0, len(rows), _BATCH):
        chunk = rows[first : first + _BATCH]
        scene = None if states.scene is None else states.scene[chunk]
        state = step(env.reset_to(states.qpos[chunk], states.qvel[chunk], scene), actions[chunk].astype(np.float32))
        simulated.append(np.asarray(state.obs))
        rewards.append(np.asarray(state.reward))
    error = np.abs(np.concatenate(simulated) - after[rows])
    reward_error = np.abs(np.concatenate(rewards) - np.reshape(columns["rewards"], -1)[rows])
    worst, number = np.unravel_index(int(np.argmax(error)), error.shape)
    return Agreement(
        rows=len(rows),
        skipped=len(known) - len(rows),
        share=float(np.mean((error <= tolerance * (1 + 0.1 * np.abs(after[rows]))).all(1))),
        reward_share=float(np.mean(reward_error <= 10 * tolerance)),
        worst_row=int(rows[worst]),
        worst_number=int(number),
        worst_error=float(error[worst, number]),
    )
