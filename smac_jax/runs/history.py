"""The metrics and evaluations of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from smac_jax.types import Array, Metrics

Point = tuple[str, int, dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluations:
    """The evaluations of a run, in order. Some have more episodes than others.

    Attributes:
      steps: the steps after which the policy was evaluated.
      episodes: the returns of every episode of each evaluation.
      metrics: further metrics of the evaluations (:func:`smac_jax.train.evaluate.measured_values`), NaN if an
        evaluation lacks one.
      seeds: the number of seeds.
    """

    steps: Int[np.ndarray, " evaluation"]
    episodes: tuple[Float[np.ndarray, "seed episode"], ...]
    metrics: dict[str, Float[np.ndarray, "seed evaluation"]]
    seeds: int

    @property
    def returns(self) -> Float[np.ndarray, "seed evaluation episode"]:
        """The first episodes of each evaluation, as many as all have; ``[seed, 0, 0]`` without evaluations."""
        if not self.episodes:
            return np.zeros((self.seeds, 0, 0))
        common = min(returns.shape[1] for returns in self.episodes)
        return np.stack([returns[:, :common] for returns in self.episodes], axis=1)

    @property
    def mean_returns(self) -> Float[np.ndarray, "seed evaluation"]:
        """The mean over all episodes of each evaluation."""
        if not self.episodes:
            return np.zeros((self.seeds, 0))
        return np.stack([returns.mean(axis=1) for returns in self.episodes], axis=1)

    def followed_by(self, later: Evaluations) -> Evaluations:
        """Joins the evaluations of a run that resumed from this one; the evaluation that both have appears once."""
        names = list(dict.fromkeys([*self.metrics, *later.metrics]))

        def column(of: Evaluations, name: str) -> np.ndarray:
            return of.metrics.get(name, np.full((of.seeds, len(of.steps)), np.nan))

        return Evaluations(
            steps=np.concatenate([self.steps[:-1], later.steps]),
            episodes=(*self.episodes[:-1], *later.episodes),
            metrics={name: np.concatenate([column(self, name)[:, :-1], column(later, name)], axis=1) for name in names},
            seeds=self.seeds,
        )


class Evaluated:
    """Properties of training results that have ``evaluations``."""

    evaluations: Evaluations

    @property
    def evaluation_steps(self) -> Int[np.ndarray, " evaluation"]:
        """The steps after which the policy was evaluated."""
        return self.evaluations.steps

    @property
    def returns(self) -> Float[np.ndarray, "seed evaluation episode"]:
        """The first episodes of each evaluation, as many as all have; ``evaluations.episodes`` has all of them."""
        return self.evaluations.returns

    @property
    def mean_returns(self) -> Float[np.ndarray, "seed evaluation"]:
        """The mean over all episodes of each evaluation."""
        return self.evaluations.mean_returns


class History:
    """Collects metrics ``[seed]`` and evaluation returns ``[seed, episode]`` on the host."""

    def __init__(self, seeds: Sequence[int]):
        self._seeds = len(seeds)
        self._points: list[Point] = []
        # each with the number of points before it, which gives the common order of points and evaluations
        self._evaluations: list[tuple[int, np.ndarray, dict[str, np.ndarray], int]] = []

    def add(self, phase: str, step: int, metrics: Metrics | Mapping[str, np.ndarray]) -> None:
        """Records metrics. Metrics of the same phase and step become one point."""
        values = {name: np.asarray(value) for name, value in metrics.items()}
        if self._points and self._points[-1][:2] == (phase, step):
            self._points[-1][2].update(values)
        elif values:
            self._points.append((phase, step, values))

    def add_returns(
        self, step: int, returns: Array | np.ndarray, metrics: Mapping[str, np.ndarray] | None = None
    ) -> None:
        """Records an evaluation: returns ``[seed, episode]``, and further metrics ``[seed]``."""
        self._evaluations.append((step, np.asarray(returns), dict(metrics or {}), len(self._points)))

    def since(self, seen: tuple[int, int] = (0, 0)) -> tuple[list[Point], tuple[int, int]]:
        """The new points ``(phase, step, metrics)`` in order, and the argument for the next call."""
        new = [(i, 0, point) for i, point in enumerate(self._points[seen[0] :], seen[0] + 1)]
        for step, returns, metrics, before in self._evaluations[seen[1] :]:
            new.append((before, 1, ("evaluation", step, {"return": returns.mean(axis=-1), **metrics})))
        in_order = sorted(new, key=lambda entry: entry[:2])
        return [point for *_, point in in_order], (len(self._points), len(self._evaluations))

    @property
    def last_return(self) -> float | None:
        """The mean return of the newest evaluation over the seeds with a finite return, as in tables."""
        if not self._evaluations:
            return None
        of_seeds = self._evaluations[-1][1].mean(axis=-1, dtype=np.float64)
        finite = of_seeds[np.isfinite(of_seeds)]
        return float(finite.mean()) if finite.size else None

    @property
    def last_point(self) -> tuple[str, int] | None:
        """The phase and the step of the newest metrics."""
        return self._points[-1][:2] if self._points else None

    def metrics(self) -> dict[str, np.ndarray]:
        """All metrics: ``{name: [point, seed]}``, NaN if a point lacks one; and ``"phase"``, ``"step"`` ``[point]``."""
        names = sorted({name for _, _, values in self._points for name in values})
        missing = np.full(self._seeds, np.nan)
        columns = {name: np.stack([v.get(name, missing) for _, _, v in self._points]) for name in names}
        phases = np.array([phase for phase, _, _ in self._points])
        return {"phase": phases, "step": np.array([step for _, step, _ in self._points], int), **columns}

    def evaluations(self) -> Evaluations:
        """All evaluations."""
        names = list(dict.fromkeys(name for _, _, metrics, _ in self._evaluations for name in metrics))
        missing = np.full(self._seeds, np.nan)
        return Evaluations(
            steps=np.array([step for step, *_ in self._evaluations], int),
            episodes=tuple(returns for _, returns, *_ in self._evaluations),
            metrics={
                name: np.stack([metrics.get(name, missing) for _, _, metrics, _ in self._evaluations], axis=1)
                for name in names
            },
            seeds=self._seeds,
        )

    def dump(self) -> dict[str, Any]:
        """The history as exact values for JSON (including NaN, which Python's JSON can represent)."""
        points = [(phase, step, dump_metrics(values)) for phase, step, values in self._points]
        evaluations = [
            (step, returns.dtype.name, returns.tolist(), dump_metrics(metrics), before)
            for step, returns, metrics, before in self._evaluations
        ]
        return {"points": points, "evaluations": evaluations}

    def load(self, dumped: Mapping[str, Any]) -> None:
        """Replaces the history with the values from :meth:`dump`."""
        self._points = [(phase, step, load_metrics(values)) for phase, step, values in dumped["points"]]
        self._evaluations = [
            (step, np.array(returns, dtype), load_metrics(metrics), before)
            for step, dtype, returns, metrics, before in dumped["evaluations"]
        ]


def dump_metrics(metrics: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Arrays with their types, for JSON."""
    return {name: (value.dtype.name, value.tolist()) for name, value in metrics.items()}


def load_metrics(dumped: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays from the values of :func:`dump_metrics`."""
    return {name: np.array(value, dtype) for name, (dtype, value) in dumped.items()}
