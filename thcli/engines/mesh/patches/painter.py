"""Painting of eyes and mouth into a rendered frame by the networks of patches-s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from thcli.core.onnx.graphs import GraphNetwork
from thcli.core.types import Array, Array32, Face, Image
from thcli.engines.mesh.mouth.colours import keep_colour
from thcli.engines.mesh.mouth.drawn_inside import MouthInterior
from thcli.engines.mesh.patches import pack
from thcli.engines.mesh.patches.frames import (
    composite,
    eye_frame,
    mouth_frame,
    sample_patch,
)
from thcli.engines.mesh.patches.graph import build_graph
from thcli.engines.mesh.patches.inputs import EYE_CHANNELS, MOUTH_CHANNELS
from thcli.engines.mesh.patches.pack import SourcePatches
from thcli.weights import check_licence
from thcli.weights.layout import Checkpoint
from thcli.weights.loading import load_state
from thcli.weights.tensors import load_tensors

NAME = "patches-s"
CHANNELS = {"eyes": EYE_CHANNELS, "mouth": MOUTH_CHANNELS}


class PatchPainter:
    """The networks. Threads may share it; a frame's result depends on that frame alone.

    mouth: None leaves mouths as they are.  is_asked_for: by name, so that a source that does
    without them is told.
    """

    def __init__(
        self, eyes: GraphNetwork, mouth: GraphNetwork | None, *, is_asked_for: bool = False
    ) -> None:
        self._eyes, self._mouth = eyes, mouth
        self.is_asked_for = is_asked_for

    def bind(self, image: Image, mesh: Array, face: Face, interior: MouthInterior) -> SourcePainter:
        """Prepare a source image (H, W, 3) uint8 with its mesh (468, 3) in pixels."""
        iris = None if face.iris is None else np.asarray(face.iris, np.float64)
        patches = pack.cut_source(image, mesh, pack.read_iris(mesh, iris), interior)
        return SourcePainter(self, patches)

    def paint_eyes(self, out: Image, source: SourcePatches, target: Array, gaze: Array) -> None:
        """Paint both eyes, in place; see `SourcePainter.paint`."""
        changes = pack.eye_changes(source, target)
        if not any(changes):
            return
        frames = [eye_frame(target, side) for side in range(2)]
        coarse = sample_patch(out, frames[0]), sample_patch(out, frames[1])
        stack, window = pack.stack_eyes(coarse, source, target, gaze, changes)
        painted = _paint(self._eyes, stack, source) * window[..., None]
        for frame, patch, change in zip(frames, coarse, painted, strict=True):
            composite(out, frame, patch, change)

    def paint_mouth(self, out: Image, source: SourcePatches, target: Array) -> None:
        """Paint the mouth, in place; see `SourcePainter.paint`."""
        if self._mouth is None:
            return
        frame = mouth_frame(target)
        coarse = sample_patch(out, frame)
        stack, window = pack.stack_mouth(coarse, source, target)
        painted = _paint(self._mouth, stack[None], source)[0] * window[..., None]
        composite(out, frame, coarse, painted)


def _paint(network: GraphNetwork, stack: Array32, source: SourcePatches) -> Array32:
    """Return a network's changes (B, h, w, 3) of patches (B, C, h, w) in colours of the source."""
    change = network(stack).transpose(0, 2, 3, 1) / np.float32(source.factor)
    interior = source.interior
    if interior.natural < 1:  # lids in a grey picture have no colour
        change = keep_colour(change, interior.tone, interior.natural)
    return np.asarray(change, np.float32)


@dataclass(frozen=True, slots=True)
class SourcePainter:
    """Networks and patches of one source."""

    painter: PatchPainter
    patches: SourcePatches

    def paint(
        self, out: Image, target: Array, gaze: Array, *, with_eyes: bool, with_mouth: bool
    ) -> None:
        """Paint eyes and mouth into a rendered frame, in place.

        An opening that is as in the source keeps the frame's pixels.

        Args:
            out: (H, W, 3) uint8 frame.
            target: (468, 3) target mesh, pixels.
            gaze: (2, 2) shift of each iris in eye widths.
            with_eyes, with_mouth: False leaves them alone.
        """
        if with_eyes:
            self.painter.paint_eyes(out, self.patches, target, gaze)
        if with_mouth:
            self.painter.paint_mouth(out, self.patches, target)


def load(
    licence: Literal["any", "free"], *, with_mouth: bool, is_asked_for: bool = False
) -> PatchPainter:
    """Load the networks.

    Args:
        licence: licence that the job allows.
        with_mouth: False leaves mouths as they are.
        is_asked_for: see `PatchPainter`.

    Raises:
        WeightsError: the weights are absent, damaged or refused by the licence.
    """
    check_licence(NAME, licence)
    tensors = load_tensors(NAME, "numpy")
    networks = []
    for part, channels in CHANNELS.items():
        prefix = f"{part}."
        own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        what = f"{NAME}: {part}"
        networks.append(GraphNetwork(build_graph(own, channels, what), what))
    eyes, mouth = networks
    return PatchPainter(eyes, mouth if with_mouth else None, is_asked_for=is_asked_for)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless the tensors are those of the two networks."""
    import torch

    from thcli.engines.mesh.patches.network import PatchNet

    for part, channels in CHANNELS.items():
        state = checkpoint.tensors(f"{part}.")
        load_state(PatchNet(channels), state, f"{NAME}: {part}", torch.device("meta"))
