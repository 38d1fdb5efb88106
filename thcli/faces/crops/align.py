"""Placement of crops on a face: the templates of ArcFace, FFHQ and LivePortrait, close, square.

Each function takes landmarks of any layout of `faces.landmarks.layouts` (or a box) and returns a
Crop, which `faces.crops.crop` samples.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core import geometry
from thcli.core.errors import NoFaceError
from thcli.core.types import Array, Crop
from thcli.faces.landmarks.layouts import face_parts, outline_points

# Eyes, nose tip and mouth corners in the 112 x 112 crops of ArcFace networks, in pixels
# (deepinsight/insightface: utils/face_align.py).
ARCFACE_112 = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)

CLOSE_SIDE, CLOSE_CENTRE = 121.0, (55.5, 67.0)  # of the square of `close`, in pixels of that crop


def arcface(points: npt.ArrayLike, size: int = 112) -> Crop:
    """Place the crop that aligns eyes, nose tip and mouth corners with ArcFace's template.

    The placement is a similarity.

    Args:
        points: landmarks of any layout; a layout without nose tip or mouth corners is aligned by
            the rest.
        size: 112, 128 (InsightFace's template with 8 more pixels at both sides and below), or any
            other size, a scaled 112.

    Raises:
        NoFaceError: landmarks of no known layout, or all on one point.
    """
    template = ARCFACE_112 + np.array([8.0, 0.0]) if size % 128 == 0 and size % 112 else ARCFACE_112
    ratio = size / (128 if template is not ARCFACE_112 else 112)
    eyes, nose, mouth = template[:2], template[2:3], template[3:]
    features = face_parts(points)
    src, dst = [features.eyes], [eyes]
    if features.nose is not None:
        src, dst = [*src, features.nose[None]], [*dst, nose]
    corners_known = len(features.mouth) == 2
    src, dst = (
        [*src, features.mouth],
        [*dst, mouth if corners_known else mouth.mean(0, keepdims=True)],
    )
    _require_distinct(np.concatenate(src))
    scaled = (np.concatenate(dst) + 0.5) * ratio - 0.5
    return Crop(geometry.fit_similarity_matrix(np.concatenate(src), scaled), (size, size))


def close(points: npt.ArrayLike, size: int = 64) -> Crop:
    """Place a close crop: from the brows to below the chin of an open mouth, rotated with the eyes.

    As much of the square as possible is face. It is the similarity of `arcface` over another part
    of its template. Raises NoFaceError as `arcface` does.
    """
    scale, middle = size / CLOSE_SIDE, (size - 1) / 2
    matrix = arcface(points, 112).crop_from_frame * scale
    matrix[2] = 0, 0, 1
    matrix[:2, 2] += middle - scale * np.array(CLOSE_CENTRE)
    return Crop(matrix, (size, size))


def ffhq(points: npt.ArrayLike, size: int = 512) -> Crop:
    """Place FFHQ's oriented square: Karras et al. 2019 (StyleGAN), appendix on the data set.

    The x axis is the mean of the eyes' line and the normal of the line from eyes to mouth. Half a
    side is the larger of 2 eye distances and 1.8 eye-to-mouth distances. The centre is a tenth of
    the way from the eyes to the mouth.

    Args:
        points: landmarks of any layout.
        size: pixels, commonly 256, 512 or 1024.

    Raises:
        NoFaceError: as `arcface` does.
    """
    features = face_parts(points)
    eye_centre, mouth_centre = features.eyes.mean(0), features.mouth.mean(0)
    across, down = features.eyes[1] - features.eyes[0], mouth_centre - eye_centre
    axis = across + np.array([down[1], -down[0]])
    length = float(np.hypot(*axis))
    if length < 1e-6:
        raise NoFaceError("The landmarks of the eyes and the mouth are one point.")
    half = max(2.0 * float(np.hypot(*across)), 1.8 * float(np.hypot(*down)))
    angle = float(np.arctan2(axis[1], axis[0]))
    return Crop(
        geometry.square_crop_matrix(list(eye_centre + 0.1 * down), 2 * half, angle, size),
        (size, size),
    )


def liveportrait(
    points: npt.ArrayLike,
    size: int = 512,
    scale: float = 2.3,
    up: float = 0.125,
    rotate: bool = True,
) -> Crop:
    """Place LivePortrait's crop: a square around the landmarks' oriented box.

    KwaiVGI/LivePortrait: src/utils/crop.py. The y axis runs from between the eyes to the middle of
    the mouth. As in the reference, the centre is at pixel size / 2, half a pixel from the crop's
    middle: its networks are trained with that.

    Args:
        points: landmarks of any layout; the 468-point mesh counts by the outline of a 106-point
            contour (brows to chin).
        size: pixels.
        scale: side of the square over the longer side of the box.
        up: shift of the square's centre above the box's, in sides.
        rotate: False for the same square upright.

    Raises:
        NoFaceError: as `arcface` does.
    """
    features, box = face_parts(points), outline_points(points)
    down = features.mouth.mean(0) - features.eyes.mean(0)
    length = float(np.hypot(*down))
    down = down / length if length > 1e-3 else np.array([0.0, 1.0])
    # Rows: the crop's x and y axis in the frame.
    axes = np.stack([np.array([down[1], -down[0]]), down])
    along = box @ axes.T
    low, high = along.min(0), along.max(0)
    side = float((high - low).max()) * scale
    if side < 1e-6:
        raise NoFaceError("All landmarks are one point.")
    centre = axes.T @ ((low + high) / 2) - up * side * down
    matrix = np.eye(3)
    matrix[:2, :2] = (axes if rotate else np.eye(2)) * (size / side)
    matrix[:2, 2] = size / 2 - matrix[:2, :2] @ centre
    return Crop(matrix, (size, size))


def square(box: npt.ArrayLike, size: int, scale: float = 1.0, angle: float = 0.0) -> Crop:
    """Place the square around a box (4,) x0, y0, x1, y1.

    Args:
        box: box of the face, in pixels.
        size: pixels of the crop.
        scale: side of the square over the longer side of the box.
        angle: rotation, in radians.

    Raises:
        NoFaceError: the box has no area.
    """
    x0, y0, x1, y1 = np.asarray(box, np.float64)
    side = float(max(x1 - x0, y1 - y0)) * scale
    if not (np.isfinite(side) and min(x1 - x0, y1 - y0) > 0 and side > 0):
        raise NoFaceError(f"The face's box {x0:.0f}, {y0:.0f}, {x1:.0f}, {y1:.0f} has no area.")
    return Crop(
        geometry.square_crop_matrix([(x0 + x1) / 2, (y0 + y1) / 2], side, angle, size), (size, size)
    )


def square_within(
    box: npt.ArrayLike, image_size: tuple[int, int], scale: float, least: int = 64
) -> Crop:
    """Place the square around a box (4,), without rotation, in the resolution of the image.

    A square that would leave the image is moved into it, and reduced to the image's shorter side,
    but not below the box: a longer box gets the part of its square that the image shows.

    Args:
        box: box of the face, in pixels.
        image_size: (width, height) in pixels.
        scale: side of the square over the longer side of the box.
        least: pixels of the crop's shorter side; smaller ones are enlarged.

    Raises:
        NoFaceError: the box has no area.
    """
    around = square(box, least, scale)
    corners = np.asarray(box, np.float64)
    middle = (corners[:2] + corners[2:]) / 2
    whole = least / float(np.hypot(*around.crop_from_frame[0, :2]))
    side = 2 * max(int(min(whole, max(min(image_size), whole / scale)) / 2), 1)
    size = np.minimum(side, image_size)
    begin = np.clip(np.rint(middle - size / 2 + 0.5), 0, np.asarray(image_size) - size)
    factor = max(least / int(size.min()), 1.0)
    matrix = np.diag([factor, factor, 1.0])
    matrix[:2, 2] = (factor - 1) / 2 - factor * begin
    width, height = (max(round(factor * int(one)), 1) for one in size)
    return Crop(matrix, (width, height))


def resize(placement: Crop, size: int) -> Crop:
    """Return the same region of the frame at `size` pixels of width, height in proportion."""
    width, height = placement.size
    k = size / width
    scaling = np.array([[k, 0.0, (k - 1) / 2], [0.0, k, (k - 1) / 2], [0.0, 0.0, 1.0]])
    return Crop(scaling @ placement.crop_from_frame, (size, max(round(height * k), 1)))


def _require_distinct(points: Array) -> None:
    if float(np.ptp(points, axis=0).max()) < 1e-6:
        raise NoFaceError("All landmarks are one point.")
