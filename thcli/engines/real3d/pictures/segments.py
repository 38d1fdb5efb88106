"""Segmentation of a source crop into the six classes that Real3D-Portrait was trained on.

They are those of MediaPipe's selfie multiclass network. The classes come from the face parser
around the head, and beyond its crop from the person matte and the nearest parsed class.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from thcli.core.errors import NoFaceError
from thcli.core.protocols import Parser
from thcli.core.types import Array32, Crop, Face, Image
from thcli.faces.parsing import CLASSES, EARS, FACE, class_number
from thcli.faces.parsing.crops import parse_faces

BACKGROUND, HAIR, BODY_SKIN, FACE_SKIN, CLOTHES, OTHERS = range(6)
SEGMENTS = 6
HEAD = (HAIR, FACE_SKIN, OTHERS)
TORSO = (BODY_SKIN, CLOTHES)
MIN_FACE_PIXELS = 64  # parsed face pixels below which there is no face to render
# Pixels that face skin extends beyond what the parser saw of it: what the person matte adds farther
# away is clothes or an arm.
FRINGE = 12.0

_NAMED = {
    "hair": HAIR,
    "neck": BODY_SKIN,
    "cloth": CLOTHES,
    "neck_l": CLOTHES,
    "hat": OTHERS,
    "eye_g": OTHERS,
    "ear_r": OTHERS,
}


def _segment_of_region() -> Image:
    """Return the segment (19,) of each region of the face parser."""
    table = np.full(len(CLASSES), BACKGROUND, np.uint8)
    table[sorted(FACE | EARS)] = FACE_SKIN
    for name, segment in _NAMED.items():
        table[class_number(name)] = segment
    return table


SEGMENT_OF_REGION = _segment_of_region()


def segment_source(
    image: Image, face: Face, placement: Crop, parser: Parser, person: Array32
) -> Image:
    """Segment a crop of a source image.

    Args:
        image: (H, W, 3) uint8 source image.
        face: with its mesh, in pixels of the image.
        placement: of the crop.
        parser: face parser of 19 regions.
        person: (h, w) person probability of each pixel of the crop, 0..1.

    Returns:
        (h, w) uint8, 0 background, 1 hair, 2 body skin, 3 face skin, 4 clothes, 5 others.

    Raises:
        NoFaceError: the parser finds no face in the crop.
    """
    regions = parse_faces(parser, [image], [face])[0]
    parsed = SEGMENT_OF_REGION[regions.labels_in(placement)]
    if np.count_nonzero(parsed == FACE_SKIN) < MIN_FACE_PIXELS:
        raise NoFaceError(
            "The face of the source is hidden or too small for the engine real3d.",
            "Choose a source image that shows the face from the front.",
        )
    return _complete(parsed, person > 0.5)


def _complete(parsed: Image, person: npt.NDArray[np.bool_]) -> Image:
    """Give the pixels of the person that were not parsed the nearest segment."""
    distance, (rows, columns) = distance_transform_edt(parsed == BACKGROUND, return_indices=True)
    nearest = np.asarray(parsed[rows, columns])
    far = (distance > FRINGE) & (nearest == FACE_SKIN)
    nearest = np.where(far, np.uint8(CLOTHES), nearest)
    unknown = (parsed == BACKGROUND) & person
    return np.where(unknown, nearest, parsed)


def one_hot(segments: Image) -> Array32:
    """Return segments (h, w) as (6, h, w) float32 of 0 and 1."""
    numbers = np.arange(SEGMENTS, dtype=np.uint8)[:, None, None]
    return np.asarray(segments[None] == numbers, np.float32)


def is_segment(segments: Image, chosen: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return where a pixel is of one of the chosen segments, (h, w)."""
    return np.isin(segments, chosen)
