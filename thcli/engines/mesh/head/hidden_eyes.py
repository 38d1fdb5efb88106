"""Skin that lies before an eye of a turned head: the nose hides a part of the far one."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import anatomy, opening
from thcli.engines.mesh.background.windows import iterate_windows
from thcli.engines.mesh.head.outline import sine_of_yaw
from thcli.engines.mesh.opening import Region
from thcli.engines.mesh.sampling import box_mean, polygon_mask
from thcli.engines.mesh.warp import WarpMap

AROUND = 0.5  # widths of an eye around it in which skin is kept
LEAST_TURN = 0.3  # sine of a head's yaw up to which its nose covers no eye
EDGE = 3  # samples of the warp map over which the skin ends
NEAR = 9  # samples around what covers an eye in which skin is kept
COVERED = (2, 14)  # samples of an eye that are covered: none, and surely some
Flags = npt.NDArray[np.bool_]
_BESIDE = [np.append(np.isin(anatomy.TRIANGLES, ring).any(1), False) for ring in anatomy.EYES]


@dataclass(frozen=True, slots=True)
class Skin:
    """Skin before an eye: its pixels (h, w, 3) uint8 in a region, and their share (h, w) 0..1."""

    region: Region
    pixels: Image
    share: Array32

    def cover(self, out: Image) -> None:
        """Lay the skin over what was drawn of the eye, in place."""
        opening.blend(out, self.region, self.share, self.pixels)


def find(out: Image, target: Array, warp_map: WarpMap) -> list[Skin]:
    """Keep the skin that a frame shows before its eyes.

    Eyes are layers of their own, which know nothing of what is before them.

    Args:
        out: (H, W, 3) uint8 frame without its eyes.
        target: (468, 3) target mesh.
        warp_map: the frame's map.
    """
    if abs(sine_of_yaw(target)) < LEAST_TURN:
        return []
    found, faces_us = [], ~anatomy.turned_away(target)
    faces_us[: anatomy.HOLE_TRIANGLE_COUNT] = False
    is_skin = np.append(faces_us, False)  # the last one for no triangle
    for ring, beside in zip(anatomy.EYES, _BESIDE, strict=True):
        found += _find_before(out, target[ring, :2], (is_skin, is_skin & ~beside), warp_map)
    return found


def _find_before(
    out: Image, rims: Array, triangles: tuple[Flags, Flags], warp_map: WarpMap
) -> list[Skin]:
    """Keep the skin before an eye.

    Args:
        out: (H, W, 3) uint8 frame without its eyes.
        rims: (16, 2) pixels of the eye.
        triangles: (K + 1,) that are skin, and those of them that are no lid of the eye.
        warp_map: the frame's map.
    """
    face = warp_map.face
    reach = AROUND * float(np.hypot(*np.ptp(rims, axis=0)))
    corners = face.to_samples(np.stack([rims.min(0) - reach, rims.max(0) + reach]))
    size = face.columns, face.rows
    left, top = np.floor(corners[0]).clip(1, size).astype(int) - 1
    right, bottom = np.ceil(corners[1]).clip(0, size).astype(int)
    if min(right - left, bottom - top) < EDGE:
        return []
    rows, columns = slice(top, bottom), slice(left, right)
    skin, covers = (kind[warp_map.ids[rows, columns]] for kind in triangles)
    eye = polygon_mask(face.to_samples(rims) - (left, top), (right - left, bottom - top))
    before = (covers & eye).astype(np.float32)
    covered = float(smoothstep(*COVERED, before.sum()))
    if not covered:
        return []
    near = cv2.dilate(before, np.ones((NEAR, NEAR)))
    share = box_mean(np.asarray(near * skin, np.float32), EDGE)
    share *= np.float32(covered)
    share[[0, -1]] = share[:, [0, -1]] = 0
    windows = iterate_windows(share, share, face.part(rows, columns), (out.shape[1], out.shape[0]))
    return [Skin(region, out[region].copy(), values) for region, values in windows]
