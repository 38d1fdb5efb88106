"""Placement of patches in an image, and their sampling and compositing.

A patch is a small upright image of an eye or a mouth: its rows run along the line of the corners.
The eye on the image's right is mirrored, so that both eyes look like the left one.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import three_channels
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import EYES
from thcli.engines.mesh.opening import Region
from thcli.engines.mesh.sampling import largest, merge_positions

EYE_SIZE = (64, 48)
"""(width, height) of an eye's patch in pixels."""
EYE_SPAN = 2.0  # widths of an eye along its patch
EYE_MIDDLE = -0.05  # of a patch, widths below the line of the corners
# image pixels of a patch pixel above which an image has finer detail than a patch; change of a
# patch from which that detail is replaced, not kept
DETAIL_SCALE, REPLACED_CHANGE = 1.2, 60.0


@dataclass(frozen=True, slots=True)
class PatchFrame:
    """Placement of a patch.

    origin: (2,) image pixel of the centre of its top left pixel.  axes: (2, 2) image pixels, the
    steps of one patch pixel along and across.  unit: image pixels of one opening width.
    size: (width, height) of the patch.
    """

    origin: Array
    axes: Array
    unit: float
    size: tuple[int, int]

    def positions(self) -> Array32:
        """Compute the image position of every pixel, (height, width, 2) float32."""
        x, y = np.arange(self.size[0]), np.arange(self.size[1])[:, None]
        (x0, y0), (along, across) = self.origin, self.axes
        return merge_positions(
            np.asarray(x0 + x * along[0] + y * across[0], np.float32),
            np.asarray(y0 + x * along[1] + y * across[1], np.float32),
        )

    @property
    def image_from_patch(self) -> Array:
        """(3, 3) pixels to pixels."""
        out = np.eye(3)
        out[:2, :2], out[:2, 2] = self.axes.T, self.origin
        return out


def eye_frame(mesh: Array, side: int) -> PatchFrame:
    """Place the patch of an eye.

    Args:
        mesh: (468, 2+) pixels.
        side: 0 for the eye on the image's left, 1 for the other, which is mirrored.
    """
    eye = opening.fit_opening(mesh, EYES[side])
    axes = eye.axes * np.array([[1 - 2 * side], [1]])
    return place_patch(
        eye.corner + eye.axes[0] / 2 + EYE_MIDDLE * axes[1], axes, EYE_SPAN, EYE_SIZE
    )


def place_patch(middle: Array, axes: Array, span: float, size: tuple[int, int]) -> PatchFrame:
    """Place a patch around a point.

    Args:
        middle: (2,) pixels of the patch's middle.
        axes: (2, 2) pixels of one width, along and across.
        span: widths along the patch.
        size: (width, height) in pixels of the patch.
    """
    step = span / size[0]
    half = (np.array(size) - 1) / 2
    return PatchFrame(middle - step * (half @ axes), step * axes, float(np.hypot(*axes[0])), size)


def sample_patch(image: Image, frame: PatchFrame) -> Image:
    """Sample a patch from an image (H, W, 3) uint8, antialiased; the border is replicated."""
    fine = max(1, int(np.ceil(np.hypot(*frame.axes[0]) - 0.25)))
    patch_from_fine = np.diag([1 / fine, 1 / fine, 1.0])
    patch_from_fine[:2, 2] = 0.5 / fine - 0.5
    matrix = (frame.image_from_patch @ patch_from_fine)[:2]
    width, height = frame.size
    out = cv2.warpAffine(
        image,
        matrix,
        (fine * width, fine * height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if fine > 1:
        out = cv2.resize(out, frame.size, interpolation=cv2.INTER_AREA)
    return np.asarray(out, np.uint8)


def composite(out: Image, frame: PatchFrame, coarse: Image | None, change: Array32) -> None:
    """Add the change of a patch to an image, in place.

    Detail of the image that is finer than the patch stays where little changes.

    Args:
        out: (H, W, 3) uint8.
        frame: placement of the patch.
        coarse: (h, w, 3) uint8 patch of `out`, from `sample_patch`; None: all detail stays.
        change: (h, w, 3) float32, in 0..255, 0 along the patch's border.
    """
    amount = largest(change)
    replaced = np.zeros_like(amount)
    if coarse is not None and float(np.hypot(*frame.axes[0])) > DETAIL_SCALE:
        replaced = np.clip(
            cv2.GaussianBlur(amount, (0, 0), 1.0) / np.float32(REPLACED_CHANGE), 0, 1
        )
        change = change + coarse.astype(np.float32) * replaced[..., None]
    layers = cv2.merge([change, replaced])
    size = out.shape[1], out.shape[0]
    region = _region_of(frame, (amount > 0) | (replaced > 0), size)
    if region is None:
        return
    for _, (rows, columns) in opening.iterate_strips(region):
        image_from_strip = np.eye(3)
        image_from_strip[:2, 2] = columns.start, rows.start
        placed = cv2.warpAffine(
            layers,
            np.linalg.solve(frame.image_from_patch, image_from_strip)[:2],
            (columns.stop - columns.start, rows.stop - rows.start),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
        )
        view = out[rows, columns]
        kept = three_channels(np.asarray(1 - cv2.extractChannel(placed, 3), np.float32))
        shown = cv2.multiply(view, kept, dtype=cv2.CV_32F)
        view[:] = cv2.add(shown, cv2.cvtColor(placed, cv2.COLOR_RGBA2RGB), dtype=cv2.CV_8U)


def _region_of(
    frame: PatchFrame, shown: npt.NDArray[np.bool_], size: tuple[int, int]
) -> Region | None:
    """Return the part of an image (width, height) that the shown part (h, w) of a patch covers.

    None where nothing shows, or outside of the image.
    """
    x, y, width, height = cv2.boundingRect(shown.view(np.uint8))
    if not width:
        return None
    # up to the neighbours of the pixels that show
    places = np.array([[i, j] for j in (y - 1, y + height) for i in (x - 1, x + width)])
    corners = frame.origin + places @ frame.axes
    x0, y0 = np.maximum(np.floor(corners.min(0)).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(corners.max(0)).astype(int) + 1, size)
    return (slice(y0, y1), slice(x0, x1)) if x1 > x0 and y1 > y0 else None
