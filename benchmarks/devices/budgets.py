"""What compiled programs must keep to: rules for all of them, and budgets of kernels, graphs and memory for some.

A change that makes a program slower or larger breaks a budget, and is seen. A change that makes one better should lower
its budget. Budgets are about five percent above what JAX 0.12.0 compiles; another version may need others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from smac_jax.text import count

ON_THE_HOST = ("mujoco",)
"""Engines that run on the host, so that their programs must call it."""
NEED_THE_DEVICE = (*ON_THE_HOST, "warp")
"""Engines whose programs can be compiled only where the device is present: they call the host, or bring kernels."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """The most that a program may need.

    Attributes:
      kernels: kernels or fusions of an update.
      peak: bytes of device memory.
      graphs: CUDA graphs of an update, outside of which nothing is launched; None where they are not counted.
    """

    kernels: float
    peak: float
    graphs: int | None = None


Key = tuple[str, str, str, int]
"""Target, program, size, number of seeds."""
BUDGETS: dict[Key, Budget] = {
    ("h100", "td3_bc", "field", 1): Budget(kernels=72, peak=29e6, graphs=1),
    ("h100", "smac", "field", 1): Budget(kernels=160, peak=38e6, graphs=1),
    ("h100", "smac", "paper", 1): Budget(kernels=310, peak=340e6, graphs=1),
    ("v5e:1x1", "td3_bc", "field", 1): Budget(kernels=365, peak=195e6),
    ("v5e:1x1", "smac", "field", 1): Budget(kernels=383, peak=160e6),
    ("v5e:1x1", "smac", "paper", 1): Budget(kernels=700, peak=480e6),
}


def broken_rules(known: Mapping[str, Any]) -> list[str]:
    """The rules that a program breaks, from what is written of it (``benchmarks.devices --json``)."""
    engine = known["program"].partition(":")[2]
    if not known["compiles"]:
        return [] if engine in NEED_THE_DEVICE else [f"does not compile: {known['error']}"]
    found = []
    if known["callbacks"] and engine not in ON_THE_HOST:
        found.append(f"calls the host: {', '.join(known['callbacks'])}")
    if known["float64"]:
        found.append("has arrays of float64")
    if known["dynamic_shapes"]:
        found.append("has arrays whose size depends on data")
    if known["collectives"]:
        found.append(f"exchanges data between devices: {', '.join(known['collectives'])}")
    rounded = {name: n for name, n in known["products"].items() if name.startswith("physics") and "highest" not in name}
    if rounded:
        found.append(f"{count(sum(rounded.values()), 'product')} of physics not at highest precision")
    return found


def broken_budgets(target: str, known: Mapping[str, Any], budgets: Mapping[Key, Budget] | None = None) -> list[str]:
    """The budgets that a program exceeds; nothing for a program without a budget."""
    budget = (BUDGETS if budgets is None else budgets).get((target, known["program"], known["size"], known["seeds"]))
    if budget is None or not known["compiles"]:
        return []
    found = []
    kernels = known["kernels"][0]
    if kernels > budget.kernels:
        found.append(f"{kernels:.4g} kernels, of at most {budget.kernels:.4g}")
    if known["peak"] > budget.peak:
        found.append(f"{known['peak'] / 1e6:,.1f} MB, of at most {budget.peak / 1e6:,.1f}")
    if budget.graphs is not None and (known["graphs"] > budget.graphs or known["outside"]):
        outside = ", ".join(f"{n} {name}" for name, n in known["outside"].items())
        found.append(f"{count(known['graphs'], 'CUDA graph')}, of at most {budget.graphs}; outside of them: {outside}")
    return found


def violations(target: str, lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """All that programs of a target break, a sentence for each program."""
    found = []
    for known in lines:
        broken = broken_rules(known) + broken_budgets(target, known)
        if broken:
            found.append(f"{target}: {known['program']} {known['size']} x{known['seeds']}: {'; '.join(broken)}")
    return found
