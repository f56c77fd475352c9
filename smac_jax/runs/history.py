"""What a run measured, as it comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from smac_jax.types import Array, Metrics

Point = tuple[str, int, dict[str, np.ndarray]]


class History:
    """Collects metrics ``[seed]`` and evaluation returns ``[seed, episode]`` on the host."""

    def __init__(self, seeds: Sequence[int]):
        self._seeds = len(seeds)
        self._points: list[Point] = []
        # with the number of points that were there before, which is what orders the two
        self._evaluations: list[tuple[int, np.ndarray, int]] = []

    def add(self, phase: str, step: int, metrics: Metrics | Mapping[str, np.ndarray]) -> None:
        """Records metrics; those of the same phase and step make one point."""
        values = {name: np.asarray(value) for name, value in metrics.items()}
        if self._points and self._points[-1][:2] == (phase, step):
            self._points[-1][2].update(values)
        elif values:
            self._points.append((phase, step, values))

    def add_returns(self, step: int, returns: Array | np.ndarray) -> None:
        """Records an evaluation."""
        self._evaluations.append((step, np.asarray(returns), len(self._points)))

    def since(self, seen: tuple[int, int] = (0, 0)) -> tuple[list[Point], tuple[int, int]]:
        """Points ``(phase, step, metrics)`` that are new, as they came, and what to call with next."""
        new = [(i, 0, point) for i, point in enumerate(self._points[seen[0] :], seen[0] + 1)]
        for step, returns, before in self._evaluations[seen[1] :]:
            new.append((before, 1, ("evaluation", step, {"return": returns.mean(axis=-1)})))
        in_order = sorted(new, key=lambda entry: entry[:2])
        return [point for *_, point in in_order], (len(self._points), len(self._evaluations))

    @property
    def last_return(self) -> float | None:
        """Mean over seeds of the newest evaluation; a seed without a finite return is left out, as it is in tables."""
        if not self._evaluations:
            return None
        of_seeds = self._evaluations[-1][1].mean(axis=-1, dtype=np.float64)
        finite = of_seeds[np.isfinite(of_seeds)]
        return float(finite.mean()) if finite.size else None

    @property
    def last_point(self) -> tuple[str, int] | None:
        """Phase and step of the newest metrics."""
        return self._points[-1][:2] if self._points else None

    def metrics(self) -> dict[str, np.ndarray]:
        """``{name: [point, seed]}``, NaN where a point lacks a metric; and ``"phase"``, ``"step"`` ``[point]``."""
        names = sorted({name for _, _, values in self._points for name in values})
        missing = np.full(self._seeds, np.nan)
        columns = {name: np.stack([v.get(name, missing) for _, _, v in self._points]) for name in names}
        phases = np.array([phase for phase, _, _ in self._points])
        return {"phase": phases, "step": np.array([step for _, step, _ in self._points], int), **columns}

    def evaluation_steps(self) -> Int[np.ndarray, "evaluation"]:
        """When the policy was evaluated."""
        return np.array([step for step, *_ in self._evaluations], int)

    def returns(self) -> Float[np.ndarray, "seed evaluation episode"]:
        """Evaluation returns; with no evaluation an array of shape ``[seed, 0, 0]``."""
        if not self._evaluations:
            return np.zeros((self._seeds, 0, 0))
        return np.stack([returns for _, returns, _ in self._evaluations], axis=1)

    def dump(self) -> dict[str, Any]:
        """All of it as JSON can hold it, to the last bit (with NaN, which Python's JSON reads and writes)."""
        points = [(phase, step, dump_metrics(values)) for phase, step, values in self._points]
        return {"points": points, "evaluations": [(s, r.dtype.name, r.tolist(), n) for s, r, n in self._evaluations]}

    def load(self, dumped: Mapping[str, Any]) -> None:
        """Takes what :meth:`dump` gave in place of what is here."""
        self._points = [(phase, step, load_metrics(values)) for phase, step, values in dumped["points"]]
        self._evaluations = [(s, np.array(returns, dtype), n) for s, dtype, returns, n in dumped["evaluations"]]


def dump_metrics(metrics: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Arrays with their types, for JSON."""
    return {name: (value.dtype.name, value.tolist()) for name, value in metrics.items()}


def load_metrics(dumped: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What :func:`dump_metrics` took."""
    return {name: np.array(value, dtype) for name, (dtype, value) in dumped.items()}
