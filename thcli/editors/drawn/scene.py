"""One crop ready to be drawn on: where its head stands, what lies before what, which pixels are of which region."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from thcli.core.geometry import fit_similarity
from thcli.core.types import Array, Array32, Image
from thcli.editors.drawn.appearance import ANCHORS, Look
from thcli.engines.mesh import raster
from thcli.engines.mesh.anatomy import TRIANGLES, Indices
from thcli.engines.mesh.raster import Grid
from thcli.faces.compositing.guided_filter import guided
from thcli.faces.parsing.classes import FACE, number, together

STEP = 2  # crop pixels to a sample of the depth map
_FIRM = np.where(
    np.isin(ANCHORS, [21, 54, 127, 162, 234, 284, 356, 389, 454]), 0.3, 1.0
)  # the outline slides over the head
_BRIDGE = np.isin(ANCHORS, [168, 6, 197, 8, 33, 133, 263, 362, 122, 351, 193, 417])
_BEFORE = tuple(number(name) for name in ("background", "hair", "hat", "cloth"))
_WINDOW, _EDGE = 4, 1e-3  # samples, and the variance of an edge, to which masks are brought
_DOUBT = (0.35, 0.75)  # probability between which something counts as standing before the face


@dataclass(frozen=True)
class Scene:
    """crop: (S, S, 3) uint8.  mesh: (468, 3) in its pixels.  regions: (19, S', S') probabilities.  look: the clip's."""

    crop: Image
    mesh: Array
    regions: Array32
    look: Look

    @property
    def side(self) -> int:
        return int(self.crop.shape[0])

    @cached_property
    def pose(self) -> tuple[float, Array, Array]:
        """scale, (3, 3) rotation, (3,) shift: canonical things of this very person -> pixels. It rests on the bridge of the nose."""
        own, here = self.look.anchors, self.mesh[ANCHORS]
        scale, rotation, _ = fit_similarity(own, here, _FIRM)
        shift = (here - scale * own @ rotation.T)[_BRIDGE].mean(0)
        return float(scale), rotation, shift

    def placed(self, points: Array) -> Array:
        """(..., 3) canonical -> pixels."""
        scale, rotation, shift = self.pose
        return np.asarray(scale * points @ rotation.T + shift)

    def region(self, *groups: int) -> Array32:
        """(S, S) how much each pixel is of some regions."""
        return self._shares(groups, (self.side, self.side))

    def _shares(self, groups: Iterable[int], size: tuple[int, int]) -> Array32:
        plane = together(self.regions, frozenset(groups))
        return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR), np.float32)

    @cached_property
    def ids(self) -> Indices:
        """(S / STEP, S / STEP) which triangle of the mesh lies foremost at each sample, -1 beyond the face."""
        count = -(-self.side // STEP)
        order = np.argsort(-self.mesh[TRIANGLES, 2].mean(1), kind="stable")
        return raster.paint(self.mesh, TRIANGLES, order, Grid(0, 0, STEP, count, count))

    @cached_property
    def depth(self) -> Array32:
        """(S / STEP, S / STEP) how near the face's surface is, pixels (negative towards the camera); infinite beyond it."""
        grid = Grid(0, 0, STEP, self.ids.shape[1], self.ids.shape[0])
        maps = raster.linear_maps(self.mesh, self.mesh[:, 2:], TRIANGLES)
        found = raster.sample(self.ids, maps, grid)[..., 0]
        found[self.ids < 0] = np.inf
        return found

    @cached_property
    def before(self) -> Array32:
        """(S, S) 0..1, where something else (hair, a hand) stands before the face."""
        inside = np.zeros((self.side // STEP, self.side // STEP), np.uint8)
        hull = cv2.convexHull(self.mesh[:, :2].astype(np.float32))[:, 0]
        cv2.fillConvexPoly(
            inside, np.rint(((hull + 0.5) / STEP - 0.5) * 16).astype(np.int32), 255, cv2.LINE_AA, 4
        )
        narrow = 2 * int(0.02 * np.ptp(self.mesh[:, 1]) / STEP) + 1
        inner = cv2.erode(inside, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (narrow, narrow)))
        soft = cv2.GaussianBlur(inner, (0, 0), narrow / 3).astype(np.float32) / np.float32(255)
        other = self._shares(_BEFORE, inside.shape[::-1])
        x0, y0, x1, y1 = cv2.boundingRect(inside) @ np.array(
            [[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]]
        )
        part = (slice(y0, y1), slice(x0, x1))
        if (
            float((other[part] * soft[part]).max(initial=0)) > _DOUBT[0]
        ):  # strands have edges finer than a parser's
            guide = cv2.resize(self.crop, inside.shape[::-1], interpolation=cv2.INTER_AREA)[part]
            other[part] = guided(
                guide.astype(np.float32) / np.float32(255), other[part], _WINDOW, _EDGE
            )
        low, high = _DOUBT
        hidden = np.clip((other - np.float32(low)) / np.float32(high - low), 0, 1) * soft
        return np.asarray(
            cv2.resize(hidden, (self.side, self.side), interpolation=cv2.INTER_LINEAR), np.float32
        )

    @cached_property
    def face(self) -> Array32:
        """(S, S) how much each pixel is of the face itself."""
        return self.region(*FACE)
