"""Painting of eyes and mouth into a rendered frame by the networks of patches-s and mouths-s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from thcli.core.onnx.graphs import GraphNetwork
from thcli.core.types import Array, Face, Image
from thcli.engines.mesh.mouth.drawn_inside import MouthInterior
from thcli.engines.mesh.patches import inside_painter, pack
from thcli.engines.mesh.patches.frames import composite, eye_frame, sample_patch
from thcli.engines.mesh.patches.graph import change_colours, load_network
from thcli.engines.mesh.patches.inputs import EYE_BLUR, EYE_CHANNELS, MOST_EYE_CHANGE
from thcli.engines.mesh.patches.inside_painter import InsidePainter
from thcli.engines.mesh.patches.pack import SourcePatches
from thcli.weights.layout import Checkpoint
from thcli.weights.loading import load_state

NAME, PREFIX = "patches-s", "eyes."


class PatchPainter:
    """The networks. Threads may share it; a frame's result depends on that frame alone.

    mouth: None leaves mouths as they are drawn.  is_asked_for: by name, so that a source that does
    without them is told.
    """

    def __init__(
        self, eyes: GraphNetwork, mouth: InsidePainter | None, *, is_asked_for: bool = False
    ) -> None:
        self._eyes, self.mouth = eyes, mouth
        self.is_asked_for = is_asked_for

    def bind(
        self,
        image: Image,
        mesh: Array,
        face: Face,
        interior: MouthInterior,
        left_out: Sequence[bool] = (False, False),
    ) -> SourcePainter:
        """Prepare a source image (H, W, 3) uint8 with its mesh (468, 3) in pixels.

        left_out: eyes that are not painted.
        """
        iris = None if face.iris is None else np.asarray(face.iris, np.float64)
        seen = pack.read_iris(mesh, iris)
        patches = pack.cut_source(image, mesh, seen, interior.tone, interior.natural)
        return SourcePainter(self, replace(patches, left_out=tuple(left_out)))

    def paint_eyes(self, out: Image, source: SourcePatches, target: Array, gaze: Array) -> None:
        """Paint both eyes, in place; see `SourcePainter.paint_eyes`."""
        changes = pack.eye_changes(source, target)
        if not any(changes):
            return
        frames = [eye_frame(target, side) for side in range(2)]
        coarse = sample_patch(out, frames[0]), sample_patch(out, frames[1])
        stack, window = pack.stack_eyes(coarse, source, target, gaze, changes)
        changed = change_colours(self._eyes, stack, MOST_EYE_CHANGE, source.tone, source.natural)
        for frame, change, share in zip(frames, changed, window, strict=True):
            soft = np.asarray(cv2.GaussianBlur(change, (0, 0), EYE_BLUR), np.float32)
            composite(out, frame, None, soft * share[..., None])


@dataclass(frozen=True, slots=True)
class SourcePainter:
    """Network of eyes and patches of one source."""

    painter: PatchPainter
    patches: SourcePatches

    def paint_eyes(self, out: Image, target: Array, gaze: Array) -> None:
        """Paint the eyes into a rendered frame, in place.

        An eye that is as in the source keeps the frame's pixels.

        Args:
            out: (H, W, 3) uint8 frame.
            target: (468, 3) target mesh, pixels.
            gaze: (2, 2) shift of each iris in eye widths.
        """
        self.painter.paint_eyes(out, self.patches, target, gaze)


def load(
    licence: Literal["any", "free"], *, with_mouth: bool, is_asked_for: bool = False
) -> PatchPainter:
    """Load the networks.

    Args:
        licence: licence that the job allows.
        with_mouth: False leaves mouths as they are drawn.
        is_asked_for: see `PatchPainter`.

    Raises:
        WeightsError: the weights are absent, damaged or refused by the licence.
    """
    eyes = load_network(NAME, PREFIX, EYE_CHANNELS, licence)
    mouth = inside_painter.load(licence) if with_mouth else None
    return PatchPainter(eyes, mouth, is_asked_for=is_asked_for)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless the tensors are those of the network."""
    import torch

    from thcli.engines.mesh.patches.network import PatchNet

    state = checkpoint.tensors(PREFIX)
    load_state(PatchNet(EYE_CHANNELS), state, NAME, torch.device("meta"))
