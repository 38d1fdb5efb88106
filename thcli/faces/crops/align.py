"""Where a face is cut out of its frame: the crops of ArcFace, FFHQ, LivePortrait, a close one, and a plain square.

Each function takes landmarks of any layout of `faces.landmarks.layouts` (or a box) and returns a Crop; `faces.crops.crop` cuts it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core import geometry
from thcli.core.errors import NoFaceError
from thcli.core.types import Array, Crop
from thcli.faces.landmarks.layouts import outline, parts

# Eyes, nose tip and mouth corners in a 112 x 112 crop; the positions that ArcFace networks were trained at
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
    """The similarity that brings eyes, nose tip and mouth corners to ArcFace's template.

    points: landmarks of any layout; without a nose tip or mouth corners those that there are decide.  size: 112, 128 (8
    pixels more on both sides and below, as InsightFace has it) or any other, a scaled 112.  Raises NoFaceError for
    landmarks that are of no layout or fall together.
    """
    template = ARCFACE_112 + np.array([8.0, 0.0]) if size % 128 == 0 and size % 112 else ARCFACE_112
    ratio = size / (128 if template is not ARCFACE_112 else 112)
    eyes, nose, mouth = template[:2], template[2:3], template[3:]
    found = parts(points)
    src, dst = [found.eyes], [eyes]
    if found.nose is not None:
        src, dst = [*src, found.nose[None]], [*dst, nose]
    corners_known = len(found.mouth) == 2
    src, dst = [*src, found.mouth], [*dst, mouth if corners_known else mouth.mean(0, keepdims=True)]
    _distinct(np.concatenate(src))
    scaled = (np.concatenate(dst) + 0.5) * ratio - 0.5
    return Crop(geometry.similarity(np.concatenate(src), scaled), (size, size))


def close(points: npt.ArrayLike, size: int = 64) -> Crop:
    """From the brows to below the chin of an open mouth, turned with the eyes: as much of the square is face as can be.

    The similarity of `arcface`, over another part of its template.  points: landmarks of any layout.  Raises NoFaceError as it does.
    """
    scale, middle = size / CLOSE_SIDE, (size - 1) / 2
    matrix = arcface(points, 112).crop_from_frame * scale
    matrix[2] = 0, 0, 1
    matrix[:2, 2] += middle - scale * np.array(CLOSE_CENTRE)
    return Crop(matrix, (size, size))


def ffhq(points: npt.ArrayLike, size: int = 512) -> Crop:
    """FFHQ's oriented square from the eyes and the mouth: Karras et al. 2019 (StyleGAN), appendix on the data set.

    The x axis is the mean of the eyes' line and the line at a right angle to eyes-to-mouth; half a side is the larger of
    2 eye distances and 1.8 eye-to-mouth distances; the centre lies a tenth of the way from the eyes to the mouth.
    points: landmarks of any layout.  size: pixels, commonly 256, 512 or 1024.  Raises NoFaceError as `arcface` does.
    """
    found = parts(points)
    eye_centre, mouth_centre = found.eyes.mean(0), found.mouth.mean(0)
    across, down = found.eyes[1] - found.eyes[0], mouth_centre - eye_centre
    axis = across + np.array([down[1], -down[0]])
    length = float(np.hypot(*axis))
    if length < 1e-6:
        raise NoFaceError("The eyes and the mouth of the landmarks fall together.")
    half = max(2.0 * float(np.hypot(*across)), 1.8 * float(np.hypot(*down)))
    angle = float(np.arctan2(axis[1], axis[0]))
    return Crop(
        geometry.rotated_square(list(eye_centre + 0.1 * down), 2 * half, angle, size), (size, size)
    )


def liveportrait(
    points: npt.ArrayLike,
    size: int = 512,
    scale: float = 2.3,
    up: float = 0.125,
    rotate: bool = True,
) -> Crop:
    """LivePortrait's crop: a square around the landmarks' oriented box (KwaiVGI/LivePortrait: src/utils/crop.py).

    The y axis runs from between the eyes to the mouth's middle; the square's side is `scale` times the box's longer side, its
    centre lies `up` sides above the box's.  rotate False: the same square seen upright.  The 468-point mesh counts by the
    outline that a 106-point contour has (brows to chin).  Raises NoFaceError as `arcface` does.

    As in the reference the centre comes to pixel size / 2, half a pixel from the crop's middle: its networks were trained so.
    """
    found, box = parts(points), outline(points)
    down = found.mouth.mean(0) - found.eyes.mean(0)
    length = float(np.hypot(*down))
    down = down / length if length > 1e-3 else np.array([0.0, 1.0])
    axes = np.stack(
        [np.array([down[1], -down[0]]), down]
    )  # rows: the crop's x and y axis in the frame
    along = box @ axes.T
    low, high = along.min(0), along.max(0)
    side = float((high - low).max()) * scale
    if side < 1e-6:
        raise NoFaceError("The landmarks fall together on one point.")
    centre = axes.T @ ((low + high) / 2) - up * side * down
    matrix = np.eye(3)
    matrix[:2, :2] = (axes if rotate else np.eye(2)) * (size / side)
    matrix[:2, 2] = size / 2 - matrix[:2, :2] @ centre
    return Crop(matrix, (size, size))


def square(box: npt.ArrayLike, size: int, scale: float = 1.0, angle: float = 0.0) -> Crop:
    """The square around a (4,) x0, y0, x1, y1 box: `scale` times its longer side, turned by `angle` radians, size x size pixels.

    Raises NoFaceError for a box without an area.
    """
    x0, y0, x1, y1 = np.asarray(box, np.float64)
    side = float(max(x1 - x0, y1 - y0)) * scale
    if not (np.isfinite(side) and min(x1 - x0, y1 - y0) > 0 and side > 0):
        raise NoFaceError(f"The face's box {x0:.0f}, {y0:.0f}, {x1:.0f}, {y1:.0f} has no area.")
    return Crop(
        geometry.rotated_square([(x0 + x1) / 2, (y0 + y1) / 2], side, angle, size), (size, size)
    )


def resized(where: Crop, size: int) -> Crop:
    """The same region of the frame at size pixels for its width (the height in proportion)."""
    width, height = where.size
    k = size / width
    scaling = np.array([[k, 0.0, (k - 1) / 2], [0.0, k, (k - 1) / 2], [0.0, 0.0, 1.0]])
    return Crop(scaling @ where.crop_from_frame, (size, max(round(height * k), 1)))


def _distinct(points: Array) -> None:
    if float(np.ptp(points, axis=0).max()) < 1e-6:
        raise NoFaceError("The landmarks fall together on one point.")
