"""Small ONNX graphs for the tests of adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Graph:
    """Builder of a model with one input."""

    def __init__(self, entry: str = "input.1") -> None:
        self.entry = entry
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def convolve(self, tag: str, weight: Any, bias: Any, stride: int) -> str:
        """Add a convolution of square cells: weight (out, in, stride, stride), bias (out,)."""
        inputs = [self.entry, self.constant(f"w_{tag}", weight), self.constant(f"b_{tag}", bias)]
        return self.add(
            "Conv", inputs, f"conv_{tag}", strides=[stride, stride], kernel_shape=[stride, stride]
        )

    def rows(self, x: str, tag: str, shape: list[int], output: str) -> str:
        """Reshape (1, A * C, H, W) to rows of C, cell after cell."""
        x = self.add("Transpose", [x], f"nhwc_{tag}", perm=[0, 2, 3, 1])
        return self.add(
            "Reshape", [x, self.constant(f"shape_{tag}", np.array(shape, np.int64))], output
        )

    def save(self, path: Path, shape: list[int | str], outputs: dict[str, list[int | str]]) -> Path:
        graph = helper.make_graph(
            self.nodes,
            "tiny",
            [helper.make_tensor_value_info(self.entry, TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
        onnx.save(model, str(path))
        return path


def embedding(path: Path, width: int, entry: str = "input.1") -> Path:
    """Generate a network (1, 3, 112, 112) -> (1, width): means of 16 x 16 pixels, mixed."""
    graph = Graph(entry)
    x = graph.add("AveragePool", [entry], "pool", kernel_shape=[16, 16], strides=[16, 16])
    x = graph.add("Flatten", [x], "flat")
    mix = graph.constant("w", np.random.default_rng(2).normal(size=(147, width)).astype(np.float32))
    graph.add("MatMul", [x, mix], "fc1")
    return graph.save(path, [1, 3, 112, 112], {"fc1": [1, width]})
