"""A data set on the device, sampled inside the compiled loop."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Bool, Float, Shaped

from smac_jax.config import real_number, seed_number
from smac_jax.errors import ConfigError, DatasetError, UnknownNameError
from smac_jax.spread import spread
from smac_jax.tasks import TASKS, RewardRule, normalized_score, reward_rule
from smac_jax.types import Array, Key, Transition

ACTION_TOLERANCE = 1e-5
"""Actions this far outside [-1, 1] are rounding, and are clipped; further out is an error."""

BREAK_TOLERANCE = 1e-5
"""A next observation is the next row's observation where no number differs by more than this share of its column's
range (and, for a column that is far from zero, a tenth as much of its largest size: float32's rounding)."""

FOLLOWING_SHARE = 0.1
"""Where a smaller share than this of the rows inside episodes is followed by what their next observations say, rows are
not in the order of steps, or observations hold noise of their own: then no row that is not followed is a break."""

Rows = Bool[np.ndarray, " row"]


class Dataset(struct.PyTreeNode):
    """Logged transitions; a pytree, so it passes through jit.

    Attributes:
      observations, actions, rewards: as logged; actions in ``[-1, 1]``.
      next_observations: never from another episode.
      terminals: 1.0 where an episode ended: no bootstrap. A time-out is no terminal, and bootstraps. (In the hand's
        binary tasks no success bootstraps, see :attr:`ended`.)
      timeouts: 1.0 at the last row kept of an episode without a terminal: it ran out of time, or the log was cut.
      trajectory_returns: undiscounted return of the whole trajectory that each row belongs to, its rows that were
        dropped included; in the kitchen, whose data pay in every step for all that is solved, the most that was solved
        at once (SMAC, tables 6-8).
      conditions: ``trajectory_returns`` min-max normalized to ``[0, 1]`` (SMAC's ``w``); 1.0 where all are the same.
      returns_to_go: discounted sum of the rewards from each row on, those of dropped rows included, once
        :meth:`with_returns_to_go` was called; else 0.
      name: of the data set.
      task: the task it was logged in, a key of ``TASKS``, or None.
      metadata: what the file says of itself, as ``((key, text), ...)``.
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
    name: str = struct.field(pytree_node=False, default="unnamed")
    task: str | None = struct.field(pytree_node=False, default=None)
    metadata: tuple[tuple[str, str], ...] = struct.field(pytree_node=False, default=())

    def __repr__(self) -> str:
        task = "" if self.task is None else f", task={self.task!r}"
        try:
            (rows, observations), actions = self.observations.shape, self.actions.shape[1]
        except (AttributeError, IndexError, ValueError):  # in a tree of something else, such as of shapes
            return f"Dataset({self.name!r}{task})"
        return f"Dataset({self.name!r}{task}, {rows:,} transitions, observations {observations}, actions {actions})"

    @property
    def size(self) -> int:
        """Number of transitions."""
        return self.rewards.shape[0]

    @property
    def reward_rule(self) -> RewardRule:
        """What the rewards mean."""
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
        """Whether every reward says no more than success or failure: two values, where the task does not say."""
        sparse = self.reward_rule.sparse
        return np.unique(np.asarray(self.rewards)).size == 2 if sparse is None else sparse

    def fingerprint(self) -> str:
        """A digest of every number in it: of two sets that differ anywhere, it differs too."""
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
        """Checks arrays and makes a data set of them.

        A row that is both terminal and time-out is terminal: the state it reached is worth nothing more, whatever the
        clock says. A row inside an episode whose next observation is not the next row's observation
        (:data:`BREAK_TOLERANCE`) is the last of its episode, marked or not, and counts as a time-out; unless next
        observations hardly ever are the next rows' (:data:`FOLLOWING_SHARE`).

        Returns are computed over all rows, then rows without a usable next observation are dropped
        (:func:`next_within_episode`); their rewards stay in the returns. How many breaks were found and how many rows
        were dropped is in the metadata (``unmarked_breaks``, ``dropped_rows``; ``not_in_order``), and :meth:`summary`
        says it.

        Args:
          observations: ``[row, observation]``, finite numbers in the environment's own units.
          actions: ``[row, action]`` in ``[-1, 1]``: rescale them from the action space's bounds before.
          rewards: ``[row]``, undiscounted, in the environment's units: what a row's action earned.
          terminals: ``[row]`` of true and false (or 1 and 0): the task ended with this row, and nothing comes after.
          timeouts: ``[row]`` of the same: the episode was cut after this row, and would have gone on. None means that
            no episode was cut but the log's last, and those that ``next_observations`` show.
          next_observations: ``[row, observation]``, what each row's action led to; a cut row's too, not the first of
            the next episode: a cut row that holds it is dropped. None takes the next row's observation, and drops the
            last row of an episode that was cut.
          name: for errors and tables.
          task: the task it was logged in, a key of ``TASKS``; None leaves scores out.
          metadata: what is to be known of it, kept as text.
          clip_actions: clip what is outside ``[-1, 1]`` instead of refusing it, and note it in the metadata; None does
            so if the task's simulator does (``TaskInfo.clips_actions``).
          trajectory_returns: ``[row]``, the return of each row's whole episode, where rows of it are not given; None
            takes what ``rewards`` say.

        Rows are in the order in which they were logged, episode by episode. All arrays become float32. A column
        ``[row, 1]`` is taken for ``[row]``.

        Raises:
          DatasetError: an array that is None, is not of numbers, has another rank or number of rows, or no rows; NaN or
            infinity (with the first such row); flags that are neither 0 nor 1; actions outside ``[-1, 1]`` (with how
            many and the first row). It names the array, what was found in it, and what to do.
          UnknownNameError: a task that is not in ``TASKS``.
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
                f"{name}: rewards of {task} are 0 on success and -1 otherwise; found {checked['rewards'].min():g} to "
                f"{checked['rewards'].max():g}. smac_jax.data.readers.binary.to_binary makes them of the hand's dense "
                "ones."
            )
        checked["actions"], clipped = settle_actions(checked["actions"], name, clip)
        if clipped:
            notes["clipped_actions"] = clipped

        checked = mark_breaks(checked, notes)
        terminal, timeout = episode_ends(checked["terminals"], checked.get("timeouts"))
        returns = returns_of(checked, terminal | timeout, task, name)
        columns = {
            "observations": checked["observations"],
            "actions": checked["actions"],
            "rewards": checked["rewards"],
            "terminals": terminal,
            "trajectory_returns": returns,
        }
        following, last, keep = next_within_episode(
            checked["observations"], terminal, timeout, checked.get("next_observations")
        )
        if not keep.any():
            raise DatasetError(
                f"{name}: every row is the last of an episode that ran out of time, and there are no "
                "next_observations, so no transition is left. Give next_observations."
            )
        columns |= {"next_observations": following, "timeouts": last}
        columns = {key: value[keep] for key, value in columns.items()}
        add_to_note(notes, "dropped_rows", int(np.sum(~keep)))
        # over the rows kept: a trajectory of which nothing is left is not in the data
        columns["conditions"] = min_max(columns["trajectory_returns"])
        columns["returns_to_go"] = np.zeros_like(columns["rewards"])
        on_device = {key: jnp.asarray(value, jnp.float32) for key, value in columns.items()}
        return cls(**on_device, name=name, task=task, metadata=tuple(sorted(notes.items())))

    def transitions(self, rows: Any = slice(None)) -> Transition:
        """The given rows, all by default."""
        return Transition(
            observation=self.observations[rows],
            action=self.actions[rows],
            reward=self.rewards[rows],
            next_observation=self.next_observations[rows],
            terminal=self.ended[rows],
            condition=self.conditions[rows],
            return_to_go=self.returns_to_go[rows],
        )

    def sample(self, key: Key, batch_size: int) -> Transition:
        """Rows drawn uniformly, with replacement."""
        return self.transitions(jax.random.randint(key, (batch_size,), 0, self.size, jnp.int32))

    def with_returns_to_go(self, discount: float, reward_scale: float = 1.0, reward_bias: float = 0.0) -> Dataset:
        """The same data set with each row's Monte-Carlo return in training's units (see :func:`returns_to_go`)."""
        rewards = reward_scale * np.asarray(self.rewards, np.float64) + reward_bias
        terminal = np.asarray(self.ended) > 0.5
        last = terminal | (np.asarray(self.timeouts) > 0.5)
        last[-1] = True
        dropped = reward_scale * self._dropped_rewards()[last] + reward_bias
        returns = returns_to_go(rewards, terminal, last, discount, self.is_sparse, dropped)
        return self.replace(returns_to_go=jnp.asarray(returns, jnp.float32))

    def _dropped_rewards(self) -> Float[np.ndarray, " row"]:
        """The reward of the row that was dropped after each row; NaN where none was."""
        found = np.full(self.size, np.nan)
        count = dict(self.metadata).get("dropped_rows", "")
        if not count.isdecimal() or self.reward_rule.return_is_highest:  # which is no sum
            return found
        last = self._last_rows()
        last[-1] = True
        ends = np.flatnonzero(last)
        rewards, returns = np.asarray(self.rewards, np.float64), np.asarray(self.trajectory_returns, np.float64)[ends]
        dropped = returns - np.add.reduceat(rewards, np.append(0, ends[:-1] + 1))
        nothing = np.abs(dropped) <= 1e-6 * np.maximum(1.0, np.abs(returns))  # float32's rounding
        dropped[nothing] = 0.0
        cut = np.asarray(self.terminals)[ends] < 0.5
        # a reward of zero does not show; without next observations every trajectory that was cut has lost its row
        found[ends] = np.where(cut & (~nothing | (int(count) == np.sum(cut))), dropped, np.nan)
        return found

    def part(self, fraction: float, seed: int = 0) -> Dataset:
        """Whole episodes, drawn at random until they hold at least that share of the transitions; conditions anew.

        Raises:
          ConfigError: a fraction that is not above 0 and at most 1.
        """
        fraction, seed = real_number(f"{self.name}: a part", fraction), seed_number(f"{self.name}: the seed", seed)
        if not 0.0 < fraction <= 1.0:
            raise ConfigError(f"{self.name}: a part of {fraction:g} is not above 0 and at most 1.")
        last = self._last_rows()
        last[-1] = True
        episode = np.concatenate([[0], np.cumsum(last)[:-1]])
        order = np.random.default_rng(seed).permutation(episode[-1] + 1)
        held = np.cumsum(np.bincount(episode)[order])
        chosen = order[: np.searchsorted(held, fraction * self.size) + 1]
        rows = np.flatnonzero(np.isin(episode, chosen))
        cut: Dataset = jax.tree.map(lambda column: column[rows], self)
        return cut.replace(
            conditions=jnp.asarray(min_max(np.asarray(cut.trajectory_returns)), jnp.float32),
            name=f"{self.name}, {fraction:g} of it",
            metadata=tuple(sorted((*self.metadata, ("part", f"{fraction:g} of {self.size:,} transitions")))),
        )

    def observation_statistics(self) -> tuple[Float[Array, " observation"], Float[Array, " observation"]]:
        """Mean and standard deviation of the observations, the latter at least 1e-3."""
        return self.observations.mean(axis=0), jnp.maximum(self.observations.std(axis=0), 1e-3)

    def episode_returns(self) -> Float[np.ndarray, " episode"]:
        """The return of each trajectory, once."""
        once: np.ndarray = np.asarray(self.trajectory_returns)[self._last_rows()]
        return once

    def episode_scores(self) -> Float[np.ndarray, " episode"]:
        """Each trajectory in the units of evaluations: success or none, most subtasks completed, or its return."""
        rule = self.reward_rule
        if not (rule.only_success or rule.return_is_highest):
            return self.episode_returns()
        last = self._last_rows()
        if rule.log_goes_on:  # where a terminal is followed by what it led to, the log went on
            follows, _ = followed(np.asarray(self.observations), np.asarray(self.next_observations))
            last &= ~((np.asarray(self.terminals) > 0.5) & follows)
        last[-1] = True
        most: np.ndarray = most_in_trajectory(np.asarray(self.rewards, float), last)[last]
        return most + 1.0 if rule.only_success else most

    def _last_rows(self) -> Rows:
        return np.asarray(self.terminals + self.timeouts) > 0.5

    def summary(self) -> str:
        """A few words for people."""
        returns = self.episode_returns()
        text = (
            f"{self.name}: {self.size:,} transitions, {len(returns):,} episodes, "
            f"observations {self.observations.shape[1]}, actions {self.actions.shape[1]}; "
            f"returns {returns.min():.1f} to {returns.max():.1f}, mean {returns.mean():.1f}"
        )
        if self.reward_rule.only_success:
            text += f", {np.mean(np.asarray(self.terminals)[self._last_rows()]):.0%} end in success"
        elif self.reward_rule.log_goes_on:
            scores = self.episode_scores()
            text += f"; {np.mean(scores > 0):.0%} of {len(scores):,} logged in one piece succeed"
        elif self.task is not None:
            text += f" (normalized score {normalized_score(self.task, returns.mean()):.1f})"
        notes = dict(self.metadata)
        if clipped := notes.get("clipped_actions"):
            text += f"; actions clipped to [-1, 1]: {clipped}"
        if breaks := notes.get("unmarked_breaks"):
            text += f"; episodes split where the next row does not follow and no end is marked: {breaks}"
        if dropped := notes.get("dropped_rows"):
            text += f"; last rows of cut episodes without a next observation, dropped (their rewards count): {dropped}"
        for key in ("not_in_order", "no_terminals", "left_out", "rewards_of"):
            text += f"; {notes[key]}" if key in notes else ""
        return text


def is_binary(rewards: Float[np.ndarray, " row"]) -> bool:
    """Whether rewards are 0 and -1."""
    return bool(np.isin(rewards, (-1.0, 0.0)).all())


def episode_ends(terminals: np.ndarray, timeouts: np.ndarray | None) -> tuple[Rows, Rows]:
    """The last rows of episodes, ``(those that ended, those that were cut)``; the log's last row is one of them."""
    terminal = terminals > 0.5
    timeout = np.zeros_like(terminal) if timeouts is None else (timeouts > 0.5) & ~terminal
    timeout[-1] = ~terminal[-1]
    return terminal, timeout


def mark_breaks(arrays: Mapping[str, np.ndarray], notes: dict[str, str]) -> dict[str, np.ndarray]:
    """Arrays in D4RL's layout with a time-out at every row inside an episode that the next row does not follow.

    Without ``next_observations`` nothing shows such a break, and nothing is marked.

    Args:
      arrays: checked.
      notes: gets how many were found (``unmarked_breaks``), or why none could be (``not_in_order``).
    """
    if "next_observations" not in arrays:
        return dict(arrays)
    terminal, timeout = episode_ends(arrays["terminals"], arrays.get("timeouts"))
    follows, _ = followed(arrays["observations"], arrays["next_observations"])
    inside = ~terminal & ~timeout
    breaks = ~follows & inside
    if not breaks.any():
        return dict(arrays)
    if np.sum(follows & inside) < FOLLOWING_SHARE * np.sum(inside):
        notes["not_in_order"] = (
            f"next observations are not the next rows' in {np.sum(breaks):,} of {np.sum(inside):,} rows inside "
            "episodes, so ends that are not marked cannot be found"
        )
        return dict(arrays)
    add_to_note(notes, "unmarked_breaks", int(breaks.sum()))
    marked = {**arrays, "timeouts": (timeout | breaks).astype(arrays["terminals"].dtype)}
    marked.pop("trajectory_returns", None)  # those of the episodes as they were joined
    return marked


def followed(
    observations: Float[np.ndarray, "row observation"], next_observations: Float[np.ndarray, "row observation"]
) -> tuple[Rows, Rows]:
    """Whether each row's next observation is the next row's observation, and whether it differs from the row's own."""
    largest = np.maximum(np.abs(observations).max(axis=0), np.abs(next_observations).max(axis=0))
    allowed = BREAK_TOLERANCE * (np.ptp(observations, axis=0) + 0.1 * largest)
    follows, moves = np.zeros(len(observations), bool), np.zeros(len(observations), bool)
    for start in range(0, len(observations), 1 << 16):  # the differences of all rows would be as large as the data
        rows = slice(start, start + (1 << 16))
        now, after = observations[start : start + (1 << 16) + 1], next_observations[rows]
        follows[start : start + len(now) - 1] = (np.abs(after[: len(now) - 1] - now[1:]) <= allowed).all(axis=1)
        moves[rows] = (np.abs(after - now[: len(after)]) > allowed).any(axis=1)
    follows[-1] = False
    return follows, moves


def next_within_episode(
    observations: Float[np.ndarray, "row observation"],
    terminal: Rows,
    timeout: Rows,
    next_observations: Float[np.ndarray, "row observation"] | None = None,
) -> tuple[Float[np.ndarray, "row observation"], Rows, Rows]:
    """Next observations that are of the same episode, and the rows that have one.

    Where the log has none:

    * A row inside an episode gets the next row's.
    * A terminal row gets its own observation: nothing may read it, and it is at least not another episode's (D4RL's own
      ``qlearning_dataset`` leaves the next episode's first observation there).
    * The last row of an episode that was cut must bootstrap from an observation that nobody wrote down, so it is
      dropped, and the row before it becomes the episode's last.

    Where the log has them, a cut row is dropped in the same way if it holds the observation of the next row, which
    belongs to the next episode; unless nothing moved, or every row is cut, so that no episode is to be seen.

    Returns:
      ``(next observations, time-outs, rows to keep)``, the first two still for all rows.
    """
    last = terminal | timeout
    if next_observations is None:
        following = np.concatenate([observations[1:], observations[-1:]])
        following[last] = observations[last]
        dropped = timeout
    else:
        following = next_observations
        follows, moves = followed(observations, next_observations)
        dropped = timeout & follows & moves & ~last.all()
    before_dropped = np.append(dropped[1:] & ~last[:-1], False)
    return following, (timeout & ~dropped) | before_dropped, ~dropped


def returns_of(arrays: Mapping[str, np.ndarray], last: Rows, task: str | None, where: str) -> Float[np.ndarray, " row"]:
    """The return of each row's trajectory: what is given for it, or what its rewards say.

    Args:
      arrays: ``rewards``, and perhaps ``trajectory_returns``.
      last: the trajectories' last rows.
      task: says whether a return is a sum of rewards or the highest one (``RewardRule.return_is_highest``).
      where: what errors name the data by.

    Raises:
      DatasetError: rows of one trajectory with different returns.
    """
    over = most_in_trajectory if reward_rule(task).return_is_highest else trajectory_returns
    given = arrays.get("trajectory_returns")
    if given is None:
        return over(arrays["rewards"], last)
    inside = ~last[:-1] & (given[1:] != given[:-1])
    if inside.any():
        row = int(np.argmax(inside))
        raise DatasetError(
            f"{where}: trajectory_returns changes inside an episode, from {given[row]:g} to {given[row + 1]:g} after "
            f"row {row}. Give each row its episode's return."
        )
    return given


def add_to_note(notes: dict[str, str], key: str, found: int) -> None:
    """Adds to a number among the notes, which an earlier reading may have left."""
    earlier = notes.get(key, "")
    total = found + (int(earlier) if earlier.isdecimal() else 0)
    if total:
        notes[key] = str(total)


def trajectory_returns(rewards: Shaped[np.ndarray, " row"], last: Rows) -> Float[np.ndarray, " row"]:
    """The undiscounted return of each row's whole trajectory; ``last`` marks the trajectories' last rows."""
    trajectory = np.cumsum(last) - last
    returns: np.ndarray = np.bincount(trajectory, weights=rewards)[trajectory]
    return returns


def most_in_trajectory(rewards: Shaped[np.ndarray, " row"], last: Rows) -> Float[np.ndarray, " row"]:
    """The highest reward of each row's whole trajectory."""
    trajectory = np.cumsum(last) - last
    most = np.full(trajectory[-1] + 1, -np.inf)
    np.maximum.at(most, trajectory, rewards)
    of_each_row: np.ndarray = most[trajectory]
    return of_each_row


def returns_to_go(
    rewards: Float[np.ndarray, " row"],
    terminal: Rows,
    last: Rows,
    discount: float,
    sparse: bool = True,
    dropped: Float[np.ndarray, " episode"] | None = None,
) -> Float[np.ndarray, " row"]:
    """The discounted sum of each row's own and later rewards in its trajectory.

    ``dropped`` is the reward that came after the last row of each trajectory, in a row that is not here; NaN where
    there is none. What lies beyond a cut (a last row that is no terminal) nobody saw. It counts as zero, except with
    sparse rewards in a trajectory that was cut without ever having earned more than the data's lowest reward: that is a
    failure, and it counts as failing forever, ``lowest / (1 - discount)``, where zero would make it the best trajectory
    of all.

    Source: Cal-QL's code (Nakamoto et al. 2023), ``calc_return_to_go``, with this rule for AntMaze and Adroit's binary
    tasks, and WSRL's, which has none for the kitchen.
    """
    from scipy.signal import lfilter  # here, because it takes longer to import than everything else in this module

    ends = np.flatnonzero(last)
    starts = np.append(0, ends[:-1] + 1)
    beyond = np.zeros(len(ends))
    lost = np.full(len(ends), np.nan) if dropped is None else dropped
    if sparse and discount < 1.0:
        lowest = np.fmin(rewards.min(), np.nanmin(lost, initial=np.inf))
        failed = (np.fmax(np.maximum.reduceat(rewards, starts), lost) <= lowest) & ~terminal[ends]
        beyond[failed] = lowest / (1.0 - discount)
    beyond = np.where(np.isnan(lost), beyond, lost + discount * beyond)
    returns = np.empty_like(rewards)
    for start, end, tail in zip(starts, ends, beyond, strict=True):
        # y[t] = r[t] + discount * y[t + 1] is a first-order filter, run backwards
        backwards = rewards[start : end + 1][::-1]
        filtered, _ = lfilter([1.0], [1.0, -discount], backwards, zi=[discount * tail])
        returns[start : end + 1] = filtered[::-1]
    return returns


def min_max(values: Float[np.ndarray, " row"]) -> Float[np.ndarray, " row"]:
    """Scaled to ``[0, 1]``; all ones where all are the same but for rounding."""
    width = spread(values)
    return (values - values.min()) / width if width > 0 else np.ones_like(values)


def check_arrays(arrays: Mapping[str, Any], where: str) -> dict[str, np.ndarray]:
    """Float32 copies of arrays that fit together and hold numbers; actions may still be outside ``[-1, 1]``.

    Raises:
      DatasetError: names the array, what was found in it, and what to do.
    """
    checked = {key: _as_float32(key, value, where) for key, value in arrays.items()}
    rows = len(checked["rewards"])
    if rows == 0:
        raise DatasetError(f"{where}: the data set is empty (rewards has 0 rows).")
    for key, array in checked.items():
        if len(array) != rows:
            raise DatasetError(f"{where}: {key} has {len(array)} rows, rewards has {rows}; they must be equal.")
        _check_finite(key, array, where)
        if key in ("terminals", "timeouts"):
            _check_flags(key, array, where)
    expected, found = checked["observations"].shape, checked.get("next_observations", checked["observations"]).shape
    if found != expected:
        raise DatasetError(
            f"{where}: next_observations has shape {found}, observations {expected}; they must be equal."
        )
    return checked


def _as_float32(key: str, value: Any, where: str) -> np.ndarray:
    if value is None:
        hint = " False in every row says that no episode ended by itself." if key == "terminals" else ""
        raise DatasetError(f"{where}: {key} is None; it must be given.{hint}")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DatasetError(f"{where}: {key} is not an array: {error}") from error
    if array.dtype.kind not in "fiub":
        raise DatasetError(f"{where}: {key} holds {array.dtype}, expected numbers.")
    rank = 2 if key in ("observations", "actions", "next_observations") else 1
    if rank == 1 and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]  # a column instead of a row of numbers is common and can mean only one thing
    if array.ndim != rank or (rank == 2 and array.shape[1] == 0):
        expected = "[rows, numbers]" if rank == 2 else "[rows]"
        raise DatasetError(f"{where}: {key} has shape {list(array.shape)}, expected {expected}.")
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which is looked for next
        return array.astype(np.float32)


def _check_finite(key: str, array: np.ndarray, where: str) -> None:
    bad = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if bad.any():
        raise DatasetError(
            f"{where}: {key} is NaN or infinite (as float32) in {bad.sum()} of {len(bad)} rows, "
            f"first in row {np.argmax(bad)}. Drop the episodes that these rows belong to."
        )


def _check_flags(key: str, array: np.ndarray, where: str) -> None:
    bad = ~np.isin(array, (0.0, 1.0))
    if bad.any():
        row = np.argmax(bad)
        raise DatasetError(
            f"{where}: {key} is {array[row]:g} in row {row}, expected true or false (0 or 1) in every row; found "
            f"{array.min():g} to {array.max():g}."
        )


def settle_actions(actions: np.ndarray, where: str, clip: bool = False) -> tuple[np.ndarray, str]:
    """Actions in ``[-1, 1]``, and how many numbers had to be clipped beyond rounding (empty if none).

    Raises:
      DatasetError: actions outside, and ``clip`` is False.
    """
    outside = np.abs(actions) > 1 + ACTION_TOLERANCE
    if not outside.any():
        return np.clip(actions, -1.0, 1.0), ""
    found = f"{outside.sum()} of {outside.size} numbers, range [{actions.min():g}, {actions.max():g}]"
    if not clip:
        raise DatasetError(
            f"{where}: actions are outside [-1, 1] in {found}, first in row {np.argmax(outside.any(axis=1))}. Rescale "
            "them from the action space's bounds to [-1, 1]. Where the simulator clips actions itself, clip them "
            "in the data: smac_jax.data.readers.d4rl.read_d4rl and smac_jax.Dataset.from_arrays do so with "
            "clip_actions=True, and smac_jax.data.readers.d4rl.write_d4rl makes a file of the result for --task and "
            "load_dataset."
        )
    return np.clip(actions, -1.0, 1.0), found
