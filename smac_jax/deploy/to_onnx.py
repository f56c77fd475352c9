"""Exports a policy as an ONNX graph for ONNX Runtime, TensorRT and many small devices.

The graph is traced by running :func:`smac_jax.deploy.policy.act` on values that record all operations.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from smac_jax.deploy.policy import SAMPLE_ONLY, NumpyPolicy, act
from smac_jax.errors import ConfigError
from smac_jax.version import __version__

OPSET = 17
"""The version of ONNX's operators, from 2022; ONNX Runtime supports it since 1.12."""


@dataclasses.dataclass(frozen=True)
class Value:
    """A tensor of the graph, by name."""

    graph: Graph
    name: str

    def __add__(self, other: Any) -> Value:
        return self.graph.node("Add", self, other)

    def __sub__(self, other: Any) -> Value:
        return self.graph.node("Sub", self, other)

    def __mul__(self, other: Any) -> Value:
        return self.graph.node("Mul", self, other)

    def __truediv__(self, other: Any) -> Value:
        return self.graph.node("Div", self, other)

    def __matmul__(self, other: Any) -> Value:
        return self.graph.node("MatMul", self, other)

    __radd__, __rmul__ = __add__, __mul__


class Graph:
    """The recorded operations, and the functions that ``act`` needs in its ``xp``.

    Attributes:
      nodes: kind, inputs, output and attributes of each operation.
      initializers: the constant tensors.
    """

    def __init__(self) -> None:
        self.nodes: list[tuple[str, list[str], str, dict[str, Any]]] = []
        self.initializers: dict[str, np.ndarray] = {}

    def initializer(self, name: str, array: Any) -> Value:
        """Adds a constant tensor."""
        self.initializers[name] = np.asarray(array, np.float32)
        return Value(self, name)

    def node(self, kind: str, *inputs: Any, **attributes: Any) -> Value:
        """Adds an operation on values and numbers."""
        values = [x if isinstance(x, Value) else self.initializer(f"constant {x}", x) for x in inputs]
        self.nodes.append((kind, [value.name for value in values], f"{kind} {len(self.nodes)}", attributes))
        return Value(self, self.nodes[-1][2])

    def tanh(self, x: Value) -> Value:
        return self.node("Tanh", x)

    def exp(self, x: Value) -> Value:
        return self.node("Exp", x)

    def sqrt(self, x: Value) -> Value:
        return self.node("Sqrt", x)

    def mean(self, x: Value, axis: int, keepdims: bool) -> Value:
        return self.node("ReduceMean", x, axes=[axis], keepdims=int(keepdims))

    def clip(self, x: Value, low: float, high: float) -> Value:
        return self.node("Clip", x, low, high)

    def maximum(self, x: Value, least: float) -> Value:
        # runtimes can fuse Relu
        return self.node("Relu", x) if least == 0.0 else self.node("Max", x, least)


def to_onnx(policy: NumpyPolicy, batch: int | None = None, sample: bool = False) -> bytes:
    """The content of the file: input ``observation``, with ``sample`` also ``noise``; output ``action``.

    Raises:
      ConfigError: ``onnx`` is not installed.
    """
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError as error:
        raise ConfigError(f"to = 'onnx' needs the package onnx ({error}): pip install 'smac_jax[onnx]'") from error

    built, rows = policy.architecture, "batch" if batch is None else batch
    seeds = () if isinstance(policy.seeds, int) else (len(policy.seeds),)
    graph = Graph()
    used = {name: array for name, array in policy.parameters.items() if sample or not name.startswith(SAMPLE_ONLY)}
    parameters = {name: graph.initializer(name, array) for name, array in used.items()}
    sizes = {"observation": built.observation_size} | ({"noise": built.action_size} if sample else {})
    act(graph, built, parameters, *(Value(graph, name) for name in sizes))
    nodes = [helper.make_node(kind, inputs, [output], **attributes) for kind, inputs, output, attributes in graph.nodes]
    nodes[-1].output[0] = "action"

    def declare(name: str, *shape: int | str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    model = helper.make_model(
        helper.make_graph(
            nodes,
            "policy",
            [declare(name, rows, size) for name, size in sizes.items()],
            [declare("action", *seeds, rows, built.action_size)],
            [numpy_helper.from_array(array, name) for name, array in graph.initializers.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=helper.find_min_ir_version_for([helper.make_opsetid("", OPSET)]),
        producer_name="smac_jax",
        producer_version=__version__,
        doc_string="observation: in the environment's own units. action: in [-1, 1].",
    )
    checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content
