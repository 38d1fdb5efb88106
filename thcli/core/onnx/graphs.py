"""Networks of convolutions as ONNX graphs, drawn from their weights, which run without torch.

Importing torch takes longer than one picture by a small network, and than most of a helper's start.

draw = GraphDrawing(weights, "parse-s")
y = draw.relu(draw.conv(draw.input, "stem"))
network = GraphNetwork(draw.finish(y), "parse-s")
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli.core.errors import WeightsError
from thcli.core.onnx.sessions import open_session
from thcli.core.types import Array32

Weights = Mapping[str, npt.NDArray[Any]]

OPSET, IR_VERSION = 17, 8
KERNEL_LEVELS = np.float32(63)  # of a kernel to each side of 0
LEAST_STEP = np.float32(1e-9)


class GraphNetwork:
    """A network that `GraphDrawing` drew. Threads may share it, and it can be pickled.

    threads: of one call; 0 stands for the number of cores.
    """

    def __init__(self, graph: bytes, name: str, threads: int = 1) -> None:
        """Load a graph. name: of its weights, for messages. Raises WeightsError."""
        self._given = graph, name, threads
        self._session = open_session(graph, name, threads)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._given

    def __call__(self, batch: Array32) -> Array32:
        """Compute the output (B, C, h, w) of a batch (B, C, H, W)."""
        found: Array32 = self._session.run(None, {GraphDrawing.input: batch})[0]
        return found


class GraphDrawing:
    """An ONNX graph in the making. Its methods take and return names of tensors (B, C, H, W)."""

    input = "input"

    def __init__(self, weights: Weights, name: str) -> None:
        """Begin with weights of any precision. name: of them, for messages."""
        self._weights = {key: value.astype(np.float32) for key, value in weights.items()}
        self._name = name
        self._used: set[str] = set()
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def weight(self, name: str) -> Array32:
        """Return a weight. Raises WeightsError where there is none of that name."""
        if name not in self._weights:
            raise WeightsError(f"{self._name} does not fit its network: it has no {name}.")
        self._used.add(name)
        return self._weights[name]

    def node(self, kind: str, *inputs: str, **settings: Any) -> str:
        """Draw one operator of the ONNX standard."""
        import onnx  # slow, and a network that was drawn needs only onnxruntime

        out = f"{kind}{len(self._nodes)}"
        self._nodes.append(onnx.helper.make_node(kind, inputs, [out], **settings))
        return out

    def constant(self, value: npt.NDArray[Any]) -> str:
        """Draw a constant."""
        import onnx

        name = f"constant{len(self._constants)}"
        self._constants.append(onnx.numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def conv(self, x: str, part: str, stride: int = 1, limits: Array32 | None = None) -> str:
        """Draw the convolution of a part; other arguments as of `conv_by`."""
        kernel, bias = self.weight(f"{part}.weight"), self.weight(f"{part}.bias")
        return self.conv_by(x, kernel, bias, stride, limits)

    def conv_by(
        self,
        x: str,
        kernel: Array32,
        bias: Array32,
        stride: int = 1,
        limits: Array32 | None = None,
    ) -> str:
        """Draw a convolution that keeps the size, or divides it by the stride.

        With limits onnxruntime computes it in whole numbers of 8 bits (Jacob et al. 2018, sec. 2),
        with a scale for each output channel. Kernels have 7 bits: processors without VNNI add pairs
        of products in 16.

        Args:
            x: input.
            kernel, bias: (out, in, k, k) and (out,).
            stride: by which the size is divided.
            limits: (2, 2) least and largest value of the input and of the output, beyond which
                values are cut off; None for floats.
        """
        settings = {"pads": [kernel.shape[-1] // 2] * 4, "strides": [stride] * 2}
        if limits is None:
            return self.node("Conv", x, self.constant(kernel), self.constant(bias), **settings)
        entering, step = self._in_levels(x, limits[0])
        steps = np.asarray(np.abs(kernel).max((1, 2, 3)) / KERNEL_LEVELS, np.float32)
        steps = np.maximum(steps, LEAST_STEP)
        whole = np.rint(kernel / steps[:, None, None, None]).astype(np.int8)
        added = np.rint(bias / (step * steps)).astype(np.int32)
        given = self._from_levels(whole, steps), self._from_levels(added, step * steps)
        return self._in_levels(self.node("Conv", entering, *given, **settings), limits[1])[0]

    def _in_levels(self, x: str, limits: Array32) -> tuple[str, np.float32]:
        """Draw values in 256 levels between limits, of which one is 0; also return their step."""
        low, high = min(float(limits[0]), 0.0), max(float(limits[1]), 0.0)
        step = np.maximum(np.float32((high - low) / 255), LEAST_STEP)
        given = self.constant(np.array(step)), self.constant(np.array(np.rint(-low / step), "u1"))
        return self.node("DequantizeLinear", self.node("QuantizeLinear", x, *given), *given), step

    def _from_levels(self, levels: npt.NDArray[Any], steps: Array32) -> str:
        """Draw the values of whole numbers (out, ...) whose channels have steps (out,)."""
        zeros = np.zeros(len(steps), levels.dtype)
        given = (self.constant(value) for value in (levels, steps.astype(np.float32), zeros))
        return self.node("DequantizeLinear", *given, axis=0)

    def silu(self, x: str) -> str:
        """Draw x * sigmoid(x)."""
        return self.node("Mul", x, self.node("Sigmoid", x))

    def relu(self, x: str) -> str:
        """Draw max(x, 0)."""
        return self.node("Relu", x)

    def add(self, x: str, y: str) -> str:
        """Draw x + y."""
        return self.node("Add", x, y)

    def shuffle(self, x: str) -> str:
        """Draw torch's pixel_shuffle by 2."""
        return self.node("DepthToSpace", x, blocksize=2, mode="CRD")

    def twice(self, x: str, *, smooth: bool) -> str:
        """Draw an image of twice the size, bilinear with still outer corners or by repetition."""
        settings = {"mode": "nearest", "nearest_mode": "floor"}
        place = "asymmetric"
        if smooth:
            settings, place = {"mode": "linear"}, "half_pixel"
        scales = self.constant(np.array([1, 1, 2, 2], np.float32))
        return self.node("Resize", x, "", scales, coordinate_transformation_mode=place, **settings)

    def finish(self, output: str) -> bytes:
        """Return the graph as an ONNX file. Raises WeightsError where weights are left over."""
        import onnx

        if left := sorted(set(self._weights) - self._used):
            raise WeightsError(f"{self._name} does not fit its network: it has {left[0]}, too.")
        shape = ("batch", None, "height", "width")
        kind = onnx.TensorProto.FLOAT
        first, last = (
            [onnx.helper.make_tensor_value_info(name, kind, shape)] for name in (self.input, output)
        )
        graph = onnx.helper.make_graph(self._nodes, "network", first, last, self._constants)
        opset = onnx.helper.make_opsetid("", OPSET)
        model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        written: bytes = model.SerializeToString()
        return written
