"""What a run measured, as it comes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from smac_jax.types import Array, Metrics


class History:
    """Collects metrics ``[seed]`` and evaluation returns ``[seed, episode]`` on the host."""

    def __init__(self, seeds: Sequence[int]):
        self._seeds = len(seeds)
        self._points: list[tuple[str, int, dict[str, np.ndarray]]] = []
        self._evaluations: list[tuple[int, np.ndarray]] = []

    def add(self, phase: str, step: int, metrics: Metrics) -> None:
        """Records metrics; those of the same phase and step make one point."""
        values = {name: np.asarray(value) for name, value in metrics.items()}
        if self._points and self._points[-1][:2] == (phase, step):
            self._points[-1][2].update(values)
        elif values:
            self._points.append((phase, step, values))

    def add_returns(self, step: int, returns: Array | np.ndarray) -> None:
        """Records an evaluation."""
        self._evaluations.append((step, np.asarray(returns)))

    @property
    def last_return(self) -> float | None:
        """Mean over seeds and episodes of the newest evaluation."""
        return float(self._evaluations[-1][1].mean()) if self._evaluations else None

    def metrics(self) -> dict[str, np.ndarray]:
        """``{name: [point, seed]}``, NaN where a point lacks a metric; and ``"phase"``, ``"step"`` ``[point]``."""
        names = sorted({name for _, _, values in self._points for name in values})
        missing = np.full(self._seeds, np.nan)
        columns = {name: np.stack([v.get(name, missing) for _, _, v in self._points]) for name in names}
        phases = np.array([phase for phase, _, _ in self._points])
        return {"phase": phases, "step": np.array([step for _, step, _ in self._points], int), **columns}

    def evaluation_steps(self) -> Float[np.ndarray, "evaluation"]:
        """When the policy was evaluated."""
        return np.array([step for step, _ in self._evaluations], int)

    def returns(self) -> Float[np.ndarray, "seed evaluation episode"]:
        """Evaluation returns; with no evaluation an array of shape ``[seed, 0, 0]``."""
        if not self._evaluations:
            return np.zeros((self._seeds, 0, 0))
        return np.stack([returns for _, returns in self._evaluations], axis=1)
