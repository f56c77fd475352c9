"""One offline algorithm handed over to one online algorithm: what was measured, in a file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from smac_jax.config import plain
from smac_jax.errors import DatasetError
from smac_jax.files import local_path, write_text


@dataclasses.dataclass(frozen=True, eq=False)
class TransferCurve:
    """Mean evaluation returns across the hand-over, of the same seeds throughout.

    Attributes:
      task, offline, online: the cell of the comparison.
      offline_updates: gradient steps at the evaluations of pre-training; may be empty.
      offline_returns: at these, NaN where an evaluation failed.
      online_steps: environment steps; the first is 0, the hand-over.
      online_returns: at these.
      warm_start: how many of the environment steps, the first ones, only collected.
      control_steps: gradient steps since the hand-over of a control that was not handed over but went on training
        offline; the first is 0. Empty where there was no control.
      control_returns: at these. The first is of the same policies as the first of ``online_returns``, other episodes.
      seeds: their numbers; may be empty.
      diverged: for each seed where it diverged and was frozen, such as ``"online at step 3,000"``, or ``""``; empty
        where that was not recorded.
      checkpoint: offline updates after which the transfer began, where offline training went on beyond it; None where
        the transfer began at its end.
    """

    task: str
    offline: str
    online: str
    offline_updates: Float[np.ndarray, " point"]
    offline_returns: Float[np.ndarray, "seed point"]
    online_steps: Float[np.ndarray, " evaluation"]
    online_returns: Float[np.ndarray, "seed evaluation"]
    warm_start: int = 0
    control_steps: Float[np.ndarray, " control_evaluation"] = dataclasses.field(default_factory=lambda: np.zeros(0))
    control_returns: Float[np.ndarray, "seed control_evaluation"] = dataclasses.field(
        default_factory=lambda: np.zeros((0, 0))
    )
    seeds: tuple[int, ...] = ()
    diverged: tuple[str, ...] = ()
    checkpoint: int | None = None

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
            raise self._error("online_steps must start at 0, the hand-over, and online_returns hold a seed or more.")
        object.__setattr__(self, "warm_start", plain(self.warm_start))
        object.__setattr__(self, "checkpoint", plain(self.checkpoint))
        if not 0 <= self.warm_start <= self.online_steps[-1]:
            raise self._error(f"warm_start = {self.warm_start} is not within online_steps.")
        for name in ("seeds", "diverged"):
            found = tuple(map(plain, getattr(self, name)))
            object.__setattr__(self, name, found)
            if found and len(found) != len(self.online_returns):
                raise self._error(f"{name} has {len(found)} entries, online_returns {len(self.online_returns)} seeds.")
        if self.has_control and self.control_steps[0] != 0:
            raise self._error("control_steps must start at 0, where the transfer was handed over.")

    def __repr__(self) -> str:
        found = f"{self.task}: {self.pair}, {len(self.online_returns)} seeds"
        return f"TransferCurve({found}, {len(self.online_steps)} evaluations to step {self.online_steps[-1]:g})"

    def _error(self, what: str) -> DatasetError:
        return DatasetError(f"Curve of {self.pair} on {self.task}: {what}")

    @property
    def pair(self) -> str:
        """What was transferred to what: ``smac to sac``, ``smac at 3,000 updates to sac``."""
        at = "" if self.checkpoint is None else f" at {self.checkpoint:,} updates"
        return f"{self.offline}{at} to {self.online}"

    @property
    def key(self) -> tuple[str, str, int | None]:
        """What curves of other seeds must agree in to be joined with this one."""
        return self.offline, self.online, self.checkpoint

    @property
    def has_control(self) -> bool:
        """Whether the control without a hand-over was run."""
        return self.control_returns.size > 0

    def to_json(self, path: Path) -> None:
        """Writes the curve, a field a line; what is not finite becomes null."""
        values = {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}
        lines = (f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in values.items())
        write_text(local_path(path), "{\n" + ",\n".join(lines) + "\n}\n")

    @classmethod
    def from_json(cls, path: Path) -> TransferCurve:
        """Reads what :meth:`to_json` wrote; null becomes NaN.

        Raises:
          DatasetError: no such file, or not such a file.
        """
        try:
            values = json.loads(local_path(path).read_text(encoding="utf-8"))
            arrays = {name: np.array(value, float) for name, value in values.items() if name.endswith("_returns")}
            # JSON has no shapes: no seed at no evaluation reads as a vector of nothing
            arrays = {name: array.reshape(0, 0) if array.shape == (0,) else array for name, array in arrays.items()}
            return cls(**(values | arrays))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise DatasetError(f"{path}: not a learning curve written by this package ({error}).") from error


def joined(curves: Sequence[TransferCurve]) -> TransferCurve:
    """The same pair's curves of different seeds as one.

    Raises:
      DatasetError: they are not of one pair, or were not evaluated at the same steps.
    """
    first = curves[0]
    of_pair = ("task", "offline", "online", "checkpoint", "warm_start")
    steps = (*of_pair, "offline_updates", "online_steps", "control_steps")
    for other in curves[1:]:
        for name in steps:
            if not np.array_equal(getattr(first, name), getattr(other, name)):
                raise first._error(f"other seeds of it have another {name}.")
    return dataclasses.replace(
        first,
        offline_returns=np.concatenate([curve.offline_returns for curve in curves]),
        online_returns=np.concatenate([curve.online_returns for curve in curves]),
        control_returns=np.concatenate([curve.control_returns for curve in curves]),
        seeds=tuple(seed for curve in curves for seed in curve.seeds),
        diverged=tuple(note for curve in curves for note in curve.diverged),
    )


def _plain(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    objects = value.astype(object)
    objects[~np.isfinite(value)] = None
    return objects.tolist()
