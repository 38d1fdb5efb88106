"""Motion of the whole person, and of the whole picture with the driver's camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.geometry import transform_points
from thcli.core.imaging import lay_over
from thcli.core.types import Array, Image
from thcli.engines.mesh import compose
from thcli.engines.mesh.background import shifting
from thcli.engines.mesh.background.extension import extend
from thcli.engines.mesh.background.matte import MatteLayers
from thcli.engines.mesh.warp import WarpMap

# Longer side of a picture, above which its person moves by whole pixels, and the camera bilinearly
WHOLE_PIXELS = 2560
STILL = 0.05  # pixels of motion below which the picture is unchanged


def move_picture(image: Image, image_from_still: Array) -> Image:
    """Move a picture (H, W, 3) uint8 by a (2, 3) affine matrix, extended beyond its edges."""
    height, width = image.shape[:2]
    corners = np.array([(0, 0, 1), (width, 0, 1), (0, height, 1), (width, height, 1)], np.float64)
    moved = corners @ image_from_still.T
    if np.abs(moved - corners[:, :2]).max() < STILL:
        return image
    out = _sample_moved(image, image_from_still)
    inside = (moved - corners[:, :2]) * np.sign(corners[:, :2] - [width / 2, height / 2])
    if inside.min() < 0:
        extend(out, image, image_from_still)
    return out


def _sample_moved(image: Image, image_from_still: Array) -> Image:
    """Return a picture (H, W, 3), moved by a (2, 3) matrix, with its edges repeated.

    Its colours are sampled bilinearly, which is several times as fast, and its brightness with a
    cubic, which keeps it sharp. A large picture is rarely sharp to the pixel and goes without that.
    """
    size, edges = image.shape[1::-1], cv2.BORDER_REPLICATE
    padded = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)  # four channels take less than three
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if max(size) <= WHOLE_PIXELS else None
    if grey is not None:
        cv2.insertChannel(grey, padded, 3)
    moved = cv2.warpAffine(padded, image_from_still, size, borderMode=edges)
    out = np.asarray(cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB), np.uint8)
    if grey is not None:
        light, cubic = grey.astype(np.float32), cv2.INTER_CUBIC
        light = np.asarray(
            cv2.warpAffine(light, image_from_still, size, None, cubic, edges), np.float32
        )
        sharp = cv2.convertScaleAbs(np.maximum(light, 0, out=light))
        soft = cv2.extractChannel(moved, 3)
        for change, take in ((cv2.add, (sharp, soft)), (cv2.subtract, (soft, sharp))):
            change(out, cv2.cvtColor(cv2.subtract(*take), cv2.COLOR_GRAY2RGB), out)
    return out


@dataclass(frozen=True, slots=True)
class MovingPerson:
    """Person of a rendered picture who moves over a plate.

    plate: (H, W, 3) uint8 background.  alpha: (H, W) uint8 of the person in the picture; what
    renders the picture writes on it.  turned: (H, W) uint8, how far pixels show another part of the
    source by themselves; None where that makes no difference.
    """

    plate: Image
    alpha: Image
    turned: Image | None = None


def whole_move(layers: MatteLayers | None, shift: Array | None) -> tuple[int, int] | None:
    """Return a shift (2,) of a large picture's person as (x, y) whole pixels.

    That moves the frame's map: nothing is sampled twice, and encoders find pixels again as they
    were. None for a smaller picture, one that is cut out, and without layers or shift.
    """
    if layers is None or layers.cut or shift is None or max(layers.plate.shape) <= WHOLE_PIXELS:
        return None
    x, y = np.rint(shift).astype(int).tolist()
    return x, y


def person_to_move(
    layers: MatteLayers | None, shift: Array | None, warp_map: WarpMap
) -> MovingPerson | None:
    """Return a source's person, with a copy of its alpha, who moves by a shift (2,) after a map.

    None where nothing moves, and the person is not cut out, or without layers.
    """
    if layers is None or (not layers.cut and (shift is None or _is_still(shift))):
        return None
    alpha = np.asarray(cv2.extractChannel(layers.person, 3), np.uint8)
    turned = None
    if not layers.cut and shift is not None and compose.moved_share(shift, alpha) < 1:
        turned = compose.moved_pixels(warp_map, alpha)
    return MovingPerson(layers.plate, alpha, turned)


def _is_still(shift: Array) -> bool:
    return float(np.abs(shift).max()) < STILL


def move_person(image: Image, person: MovingPerson | None, shift: Array | None) -> Image:
    """Move the person of a rendered picture (H, W, 3) uint8 over the background plate.

    Where the picture's edges cut the person off, it is mirrored. Without a person the whole
    picture moves.

    Args:
        image: the picture.
        person: of the picture, from `person_to_move`.
        shift: (2,) pixels, or None for a still one.
    """
    if shift is None or _is_still(shift):
        return image
    if person is None:
        return move_picture(image, np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float64))
    return shifting.shift_person(image, person.plate, person.alpha, shift, person.turned)


def finish_cut_out(image: Image, alpha: Image, layers: MatteLayers, shift: Array | None) -> Image:
    """Move the person of a rendered picture that is cut out, and lay it over other persons.

    Args:
        image: (H, W, 3) uint8 premultiplied person.
        alpha: (H, W) uint8 of it.
        layers: of the source.
        shift: (2,) pixels, or None for a still one.

    Returns:
        (H, W, 4) uint8, premultiplied colour and alpha.
    """
    person = np.asarray(cv2.merge([*cv2.split(image), alpha]), np.uint8)
    if shift is not None and not _is_still(shift):
        is_large = max(alpha.shape) > WHOLE_PIXELS
        person = shifting.shift_cut_out(person, np.rint(shift) if is_large else shift)
    if layers.strangers is None:
        return person
    return lay_over(person, person[..., 3], layers.strangers)


def move_points(points: Array, body: Array | None, camera: Array | None) -> None:
    """Move points (K, 3) as `move_person` and then `move_picture` move their pixels, in place.

    Args:
        points: pixels.
        body: (2,) pixels, None for no motion of the person.
        camera: (2, 3) image_from_still, None for a still picture.
    """
    if body is not None and not _is_still(body):
        points[:, :2] += body
    if camera is not None:
        points[:, :2] = transform_points(camera, points[:, :2])
