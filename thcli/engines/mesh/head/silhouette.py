"""Outline of a turned face where its surface turns away from us, before what is far behind it."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.anatomy import Indices
from thcli.engines.mesh.sampling import box_mean
from thcli.faces.landmarks.topology import OVAL

TURNED = (0.25, 0.55)  # area of a triangle over the source's: it has turned away, and has not
EDGE = 5  # samples over which the edge of such a surface is soft
_AT_BORDER = np.isin(anatomy.TRIANGLES, OVAL).any(1)


def find_silhouette(source: Array, target: Array, ids: Indices, reach: int) -> Array32:
    """Find where a face ends because its surface has turned away from us, up to its last samples.

    Elsewhere its outline is but a line on the skin, along which mesh and surroundings are blended,
    or what the source shows at its own outline: a shadow, or hair.

    Args:
        source, target: (468, 3) meshes.
        ids: (rows, columns) triangles of the target, -1 outside.
        reach: samples beside such a surface that belong to it.

    Returns:
        (rows, columns) float32 in 0..1, of what faces us: 1/3 at a straight edge, 0 beyond.
    """
    own = np.maximum(np.abs(anatomy.doubled_areas(source)), 1e-6)
    seen = anatomy.doubled_areas(target) * anatomy.FRONTAL_SIGNS / own
    enlarged = target.var(0).sum() / max(float(source.var(0).sum()), 1e-6)
    away = 1 - smoothstep(*TURNED, seen / max(float(enlarged), 1e-6))
    away[: anatomy.HOLE_TRIANGLE_COUNT] = 0  # these close and open
    # the last one for no triangle
    turned = np.append(away, 0).astype(np.float32).take(ids)
    facing = np.append((seen > 0) & ~_AT_BORDER, False).astype(np.float32).take(ids)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    turned = box_mean(np.asarray(cv2.dilate(turned, disc), np.float32), 2 * reach + 1)
    inside = box_mean(facing, EDGE) * np.float32(EDGE / 3) - np.float32(2 / 3)
    return np.asarray(turned * np.maximum(inside, 0), np.float32)
