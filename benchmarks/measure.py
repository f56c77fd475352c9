"""Functions that the benchmarks share: peak rates of the machine, timing, and reports.

Rates are compared with the peak rates of matrix products and of memory, which each program measures in the same run.
The load of a shared machine changes with time, so cases are timed in turns: A B C, A B C, ... The report has the median
over the rounds, with the lowest and the highest rate.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags

from smac_jax.analysis.fitting import Column, FittedTable, console_for_tables
from smac_jax.files import local_path
from smac_jax.matrix_products import fastest_seconds, product_rate
from smac_jax.runs.json_values import to_json
from smac_jax.runs.provenance import command_line, device_description, git_commit, versions

FLAGS = flags.FLAGS
flags.DEFINE_string("json", None, "Also write all results to this file, as JSON.")
flags.DEFINE_float("seconds", 0.5, "Approximate seconds of one timing of one case.", lower_bound=1e-3)
flags.DEFINE_integer("rounds", 5, "Timings of each case, taken in turns.", lower_bound=1)


@dataclasses.dataclass
class Case:
    """A case to time.

    Attributes:
      name: the name in the table.
      run: does ``units`` units of work, and returns when they are done.
      units: the number of updates or steps in a call.
      flops: the floating-point operations of one unit in matrix products; NaN if unknown.
      notes: further columns of the table.
    """

    name: str
    run: Callable[[], Any]
    units: float
    flops: float = math.nan
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Timing:
    """The rate of a case in units per second: the median over the rounds, the lowest and the highest."""

    name: str
    rate: float
    lowest: float
    highest: float
    flops: float
    notes: dict[str, Any]

    @property
    def seconds(self) -> float:
        """Seconds of one unit."""
        return 1.0 / self.rate


@dataclasses.dataclass
class Ceiling:
    """The peak rates of the machine: float32 matrix products in FLOP/s, and memory traffic in B/s."""

    matrix_product: float
    memory: float

    def __str__(self) -> str:
        return f"{self.matrix_product / 1e9:,.0f} GFLOP/s float32 matrix product, {self.memory / 1e9:,.1f} GB/s memory"


def in_turns(cases: Sequence[Case]) -> list[Timing]:
    """Times the cases in turns, each ``--rounds`` times for about ``--seconds``."""
    repeats = []
    for case in cases:
        case.run()  # compiles
        started = time.perf_counter()
        case.run()
        repeats.append(max(1, round(FLAGS.seconds / (time.perf_counter() - started))))
    rates: list[list[float]] = [[] for _ in cases]
    for _ in range(FLAGS.rounds):
        for case, times, found in zip(cases, repeats, rates, strict=True):
            gc.collect()
            started = time.perf_counter()
            for _ in range(times):
                case.run()
            found.append(case.units * times / (time.perf_counter() - started))
    return [
        Timing(case.name, statistics.median(found), min(found), max(found), case.flops, case.notes)
        for case, found in zip(cases, rates, strict=True)
    ]


def ceiling() -> Ceiling:
    """The best rates of several matrix products and of several passes over memory, on JAX's default device."""
    on_cpu = jax.default_backend() == "cpu"
    best = max(product_rate(size, size) for size in ((512, 1024, 2048) if on_cpu else (4096, 8192)))
    x = jnp.zeros((64 if on_cpu else 512) * 2**20 // 4, jnp.float32)
    return Ceiling(best, 2.0 * x.nbytes / fastest_seconds(jax.jit(lambda x: x + 1.0), x))


def memory_of(compiled: jax.stages.Compiled) -> int:
    """The bytes that a compiled program needs at once for arguments, results and intermediate values."""
    found: Any = compiled.memory_analysis()
    return int(
        found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes - found.alias_size_in_bytes
    )


class Report:
    """Prints results, and writes them to ``--json``.

    Args:
      title: of the report.
      work: what is done, on what.
      measures: whether the rates of this machine matter; if not, its peak rates are not measured.
    """

    def __init__(self, title: str, work: str, measures: bool = True) -> None:
        self.title, self.work = title, work
        self._file = local_path(FLAGS.json) if FLAGS.json else None
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self.notes: dict[str, Any] = {}
        self.machine = ceiling() if measures else None
        self.console = console_for_tables()
        found = versions()
        self.console.print(
            f"[bold]{title}[/bold]\n{work}\n{device_description()}; "
            + ", ".join(f"{name} {found[name]}" for name in ("python", "jax", "mujoco", "numpy") if name in found)
        )
        if self.machine is not None:
            self.console.print(f"ceiling: {self.machine}")

    def share(self, timing: Timing) -> float:
        """The share of the peak rate of matrix products that a case reaches."""
        return timing.flops * timing.rate / self.machine.matrix_product if self.machine else math.nan

    def table(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        """Prints rows of equal columns, and keeps them for the file."""
        self.tables[name] = list(rows)
        self.show(rows, name)

    def show(self, rows: Sequence[dict[str, Any]], name: str) -> None:
        """Prints rows of equal columns."""
        heads = list(dict.fromkeys(column for row in rows for column in row))
        columns = [
            Column(head, justify="left" if isinstance(rows[0].get(head), str) else "right", rank=max(0, i - 1))
            for i, head in enumerate(heads)
        ]
        cells = [[_show(row.get(head, "-")) for head in heads] for row in rows]
        self.console.print(FittedTable(columns, cells, name, elsewhere="--json"))

    def say(self, line: str) -> None:
        """Prints a line."""
        self.console.print(line, markup=False)

    def finish(self) -> None:
        """Writes the file of ``--json``, if it is given."""
        if self._file is not None:
            path = self._file
            path.parent.mkdir(parents=True, exist_ok=True)
            content = {
                "title": self.title,
                "work": self.work,
                "command": command_line(),
                "date": time.strftime("%Y-%m-%d"),
                "device": device_description(),
                "versions": versions(),
                "commit": git_commit(),
                "tables": self.tables,
                **({"notes": self.notes} if self.notes else {}),
            }
            if self.machine is not None:
                peak = {"matrix_product_flops": self.machine.matrix_product, "memory_bytes": self.machine.memory}
                content["ceiling"] = peak
            path.write_text(json.dumps(to_json(content), indent=1) + "\n", encoding="utf-8")
            self.console.print(f"written to {path}")


def rows(report: Report, timings: Sequence[Timing], unit: str = "updates/s") -> list[dict[str, Any]]:
    """The rows of a table: rate, its range, share of the peak rate, and ratio to the rate of the first case."""
    return [
        {
            "case": timing.name,
            unit: timing.rate,
            "range": f"{_show(timing.lowest)} to {_show(timing.highest)}",
            "MFLOP each": timing.flops / 1e6,
            "% of peak": 100.0 * report.share(timing),
            "rate / first": timing.rate / timings[0].rate,
            **timing.notes,
        }
        for timing in timings
    ]


def _show(value: Any) -> str:
    if isinstance(value, float):  # includes NumPy's float64
        if not math.isfinite(value):
            return "-"
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)
