"""Folds beside the mouth that a source's own smile draws, evened out as the smile relaxes.

In a picture of a laugh they are dark lines, and steps from cheek to lip, that a mouth at rest does
not have: around a mouth that grows small they would be a muzzle. What a band along them differs by
from the skin on both sides is measured once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import raster
from thcli.engines.mesh.anatomy import TRIANGLES
from thcli.engines.mesh.background.windows import iterate_windows
from thcli.engines.mesh.head.flat_face import FlatFace
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import largest, pair, remap, resize
from thcli.engines.mesh.shown_positions import positions_on
from thcli.engines.mesh.warp import WarpMap
from thcli.faces.landmarks import topology
from thcli.faces.landmarks.surface import inward_normals
from thcli.motion.canonical import neutral

SIDE, UNIT = 336, 270  # pixels of the field; of them to a canonical unit
TOP = 0.2  # canonical units above the field
# Pairs of mesh points that folds run between, from the wings of the nose to below the mouth
FOLDS = (
    ((129, 98), (203, 165), (206, 92), (216, 186), (212, 57), (202, 43)),
    ((358, 327), (423, 391), (426, 322), (436, 410), (432, 287), (422, 273)),
)
WIDTH = (0.08, 0.17)  # canonical units beside them over which the band fades
BESIDE_LIPS = (0.015, 0.05)  # canonical units from the lips over which it begins
NOSE, BESIDE_NOSE = (129, 358, 98, 327, 2, 48, 278, 64, 294, 195), (0.015, 0.06)
# Mesh points around which `corner_shades` evens, and canonical units beside them as above
CORNERS, BESIDE_CORNERS = (61, 291), (0.045, 0.105)
LIPS_MARGIN = 0.03  # canonical units around the lips that are no skin
FILL_BLUR, GRAIN = 0.12, 0.006  # canonical units: of the skin beside the band; of its grain
PORES = 0.02  # log brightness of the skin's own detail, which stays
FILL_STEP = 6  # pixels of the field for each one in which the former is computed
BLACK = 6.0  # added to 8-bit colours, so that dark noise has no large logarithm
# Change of log brightness over which it is no fold's, in the mean of the canonical units of a line;
# and by how much more its core may change
DEEP, LINE, CORE = (0.9, 1.4), 0.03, 0.5
SMILES = (0.5, 0.8)  # level of a source's smile over which its folds count as a smile's
# Mesh points where beards grow, and log brightness below the cheeks' over which one is there
MOUSTACHE, MOUSTACHE_RANGE = (164, 167, 393, 165, 391, 92, 322), (0.4, 0.7)
CHIN, CHIN_RANGE = (18, 200, 201, 421, 83, 313, 106, 335), (0.3, 0.5)
# Log brightness over that of bare skin: of hair or a dark outline, and of skin
HAIR_RANGE = (-1.0, -0.5)
BARE = (50, 280, 101, 330, 36, 266, 205, 425, 151, 9)
# Cosine to the view of skin whose folds can be told: a far cheek's outline hides what is behind it
FACING_RANGE = (0.2, 0.45)
LEAST = 0.004  # share of the brightness that can be seen


@dataclass(frozen=True, slots=True)
class OwnFolds:
    """Folds of a smile.

    even: (h, w, 3) float32, share of its brightness that evens each pixel of the source out; 0 at
    the edges.  corner: (2,) x, y of its first pixel in the source.
    """

    even: Array32
    corner: Array32


@dataclass(frozen=True, slots=True)
class Shade:
    """Shade of a relaxed smile.

    field: (h, w, 3) float32, log brightness.  places: (468, 2) its pixels at the mesh points.
    shown: (468,) how far it shows there.
    """

    field: Array32
    places: Array
    shown: Array


@cache
def places() -> Array:
    """Return the pixels of the mesh points in the field, (468, 2)."""
    return np.asarray(neutral()[:, :2] * UNIT + (SIDE / 2, -TOP * UNIT))


@cache
def _flat() -> FlatFace:
    return FlatFace.of(places(), (SIDE, SIDE), TRIANGLES)


def _distance(drawn: Image) -> Array32:
    """Return the distance in canonical units to what is 0 in (SIDE, SIDE) uint8."""
    return np.asarray(cv2.distanceTransform(drawn, cv2.DIST_L2, 5) / UNIT, np.float32)


@cache
def _masks() -> tuple[Array32, Array32]:
    """Return where folds lie, and where skin beside them is, two (SIDE, SIDE) in 0..1."""
    lines, lips, nose, corners = np.ones((4, SIDE, SIDE), np.uint8)
    for fold in FOLDS:
        along = places()[np.array(fold)].mean(1)
        cv2.polylines(lines, [np.rint(along).astype(np.int32)], False, 0)
    cv2.fillPoly(lips, [np.rint(places()[topology.LIPS_OUTER]).astype(np.int32)], 0)
    from_lips, inside = _distance(lips), (_flat().ids >= 0).astype(np.float32)
    hull = cv2.convexHull(np.rint(places()[list(NOSE)]).astype(np.int32))
    cv2.fillConvexPoly(nose, hull, 0)
    band = (1 - smoothstep(*WIDTH, _distance(lines))) * smoothstep(*BESIDE_LIPS, from_lips)
    band *= smoothstep(*BESIDE_NOSE, _distance(nose))
    for x, y in np.rint(places()[list(CORNERS)]).astype(int):
        corners[y, x] = 0
    band *= smoothstep(*BESIDE_CORNERS, _distance(corners))
    beside = (1 - band) * (from_lips > LIPS_MARGIN) * nose
    return np.asarray(band, np.float32) * inside, np.asarray(beside, np.float32) * inside


def prepare(image: Image, mesh: Array, smile: float, skin: Array, shade: Shade) -> OwnFolds | None:
    """Measure the folds of a source.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        smile: its level, see `smiles.levels`.
        skin: (468,) how far a mesh point is skin of a photograph, 0..1.
        shade: that relaxing gives the skin without this.

    Returns:
        None where the source does not smile, or wears a beard.
    """
    strength = float(smoothstep(*SMILES, smile))
    if strength == 0:
        return None
    told = skin * smoothstep(*FACING_RANGE, inward_normals(mesh)[:, 2])
    samples = _flat().unwrap(np.c_[mesh[:, :2], shade.places, shade.shown, told])
    logs = np.log(remap(image, samples[..., :2].copy()).astype(np.float32) + np.float32(BLACK))
    strength *= _bare(logs.mean(-1))
    if strength == 0:
        return None
    shaded = remap(shade.field, samples[..., 2:4].copy()) * samples[..., 4:5]
    soft = _blur(logs, GRAIN)
    shaded += logs - np.clip(logs - soft, -PORES, PORES)
    band, beside = _masks()
    bright = soft.mean(-1)
    dark = bright - float(np.median(_at_points(bright)[list(BARE)]))
    beside = beside * samples[..., 5] * smoothstep(*HAIR_RANGE, dark)
    small = SIDE // FILL_STEP, SIDE // FILL_STEP
    parts = np.dstack([shaded * beside[..., None], beside]).astype(np.float32)
    filled = resize(_blur(resize(parts, small, shrink=True), FILL_BLUR / FILL_STEP), (SIDE, SIDE))
    change = filled[..., :3] / (filled[..., 3:] + np.float32(1e-3)) - shaded
    darker = np.abs(change.mean(-1))
    depth = np.maximum(_blur(darker, LINE), darker - np.float32(CORE))
    weight = band * samples[..., 5] * (1 - smoothstep(*DEEP, depth)) * strength
    return _in_source(np.asarray(change * weight[..., None], np.float32), mesh)


def _in_source(even: Array32, mesh: Array) -> OwnFolds:
    """Bring the field into the pixels of the source, in which what it evens out is sampled."""
    around = mesh[np.unique(FOLDS), :2]
    low, high = around.min(0), around.max(0)
    margin = 0.5 * float((high - low).max())
    grid = SampleGrid.covering(low - margin, high + margin, 1, 0)
    ids = raster.rasterize(mesh, TRIANGLES, np.argsort(-mesh[TRIANGLES, 2].mean(1)), grid)
    maps = raster.linear_maps(mesh, places(), TRIANGLES)
    shown = remap(even, raster.sample_maps(ids, maps, grid)) * (ids >= 0)[..., None]
    return OwnFolds(np.expm1(shown.astype(np.float32)), np.array([grid.x0, grid.y0], np.float32))


def _bare(bright: Array32) -> float:
    """Return whether lip and chin are as bright as the cheeks in the field's log, 0..1."""
    levels = _at_points(_blur(bright, 2 * GRAIN))
    bare = 1.0
    for points, limits in ((MOUSTACHE, MOUSTACHE_RANGE), (CHIN, CHIN_RANGE)):
        darker = np.median(levels[list(BARE)]) - np.median(levels[list(points)])
        bare *= 1 - float(smoothstep(*limits, darker))
    return bare


def _at_points(values: Array32) -> Array32:
    """Return values (SIDE, SIDE) at the mesh points, (468,)."""
    x, y = np.clip(np.rint(places()).astype(int).T, 0, SIDE - 1)
    return np.asarray(values[y, x])


def _blur(values: Array32, deviation: float) -> Array32:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), deviation * UNIT), np.float32)


def render(out: Image, folds: OwnFolds, relaxed: float, warp_map: WarpMap) -> None:
    """Even folds out in a frame, in place.

    Args:
        out: (H, W, 3) uint8 frame.
        folds: of the source.
        relaxed: how far its smile is gone, 0..1.
        warp_map: the frame's map.
    """
    face = warp_map.face
    at = positions_on(face, warp_map) - folds.corner
    weight = np.float32(relaxed) * warp_map.mesh_weight
    changes = (largest(remap(folds.even, at)) * weight > LEAST).astype(np.float32)
    size = out.shape[1], out.shape[0]
    for region, pixels in iterate_windows(np.dstack([at, weight]), changes, face, size):
        even = remap(folds.even, pair(pixels)) * pixels[..., 2:] + np.float32(1)
        out[region] = cv2.multiply(out[region], even, dtype=cv2.CV_8U)
