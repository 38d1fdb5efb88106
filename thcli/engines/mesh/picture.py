"""Motion of the whole person, and of the whole picture with the driver's camera."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.geometry import transform_points
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Image
from thcli.engines.mesh import compose
from thcli.engines.mesh.background.matte import MatteLayers
from thcli.engines.mesh.head.mirror_blend import ShownMirror
from thcli.engines.mesh.warp import WarpMap

STILL = 0.05  # pixels of motion below which the picture is unchanged
CUBIC_REACH = 3  # pixels around a position that it is sampled from, and one to spare
REDUCTION = 8  # of the picture whose edges are extended
BLUR = 0.06  # of the picture's height, standard deviation
FADE = 0.06  # of the picture's height, from its edge to where the extension is smooth


def move_picture(image: Image, image_from_still: Array) -> Image:
    """Move a picture (H, W, 3) uint8 by a (2, 3) affine matrix, extended beyond its edges.

    Beyond an edge its pixels are repeated, and grow smooth away from it.
    """
    height, width = image.shape[:2]
    corners = np.array([(0, 0, 1), (width, 0, 1), (0, height, 1), (width, height, 1)], np.float64)
    moved = corners @ image_from_still.T
    if np.abs(moved - corners[:, :2]).max() < STILL:
        return image
    out = cv2.warpAffine(
        image,
        image_from_still,
        (width, height),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    inside = (moved - corners[:, :2]) * np.sign(corners[:, :2] - [width / 2, height / 2])
    picture = np.asarray(out, np.uint8)
    return _extend(picture, image_from_still) if inside.min() < 0 else picture


def move_person(
    image: Image,
    layers: MatteLayers | None,
    warp_map: WarpMap,
    shift: Array,
    beside: ShownMirror | None = None,
) -> Image:
    """Move the person of a rendered picture (H, W, 3) uint8 over the background plate.

    Where the picture's edges cut the person off, it is mirrored. Without layers the whole picture
    moves.

    Args:
        image: the picture.
        layers: person and plate of the source.
        warp_map: with which the picture was rendered.
        shift: (2,) pixels.
        beside: what the picture shows of the source's mirror image.
    """
    image_from_still = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float64)
    if layers is None:
        return move_picture(image, image_from_still)
    height, width = image.shape[:2]
    alpha = compose.render_alpha(layers, warp_map)
    if beside is not None:
        beside.cover(alpha)
    person = _premultiply(image, alpha)
    out = np.array(layers.plate)
    x, y = (np.arange(side, dtype=np.float32) for side in (width, height))
    for first in range(0, height, compose.STRIP):
        rows = slice(first, min(first + compose.STRIP, height))
        columns = _shown_columns(alpha, rows, shift)
        positions = np.empty((rows.stop - first, columns.stop - columns.start, 2), np.float32)
        positions[..., 0] = x[columns] - shift[0]
        positions[..., 1] = (y[rows] - shift[1])[:, None]
        if positions.size:
            front = compose.sample_person(person, positions, cv2.INTER_CUBIC)
            out[rows, columns] = compose.lay_over(front, layers.plate[rows, columns])
    return out


def _premultiply(image: Image, alpha: Image) -> Image:
    """Return the pixels of a person (H, W, 4) of a picture and its alpha (H, W)."""
    out = np.zeros((*alpha.shape, 4), np.uint8)
    rows, columns = (np.flatnonzero(alpha.any(axis)) for axis in (1, 0))
    if len(rows):
        shown = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        weight = cv2.cvtColor(alpha[shown], cv2.COLOR_GRAY2RGB)
        colour = cv2.multiply(image[shown], weight, scale=1 / 255)
        out[shown] = cv2.merge([*cv2.split(colour), alpha[shown]])
    return out


def _shown_columns(alpha: Image, rows: slice, shift: Array) -> slice:
    """Return the columns in which some rows show a person (H, W) that moves by a shift.

    What lies as near to the picture's edges as that is mirrored beyond them.
    """
    height, width = alpha.shape
    top = int(np.floor(rows.start - shift[1])) - CUBIC_REACH
    bottom = int(np.ceil(rows.stop - shift[1])) + CUBIC_REACH
    low, high = max(min(top, 2 * height - 2 - bottom), 0), min(max(bottom, -top), height)
    shown = np.flatnonzero(alpha[low:high].any(0)) if high > low else np.arange(width)
    if not len(shown):
        return slice(0, 0)
    reach = int(np.ceil(abs(shift[0]))) + CUBIC_REACH
    return slice(max(int(shown[0]) - reach, 0), min(int(shown[-1]) + 1 + reach, width))


def move_points(points: Array, body: Array | None, camera: Array | None) -> None:
    """Move points (K, 3) as `move_person` and then `move_picture` move their pixels, in place.

    Args:
        points: pixels.
        body: (2,) pixels, None for no motion of the person.
        camera: (2, 3) image_from_still, None for a still picture.
    """
    if body is not None and np.abs(body).max() >= STILL:
        points[:, :2] += body
    if camera is not None:
        points[:, :2] = transform_points(camera, points[:, :2])


def _extend(image: Image, matrix: Array) -> Image:
    """Smooth what lies beyond the edges of a picture that was moved by `matrix`."""
    height, width = image.shape[:2]
    size = max(2, width // REDUCTION), max(2, height // REDUCTION)
    x, y = np.meshgrid(
        (np.arange(size[0]) + 0.5) * width / size[0], (np.arange(size[1]) + 0.5) * height / size[1]
    )
    linear = np.linalg.inv(matrix[:, :2])
    source = np.stack([x, y], -1) @ linear.T - linear @ matrix[:, 2]
    beyond = np.maximum(-source, source - (width - 1, height - 1)).max(-1)
    coarse = smoothstep(0.0, FADE * height, beyond).astype(np.float32)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), max(1.0, BLUR * height / REDUCTION))
    weight = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    smooth = cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(image + weight * (smooth.astype(np.float32) - image) + 0.5, np.uint8)
