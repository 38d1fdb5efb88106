"""Preparation of a source: placement of its crop, and the pictures that the networks read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.errors import NoFaceError
from thcli.core.geometry import square_crop_matrix, transform_points
from thcli.core.protocols import Parser
from thcli.core.types import Array32, Crop, Face, Image
from thcli.engines.real3d.pictures.background import inpaint_background
from thcli.engines.real3d.pictures.segments import BACKGROUND, HEAD, is_segment, segment_source
from thcli.engines.real3d.pictures.torso import torso_image
from thcli.faces.compositing.person_matte import PersonMatte
from thcli.faces.crops.crop import crop

SIDE = 512
MIN_FACE_SHARE = 0.2  # of the crop's area; a smaller face is cropped more closely
# Of the crop's area; a larger face gets a crop that reaches beyond the image, because the head does
# not fit into a smaller one.
MAX_FACE_SHARE = 0.5
FACE_ROW = 0.55  # of the middle of the face in the crop, where the image has room: hair is above it


@dataclass(frozen=True, slots=True)
class SourcePictures:
    """Pictures of a source crop.

    head: (S, S, 3) uint8, black outside of the head.  torso: (S, S, 3) uint8, black outside of the
    in-painted torso.  background: (S, S, 3) uint8 without the person.  segments: (S, S) uint8.
    """

    head: Image
    torso: Image
    background: Image
    segments: Image


def place_source(face: Face, size: tuple[int, int]) -> Crop:
    """Place the square crop of a source, upright around the face.

    The square is the largest in the image in which the box of the mesh has MIN_FACE_SHARE of the
    area or more, moved into the image; the face is slightly below its middle. The published program
    scales an image that is not square without keeping its aspect instead (REAL3D_VIDEO section 8).

    Args:
        face: with its mesh, in pixels of the image.
        size: (width, height) of the image.

    Returns:
        A crop of SIDE x SIDE pixels.

    Raises:
        NoFaceError: the face has no mesh, or one without an area.
    """
    low, high = face_box(face)
    area = float(np.prod(high - low))
    if not (np.isfinite(area) and area > 0):
        raise NoFaceError("The landmarks of the source's face have no area.", _OTHER_SOURCE)
    least, most = np.sqrt(area / MAX_FACE_SHARE), np.sqrt(area / MIN_FACE_SHARE)
    side = float(np.clip(min(size), least, most))
    centre = (low + high) / 2 - [0.0, (FACE_ROW - 0.5) * side]
    # the image reaches from -0.5 to size - 0.5; a larger square than it stays around the face
    extent = np.asarray(size, np.float64)
    room, middle = np.maximum(extent - side, 0) / 2, (extent - 1) / 2
    moved = np.clip(centre, middle - room, middle + room)
    centre = np.where(extent < side, centre, moved)
    return Crop(square_crop_matrix(centre.tolist(), side, 0.0, SIDE), (SIDE, SIDE))


def face_box(face: Face) -> tuple[Array32, Array32]:
    """Return the corners (2,), (2,) of the box of a face's mesh.

    Raises NoFaceError when the face has no mesh.
    """
    if face.mesh is None:
        raise NoFaceError(
            "The engine real3d needs the 468 points of the source's face, which has none.",
            "Use --landmarker facemesh, or choose another source image.",
        )
    points = np.asarray(face.mesh, np.float32)[:, :2]
    return points.min(0), points.max(0)


def crop_landmarks(face: Face, placement: Crop) -> Array32:
    """Return the points (468, 2) of a face's mesh in 0..1 of a crop, y down.

    Raises NoFaceError when the face has no mesh.
    """
    face_box(face)
    pixels = transform_points(placement.crop_from_frame, np.asarray(face.mesh)[:, :2])
    return np.asarray((pixels + 0.5) / np.asarray(placement.size), np.float32)


def prepare_pictures(
    image: Image, face: Face, placement: Crop, parser: Parser, matte: PersonMatte
) -> SourcePictures:
    """Separate a source crop into head, torso and background (REAL3D_VIDEO section 9).

    Args:
        image: (H, W, 3) uint8 source image.
        face: with its mesh, in pixels of the image.
        placement: of the crop, from `place_source`.
        parser: face parser.
        matte: person matte.

    Raises:
        NoFaceError: the parser finds no face.
    """
    pixels = np.asarray(crop(image, placement), np.uint8)
    segments = segment_source(image, face, placement, parser, matte.probability(pixels))
    return separate(pixels, segments)


def separate(pixels: Image, segments: Image) -> SourcePictures:
    """Separate a picture (S, S, 3) uint8 with known segments (S, S) uint8."""
    head = np.where(is_segment(segments, HEAD)[..., None], pixels, np.uint8(0))
    return SourcePictures(
        np.ascontiguousarray(head),
        torso_image(pixels, segments),
        inpaint_background(pixels, segments == BACKGROUND),
        segments,
    )


_OTHER_SOURCE = "Choose another source image."
