"""Tests of `paste_step`: where a painted object shows."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import cast

import numpy as np
import pytest

from tests.pipeline.fake_painters import DarkeningPainter
from thcli.core.options import EditRegion
from thcli.core.protocols import Painter
from thcli.core.types import Array32, Crop, Face, Image, Painted
from thcli.faces.compositing.pixel_ops import OPENCV
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions
from thcli.pipeline.editing.face_in_frame import FaceInFrame, face_view, paste_step
from thcli.pipeline.editing.painter_step import PainterStep
from thcli.pipeline.observe.crop_track import TrackedCrop
from thcli.pipeline.observe.mask_log import MaskEvidence

SIDE = 128
FACE = slice(32, 96)  # columns
STRIP = (slice(60, 68), slice(100, 116))  # rows and columns of a painted object beside the face
PLACE = Crop(np.eye(3), (SIDE, SIDE))


class WhitePainter(DarkeningPainter):
    """A painter that brightens all and says that a strip stands out beside the face."""

    crop_size = SIDE

    def paint(
        self, crops: Sequence[Image], faces: Sequence[Face], regions: Array32, prepared: Array32
    ) -> list[Painted]:
        beside = np.zeros((SIDE, SIDE), np.float32)
        beside[STRIP] = 1
        return [Painted(np.full_like(crop, 200), beside) for crop in crops]


@pytest.mark.parametrize(("region", "shown"), [("auto", True), ("face", False)])
@pytest.mark.parametrize("hidden", [0.0, 1.0])
def test_what_stands_out_beside_the_face_shows(
    region: EditRegion, shown: bool, hidden: float
) -> None:
    """The parser's doubts about the face do not hide it; a region that was asked for does."""
    frame = np.full((SIDE, SIDE, 3), 90, np.uint8)
    face = Face(np.array([32, 10, 96, 118], np.float32), 1.0)
    probabilities = np.zeros((len(CLASSES), SIDE, SIDE), np.float32)
    probabilities[class_number("skin"), :, FACE] = 1
    probabilities[0] = 1 - probabilities.sum(0)
    regions = Regions(PLACE, probabilities)
    evidence = MaskEvidence(np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32))
    parser_crop = TrackedCrop(PLACE, Fraction(0), 0, None)
    in_frame = FaceInFrame(0, parser_crop, (PLACE,), 0, face, regions, evidence)
    step = PainterStep(
        "drawn", cast("Painter", WhitePainter()), lambda _: {"eyeglasses": 1.0}, "face", False, 1
    )
    view = face_view(frame, face, PLACE, regions, 0.0)
    nothing = np.zeros((1, 0), np.float32)
    (rendered,) = step.render([view], nothing, nothing[0], nothing)
    occlusion = np.zeros((SIDE, SIDE), np.float32)
    occlusion[STRIP] = hidden
    out = paste_step(step, region, OPENCV, (frame, in_frame, view, rendered, occlusion))
    assert (out[60:68, 60:68] == 200).all()
    assert (out[STRIP] == (200 if shown else 90)).all()
    out[STRIP] = 90
    assert (out[:, 106:] == 90).all(), "the rest of the change stays in the face"
