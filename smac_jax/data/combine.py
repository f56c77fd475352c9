"""One data set made of several of the same task: demonstrations and rollouts, a robot's replay and its expert.

The hand's binary tasks are trained on demonstrations and rollouts of policies cloned from them (AWAC, Nair et al. 2020;
SMAC, section 5). Whoever has not AWAC's own files can put the like together of D4RL's or Minari's ``human`` and
``cloned``: dense rewards become binary, and every trajectory is cut after its last success
(:mod:`smac_jax.data.readers.binary`).

Trajectories without a success stay, as in every D4RL file that is read as a binary task; ``failures=False`` leaves them
out, as Cal-QL's and WSRL's code do of AWAC's files. Of AWAC's own files, whose reader follows these
(:func:`smac_jax.data.readers.demonstrations.binary_episodes`), they are left out in both cases.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from smac_jax.data.dataset import Dataset, add_to_note, is_binary, returns_of
from smac_jax.data.readers.binary import cut_after_last_success, succeeds
from smac_jax.errors import DatasetError, UnknownNameError
from smac_jax.tasks import TASKS, binary_of, dense_of, reward_rule

_COLUMNS = ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts")
_KEPT_NOTES = ("source", "alone", "part", "without_success", "clipped_actions", "no_terminals")
_COUNTED_NOTES = ("dropped_rows", "unmarked_breaks")


@dataclasses.dataclass(frozen=True)
class Part:
    """What one part brought.

    Attributes:
      name: of its data set.
      rows, episodes: that went into the whole.
      successes: how many of these episodes succeed; None for other tasks than the hand's.
      left_out: episodes without a success that did not.
      mean_return: of the episodes, in the whole's rewards.
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
    """Several data sets, one after the other, as one.

    Conditions and returns are those of the whole; rows that the parts have dropped count in the returns of their
    episodes. Its metadata say what the parts were (``part_1``, ...).

    Args:
      datasets: at least one, of the task, or for a binary task of the dense one; or of no known task, with as many
        numbers a row.
      name: of the whole.
      task: a key of ``TASKS``; None: the first one's.
      failures: keep trajectories without a success; only for binary tasks.
      checksums: what to note of each part's files; default: the parts' fingerprints.

    Raises:
      DatasetError: no data sets; parts of other tasks or with other sizes (with both names), or dense rewards wanted of
        a binary part; no success at all, where failures are left out.
      UnknownNameError: a task that is not in ``TASKS``.
    """
    if not datasets:
        raise DatasetError(f"{name}: there are no parts to put together.")
    task = task or datasets[0].task
    if task is not None and task not in TASKS:
        raise UnknownNameError("task", task, tuple(TASKS))
    for data in datasets:
        _check_part(datasets[0], data, task)
    columns, parts = [], []
    for data in datasets:
        rows, part = _settled(data, task, failures)
        columns.append(rows)
        parts.append(part)
    whole: dict[str, Any] = {key: np.concatenate([rows[key] for rows in columns]) for key in _COLUMNS}
    if not len(whole["rewards"]):
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
            add_to_note(notes, key, int(dict(data.metadata).get(key, 0)))
    if "dropped_rows" in notes:
        whole["trajectory_returns"] = np.concatenate([rows["trajectory_returns"] for rows in columns])
    return Dataset.from_arrays(**whole, name=name, task=task, metadata=notes), parts


def _check_part(first: Dataset, data: Dataset, task: str | None) -> None:
    fits = data.task in (task, None, dense_of(task))
    if not fits and dense_of(data.task) == task:
        raise DatasetError(f"{data.name} has the rewards of {data.task}; the dense ones of {task} are not in it.")
    if not fits and first.task is not None and data is not first:
        raise DatasetError(
            f"{first.name} is of {first.task} and {data.name} of {data.task}; all parts must be of {task}."
        )
    if not fits:
        raise DatasetError(f"{data.name} is of {data.task}, and all parts must be of {task}.")
    for key in ("observations", "actions"):
        ours, theirs = getattr(first, key).shape[1], getattr(data, key).shape[1]
        if ours != theirs:
            raise DatasetError(
                f"{first.name} has {ours} {key} a row and {data.name} has {theirs}, so they cannot be one data set."
            )


def _settled(data: Dataset, task: str | None, failures: bool) -> tuple[dict[str, np.ndarray], Part]:
    """A part's columns as they go into the whole."""
    rows: dict[str, Any] = {key: np.asarray(getattr(data, key)) for key in (*_COLUMNS, "trajectory_returns")}
    episodes = _episodes(rows)
    rule, binary = reward_rule(task), binary_of(task)
    of_other_rewards = data.reward_rule.return_is_highest != rule.return_is_highest
    if task is not None and rule.only_success:
        if not is_binary(rows["rewards"]):
            of_other_rewards = True
            rows["rewards"] = _successes(task, rows, data.name).astype(np.float32) - 1.0
        rows = cut_after_last_success(rows, failures=failures)
    if len(rows["rewards"]):
        returns = returns_of({"rewards": rows["rewards"]}, _ends(rows), task, data.name)
        # an episode that ends in its success has lost no row at its end
        succeeded = rule.only_success & (returns_of({"rewards": rows["terminals"]}, _ends(rows), None, "") > 0)
        rows["trajectory_returns"] = np.where(of_other_rewards | succeeded, returns, rows["trajectory_returns"])
    successes = None
    if rule.only_success:
        successes = int(np.sum(rows["terminals"]))
    elif binary is not None:
        successes = _episodes_with(_successes(binary, rows, data.name), rows)
    kept = _episodes(rows)
    total = float(np.sum(rows["rewards"], dtype=np.float64))
    return rows, Part(data.name, len(rows["rewards"]), kept, successes, episodes - kept, total / max(kept, 1))


def _successes(task: str, rows: dict[str, np.ndarray], where: str) -> Bool[np.ndarray, " row"]:
    """Rows that lead to a success, as far as it was logged where they lead.

    Where a terminal's next observation was not logged, a data set repeats its own observation, which says nothing of
    where it led.
    """
    repeated = (rows["next_observations"] == rows["observations"]).all(axis=1) & (rows["terminals"] > 0.5)
    return succeeds(task, rows["next_observations"], where) & ~repeated


def _ends(rows: dict[str, np.ndarray]) -> Bool[np.ndarray, " row"]:
    return (rows["terminals"] > 0.5) | (rows["timeouts"] > 0.5)


def _episodes(rows: dict[str, np.ndarray]) -> int:
    return int(_ends(rows).sum())


def _episodes_with(success: Bool[np.ndarray, " row"], rows: dict[str, np.ndarray]) -> int:
    last = _ends(rows)
    return len(np.unique((np.cumsum(last) - last)[success]))


def _notes(data: Dataset) -> list[str]:
    return [f"{key}: {text}" for key, text in data.metadata if key in _KEPT_NOTES]
