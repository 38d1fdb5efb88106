"""The crop by which every network of this kind knows a face: 112 x 112, eyes, nose and mouth corners on ArcFace's places."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from thcli.core.imaging import to_uint8
from thcli.core.types import Face, Image
from thcli.faces.crops.align import arcface
from thcli.faces.crops.crop import crop
from thcli.faces.landmarks.layouts import landmarks_of

SIZE = 112


def aligned(picture: npt.NDArray[Any], face: Face) -> Image:
    """(112, 112, 3) uint8 RGB, what `IdentityEncoder.vectors` takes; black where the picture ends.

    picture: (H, W, 3) RGB uint8 or uint16.  Raises NoFaceError when the face has no landmarks to align by.
    """
    return to_uint8(crop(picture, arcface(landmarks_of(face), SIZE), border="black"))
