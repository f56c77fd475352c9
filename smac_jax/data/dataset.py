"""A data set on the device, sampled inside the compiled loop."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Float

from smac_jax.data.tasks import TASKS, normalized_score
from smac_jax.errors import DatasetError
from smac_jax.types import Array, Key, Transition

ACTION_TOLERANCE = 1e-5
"""Actions this far outside [-1, 1] are rounding, and are clipped; further out is an error."""


@struct.dataclass
class Dataset:
    """Logged transitions; a pytree, so it passes through jit.

    Attributes:
      observations, actions, rewards: as logged; actions in ``[-1, 1]``.
      next_observations: never from another episode.
      terminals: 1.0 where the task ended: no bootstrap. A time-out is no terminal, and bootstraps.
      timeouts: 1.0 at an episode's last row where it is no terminal, also where the log was cut.
      trajectory_returns: undiscounted return of the trajectory that each row belongs to.
      conditions: ``trajectory_returns`` min-max normalised to ``[0, 1]`` (SMAC's ``w``); 1.0 where all are the same.
      name: of the data set.
      task: the task it was logged in, or None.
      metadata: what the file says of itself, as ``((key, text), ...)``.
    """

    observations: Float[Array, "row observation"]
    actions: Float[Array, "row action"]
    rewards: Float[Array, "row"]
    next_observations: Float[Array, "row observation"]
    terminals: Float[Array, "row"]
    timeouts: Float[Array, "row"]
    trajectory_returns: Float[Array, "row"]
    conditions: Float[Array, "row"]
    name: str = struct.field(pytree_node=False, default="unnamed")
    task: str | None = struct.field(pytree_node=False, default=None)
    metadata: tuple[tuple[str, str], ...] = struct.field(pytree_node=False, default=())

    @property
    def size(self) -> int:
        """Number of transitions."""
        return self.rewards.shape[0]

    @classmethod
    def from_arrays(
        cls,
        observations: Any,
        actions: Any,
        rewards: Any,
        terminals: Any,
        timeouts: Any = None,
        next_observations: Any = None,
        *,
        name: str = "unnamed",
        task: str | None = None,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> Dataset:
        """Checks arrays and makes a data set of them.

        A row that is both terminal and time-out is terminal. Without ``next_observations`` the next row's observation is
        taken within an episode; a terminal row gets its own, which nothing reads; and a row whose episode was cut by time
        (or by the end of the log) is dropped, for it must bootstrap from an observation that nobody wrote down.

        Args:
          observations: ``[row, observation]``.
          actions: ``[row, action]`` in ``[-1, 1]``.
          rewards, terminals, timeouts: ``[row]``; ``timeouts`` None means that no episode ran out of time.
          next_observations: ``[row, observation]`` or None.
          name, task, metadata: as the class says.

        Raises:
          DatasetError: names the array, what was found in it, and what to do.
        """
        arrays = {"observations": observations, "actions": actions, "rewards": rewards, "terminals": terminals}
        arrays["timeouts"] = np.zeros(np.shape(rewards), bool) if timeouts is None else timeouts
        if next_observations is not None:
            arrays["next_observations"] = next_observations
        checked = check_arrays(arrays, name)
        terminal = checked["terminals"] > 0.5
        timeout = (checked["timeouts"] > 0.5) & ~terminal
        last = terminal | timeout
        cut = ~last[-1]
        last[-1] = True
        timeout[-1] |= cut
        returns = trajectory_returns(checked["rewards"], last)
        spread = returns.max() - returns.min()
        conditions = (returns - returns.min()) / spread if spread > 0 else np.ones_like(returns)

        following, keep = checked.get("next_observations"), np.ones(len(returns), bool)
        if following is None:
            following = np.concatenate([checked["observations"][1:], checked["observations"][-1:]])
            following[last] = checked["observations"][last]
            keep = ~timeout
            if not keep.any():
                raise DatasetError(f"{name}: every row ends its episode by time, and there are no next_observations.")
        columns = {
            "observations": checked["observations"],
            "actions": checked["actions"],
            "rewards": checked["rewards"],
            "next_observations": following,
            "terminals": terminal,
            "timeouts": timeout,
            "trajectory_returns": returns,
            "conditions": conditions,
        }
        on_device = {key: jnp.asarray(value[keep], jnp.float32) for key, value in columns.items()}
        return cls(**on_device, name=name, task=task, metadata=metadata)

    def transitions(self, rows: Any = slice(None)) -> Transition:
        """The given rows, all by default."""
        return Transition(
            observation=self.observations[rows],
            action=self.actions[rows],
            reward=self.rewards[rows],
            next_observation=self.next_observations[rows],
            terminal=self.terminals[rows],
            condition=self.conditions[rows],
        )

    def sample(self, key: Key, batch_size: int) -> Transition:
        """Rows drawn uniformly, with replacement."""
        return self.transitions(jax.random.randint(key, (batch_size,), 0, self.size))

    def observation_statistics(self) -> tuple[Float[Array, "observation"], Float[Array, "observation"]]:
        """Mean and standard deviation of the observations, the latter at least 1e-3."""
        return self.observations.mean(axis=0), jnp.maximum(self.observations.std(axis=0), 1e-3)

    def episode_returns(self) -> Float[np.ndarray, "episode"]:
        """The return of each trajectory, once."""
        last = np.asarray(self.terminals + self.timeouts) > 0.5
        last[-1] = True
        return np.asarray(self.trajectory_returns)[last]

    def summary(self) -> str:
        """A few words for people."""
        returns = self.episode_returns()
        text = (
            f"{self.name}: {self.size:,} transitions, {len(returns):,} episodes, observations {self.observations.shape[1]}, "
            f"actions {self.actions.shape[1]}; returns {returns.min():.1f} to {returns.max():.1f}, mean {returns.mean():.1f}"
        )
        if self.task in TASKS:
            text += f" (normalised score {normalized_score(self.task, returns.mean()):.1f})"
        return text


def trajectory_returns(rewards: Float[np.ndarray, "row"], last: np.ndarray) -> Float[np.ndarray, "row"]:
    """The undiscounted return of each row's whole trajectory; ``last`` marks the trajectories' last rows."""
    trajectory = np.concatenate([[0], np.cumsum(last)[:-1]])
    return np.bincount(trajectory, weights=rewards)[trajectory]


def check_arrays(arrays: dict[str, Any], where: str) -> dict[str, np.ndarray]:
    """Float32 copies of arrays that fit together.

    Raises:
      DatasetError: names the array, what was found in it, and what to do.
    """
    ranks = {"observations": 2, "actions": 2, "next_observations": 2}
    checked: dict[str, np.ndarray] = {}
    for key, value in arrays.items():
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise DatasetError(f"{where}: {key} holds {array.dtype}, which is not numbers. It is not read any further.")
        rank = ranks.get(key, 1)
        if rank == 1 and array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != rank:
            raise DatasetError(f"{where}: {key} has shape {array.shape}; expected {rank} axes, the first one rows.")
        checked[key] = array.astype(np.float32)
    rows = len(checked["rewards"])
    if rows == 0:
        raise DatasetError(f"{where}: the data set is empty (0 rows).")
    for key, array in checked.items():
        if len(array) != rows:
            raise DatasetError(f"{where}: {key} has {len(array)} rows, rewards has {rows}; they must be equal.")
        bad = ~np.isfinite(array.reshape(rows, -1)).all(axis=1)
        if bad.any():
            raise DatasetError(
                f"{where}: {key} is NaN or infinite in {bad.sum()} of {rows} rows, first in row {bad.argmax()}. "
                "Drop the episodes they belong to."
            )
        if key in ("terminals", "timeouts") and not np.isin(array, (0.0, 1.0)).all():
            raise DatasetError(f"{where}: {key} must be true or false (0 or 1); found {array.min():g} to {array.max():g}.")
    if "next_observations" in checked and checked["next_observations"].shape != checked["observations"].shape:
        raise DatasetError(
            f"{where}: next_observations has shape {checked['next_observations'].shape}, observations "
            f"{checked['observations'].shape}; they must be equal."
        )
    low, high = checked["actions"].min(), checked["actions"].max()
    if low < -1 - ACTION_TOLERANCE or high > 1 + ACTION_TOLERANCE:
        raise DatasetError(
            f"{where}: actions lie in [{low:g}, {high:g}], outside [-1, 1]. Rescale them to the action space's box first."
        )
    checked["actions"] = np.clip(checked["actions"], -1.0, 1.0)
    return checked
