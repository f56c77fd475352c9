"""Joins several data sets of one task, such as demonstrations and rollouts, or a replay buffer and expert data.

Adroit's binary tasks are trained on demonstrations together with rollouts of policies that were cloned from them (AWAC,
Nair et al. 2020; SMAC, section 5). Without AWAC's own files, similar data can be made from the ``human`` and ``cloned``
data sets of D4RL or Minari: dense rewards become binary, and every trajectory is cut after its last success
(:mod:`smac_jax.data.readers.binary`).

Trajectories without a success are kept, as in every D4RL file that is read as a binary task. With ``failures=False``
they are left out, as the code of Cal-QL and WSRL does with AWAC's files. The reader of AWAC's own files
(:func:`smac_jax.data.readers.demonstrations.binary_episodes`) leaves them out in both cases.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from smac_jax.data.dataset import Dataset
from smac_jax.data.readers.binary import cut_after_last_success, succeeds
from smac_jax.data.trajectories import add_to_count, returns_by_row, sum_in_trajectory
from smac_jax.data.validation import is_binary
from smac_jax.errors import DatasetError, UnknownNameError
from smac_jax.tasks import TASKS, binary_of, dense_of, reward_rule

_COLUMNS = ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts")
_KEPT_NOTES = ("source", "alone", "part", "without_success", "clipped_actions", "no_terminals")
_COUNTED_NOTES = ("dropped_rows", "unmarked_breaks")


@dataclasses.dataclass(frozen=True)
class Part:
    """What one data set contributes to the combined one.

    Attributes:
      name: the name of the data set.
      rows, episodes: how many of its rows and episodes are in the combined data set.
      successes: how many of these episodes succeed; None for tasks other than Adroit's.
      left_out: how many episodes were left out because they do not succeed.
      mean_return: the mean return of the episodes, in the rewards of the combined data set.
    """

    name: str
    rows: int
    episodes: int
    successes: int | None
    left_out: int
    mean_return: float

    def __str__(self) -> str:
        text = f"{self.name}: {self.rows:,} rows, {self.episodes:,} episodes"
        if self.successes is not None:
            text += f", {self.successes:,} successes"
        return text + (f", {self.left_out:,} episodes without success left out" if self.left_out else "")


def concatenate(
    datasets: Sequence[Dataset],
    name: str,
    task: str | None = None,
    *,
    failures: bool = True,
    checksums: Sequence[str] | None = None,
) -> tuple[Dataset, list[Part]]:
    """Joins several data sets, one after the other, into one.

    Conditions and returns are computed for the combined data set. The rewards of rows that were dropped from a part
    count in the returns of their episodes. The metadata describe the parts (``part_1``, ...).

    Args:
      datasets: at least one. Each must be of the given task, or, if that task is binary, of the task with dense
        rewards, or of no known task; all must have observations and actions of the same sizes.
      name: the name of the combined data set.
      task: a key of ``TASKS``; None takes the task of the first data set.
      failures: whether to keep the trajectories without a success. It applies to binary tasks only.
      checksums: a text about the files of each part for the metadata; by default the parts' fingerprints.

    Returns:
      The combined data set, and what each part contributes.

    Raises:
      DatasetError: there are no data sets; two parts are of different tasks or sizes (the message names both); a part
        has binary rewards where dense ones are needed; or failures are left out and no episode succeeds.
      UnknownNameError: ``task`` is not in ``TASKS``.
    """
    if not datasets:
        raise DatasetError(f"{name}: there are no data sets to combine.")
    task = task or datasets[0].task
    if task is not None and task not in TASKS:
        raise UnknownNameError("task", task, tuple(TASKS))
    for data in datasets:
        _check_part(datasets[0], data, task)
    columns, parts = [], []
    for data in datasets:
        rows, part = _prepare_part(data, task, failures)
        columns.append(rows)
        parts.append(part)
    joined: dict[str, Any] = {key: np.concatenate([rows[key] for rows in columns]) for key in _COLUMNS}
    if not len(joined["rewards"]):
        raise DatasetError(
            f"{name}: no episode of {', '.join(part.name for part in parts)} succeeds, so nothing is left."
        )
    checksums = checksums or [f"fingerprint {data.fingerprint()}" for data in datasets]
    notes = {
        f"part_{i:0{len(str(len(parts)))}d}": "; ".join([str(part), checksum, *_notes(data)])
        for i, (part, checksum, data) in enumerate(zip(parts, checksums, datasets, strict=True), start=1)
    }
    for data in datasets:
        for key in _COUNTED_NOTES:
            add_to_count(notes, key, int(dict(data.metadata).get(key, 0)))
    if "dropped_rows" in notes:
        joined["trajectory_returns"] = np.concatenate([rows["trajectory_returns"] for rows in columns])
    return Dataset.from_arrays(**joined, name=name, task=task, metadata=notes), parts


def _check_part(first: Dataset, data: Dataset, task: str | None) -> None:
    fits = data.task in (task, None, dense_of(task))
    if not fits and dense_of(data.task) == task:
        raise DatasetError(
            f"{data.name} has the binary rewards of {data.task}; it does not contain the dense rewards of {task}."
        )
    if not fits and first.task is not None and data is not first:
        raise DatasetError(
            f"{first.name} is of {first.task} and {data.name} is of {data.task}; all parts must be of {task}."
        )
    if not fits:
        raise DatasetError(f"{data.name} is of {data.task}, but all parts must be of {task}.")
    for key in ("observations", "actions"):
        expected, actual = getattr(first, key).shape[1], getattr(data, key).shape[1]
        if actual != expected:
            raise DatasetError(
                f"{first.name} has {expected} {key} per row and {data.name} has {actual}, so they cannot be combined."
            )


def _prepare_part(data: Dataset, task: str | None, failures: bool) -> tuple[dict[str, np.ndarray], Part]:
    """Returns the columns of a part as the combined data set holds them, and what the part contributes."""
    rows: dict[str, Any] = {key: np.asarray(getattr(data, key)) for key in (*_COLUMNS, "trajectory_returns")}
    episodes = _count_episodes(rows)
    rule, binary = reward_rule(task), binary_of(task)
    rewards_change = data.reward_rule.return_is_highest != rule.return_is_highest
    if task is not None and rule.only_success:
        if not is_binary(rows["rewards"]):
            rewards_change = True
            rows["rewards"] = _successes(task, rows, data.name).astype(np.float32) - 1.0
        rows = cut_after_last_success(rows, failures=failures)
    if len(rows["rewards"]):
        returns = returns_by_row({"rewards": rows["rewards"]}, _ends(rows), task, data.name)
        # no row is missing at the end of an episode that ends with its success
        successes_in_episode = sum_in_trajectory(rows["terminals"], _ends(rows))
        succeeded = rule.only_success & (successes_in_episode > 0)
        rows["trajectory_returns"] = np.where(rewards_change | succeeded, returns, rows["trajectory_returns"])
    successes = None
    if rule.only_success:
        successes = int(np.sum(rows["terminals"]))
    elif binary is not None:
        successes = _count_episodes_with(_successes(binary, rows, data.name), rows)
    kept = _count_episodes(rows)
    total = float(np.sum(rows["rewards"], dtype=np.float64))
    return rows, Part(data.name, len(rows["rewards"]), kept, successes, episodes - kept, total / max(kept, 1))


def _successes(task: str, rows: dict[str, np.ndarray], where: str) -> Bool[np.ndarray, " row"]:
    """Returns the rows whose next observation shows a success.

    If the next observation of a terminal was not logged, a data set repeats the row's own observation there. Such a row
    does not count, because the state that it led to is unknown.
    """
    repeated = (rows["next_observations"] == rows["observations"]).all(axis=1) & (rows["terminals"] > 0.5)
    return succeeds(task, rows["next_observations"], where) & ~repeated


def _ends(rows: dict[str, np.ndarray]) -> Bool[np.ndarray, " row"]:
    return (rows["terminals"] > 0.5) | (rows["timeouts"] > 0.5)


def _count_episodes(rows: dict[str, np.ndarray]) -> int:
    return int(_ends(rows).sum())


def _count_episodes_with(success: Bool[np.ndarray, " row"], rows: dict[str, np.ndarray]) -> int:
    last = _ends(rows)
    return len(np.unique((np.cumsum(last) - last)[success]))


def _notes(data: Dataset) -> list[str]:
    return [f"{key}: {text}" for key, text in data.metadata if key in _KEPT_NOTES]
