"""One offline algorithm handed over to one online algorithm: what was measured, in a file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
from jaxtyping import Float

from smac_jax.errors import DatasetError

Returns = Float[np.ndarray, "seed evaluation"]


@dataclasses.dataclass(frozen=True)
class TransferCurve:
    """Mean evaluation returns across the hand-over.

    Attributes:
      task, offline, online: the cell of the comparison.
      offline_updates: ``[point]`` gradient steps at the evaluations of pre-training.
      offline_returns: ``[seed, point]``.
      online_steps: ``[evaluation]`` environment steps; the first is 0, the hand-over.
      online_returns: ``[seed, evaluation]``.
      control_steps: ``[evaluation]`` gradient steps since the hand-over of a control that was not handed over but went on
        training offline; empty where there was none.
      control_returns: ``[seed, evaluation]``; its first is the same policy's return as ``online_returns``' first.
    """

    task: str
    offline: str
    online: str
    offline_updates: Float[np.ndarray, "point"]
    offline_returns: Returns
    online_steps: Float[np.ndarray, "evaluation"]
    online_returns: Returns
    control_steps: Float[np.ndarray, "evaluation"] = dataclasses.field(default_factory=lambda: np.zeros(0))
    control_returns: Returns = dataclasses.field(default_factory=lambda: np.zeros((0, 0)))

    def __post_init__(self) -> None:
        for steps, returns in (
            ("offline_updates", "offline_returns"),
            ("online_steps", "online_returns"),
            ("control_steps", "control_returns"),
        ):
            x, y = np.asarray(getattr(self, steps), float), np.asarray(getattr(self, returns), float)
            object.__setattr__(self, steps, x)
            object.__setattr__(self, returns, y)
            if y.ndim != 2 or x.shape != y.shape[1:] or (np.diff(x) <= 0).any():
                raise DatasetError(
                    f"{self.offline} -> {self.online}: {returns} has shape {y.shape}, {steps} {x.shape}; expected "
                    "[seed, n] and n increasing steps."
                )
        if self.online_steps.size == 0 or self.online_steps[0] != 0:
            raise DatasetError(f"{self.offline} -> {self.online}: online_steps must start at 0, the hand-over.")

    @property
    def has_control(self) -> bool:
        """Whether the control without a hand-over was run."""
        return self.control_returns.size > 0

    def to_json(self, path: Path) -> None:
        """Writes the curve; NaN becomes null."""
        values = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            is_array = isinstance(value, np.ndarray)
            values[field.name] = np.where(np.isnan(value), None, value).tolist() if is_array else value
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values, indent=1) + "\n")

    @classmethod
    def from_json(cls, path: Path) -> TransferCurve:
        """Reads what :meth:`to_json` wrote.

        Raises:
          DatasetError: no such file, or not such a file.
        """
        try:
            values = json.loads(path.read_text())
            arrays = {
                key: np.array(value, float) if isinstance(value, list) else value for key, value in values.items()
            }
            if not len(values.get("control_steps", [])):
                arrays["control_returns"] = np.zeros((0, 0))
            return cls(**arrays)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise DatasetError(f"{path}: not a learning curve written by this package ({error}).") from error
