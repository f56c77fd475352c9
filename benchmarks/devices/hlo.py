"""Reads the text of a compiled HLO module: its instructions, loops, and what one turn of the training loop runs."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from functools import cached_property

BYTES = {"pred": 1, "s4": 1, "u4": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "bf16": 2, "f16": 2, "s32": 4, "u32": 4}
BYTES |= {"f32": 4, "s64": 8, "u64": 8, "f64": 8, "c64": 8, "c128": 16}
"""Bytes of an element; other types hold no data."""
FREE = {"parameter", "tuple", "get-tuple-element", "bitcast", "constant", "after-all", "partition-id", "replica-id"}
FREE |= {"opt-barrier", "optimization-barrier", "add-dependency", "async-done", "async-update", "copy-done"}
"""Instructions that run nothing on the device."""
COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter", "collective-broadcast")

_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) (?:\(.*\) -> .*)?\{\s*$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*)$")
_SHAPE = re.compile(r"\b(pred|[suf]\d+|bf16|c64|c128)\[([\d,<=]*)\]")
_CALLS = re.compile(
    r"\b(calls|body|condition|to_apply|true_computation|false_computation|called_computation)=%?([\w.\-]+)"
)
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
      name: unique in its module.
      type: the shape of its result, or of the tuple of its results.
      opcode: what it does.
      operands: the names of its operands.
      attributes: the rest of the line.
      is_root: whether it is the result of its computation.
    """

    name: str
    type: str
    opcode: str
    operands: tuple[str, ...]
    attributes: str
    is_root: bool

    @cached_property
    def bytes(self) -> int:
        """The size of the result without padding."""
        return sum(BYTES[kind] * math.prod(dims) for kind, dims in shapes(self.type))

    @cached_property
    def called(self) -> dict[str, str]:
        """The computations that it runs, by the attribute that names them."""
        return {attribute: name for attribute, name in _CALLS.findall(self.attributes)}

    @cached_property
    def branches(self) -> tuple[str, ...]:
        """The computations of a conditional."""
        if found := _BRANCHES.search(self.attributes):
            return tuple(name.strip().lstrip("%") for name in found.group(1).split(","))
        return tuple(self.called[name] for name in ("true_computation", "false_computation") if name in self.called)

    @cached_property
    def trips(self) -> int | None:
        """How often a loop runs, if the compiler knows."""
        found = re.search(r'"known_trip_count":\{"n":"(\d+)"', self.attributes)
        return int(found.group(1)) if found else None

    @cached_property
    def cycles(self) -> int | None:
        """The clock cycles that a TPU's compiler estimates."""
        found = re.search(r'"estimated_cycles":"(\d+)"', self.attributes)
        return int(found.group(1)) if found else None

    @cached_property
    def target(self) -> str:
        """What a custom call calls."""
        found = re.search(r'custom_call_target="([^"]*)"', self.attributes)
        return found.group(1) if found else ""

    @property
    def precision(self) -> str:
        """The precision of a product: ``default``, ``high`` or ``highest``."""
        found = re.search(r'operand_precision"?[=:][{\[]"?(\w+)', self.attributes)
        return found.group(1).lower() if found else "default"


def shapes(text: str) -> list[tuple[str, tuple[int, ...]]]:
    """The arrays in the text of a type: their element types and dimensions."""
    text = re.sub(r"/\*.*?\*/", "", text)
    return [
        (kind, tuple(int(size.lstrip("<=")) for size in dims.split(",") if size)) for kind, dims in _SHAPE.findall(text)
    ]


class Module:
    """A compiled module.

    Attributes:
      computations: the instructions of each computation.
      entry: the name of the computation that is called.
    """

    def __init__(self, text: str):
        self.computations: dict[str, list[Instruction]] = {}
        self.entry = ""
        current: list[Instruction] | None = None
        for line in text.splitlines():
            if current is None:
                if not line.startswith(" ") and (head := _HEAD.match(line)):
                    current = self.computations.setdefault(head.group(2), [])
                    self.entry = head.group(2) if head.group(1) else self.entry
            elif line.startswith("}"):
                current = None
            elif found := _INSTRUCTION.match(line):
                current.append(_instruction(*found.groups()))

    @cached_property
    def instructions(self) -> dict[str, Instruction]:
        """All instructions by name."""
        return {i.name: i for instructions in self.computations.values() for i in instructions}

    def loops(self, computation: str | None = None, depth: int = 0) -> Iterator[tuple[int, Instruction]]:
        """All loops below a computation and how many loops they are in, outer loops first."""
        for instruction in self.computations.get(computation or self.entry, ()):
            if instruction.opcode == "while":
                yield depth, instruction
            inner = depth + (instruction.opcode == "while")
            for name in (*instruction.called.values(), *instruction.branches):
                yield from self.loops(name, inner)

    def executed(
        self, computation: str, limits: tuple[int, ...] = (1,), weight: float = 1.0, depth: int = 0
    ) -> Iterator[tuple[Instruction, float]]:
        """What one run of a computation executes, and how often: a branch counts by its share of the branches.

        Args:
          computation: its name.
          limits: how often a loop of unknown length runs that is in no, in one, ... other such loop.
          weight: how often the computation runs.
          depth: in how many loops of unknown length it is.
        """
        for instruction in self.computations.get(computation, ()):
            called = instruction.called
            if instruction.opcode in FREE or instruction.opcode.endswith("-done"):
                continue
            if instruction.opcode == "while":
                known = instruction.trips
                trips = known if known is not None else limits[min(depth, len(limits) - 1)]
                yield from self.executed(called["body"], limits, weight * trips, depth + (known is None))
                yield from self.executed(called["condition"], limits, weight * (trips + 1), depth + (known is None))
            elif instruction.opcode == "conditional":
                for name in instruction.branches:
                    yield from self.executed(name, limits, weight / len(instruction.branches), depth)
            elif instruction.opcode == "call":
                yield from self.executed(called["to_apply"], limits, weight, depth)
            elif instruction.opcode == "async-start":
                yield from self.executed(called["calls"], limits, weight, depth)
            else:
                yield instruction, weight

    def flops(self, instruction: Instruction) -> dict[str, float]:
        """The operations of the products of an executed instruction, by precision (``bf16`` for its operands)."""
        if instruction.opcode == "fusion":
            found: dict[str, float] = {}
            for inner in self.computations.get(instruction.called.get("calls", ""), ()):
                for precision, flops in self.flops(inner).items():
                    found[precision] = found.get(precision, 0.0) + flops
            return found
        if instruction.opcode == "dot":
            contracted = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", instruction.attributes)
        elif "gemm" in instruction.target or "matmul" in instruction.target:
            contracted = re.search(r'"lhs_contracting_dimensions":\[([\d",]*)\]', instruction.attributes)
        else:
            return {}
        left = self.instructions.get(instruction.operands[0])
        if left is None or contracted is None:
            return {}
        kind, dims = shapes(left.type)[0]
        axes = [int(axis) for axis in contracted.group(1).replace('"', "").split(",") if axis]
        _, out = shapes(instruction.type)[0]
        precision = "bf16" if kind in ("bf16", "f16") else instruction.precision
        return {precision: 2.0 * math.prod(out) * math.prod(dims[axis] for axis in axes)}

    def traffic(self, instruction: Instruction) -> int:
        """The bytes that an instruction reads and writes; of what it gathers or updates in place, only that part."""
        operands = [self.instructions.get(name) for name in instruction.operands]
        sizes = [0 if operand is None else operand.bytes for operand in operands]
        written = instruction.bytes
        if instruction.opcode == "fusion":
            inside = self.computations.get(instruction.called.get("calls", ""), [])
            written = sum(self._written(element) for element in _results(inside))
            for parameter in (i for i in inside if i.opcode == "parameter"):
                number = _parameter_number(parameter)
                if number < len(sizes):
                    sizes[number] = _read(parameter, inside, sizes[number])
        elif instruction.opcode == "dynamic-slice":
            sizes[0] = written
        elif instruction.opcode == "dynamic-update-slice":
            sizes[0], written = 0, sizes[1]
        elif instruction.opcode == "gather":
            sizes[0] = written
        return written + sum(sizes)

    def _written(self, element: Instruction) -> int:
        if element.opcode == "dynamic-update-slice" and element.operands[1] in self.instructions:
            return self.instructions[element.operands[1]].bytes
        return element.bytes


def _results(inside: list[Instruction]) -> list[Instruction]:
    """The instructions that compute the results of a fused computation."""
    by_name = {i.name: i for i in inside}
    roots = [i for i in inside if i.is_root]
    elements = [by_name[name] for name in roots[0].operands] if roots and roots[0].opcode == "tuple" else roots
    found = []
    for element in elements:
        while element.opcode == "bitcast" and element.operands[0] in by_name:
            element = by_name[element.operands[0]]
        found.append(element)
    return found


def _read(parameter: Instruction, inside: list[Instruction], whole: int) -> int:
    """The bytes of a parameter that a fused computation reads."""
    users, pending = [], [parameter.name]
    while pending:  # a bitcast is the same array
        name = pending.pop()
        for user in inside:
            if name in user.operands:
                if user.opcode == "bitcast":
                    pending.append(user.name)
                else:
                    users.append((user, name))
    if users and all(u.opcode in ("gather", "dynamic-slice") and u.operands[0] == name for u, name in users):
        return min(whole, sum(user.bytes for user, _ in users))
    if users and all(u.opcode == "dynamic-update-slice" and u.operands[0] == name for u, name in users):
        return 0
    return whole


def _parameter_number(parameter: Instruction) -> int:
    return int(parameter.operands[0]) if parameter.operands else 0


def _instruction(root: str | None, name: str, rest: str) -> Instruction:
    kind, rest = _split_type(rest)
    opcode = rest.partition("(")[0]
    depth, end = 0, len(rest)
    for end in range(len(opcode), len(rest)):
        depth += {"(": 1, ")": -1}.get(rest[end], 0)
        if depth == 0:
            break
    inside = rest[len(opcode) + 1 : end]
    operands = (inside,) if opcode == "parameter" else tuple(re.findall(r"%([\w.\-]+)", inside))
    return Instruction(name, kind, opcode, operands, rest[end + 1 :], root is not None)


def _split_type(text: str) -> tuple[str, str]:
    """The type at the start of a text, and the rest."""
    depth = 0
    for i, letter in enumerate(text):
        if letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif letter == " " and depth == 0:
            return text[:i], text[i + 1 :]
    return text, ""
