"""One offline algorithm transferred to one online algorithm: what was measured, in a file."""

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

from smac_jax.config import plain
from smac_jax.errors import DatasetError
from smac_jax.files import local_path, write_bytes, write_text

PARTS = {"offline": "offline_updates", "online": "online_steps", "control": "control_steps"}
"""Of a curve, with where the steps of each stand."""


@dataclasses.dataclass(frozen=True, eq=False)
class TransferCurve:
    """Mean evaluation returns across the transfer, of the same seeds throughout; and the returns of every episode.

    Attributes:
      task, offline, online: the cell of the comparison.
      offline_updates: gradient steps at the evaluations of pre-training; may be empty.
      offline_returns: at these, NaN where an evaluation failed.
      online_steps: environment steps; the first is 0, the transfer.
      online_returns: at these.
      warm_start: how many of the environment steps, the first ones, only collected.
      control_steps: gradient steps since the transfer of a control that was not transferred but went on training
        offline; the first is 0. Empty where there was no control.
      control_returns: at these. The first is of the same policies as the first of ``online_returns``, other episodes.
      seeds: their numbers; may be empty.
      diverged: for each seed where it diverged and was frozen, such as ``"online at step 3,000"``, or ``""``; empty
        where that was not recorded.
      offline_episodes, online_episodes, control_episodes: the returns of every episode, one array an evaluation, whose
        means the fields before hold; empty where they were not recorded. Evaluations may have different numbers of
        episodes.
      checkpoint: offline updates after which the transfer began, where offline training went on beyond it; None where
        the transfer began at its end.
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
            raise self._error("online_steps must start at 0, the transfer, and online_returns hold a seed or more.")
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
            raise self._error("control_steps must start at 0, at the transfer.")
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
        """What was transferred to what: ``smac to sac``, ``smac at 3,000 updates to sac``."""
        at = "" if self.checkpoint is None else f" at {self.checkpoint:,} updates"
        return f"{self.offline}{at} to {self.online}"

    @property
    def key(self) -> tuple[str, str, int | None]:
        """What curves of other seeds must agree in to be joined with this one."""
        return self.offline, self.online, self.checkpoint

    @property
    def has_control(self) -> bool:
        """Whether the control without a transfer was run."""
        return self.control_returns.size > 0

    def to_json(self, path: Path) -> None:
        """Writes the curve, a field a line; what is not finite becomes null.

        The returns of single episodes go into a file beside it, ``NAME_episodes.npz``: for each part of the curve
        ``PART_returns`` ``[seed, episode]`` in float32, one evaluation's episodes after the other's, and how many of
        them each evaluation has, ``PART_counts``.
        """
        path = local_path(path)
        names = [field.name for field in dataclasses.fields(self) if not field.name.endswith("_episodes")]
        lines = (f"{json.dumps(name)}: {json.dumps(_plain(getattr(self, name)), allow_nan=False)}" for name in names)
        arrays: dict[str, Any] = {}
        for part in PARTS:
            if episodes := getattr(self, f"{part}_episodes"):
                arrays[f"{part}_returns"] = np.concatenate(episodes, axis=1)
                arrays[f"{part}_counts"] = np.array([found.shape[1] for found in episodes], np.int32)
        if arrays:
            whole = io.BytesIO()
            np.savez_compressed(whole, **arrays)
            write_bytes(episodes_file(path), whole.getvalue())
        else:
            episodes_file(path).unlink(missing_ok=True)  # of an earlier curve
        write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")

    @classmethod
    def from_json(cls, path: Path) -> TransferCurve:
        """Reads what :meth:`to_json` wrote; null becomes NaN. Curves of versions that kept no episodes have none.

        Raises:
          DatasetError: no such file, or not such a file; or there are episodes beside it that are not its own.
        """
        try:
            values = json.loads(local_path(path).read_text(encoding="utf-8"))
            arrays = {name: np.array(value, float) for name, value in values.items() if name.endswith("_returns")}
            # JSON has no shapes: no seed at no evaluation reads as a vector of nothing
            arrays = {name: array.reshape(0, 0) if array.shape == (0,) else array for name, array in arrays.items()}
            curve = cls(**(values | arrays))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise DatasetError(f"{path}: not a learning curve written by this package ({error}).") from error
        return dataclasses.replace(curve, **_read_episodes(episodes_file(local_path(path))))


def episodes_file(path: Path) -> Path:
    """Where the returns of single episodes lie, given where the curve does."""
    return path.with_name(f"{path.stem}_episodes.npz")


def _read_episodes(path: Path) -> dict[str, Any]:
    """What :meth:`TransferCurve.to_json` has put beside a curve; nothing where it has not.

    Raises:
      DatasetError: another file.
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
            f"{path}: no returns of episodes written by this package ({error}). Without this file the curve beside it "
            "is read with its means alone."
        ) from error
    return found


def joined(curves: Sequence[TransferCurve]) -> TransferCurve:
    """The same pair's curves of different seeds as one; with single episodes where all of them have those.

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
