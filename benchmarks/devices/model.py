"""Predicts the time of an update from its compiled program. A prediction, and never a measurement.

A GPU runs one kernel after the other. Each takes

    max(launch, bytes / (share * bandwidth), flops / (share * peak of its precision))

and what a kernel finds in the cache counts as if it came from memory. On a TPU the compiler itself estimates the cycles
of each fusion. Neither knows what the host costs: of a loop whose length depends on data each turn waits for the host.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize

from benchmarks.devices.targets import Gpu, Target, Tpu


@dataclasses.dataclass(frozen=True)
class Kernel:
    """What the model knows of a kernel.

    Attributes:
      times: how often an update runs it.
      bytes: what it reads and writes.
      flops: of its matrix products, by precision (``bf16``, ``default``, ``high``, ``highest``).
      cycles: the TPU compiler's estimate; 0 where there is none.
    """

    times: float
    bytes: float
    flops: dict[str, float] = dataclasses.field(default_factory=dict)
    cycles: float = 0.0


@dataclasses.dataclass(frozen=True)
class Constants:
    """The constants of the model. The defaults are those of ``benchmarks/results/devices-h200.json``.

    Attributes:
      launch: seconds from the start of a kernel in a CUDA graph to the start of the next: least and most.
      bandwidth: share of the published bandwidth that kernels reach.
      products: share of the published rate that products reach.
      source: where these numbers come from.
    """

    launch: tuple[float, float] = (1.62e-6, 1.62e-6)
    bandwidth: float = 0.717
    products: float = 0.588
    source: str = "fitted to 12 programs on one H200, 2026-11-27"

    def __str__(self) -> str:
        launches = " to ".join(f"{1e6 * seconds:.2g}" for seconds in sorted(set(self.launch)))
        return (
            f"{launches} us a kernel, {100 * self.bandwidth:.0f} % of the bandwidth and "
            f"{100 * self.products:.0f} % of the products' rate on the datasheet ({self.source})"
        )


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The predicted seconds of an update of all seeds: least and most."""

    least: float
    most: float


def seconds_of(kernels: Sequence[Kernel], chip: Gpu, launch: float, bandwidth: float, products: float) -> float:
    """The sum over the kernels of the maximum of launch, bytes and products."""
    rates = {"bf16": chip.bf16, "default": chip.tf32, "high": chip.tf32 / 3.0, "highest": chip.float32}
    total = 0.0
    for kernel in kernels:
        arithmetic = sum(flops / rates[precision] for precision, flops in kernel.flops.items()) / products
        total += kernel.times * max(launch, kernel.bytes / (bandwidth * chip.bandwidth), arithmetic)
    return total


def predict(kernels: Sequence[Kernel], target: Target, constants: Constants) -> Prediction | None:
    """The predicted time of an update, or None where nothing is known of the device."""
    if isinstance(target.chip, Gpu):
        chip = target.chip
        least, most = (
            seconds_of(kernels, chip, launch, constants.bandwidth, constants.products) for launch in constants.launch
        )
        return Prediction(least, most)
    if isinstance(target.chip, Tpu):
        cycles = sum(kernel.times * kernel.cycles for kernel in kernels)
        return Prediction(cycles / target.chip.clock, cycles / target.chip.clock)
    return None


def assumptions(target: Target, constants: Constants) -> str:
    """The assumptions of a prediction, in words."""
    if isinstance(target.chip, Gpu):
        chip = target.chip
        return (
            f"{constants}: {chip.bandwidth / 1e12:.2g} TB/s, {chip.tf32 / 1e12:.0f} TFLOP/s of TF32, "
            f"{chip.bf16 / 1e12:.0f} of bfloat16, {chip.float32 / 1e12:.3g} of float32"
        )
    if isinstance(target.chip, Tpu):
        return (
            f"the compiler's estimated cycles at {target.chip.clock / 1e9:.3g} GHz; its estimates have no memory stalls"
        )
    return "no description of this device, so that nothing is predicted"


def fit(measured: Sequence[tuple[Sequence[Kernel], float]], chip: Gpu) -> Constants:
    """The constants with the least squared error of the logarithm of the measured times.

    Args:
      measured: the kernels of each program's update, and its measured seconds.
      chip: the device on which they were measured.
    """

    def error(logarithms: np.ndarray) -> float:
        launch, bandwidth, products = np.exp(logarithms)
        predicted = [seconds_of(kernels, chip, launch, bandwidth, products) for kernels, _ in measured]
        found = np.log(predicted) - np.log([seconds for _, seconds in measured])
        # the constants that the programs do not determine stay near the defaults
        return float(np.mean(found**2) + 1e-4 * np.sum((logarithms - start) ** 2))

    default = Constants()
    start = np.log([float(np.mean(default.launch)), default.bandwidth, default.products])
    best = min(
        (minimize(error, start + shift, method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-9, "maxiter": 4000})
         for shift in (0.0, 0.7, -0.7)),
        key=lambda found: found.fun,
    )  # fmt: skip
    launch, bandwidth, products = (float(value) for value in np.exp(best.x))
    return Constants((launch, launch), bandwidth, products, f"fitted to {len(measured)} programs on {chip.name}")
