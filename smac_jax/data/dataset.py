"""A data set on the device, from which the compiled training loop samples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Float

from smac_jax.config import real_number, seed_number
from smac_jax.data.trajectories import (
    Rows,
    add_to_count,
    compare_next_observations,
    episode_ends,
    highest_in_trajectory,
    mark_breaks,
    min_max_normalized,
    next_within_episode,
    returns_by_row,
    returns_to_go,
)
from smac_jax.data.validation import check_action_range, check_arrays, is_binary
from smac_jax.errors import ConfigError, DatasetError, UnknownNameError
from smac_jax.tasks import TASKS, RewardRule, normalized_score, reward_rule
from smac_jax.types import Array, Key, Transition


class Dataset(struct.PyTreeNode):
    """Logged transitions. The class is a pytree, so a data set passes through ``jit``.

    Attributes:
      observations: in the environment's own units.
      actions: in ``[-1, 1]``.
      rewards: as they were logged.
      next_observations: the observation after each row's action. It never comes from another episode.
      terminals: 1.0 where an episode terminated, so that nothing is bootstrapped. A time-out is not a terminal; it
        bootstraps. (In Adroit's binary tasks no successful step bootstraps, see :attr:`ended`.)
      timeouts: 1.0 at the last row of an episode without a terminal, which reached the time limit or the end of the
        log.
      trajectory_returns: the undiscounted return of the trajectory that each row belongs to, including the rewards of
        rows that were dropped. In the kitchen, whose data pay in every step for all completed subtasks, it is the
        largest number of subtasks that were complete at once (SMAC, tables 6-8).
      conditions: ``trajectory_returns`` min-max normalized to ``[0, 1]`` (SMAC's ``w``); 1.0 if all returns are equal.
      returns_to_go: the discounted sum of the rewards from each row on, including those of dropped rows. It is 0 until
        :meth:`with_returns_to_go` computes it.
      next_actions: the action that was taken after each row's, in the same episode; None until
        :meth:`with_next_actions` finds it.
      name: the name of the data set.
      task: the task in which the data were logged, a key of ``TASKS``, or None.
      metadata: what the file says about itself, as ``((key, text), ...)``.
    """

    observations: Float[Array, "row observation"]
    actions: Float[Array, "row action"]
    rewards: Float[Array, " row"]
    next_observations: Float[Array, "row observation"]
    terminals: Float[Array, " row"]
    timeouts: Float[Array, " row"]
    trajectory_returns: Float[Array, " row"]
    conditions: Float[Array, " row"]
    returns_to_go: Float[Array, " row"]
    next_actions: Float[Array, "row action"] | None = None
    name: str = struct.field(pytree_node=False, default="unnamed")
    task: str | None = struct.field(pytree_node=False, default=None)
    metadata: tuple[tuple[str, str], ...] = struct.field(pytree_node=False, default=())

    def __repr__(self) -> str:
        task = "" if self.task is None else f", task={self.task!r}"
        try:
            (rows, observations), actions = self.observations.shape, self.actions.shape[1]
        except (AttributeError, IndexError, ValueError):  # the leaves of this tree are not arrays
            return f"Dataset({self.name!r}{task})"
        return f"Dataset({self.name!r}{task}, {rows:,} transitions, observations {observations}, actions {actions})"

    @property
    def size(self) -> int:
        """The number of transitions."""
        return self.rewards.shape[0]

    @property
    def reward_rule(self) -> RewardRule:
        """The meaning of the rewards, which follows from the task."""
        return reward_rule(self.task)

    @property
    def ended(self) -> Float[Array, " row"]:
        """1.0 where nothing is bootstrapped: terminals, and steps that solve the task (``RewardRule.solved_at``)."""
        solved_at = self.reward_rule.solved_at
        if solved_at is None:
            return self.terminals
        return jnp.maximum(self.terminals, (self.rewards >= solved_at).astype(self.terminals.dtype))

    @property
    def is_sparse(self) -> bool:
        """Whether every reward only distinguishes success from failure.

        If the task does not define it, rewards are sparse if they take two values.
        """
        sparse = self.reward_rule.sparse
        return np.unique(np.asarray(self.rewards)).size == 2 if sparse is None else sparse

    def fingerprint(self) -> str:
        """Returns a digest of all numbers. Two data sets that differ in any number have different fingerprints."""
        digest = hashlib.blake2b(digest_size=8)
        for column in jax.tree.leaves(self):
            digest.update(np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()

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
        metadata: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None,
        clip_actions: bool | None = None,
        trajectory_returns: Any = None,
    ) -> Dataset:
        """Makes a data set from arrays, after checking them.

        The rows must be in the order in which they were logged, episode by episode. All arrays become float32. An array
        ``[row, 1]`` is accepted in place of ``[row]``.

        A row that is both a terminal and a time-out counts as a terminal, because the state that it reached has no
        further value. A row inside an episode whose next observation is not the next row's observation
        (:data:`~smac_jax.data.trajectories.BREAK_TOLERANCE`) counts as a time-out: the log has a break there. If
        nearly all rows are like that (:data:`~smac_jax.data.trajectories.MIN_FOLLOWED_SHARE`), breaks cannot be
        detected.

        Returns are computed over all rows. Then the rows without a usable next observation are dropped
        (:func:`~smac_jax.data.trajectories.next_within_episode`); their rewards still count in the returns. The
        metadata hold the numbers of breaks and of dropped rows (``unmarked_breaks``, ``dropped_rows``,
        ``not_in_order``), and :meth:`summary` shows them.

        Args:
          observations: ``[row, observation]``, finite numbers in the environment's own units.
          actions: ``[row, action]`` in ``[-1, 1]``. Rescale them from the bounds of the action space first.
          rewards: ``[row]``, undiscounted, in the environment's units: the reward of each row's action.
          terminals: ``[row]``, true (or 1) where the task ended with this row, so that no reward can follow.
          timeouts: ``[row]``, true (or 1) where the episode was truncated after this row although the task was not
            over. None means that episodes were truncated only at the end of the log and at the breaks that
            ``next_observations`` show.
          next_observations: ``[row, observation]``, the observation after each row's action. At a row where an episode
            was truncated it must not be the first observation of the next episode; such a row is dropped. If it is
            None, the next row's observation is used, and the last row of each truncated episode is dropped.
          name: the name of the data set in error messages and tables.
          task: the task in which the data were logged, a key of ``TASKS``. With None no normalized scores are shown.
          metadata: further facts about the data. Their values are kept as text.
          clip_actions: whether to clip actions outside ``[-1, 1]`` and note it in the metadata, instead of refusing
            them. None clips if the task's simulator clips, too (``TaskInfo.clips_actions``).
          trajectory_returns: ``[row]``, the return of each row's complete episode, for data that lack some of its rows.
            If it is None, the returns are computed from ``rewards``.

        Raises:
          DatasetError: an array is None, does not hold numbers, has a wrong rank or number of rows, or is empty; it
            holds NaN or infinity; flags are neither 0 nor 1; or actions are outside ``[-1, 1]``. The message names the
            array, the first such row, and what to do.
          UnknownNameError: ``task`` is not in ``TASKS``.
        """
        if task is not None and task not in TASKS:
            raise UnknownNameError("task", task, tuple(TASKS))
        clip = clip_actions if clip_actions is not None else task is not None and TASKS[task].clips_actions
        given = {"observations": observations, "actions": actions, "rewards": rewards, "terminals": terminals}
        optional = {
            "timeouts": timeouts,
            "next_observations": next_observations,
            "trajectory_returns": trajectory_returns,
        }
        checked = check_arrays(given | {key: value for key, value in optional.items() if value is not None}, name)
        notes = {str(key): str(value) for key, value in dict(metadata or {}).items()}
        if reward_rule(task).only_success and not is_binary(checked["rewards"]):
            raise DatasetError(
                f"{name}: rewards of {task} are 0 on success and -1 otherwise, but these range from "
                f"{checked['rewards'].min():g} to {checked['rewards'].max():g}. "
                "smac_jax.data.readers.binary.to_binary converts dense rewards to binary ones."
            )
        checked["actions"], clipped = check_action_range(checked["actions"], name, clip)
        if clipped:
            notes["clipped_actions"] = clipped

        checked = mark_breaks(checked, notes)
        terminal, timeout = episode_ends(checked["terminals"], checked.get("timeouts"))
        returns = returns_by_row(checked, terminal | timeout, task, name)
        columns = {
            "observations": checked["observations"],
            "actions": checked["actions"],
            "rewards": checked["rewards"],
            "terminals": terminal,
            "trajectory_returns": returns,
        }
        following, cut_after, keep = next_within_episode(
            checked["observations"], terminal, timeout, checked.get("next_observations")
        )
        if not keep.any():
            raise DatasetError(
                f"{name}: every row is the last row of a truncated episode, and there are no "
                "next_observations, so no transition is left. Give next_observations."
            )
        columns |= {"next_observations": following, "timeouts": cut_after}
        columns = {key: value[keep] for key, value in columns.items()}
        add_to_count(notes, "dropped_rows", int(np.sum(~keep)))
        # over the rows that are kept: a trajectory without any of them is not part of the data
        columns["conditions"] = min_max_normalized(columns["trajectory_returns"])
        columns["returns_to_go"] = np.zeros_like(columns["rewards"])
        on_device = {key: jnp.asarray(value, jnp.float32) for key, value in columns.items()}
        return cls(**on_device, name=name, task=task, metadata=tuple(sorted(notes.items())))

    def transitions(self, rows: Any = slice(None)) -> Transition:
        """Returns the transitions of the given rows, or of all rows.

        Args:
          rows: anything that indexes the first axis of an array.
        """
        return Transition(
            observation=self.observations[rows],
            action=self.actions[rows],
            reward=self.rewards[rows],
            next_observation=self.next_observations[rows],
            terminal=self.ended[rows],
            condition=self.conditions[rows],
            return_to_go=self.returns_to_go[rows],
            next_action=None if self.next_actions is None else self.next_actions[rows],
        )

    def sample(self, key: Key, batch_size: int) -> Transition:
        """Returns ``batch_size`` transitions, drawn uniformly with replacement."""
        return self.transitions(jax.random.randint(key, (batch_size,), 0, self.size, jnp.int32))

    def with_returns_to_go(self, discount: float, reward_scale: float = 1.0, reward_bias: float = 0.0) -> Dataset:
        """Returns this data set with :attr:`returns_to_go` filled in.

        See :func:`smac_jax.data.trajectories.returns_to_go` for the definition.

        Args:
          discount: the discount factor.
          reward_scale, reward_bias: the critics are trained on ``reward_scale * reward + reward_bias``; the returns are
            in these units.
        """
        rewards = reward_scale * np.asarray(self.rewards, np.float64) + reward_bias
        terminal = np.asarray(self.ended) > 0.5
        last = terminal | (np.asarray(self.timeouts) > 0.5)
        last[-1] = True
        dropped = reward_scale * self._dropped_rewards()[last] + reward_bias
        returns = returns_to_go(rewards, terminal, last, discount, self.is_sparse, dropped)
        return self.replace(returns_to_go=jnp.asarray(returns, jnp.float32))

    def with_next_actions(self) -> Dataset:
        """Returns the transitions after which the log has another action, with :attr:`next_actions` filled in.

        The last transition of an episode that was cut has no next action, and is left out. That of an episode that
        terminated stays: its next action is zero, and no algorithm reads it.

        Source: ``qlearning_dataset`` of ReBRAC's code (Tarasov et al. 2023, arXiv 2305.09836). It keeps one transition
        more of each episode that was cut, if the log's last row of that episode has no next observation.

        Raises:
          DatasetError: no transition is left.
        """
        last = self._last_rows()
        last[-1] = True
        keep = np.flatnonzero(~last | (np.asarray(self.ended) > 0.5))
        if not keep.size:
            raise DatasetError(
                f"{self.name}: every row is the last one of an episode that was cut, so no next action is known. The "
                "rows of an episode must follow each other, in the order in which they were logged."
            )
        actions = np.asarray(self.actions)
        following = np.where(last[:, None], 0.0, np.append(actions[1:], actions[-1:], axis=0))
        complete = self.replace(next_actions=jnp.asarray(following, jnp.float32))
        kept: Dataset = jax.tree.map(lambda column: column[keep], complete)
        return kept

    def _dropped_rewards(self) -> Float[np.ndarray, " row"]:
        """Returns the reward of the row that was dropped after each row; NaN if none was."""
        rewards_after = np.full(self.size, np.nan)
        count = dict(self.metadata).get("dropped_rows", "")
        if not count.isdecimal() or self.reward_rule.return_is_highest:  # such a return is not a sum
            return rewards_after
        last = self._last_rows()
        last[-1] = True
        ends = np.flatnonzero(last)
        rewards, returns = np.asarray(self.rewards, np.float64), np.asarray(self.trajectory_returns, np.float64)[ends]
        dropped = returns - np.add.reduceat(rewards, np.append(0, ends[:-1] + 1))
        is_zero = np.abs(dropped) <= 1e-6 * np.maximum(1.0, np.abs(returns))  # up to float32's rounding
        dropped[is_zero] = 0.0
        cut = np.asarray(self.terminals)[ends] < 0.5
        # A reward of zero does not show in the sum. But if as many rows were dropped as trajectories were cut, each of
        # these trajectories has lost its last row.
        rewards_after[ends] = np.where(cut & (~is_zero | (int(count) == np.sum(cut))), dropped, np.nan)
        return rewards_after

    def part(self, fraction: float, seed: int = 0) -> Dataset:
        """Returns complete episodes, drawn at random until they hold the given share of the transitions.

        The conditions are normalized again over these episodes.

        Args:
          fraction: the share of the transitions, above 0 and at most 1.
          seed: the seed of the random draw.

        Raises:
          ConfigError: ``fraction`` is not above 0 and at most 1, or ``seed`` is not a valid seed.
        """
        fraction = real_number(f"{self.name}: the fraction of a part", fraction)
        seed = seed_number(f"{self.name}: the seed", seed)
        if not 0.0 < fraction <= 1.0:
            raise ConfigError(f"{self.name}: the fraction of a part must be above 0 and at most 1; got {fraction:g}.")
        last = self._last_rows()
        last[-1] = True
        episode = np.concatenate([[0], np.cumsum(last)[:-1]])
        order = np.random.default_rng(seed).permutation(episode[-1] + 1)
        rows_so_far = np.cumsum(np.bincount(episode)[order])
        chosen = order[: np.searchsorted(rows_so_far, fraction * self.size) + 1]
        rows = np.flatnonzero(np.isin(episode, chosen))
        subset: Dataset = jax.tree.map(lambda column: column[rows], self)
        return subset.replace(
            conditions=jnp.asarray(min_max_normalized(np.asarray(subset.trajectory_returns)), jnp.float32),
            name=f"{self.name}, {fraction:g} of it",
            metadata=tuple(sorted((*self.metadata, ("part", f"{fraction:g} of {self.size:,} transitions")))),
        )

    def observation_statistics(self) -> tuple[Float[Array, " observation"], Float[Array, " observation"]]:
        """Returns mean and standard deviation of the observations. The deviation is at least 1e-3."""
        return self.observations.mean(axis=0), jnp.maximum(self.observations.std(axis=0), 1e-3)

    def episode_returns(self) -> Float[np.ndarray, " episode"]:
        """Returns the return of each trajectory."""
        returns: np.ndarray = np.asarray(self.trajectory_returns)[self._last_rows()]
        return returns

    def episode_scores(self) -> Float[np.ndarray, " episode"]:
        """Returns the score of each trajectory as an evaluation would report it.

        It is the success (0 or 1), the largest number of completed subtasks, or the return, as the task defines it.
        """
        rule = self.reward_rule
        if not (rule.only_success or rule.return_is_highest):
            return self.episode_returns()
        last = self._last_rows()
        if rule.log_continues:  # the log continued after a terminal if the next row has its next observation
            follows, _ = compare_next_observations(np.asarray(self.observations), np.asarray(self.next_observations))
            last &= ~((np.asarray(self.terminals) > 0.5) & follows)
        last[-1] = True
        highest: np.ndarray = highest_in_trajectory(np.asarray(self.rewards, float), last)[last]
        return highest + 1.0 if rule.only_success else highest

    def _last_rows(self) -> Rows:
        return np.asarray(self.terminals + self.timeouts) > 0.5

    def summary(self) -> str:
        """Returns a description on one line: size, returns, and what was changed when the data were read."""
        returns = self.episode_returns()
        text = (
            f"{self.name}: {self.size:,} transitions, {len(returns):,} episodes, "
            f"observations {self.observations.shape[1]}, actions {self.actions.shape[1]}; "
            f"returns {returns.min():.1f} to {returns.max():.1f}, mean {returns.mean():.1f}"
        )
        if self.reward_rule.only_success:
            text += f", {np.mean(np.asarray(self.terminals)[self._last_rows()]):.0%} end in success"
        elif self.reward_rule.log_continues:
            scores = self.episode_scores()
            text += f"; {np.mean(scores > 0):.0%} of {len(scores):,} uninterrupted logs succeed"
        elif self.task is not None:
            text += f" (normalized score {normalized_score(self.task, returns.mean()):.1f})"
        notes = dict(self.metadata)
        if clipped := notes.get("clipped_actions"):
            text += f"; actions clipped to [-1, 1]: {clipped}"
        if breaks := notes.get("unmarked_breaks"):
            text += f"; episodes split at breaks of the log that are not marked as ends: {breaks}"
        if dropped := notes.get("dropped_rows"):
            text += f"; dropped rows, which have no next observation (their rewards count in the returns): {dropped}"
        for key in ("not_in_order", "no_terminals", "left_out", "rewards_of"):
            text += f"; {notes[key]}" if key in notes else ""
        return text
