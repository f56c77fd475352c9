r"""What the compilers of GPUs and TPUs make of the product's programs, on a machine that has neither.

    pip install -e '.[devices]'
    python -m benchmarks.devices --target=h100,h200,a100,l4,v5e:1x1,v5e:2x2,v6e:1x1
    python -m benchmarks.devices --target=h100 --algorithms=td3_bc,smac --sizes=paper --seeds=1,4 --json=devices.json

For each program: whether it compiles; the kernels (GPU) or fusions (TPU) of an update; how many CUDA graphs an update
launches, and what is launched outside of them; operations, bytes and peak memory; the precision of the products; what
is exchanged between devices; and the predicted time and rate, with the assumptions of the prediction above the table.
Predictions are not measurements. With `--check` the command fails where a program breaks a rule or a budget
(`benchmarks/devices/budgets.py`).

The programs are those of training: a chunk of updates of each offline algorithm, SAC's online loop with each physics
engine, and an evaluation. At the size `paper`, SMAC is that of the preset `locomotion`, with Muon; else the
configurations are those of `benchmarks.updates`. `--algorithms` also takes `sac`, `td3`, `online_td3_bc` and `awr`
(updates on batches of the data set), and `online:ENGINE` and `evaluation:ENGINE` (for one seed each).

With a GPU or a TPU present, or with `--target=here`, the programs also run. On a GPU that `targets` describes, the
constants of the model (a kernel's launch, the shares of bandwidth and products) are then fitted to what was measured,
and the predictions for other targets are made with them. `--constants` takes them from the file of an earlier run.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
from absl import flags

import smac_jax
from benchmarks.devices import measured, model
from benchmarks.devices.budgets import violations
from benchmarks.devices.facts import Compiled, compile_program
from benchmarks.devices.programs import Program, all_names, known_names, programs
from benchmarks.devices.targets import PRESENT, Gpu, Target, find_target, look_for_no_device
from benchmarks.learners import SIZES
from benchmarks.measure import Report
from smac_jax.errors import ConfigError
from smac_jax.files import local_path
from smac_jax.sweep.program import run
from smac_jax.text import count

FLAGS = flags.FLAGS
flags.DEFINE_list("target", ["h100", "v5e:1x1"], "Devices: h100, h200, a100, l4, v5e, v5p, v6e; h100:4, v5e:2x2; here.")
flags.DEFINE_list("sizes", ["field", "paper"], "Sizes: field, paper, small.")
flags.DEFINE_list("algorithms", None, "Programs; default: all offline algorithms, the online loop and the evaluation.")
flags.DEFINE_list("seeds", ["1", "4", "64"], "Numbers of seeds trained at once.")
flags.DEFINE_string("constants", None, "Predict with the constants in this file of an earlier run with --json.")
flags.DEFINE_integer("threads", os.cpu_count() or 1, "Programs that are compiled at the same time.", lower_bound=1)
flags.DEFINE_bool("check", False, "Fail if a program breaks a rule or a budget (benchmarks/devices/budgets.py).")


def main(argv: Sequence[str]) -> int:
    """Compiles, and reports."""
    del argv
    look_for_no_device()
    names, sizes, seeds = check_flags()
    constants = read_constants(FLAGS.constants) if FLAGS.constants else model.Constants()
    wanted = list(FLAGS.target)
    if PRESENT not in wanted and jax.default_backend() != "cpu":
        wanted.insert(0, PRESENT)
    targets = [find_target(name) for name in wanted]
    data = smac_jax.load_dataset("hopper-medium-replay")
    report = Report(
        "The product's programs on described devices",
        f"compiled for Hopper's medium-replay data ({data.size:,} rows); predictions are not measurements",
        measures=False,
    )
    broken = []
    for target in targets:
        found = []
        # everything is compiled before anything is timed, so that no compiler takes the processor from a measurement
        for program, made in list(compiled(list(programs(names, sizes, seeds, data)), target, report)):
            timing = None
            if target.is_present and isinstance(made, Compiled):
                if program.unit == "update":
                    timing = measured.seconds_of_an_update(made, data)
                    report.say(f"{target.name}: {program.title}: {1e6 * timing:,.0f} us an update")
                made.executable = None  # type: ignore[assignment]  # it holds memory of the device
            found.append((program, made, timing))
        if target.is_present and isinstance(target.chip, Gpu):
            timed = [(made.facts.work, timing) for _, made, timing in found if isinstance(made, Compiled) and timing]
            constants = model.fit(timed, target.chip) if timed else constants
        lines = [line(program, made, target, constants, timing) for program, made, timing in found]
        report.tables[target.name] = lines
        report.notes[target.name] = {"prediction": model.assumptions(target, constants)}
        report.show(table_rows(lines, target), f"{target.name}: predictions by {model.assumptions(target, constants)}")
        for text in remarks(lines):
            report.say(text)
        broken += violations(target.name, lines)
    report.notes["constants"] = {"launch": constants.launch, "bandwidth": constants.bandwidth}
    report.notes["constants"] |= {"products": constants.products, "source": constants.source}
    report.notes["violations"] = broken
    for text in broken:
        report.say(f"breaks a rule or a budget: {text}")
    report.finish()
    return int(bool(broken) and FLAGS.check)


def compiled(asked: Sequence[Program], target: Target, report: Report) -> Iterator[tuple[Program, Compiled | str]]:
    """The programs in their order, each compiled, or what its compiler said. Several are compiled at the same time."""
    threads = min(FLAGS.threads, len(asked))
    report.say(f"{target.name}: compiling {count(len(asked), 'program')}, {threads} at a time")

    def one(program: Program) -> Compiled | str:
        started = time.perf_counter()
        made = compiled_or_error(program, target)
        report.say(f"{target.name}: {program.title} took {time.perf_counter() - started:.0f} s")
        return made

    with ThreadPoolExecutor(threads) as pool:
        yield from zip(asked, pool.map(one, asked), strict=True)
    jax.clear_caches()


def check_flags() -> tuple[list[str], list[str], list[int]]:
    """The names, sizes and numbers of seeds that the flags ask for.

    Raises:
      ConfigError: one of them does not exist.
    """
    names = FLAGS.algorithms or all_names()
    for name in names:
        if name not in known_names():
            raise ConfigError(f"--algorithms={name}: there is no such program. Known are {', '.join(known_names())}.")
    for size in FLAGS.sizes:
        if size not in SIZES:
            raise ConfigError(f"--sizes={size}: there is no such size. Known are {', '.join(SIZES)}.")
    for number in FLAGS.seeds:
        if not number.isdecimal() or int(number) < 1:
            raise ConfigError(f"--seeds={number}: must be a positive whole number, or several with commas between.")
    return names, FLAGS.sizes, [int(number) for number in FLAGS.seeds]


def read_constants(path: str) -> model.Constants:
    """The constants that an earlier run fitted.

    Raises:
      ConfigError: the file has none.
    """
    try:
        found = json.loads(local_path(path).read_text(encoding="utf-8"))["notes"]["constants"]
        return model.Constants(tuple(found["launch"]), found["bandwidth"], found["products"], found["source"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"--constants={path}: no constants can be read from this file ({error!r}).") from error


def compiled_or_error(program: Program, target: Target) -> Compiled | str:
    """The compiled program, or the first line of what its compiler said."""
    try:
        return compile_program(program, target)
    except Exception as error:  # whatever it is, the other programs are worth reporting
        if "Unknown backend" in str(error):
            return "it calls the host, which JAX can compile only where the device is present"
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error).strip() else ''}"


def line(
    program: Program, made: Compiled | str, target: Target, constants: model.Constants, timing: float | None
) -> dict[str, Any]:
    """What is written of a program."""
    known = {"program": program.name, "size": program.size, "seeds": program.seeds, "unit": program.unit}
    if isinstance(made, str):
        return {**known, "compiles": False, "error": made}
    record = {**known, "compiles": True, **made.facts.record()}
    best, worst = (model.predict(work, target, constants) for work in (made.facts.work, made.facts.most_work))
    if best is not None and worst is not None:
        record["predicted_seconds"] = [best.least, worst.most]
        record["predicted_rate"] = [program.seeds / worst.most, program.seeds / best.least]
    if timing is not None:
        record["measured_seconds"] = timing
        record["measured_rate"] = program.seeds / timing
    return record


def table_rows(lines: Sequence[dict[str, Any]], target: Target) -> list[dict[str, Any]]:
    """The columns for the terminal."""
    parts = "fusions" if target.platform == "tpu" else "kernels"
    rows = []
    for known in lines:
        title = f"{known['program']} {known['size']} x{known['seeds']}"
        if not known["compiles"]:
            rows.append({"program": title, parts: "does not compile"})
            continue
        row: dict[str, Any] = {"program": title, parts: span(*known["kernels"])}
        if target.platform == "gpu":
            row["graphs"] = known["graphs"]
        row |= {"GFLOP": known["flops"] / 1e9, "GB": known["bytes"] / 1e9, "peak MB": known["peak"] / 1e6}
        if "predicted_seconds" in known:
            row["predicted us"] = span(*(1e6 * seconds for seconds in known["predicted_seconds"]))
            row["predicted /s"] = span(*known["predicted_rate"])
        if "measured_seconds" in known:
            row["measured us"] = 1e6 * known["measured_seconds"]
            row["measured /s"] = known["measured_rate"]
        row["compile s"] = known["seconds"]
        rows.append(row)
    return rows


def span(least: float, most: float) -> str:
    """Two numbers, or one if they are equal."""
    shown = [f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in (least, most)]
    return shown[0] if shown[0] == shown[1] else f"{shown[0]} to {shown[1]}"


def remarks(lines: Sequence[dict[str, Any]]) -> list[str]:
    """What the table has no room for: what breaks graphs, precision, collectives, and what should not be there."""
    found = []
    for known in lines:
        title = f"{known['program']} {known['size']} x{known['seeds']}"
        if not known["compiles"]:
            found.append(f"{title}: {known['error']}")
            continue
        parts = []
        if known["outside"]:
            shown = ", ".join(f"{number} {name}" for name, number in [*known["outside"].items()][:5])
            parts.append(f"{count(known['graphs'], 'CUDA graph')}; outside of graphs: {shown}")
        if known["unknown_loops"]:
            parts.append(f"{count(known['unknown_loops'], 'loop')} of a length that depends on data")
        parts.append(
            "products: " + (", ".join(f"{n} {name}" for name, n in sorted(known["products"].items())) or "none")
        )
        if known["collectives"]:
            parts.append("collectives: " + ", ".join(f"{n} {name}" for name, n in known["collectives"].items()))
        if known["callbacks"]:
            parts.append("calls the host: " + ", ".join(known["callbacks"]))
        parts += ["float64"] * known["float64"] + ["dynamic shapes"] * known["dynamic_shapes"]
        found.append(f"{title}: {'; '.join(parts)}")
    return found


if __name__ == "__main__":
    run(main)
