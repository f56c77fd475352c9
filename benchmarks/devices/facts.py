"""Compiles a program for a target, and puts together what is known of it without running it."""

from __future__ import annotations

import dataclasses
import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jax

from benchmarks.devices import thunks
from benchmarks.devices.hlo import COLLECTIVES, Instruction, Module
from benchmarks.devices.model import Kernel
from benchmarks.devices.programs import LENGTH, Program
from benchmarks.devices.targets import Target, compile_for
from benchmarks.measure import memory_of
from smac_jax.matrix_products import inner_jaxprs, product_flops_of

CALLBACKS = ("callback", "infeed", "outfeed", "send", "recv")
"""Parts of names of what exchanges data with the host while a program runs."""
SIMULATORS = ("mujoco", "brax")
"""Packages whose products are physics."""


@dataclasses.dataclass
class Facts:
    """What is known of a compiled program. Counts are those of one update (or environment step) of all seeds.

    Attributes:
      kernels: kernels on a GPU or fusions on a TPU; where loops have no known length, the least and the most.
      graphs: CUDA graphs, launched by the host; None where there are none to speak of.
      outside: what is launched outside of graphs, by name.
      unknown_loops: loops whose length depends on data; on a GPU each of their turns waits for the host.
      flops: of the matrix products that the program must do, in the least case.
      bytes: read and written by the kernels, in the least case.
      peak: the bytes of device memory that the program needs at once.
      products: matrix products by who computes them (``learner``, ``physics``) and their precision, before compilation.
      collectives: what is exchanged between devices, by name; of the whole program.
      callbacks: calls of the host from the compiled program.
      float64: whether any array has 64 bits of floating point.
      dynamic_shapes: whether any array has a size that depends on data.
      seconds: of compilation.
      work: the kernels, for the model (not written to files).
    """

    kernels: tuple[float, float]
    graphs: int | None
    outside: dict[str, int]
    unknown_loops: int
    flops: float
    bytes: float
    peak: int
    products: dict[str, int]
    collectives: dict[str, int]
    callbacks: list[str]
    float64: bool
    dynamic_shapes: bool
    seconds: float
    work: list[Kernel] = dataclasses.field(default_factory=list, repr=False)

    def record(self) -> dict[str, Any]:
        """The facts for a file."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "work"}


@dataclasses.dataclass
class Compiled:
    """A compiled program, and what is known of it."""

    program: Program
    target: Target
    executable: jax.stages.Compiled
    facts: Facts


def compile_program(program: Program, target: Target) -> Compiled:
    """Compiles a program, and reads what came of it. Errors of the compiler are raised."""
    function, arguments = program.build(target)
    traced = function.trace(*arguments)
    started = time.perf_counter()
    executable, launches = compile_for(target, traced.lower())
    seconds = time.perf_counter() - started
    text = executable.as_text()
    assert text is not None
    module = Module(text)
    body = training_step(module)
    kernels = list(kernels_of(module, body, target, (1,)))
    most = sum(kernel.times for kernel in kernels_of(module, body, target, program.limits))
    loop = thunks.training_loop(thunks.read(launches)) if launches else None
    facts = Facts(
        kernels=(sum(kernel.times for kernel in kernels), most),
        graphs=None if loop is None else thunks.graphs(loop),
        outside={} if loop is None else dict(thunks.outside_graphs(loop).most_common()),
        unknown_loops=len(unknown_loops(module, body)),
        # an evaluation ends when its episodes have, so that its steps are turns of a loop of unknown length
        flops=product_flops_of(traced.jaxpr) / (1 if program.name.startswith("evaluation:") else LENGTH),
        bytes=sum(kernel.times * kernel.bytes for kernel in kernels),
        peak=memory_of(executable),
        products=dict(products(traced.jaxpr.jaxpr)),
        collectives=dict(
            Counter(i.opcode.removesuffix("-start") for i in module.instructions.values() if collective(i))
        ),
        callbacks=sorted({name for i in module.instructions.values() if (name := callback(i))}),
        float64=bool(re.search(r"\b(f64|c128)\[", text)),
        dynamic_shapes="[<=" in text or ",<=" in text,
        seconds=seconds,
        work=kernels,
    )
    return Compiled(program, target, executable, facts)


def training_step(module: Module) -> str:
    """The computation that does one update or one environment step: the body of the scan of :data:`LENGTH` turns.

    In an evaluation it is the loop over steps; in a program without loops, all of it.
    """
    loops = list(module.loops())
    for _, loop in loops:
        if loop.trips == LENGTH:
            return loop.called["body"]
    # the outermost loop of unknown length is the one over steps
    for _, loop in sorted(loops, key=lambda found: found[0]):
        if loop.trips is None:
            return loop.called["body"]
    return module.entry


def unknown_loops(module: Module, computation: str) -> list[Instruction]:
    """The loops of unknown length below a computation."""
    return [loop for _, loop in module.loops(computation) if loop.trips is None]


def kernels_of(module: Module, computation: str, target: Target, limits: tuple[int, ...]) -> Iterator[Kernel]:
    """The kernels or fusions that one run of a computation executes."""
    for instruction, times in module.executed(computation, limits):
        if target.platform == "tpu" and instruction.opcode != "fusion" and re.match(r"\w+\[\]", instruction.type):
            continue  # the scalar unit's
        flops = module.flops(instruction) if target.platform != "tpu" else {}
        yield Kernel(times, module.traffic(instruction), flops, float(instruction.cycles or 0))


def collective(instruction: Instruction) -> bool:
    """Whether an instruction exchanges data between devices."""
    return instruction.opcode.removesuffix("-start") in COLLECTIVES


def callback(instruction: Instruction) -> str:
    """The name of what an instruction calls on the host, or nothing."""
    if instruction.opcode in ("infeed", "outfeed", "send", "recv"):
        return instruction.opcode
    name = instruction.target
    return name if any(part in name.lower() for part in CALLBACKS) else ""


def products(jaxpr: Any) -> Counter[str]:
    """The matrix products of a program by ``learner`` or ``physics`` and precision, each counted once."""
    found: Counter[str] = Counter()
    for equation in jaxpr.eqns:
        if equation.primitive.name == "product":  # smac_jax/networks/product.py
            found["learner default"] += 1
        elif equation.primitive.name == "dot_general":
            found[f"{_whose(equation)} {_precision(equation)}"] += 1
        for inner in inner_jaxprs(equation.params):
            found += products(inner)
    return found


def _whose(equation: Any) -> str:
    trace = equation.source_info.traceback
    files = [frame.file_name for frame in trace.frames] if trace is not None else []
    return "physics" if any(f"/{package}/" in file for file in files for package in SIMULATORS) else "learner"


def _precision(equation: Any) -> str:
    if all(variable.aval.dtype in ("bfloat16", "float16") for variable in equation.invars):
        return "bf16"
    precision = equation.params["precision"]
    both = precision if isinstance(precision, tuple) else (precision, precision)
    names = {"default" if one is None else str(getattr(one, "name", one)).lower() for one in both}
    return min(names, key=("default", "high", "highest").index) if names <= {"default", "high", "highest"} else "other"
