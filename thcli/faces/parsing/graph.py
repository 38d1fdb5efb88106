"""parse-s as a graph of onnxruntime, for single pictures.

It gives the numbers of `small.ParseS`. Video is parsed by torch, which takes 19 ms a crop instead
of 25 on one core, but over a second to be imported.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thcli.core.onnx.graphs import GraphDrawing, GraphNetwork, Weights
from thcli.core.options import RunOptions, Template
from thcli.core.types import Array32, Face, Image
from thcli.faces.parsing.classes import CLASSES
from thcli.weights import check_licence
from thcli.weights.tensors import load_tensors

NAME, SIDE = "parse-s", 256
MEAN, SPREAD = 0.45, 0.25  # of all channels alike: input values become about -2..2
RESIDUALS = (0, 1, 1, 2, 1)  # residual blocks of the encoder at strides 2, 4, 8, 16, 32
_VARIANCE = 1e-5  # that batch norm adds


class PictureParser:
    """Parser of the 19 regions of crops, which `faces.crops.align.ffhq` places."""

    crop_size = SIDE
    template: Template = "ffhq"

    def __init__(self, network: GraphNetwork) -> None:
        self._network = network

    def parse(self, crops: Sequence[Image], faces: Sequence[Face]) -> Array32:
        """Parse crops (256, 256, 3) uint8 to probabilities (N, 19, 256, 256) float32."""
        out = np.empty((len(crops), len(CLASSES), SIDE, SIDE), np.float32)
        for row, crop in enumerate(crops):
            scaled = (crop.transpose(2, 0, 1) / np.float32(255) - np.float32(MEAN)) / SPREAD
            out[row] = self._network(np.ascontiguousarray(scaled[None], np.float32))[0]
        return out


def load(run: RunOptions) -> PictureParser:
    """Load the bundled network. Raises WeightsError where it is absent, altered or refused."""
    check_licence(NAME, run.licence)
    weights = load_tensors(NAME, "numpy", offline=run.offline)
    return PictureParser(GraphNetwork(build_graph(weights, NAME), NAME, run.threads))


def build_graph(weights: Weights, name: str) -> bytes:
    """Draw ParseNet (`network`) of any width, with the softmax of its enlarged logits.

    Raises WeightsError where the weights are not those of such a network. name: of them.
    """
    kept = {k: v for k, v in weights.items() if not k.endswith("num_batches_tracked")}
    draw = GraphDrawing(kept, name)
    maps = [draw.input]
    for stage, count in enumerate(RESIDUALS):
        x = draw.relu(_unit(draw, maps[-1], f"encoder.{stage}.0", stride=2))
        for block in range(1, count + 1):
            part = f"encoder.{stage}.{block}"
            y = _unit(draw, draw.relu(_unit(draw, x, f"{part}.first")), f"{part}.second")
            x = draw.relu(draw.add(x, y))
        maps.append(x)
    _, finest, *levels, top = maps
    mean = draw.node("ReduceMean", top, axes=[2, 3], keepdims=1)
    gate = draw.node("Sigmoid", draw.conv(mean, "gate"))
    x = draw.relu(_unit(draw, draw.node("Mul", top, gate), "top"))
    for level in (2, 1, 0):
        skip = draw.relu(_unit(draw, levels[level], f"skips.{level}"))
        mixed = draw.add(draw.twice(x, smooth=True), skip)
        x = draw.relu(_unit(draw, mixed, f"mixes.{level}"))
        if level:
            x = draw.relu(_unit(draw, x, f"narrowing.{level - 1}"))
    x = draw.add(draw.shuffle(draw.conv(x, "fine")), draw.conv(finest, "fine_skip"))
    logits = draw.conv(draw.relu(_unit(draw, draw.relu(x), "last")), "out")
    return draw.finish(draw.node("Softmax", draw.twice(logits, smooth=True), axis=1))


def _unit(draw: GraphDrawing, x: str, part: str, stride: int = 1) -> str:
    """Draw a convolution with the batch norm after it."""
    spread = np.sqrt(draw.weight(f"{part}.1.running_var") + np.float32(_VARIANCE))
    factor = draw.weight(f"{part}.1.weight") / spread
    bias = draw.weight(f"{part}.1.bias") - draw.weight(f"{part}.1.running_mean") * factor
    kernel = draw.weight(f"{part}.0.weight") * factor[:, None, None, None]
    return draw.conv_by(x, kernel, bias, stride)
