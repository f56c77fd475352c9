"""Learning curves of transfers from an offline to an online algorithm, and their files."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Real

from smac_jax.analysis.metrics import early_updates
from smac_jax.config import plain
from smac_jax.errors import DatasetError
from smac_jax.files import local_path, write_bytes, write_text

PARTS = {"offline": "offline_updates", "online": "online_steps", "control": "control_steps"}
"""The parts of a curve, with the names of their steps."""


@dataclasses.dataclass(frozen=True, eq=False)
class TransferCurve:
    """The returns of one pair of algorithms on one task before and after the transfer, for the same seeds.

    Attributes:
      task: the name of the environment.
      offline, online: the labels of the offline and the online algorithm.
      offline_updates: the numbers of gradient updates at the evaluations of pre-training; may be empty.
      offline_returns: the mean returns of these evaluations; NaN if an evaluation failed.
      online_steps: the numbers of environment steps at the evaluations of fine-tuning; the first is 0, the transfer.
      online_returns: the mean returns of these evaluations.
      warm_start: the number of environment steps before the first online update.
      control_steps: the numbers of gradient updates after the transfer at the evaluations of the control, which
        continued offline training; the first is 0. Empty if there was no control.
      control_returns: the mean returns of these evaluations. The first one is of the same policies as the first of
        ``online_returns``, but over other episodes.
      seeds: the numbers of the seeds; may be empty.
      diverged: for each seed the step at which it diverged and was frozen, such as ``"online at step 3,000"``, or
        ``""``; empty if this was not recorded.
      offline_episodes, online_episodes, control_episodes: the returns of every episode, one array for each evaluation,
        of which the fields above hold the means; empty if they were not recorded. Evaluations may have different
        numbers of episodes.
      checkpoint: the number of offline updates at the transfer if offline training continued after it; None if the
        transfer was at the end of offline training.
      planned_steps: the number of environment steps with which fine-tuning ends, if this is an unfinished curve; None
        if it is complete.
    """

    task: str
    offline: str
    online: str
    offline_updates: Real[np.ndarray, " point"]
    offline_returns: Float[np.ndarray, "seed point"]
    online_steps: Real[np.ndarray, " evaluation"]
    online_returns: Float[np.ndarray, "seed evaluation"]
    warm_start: int = 0
    control_steps: Real[np.ndarray, " control_evaluation"] = dataclasses.field(default_factory=lambda: np.zeros(0))
    control_returns: Float[np.ndarray, "seed control_evaluation"] = dataclasses.field(
        default_factory=lambda: np.zeros((0, 0))
    )
    seeds: tuple[int, ...] = ()
    diverged: tuple[str, ...] = ()
    checkpoint: int | None = None
    planned_steps: int | None = None
    offline_episodes: tuple[Float[np.ndarray, "seed episode"], ...] = ()
    online_episodes: tuple[Float[np.ndarray, "seed episode"], ...] = ()
    control_episodes: tuple[Float[np.ndarray, "seed episode"], ...] = ()

    def __post_init__(self) -> None:
        for steps, returns in (
            ("online_steps", "online_returns"),
            ("offline_updates", "offline_returns"),
            ("control_steps", "control_returns"),
        ):
            x, y = np.asarray(getattr(self, steps), float), np.asarray(getattr(self, returns), float)
            object.__setattr__(self, steps, x)
            object.__setattr__(self, returns, y)
            if x.ndim != 1 or y.ndim != 2 or x.size != y.shape[1] or not (np.diff(x) > 0).all():
                raise self._error(
                    f"{returns} has shape {y.shape}, {steps} {x.shape}; expected [seed, n] and n increasing steps."
                )
            if y.size and len(y) != len(self.online_returns):
                raise self._error(f"{returns} has {len(y)} seeds, online_returns {len(self.online_returns)}.")
        if self.online_returns.size == 0 or self.online_steps[0] != 0:
            raise self._error("online_steps must start at 0 (the transfer), and online_returns must have a seed.")
        object.__setattr__(self, "warm_start", plain(self.warm_start))
        object.__setattr__(self, "checkpoint", plain(self.checkpoint))
        object.__setattr__(self, "planned_steps", plain(self.planned_steps))
        if self.planned_steps is not None and self.planned_steps < self.online_steps[-1]:
            raise self._error(f"planned_steps = {self.planned_steps} is before the last of online_steps.")
        if not 0 <= self.warm_start <= self.online_steps[-1]:
            raise self._error(f"warm_start = {self.warm_start} is not within online_steps.")
        for name in ("seeds", "diverged"):
            found = tuple(map(plain, getattr(self, name)))
            object.__setattr__(self, name, found)
            if found and len(found) != len(self.online_returns):
                raise self._error(f"{name} has {len(found)} entries, online_returns {len(self.online_returns)} seeds.")
        if self.has_control and self.control_steps[0] != 0:
            raise self._error("control_steps must start at 0 (the transfer).")
        for part, steps in PARTS.items():
            episodes = tuple(np.asarray(x, np.float32) for x in getattr(self, f"{part}_episodes"))
            object.__setattr__(self, f"{part}_episodes", episodes)
            if episodes and len(episodes) != len(getattr(self, steps)):
                raise self._error(
                    f"{part}_episodes has {len(episodes)} evaluations, {steps} {len(getattr(self, steps))}."
                )
            for some in episodes:
                if some.ndim != 2 or len(some) != len(self.online_returns) or not some.size:
                    raise self._error(f"{part}_episodes has an evaluation of shape {some.shape}; expected [seed, n].")

    def __repr__(self) -> str:
        found = f"{self.task}: {self.pair}, {len(self.online_returns)} seeds"
        return f"TransferCurve({found}, {len(self.online_steps)} evaluations to step {self.online_steps[-1]:g})"

    def _error(self, what: str) -> DatasetError:
        return DatasetError(f"Curve of {self.pair} on {self.task}: {what}")

    @property
    def pair(self) -> str:
        """Returns the pair as text: ``smac to sac``, ``smac at 3,000 updates to sac``."""
        at = "" if self.checkpoint is None else f" at {self.checkpoint:,} updates"
        return f"{self.offline}{at} to {self.online}"

    @property
    def key(self) -> tuple[str, str, int | None]:
        """Returns the properties that curves of other seeds must share to be joined with this one."""
        return self.offline, self.online, self.checkpoint

    @property
    def early_updates(self) -> float:
        """The number of online updates over which the dip is measured: a quarter of those of the complete curve."""
        end = self.online_steps[-1] if self.planned_steps is None else self.planned_steps
        return early_updates(np.array([end]), self.warm_start)

    @property
    def early_steps(self) -> float:
        """The environment step up to which the dip is measured."""
        return self.warm_start + self.early_updates

    @property
    def updates(self) -> int:
        """The number of offline updates at the transfer; 0 if offline training was not evaluated."""
        if self.checkpoint is not None:
            return self.checkpoint
        return int(self.offline_updates[-1]) if self.offline_updates.size else 0

    @property
    def note(self) -> str:
        """How far an unfinished curve goes, as a sentence; empty for a complete one."""
        if self.planned_steps is None:
            return ""
        return f"{self.pair}: not done, shown to step {self.online_steps[-1]:,.0f} of {self.planned_steps:,}"

    @property
    def has_control(self) -> bool:
        """Returns whether there is a control without a transfer."""
        return self.control_returns.size > 0

    def to_json(self, path: Path) -> None:
        """Writes the curve as JSON, one field per line. Values that are not finite become null.

        The returns of single episodes are written to ``NAME_episodes.npz`` in the same folder. For each part of the
        curve it has ``PART_returns`` ``[seed, episode]`` in float32, with the episodes of all evaluations in order, and
        ``PART_counts``, the number of episodes of each evaluation.
        """
        path = local_path(path)
        names = [field.name for field in dataclasses.fields(self) if not field.name.endswith("_episodes")]
        if self.planned_steps is None:
            names.remove("planned_steps")
        lines = (f"{json.dumps(name)}: {json.dumps(_plain(getattr(self, name)), allow_nan=False)}" for name in names)
        arrays: dict[str, Any] = {}
        for part in PARTS:
            if episodes := getattr(self, f"{part}_episodes"):
                arrays[f"{part}_returns"] = np.concatenate(episodes, axis=1)
                arrays[f"{part}_counts"] = np.array([found.shape[1] for found in episodes], np.int32)
        if arrays:
            content = io.BytesIO()
            np.savez_compressed(content, **arrays)
            write_bytes(episodes_file(path), content.getvalue())
        else:
            episodes_file(path).unlink(missing_ok=True)  # an earlier curve may have had episodes
        write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")

    @classmethod
    def from_json(cls, path: Path) -> TransferCurve:
        """Reads a file of :meth:`to_json`; null becomes NaN. Files of versions that saved no episodes have none.

        Raises:
          DatasetError: the file does not exist or is not a learning curve, or its file of episodes does not fit.
        """
        try:
            values = json.loads(local_path(path).read_text(encoding="utf-8"))
            arrays = {name: np.array(value, float) for name, value in values.items() if name.endswith("_returns")}
            # JSON has no shapes: an array without seeds and evaluations is read as a vector of length 0
            arrays = {name: array.reshape(0, 0) if array.shape == (0,) else array for name, array in arrays.items()}
            curve = cls(**(values | arrays))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise DatasetError(f"{path}: not a learning curve written by this package ({error}).") from error
        return dataclasses.replace(curve, **_read_episodes(episodes_file(local_path(path))))


def episodes_file(path: Path) -> Path:
    """Returns the file with the returns of single episodes that belongs to a curve's file."""
    return path.with_name(f"{path.stem}_episodes.npz")


def _read_episodes(path: Path) -> dict[str, Any]:
    """Reads the file of episodes of :meth:`TransferCurve.to_json`; empty if there is none.

    Raises:
      DatasetError: the file is not of this format.
    """
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {
                f"{part}_episodes": tuple(
                    np.split(file[f"{part}_returns"], np.cumsum(file[f"{part}_counts"])[:-1], axis=1)
                )
                for part in PARTS
                if f"{part}_returns" in file
            }
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DatasetError(
            f"{path}: not a file of episode returns written by this package ({error}). Remove it to read the curve "
            "without its episodes."
        ) from error
    return found


def joined(curves: Sequence[TransferCurve]) -> TransferCurve:
    """Joins the curves of one pair with different seeds. The result has single episodes if all curves have them.

    Raises:
      DatasetError: the curves are not of one pair, or were not evaluated at the same steps.
    """
    first = curves[0]
    of_pair = ("task", "offline", "online", "checkpoint", "planned_steps", "warm_start")
    steps = (*of_pair, "offline_updates", "online_steps", "control_steps")
    for other in curves[1:]:
        for name in steps:
            if not np.array_equal(getattr(first, name), getattr(other, name)):
                raise first._error(f"other seeds of this pair have a different {name}.")
    episodes: dict[str, Any] = {}
    for name in (f"{part}_episodes" for part in PARTS):
        of_curves = [getattr(curve, name) for curve in curves]
        counts = {tuple(found.shape[1] for found in of_curve) for of_curve in of_curves}
        alike = len(counts) == 1 and all(of_curves)
        episodes[name] = tuple(np.concatenate(found) for found in zip(*of_curves, strict=True)) if alike else ()
    return dataclasses.replace(
        first,
        offline_returns=np.concatenate([curve.offline_returns for curve in curves]),
        online_returns=np.concatenate([curve.online_returns for curve in curves]),
        control_returns=np.concatenate([curve.control_returns for curve in curves]),
        seeds=tuple(seed for curve in curves for seed in curve.seeds),
        diverged=tuple(note for curve in curves for note in curve.diverged),
        **episodes,
    )


def _plain(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    objects = value.astype(object)
    objects[~np.isfinite(value)] = None
    return objects.tolist()
