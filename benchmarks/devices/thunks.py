"""Reads what XLA launches on a GPU: its "thunk sequence", in which a command buffer is a CUDA graph.

    003: kWhile          [prev=002 (1) | sink ]
    condition:
        004: kCustomKernel [source | sink] loop_compare_fusion grid: [1, 1, 1] threads: [1, 1, 1] ...
      body:
        000: kCommandBuffer [source | next=155 (1)]
            066: kCustomKernel ...
        155: kSequential [prev=000 (1) | sink]               067: kCopy ...
          068: kTriangularSolve ...

A graph is launched at once. What lies between two graphs is launched by the host, and so is every graph.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator

GRAPH = "kCommandBuffer"
_THUNK = re.compile(r"\s*\d+: (k\w+)\s+\[[^\]]*\]\s*(.*)")
_NOT_LAUNCHED = ("kAsyncDone", "kHostRecvDone", "kHostSendDone")


@dataclasses.dataclass
class Thunk:
    """A node of the sequence.

    Attributes:
      kind: such as ``kCustomKernel``; the text of a label such as ``body:``.
      name: of the kernel, with its launch dimensions.
      inside: the thunks in it.
    """

    kind: str
    name: str
    inside: list[Thunk] = dataclasses.field(default_factory=list)

    def named(self, label: str) -> Thunk | None:
        """The labelled part of a loop or a conditional."""
        return next((thunk for thunk in self.inside if thunk.kind == label), None)

    def below(self) -> Iterator[Thunk]:
        """Everything in it, at any depth."""
        for thunk in self.inside:
            yield thunk
            yield from thunk.below()


def read(text: str) -> Thunk:
    """The tree of a sequence."""
    root = Thunk("", "")
    open_thunks = [(-1, root)]  # each with the column at which it is written
    for line in text.splitlines():
        column = len(line) - len(line.lstrip())
        if line.strip() in ("condition:", "body:"):
            if line.strip() == "condition:":  # written at the left margin, in the line after its loop
                column = open_thunks[-1][0] + 1
            while open_thunks[-1][1].kind != "kWhile" or open_thunks[-1][0] > column:
                open_thunks.pop()
            _open(open_thunks, column, Thunk(line.strip(), ""))
            continue
        while line.strip():
            while open_thunks[-1][0] >= column:
                open_thunks.pop()
            found = _THUNK.match(line)
            name = found.group(2).strip() if found else ""
            inside = name if _THUNK.match(name) else ""  # the first thunk of a sequence is in the line of the sequence
            thunk = Thunk(found.group(1), "" if inside else name) if found else Thunk(line.strip(), "")
            _open(open_thunks, column, thunk)
            line, column = inside, column + 2
    return root


def _open(open_thunks: list[tuple[int, Thunk]], column: int, thunk: Thunk) -> None:
    open_thunks[-1][1].inside.append(thunk)
    open_thunks.append((column, thunk))


def training_loop(root: Thunk) -> Thunk | None:
    """The body of the outermost loop that holds the most."""
    loops = [thunk for thunk in _flat(root) if thunk.kind == "kWhile"]
    bodies = [body for loop in loops if (body := loop.named("body:")) is not None]
    return max(bodies, key=lambda body: sum(1 for _ in body.below()), default=None)


def graphs(body: Thunk) -> int:
    """How many CUDA graphs one turn of a loop launches. Loops inside count once."""
    return sum(thunk.kind == GRAPH for thunk in _flat(body))


def outside_graphs(body: Thunk) -> Counter[str]:
    """What one turn launches outside of graphs, by name without numbers: what breaks a graph, and what is left over."""
    found: Counter[str] = Counter()
    for thunk in _flat(body):
        if thunk.kind == GRAPH or thunk.kind in _NOT_LAUNCHED or not thunk.kind.startswith("k"):
            continue
        if thunk.kind in ("kWhile", "kConditional"):
            found["loops of unknown length" if thunk.kind == "kWhile" else "branches"] += 1
        elif not any(inner.kind.startswith("k") for inner in thunk.below()):
            found[_label(thunk)] += 1
    return found


def _label(thunk: Thunk) -> str:
    kernel = thunk.name.partition(" grid:")[0]
    is_named = kernel and not kernel.startswith(("(", "k"))
    return re.sub(r"(_\d+)+$", "", kernel) if is_named else thunk.kind[1:].lower()


def _flat(thunk: Thunk) -> Iterator[Thunk]:
    """What lies in a thunk, down to graphs."""
    for inner in thunk.inside:
        yield inner
        if inner.kind != GRAPH:
            yield from _flat(inner)
