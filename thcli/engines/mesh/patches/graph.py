"""PatchNet (`network`) as a graph of onnxruntime, which renders."""

from __future__ import annotations

from typing import Literal

import numpy as np

from thcli.core.errors import WeightsError
from thcli.core.onnx.graphs import GraphDrawing, GraphNetwork, Weights
from thcli.core.types import Array, Array32
from thcli.engines.mesh.mouth.colours import keep_colour
from thcli.engines.mesh.patches import inputs
from thcli.weights import check_licence
from thcli.weights.tensors import load_tensors


def load_network(
    name: str, prefix: str, channels: int, licence: Literal["any", "free"]
) -> GraphNetwork:
    """Load a network for rendering.

    Args:
        name: of the weights.
        prefix: of its tensors.
        channels: of its input.
        licence: that the job allows.

    Raises:
        WeightsError: the weights are absent, damaged or refused by the licence.
    """
    check_licence(name, licence)
    weights = load_tensors(name, "numpy", prefix=prefix)
    return GraphNetwork(build_graph(weights, channels, name), name)


def change_colours(
    network: GraphNetwork,
    stack: Array32,
    most: tuple[float, float],
    tone: Array,
    natural: float,
) -> Array32:
    """Return how a network changes the colours of patches, (B, h, w, 3), 0..255.

    A picture that has no colours keeps its tint.

    Args:
        network: of `load_network`.
        stack: (B, C, h, w) its input, the coarse colours first.
        most: see `inputs.most_change`.
        tone, natural: of the source, see `MouthInterior`.
    """
    limit = inputs.most_change(stack[:, :3].mean(1, keepdims=True), most)
    change = limit * np.tanh(network(stack) / limit) / np.float32(inputs.gain(tone))
    colours = np.ascontiguousarray(change.transpose(0, 2, 3, 1), np.float32)
    return keep_colour(colours, tone, natural) if natural < 1 else colours


def build_graph(weights: Weights, channels: int, name: str) -> bytes:
    """Draw a network of any width, from its input channels to 3.

    Raises WeightsError where the weights are not those of such a network. name: of them.
    """
    draw = GraphDrawing(weights, name)
    fine = _residual(draw, draw.silu(_stem(draw, channels, name)), "fine")
    middle = _residual(draw, draw.silu(_conv(draw, fine, "down1", stride=2)), "middle")
    y = draw.silu(_conv(draw, middle, "down2", stride=2))
    y = _residual(draw, _residual(draw, y, "coarse.0"), "coarse.1")
    y = draw.add(middle, draw.twice(_conv(draw, y, "up2"), smooth=False))
    y = _residual(draw, y, "middle_out")
    y = draw.add(fine, draw.twice(_conv(draw, y, "up1"), smooth=False))
    y = _residual(draw, y, "fine_out")
    return draw.finish(draw.shuffle(_conv(draw, y, "out")))


def _stem(draw: GraphDrawing, channels: int, name: str) -> str:
    """Join 2 x 2 pixels, by ONNX with the channel last, and convolve them."""
    kernel, bias = draw.weight("stem.weight"), draw.weight("stem.bias")
    outputs, width, *side = kernel.shape
    if width != 4 * channels:
        raise WeightsError(f"{name} does not fit its network: {width // 4} channels go in.")
    kernel = kernel.reshape(outputs, channels, 4, *side).swapaxes(1, 2)
    joined = draw.node("SpaceToDepth", draw.input, blocksize=2)
    kernel = kernel.reshape(outputs, width, *side)
    return draw.conv_by(joined, kernel, bias, limits=_limits(draw, "stem"))


def _residual(draw: GraphDrawing, x: str, part: str) -> str:
    y = _conv(draw, draw.silu(_conv(draw, x, f"{part}.first")), f"{part}.second")
    return draw.silu(draw.add(x, y))


def _conv(draw: GraphDrawing, x: str, part: str, stride: int = 1) -> str:
    return draw.conv(x, part, stride, _limits(draw, part))


def _limits(draw: GraphDrawing, part: str) -> Array32 | None:
    """Return the limits of a convolution, None where training has noted none."""
    limits = draw.weight(f"{part}.limits")
    return limits if limits.any() else None
