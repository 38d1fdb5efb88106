"""Aligned crop of identity networks.

112 x 112, eyes, nose and mouth corners on ArcFace's template.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from thcli.core.imaging import to_uint8
from thcli.core.types import Face, Image
from thcli.faces.crops.align import arcface
from thcli.faces.crops.crop import crop
from thcli.faces.landmarks.layouts import landmarks_of

SIZE = 112


def aligned_crop(image: npt.NDArray[Any], face: Face) -> Image:
    """Return the input of identity encoders, (112, 112, 3) uint8 RGB; black outside of the image.

    image: (H, W, 3) RGB uint8 or uint16. Raises NoFaceError when the face has no landmarks.
    """
    return to_uint8(crop(image, arcface(landmarks_of(face), SIZE), border="black"))
