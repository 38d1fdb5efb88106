"""Crop with the geometry and regions that drawing needs: head pose, depth, occlusion."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from thcli.core.geometry import fit_similarity
from thcli.core.types import Array, Array32, Image
from thcli.editors.drawn.appearance import ANCHORS, Appearance
from thcli.engines.mesh import raster
from thcli.engines.mesh.anatomy import TRIANGLES, Indices
from thcli.engines.mesh.raster import SampleGrid
from thcli.faces.compositing.guided_filter import guided_filter
from thcli.faces.parsing.classes import FACE, class_number, group_probability

STEP = 2  # crop pixels per sample of the depth map
_OUTLINE = np.isin(ANCHORS, [21, 54, 127, 162, 234, 284, 356, 389, 454])
_ANCHOR_WEIGHTS = np.where(_OUTLINE, 0.3, 1.0)  # outline points slide over a turning head
_BRIDGE = np.isin(ANCHORS, [168, 6, 197, 8, 33, 133, 263, 362, 122, 351, 193, 417])
_OCCLUDING = tuple(class_number(name) for name in ("background", "hair", "hat", "cloth"))
_OUTLINE_RIM = 0.02  # heights of the face from its outline in which nothing occludes it
_WINDOW, _EDGE = 4, 1e-3  # guided filter: radius in samples, variance of an edge
_UNSURE = (0.35, 0.75)  # probability range over which a pixel becomes an occlusion


@dataclass(frozen=True)
class Scene:
    """One crop to draw on.

    crop: (S, S, 3) uint8.
    mesh: (468, 3), pixels of the crop.
    regions: (19, S', S') probabilities.
    appearance: of the clip.
    """

    crop: Image
    mesh: Array
    regions: Array32
    appearance: Appearance

    @property
    def side(self) -> int:
        """Return the side of the crop, pixels."""
        return int(self.crop.shape[0])

    @cached_property
    def pose(self) -> tuple[float, Array, Array]:
        """Return scale, (3, 3) rotation and (3,) shift from the person's canonical space to pixels.

        The shift is fitted to the bridge of the nose.
        """
        canonical, observed = self.appearance.anchors, self.mesh[ANCHORS]
        scale, rotation, _ = fit_similarity(canonical, observed, _ANCHOR_WEIGHTS)
        shift = (observed - scale * canonical @ rotation.T)[_BRIDGE].mean(0)
        return float(scale), rotation, shift

    def to_pixels(self, points: Array) -> Array:
        """Map canonical points (..., 3) to pixels."""
        scale, rotation, shift = self.pose
        return np.asarray(scale * points @ rotation.T + shift)

    def region_mask(self, *groups: int) -> Array32:
        """Return (S, S) 0..1, probability of the given regions."""
        return self._probability(groups, (self.side, self.side))

    def _probability(self, groups: Iterable[int], size: tuple[int, int]) -> Array32:
        plane = group_probability(self.regions, frozenset(groups))
        return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR), np.float32)

    @cached_property
    def ids(self) -> Indices:
        """Return (S / STEP, S / STEP), index of the nearest triangle at each sample, -1 outside."""
        count = -(-self.side // STEP)
        order = np.argsort(-self.mesh[TRIANGLES, 2].mean(1), kind="stable")
        return raster.rasterize(self.mesh, TRIANGLES, order, SampleGrid(0, 0, STEP, count, count))

    @cached_property
    def depth(self) -> Array32:
        """Return (S / STEP, S / STEP) depth of the face's surface in pixels; infinite outside.

        Depth is negative towards the camera.
        """
        grid = SampleGrid(0, 0, STEP, self.ids.shape[1], self.ids.shape[0])
        maps = raster.linear_maps(self.mesh, self.mesh[:, 2:], TRIANGLES)
        found = raster.sample_maps(self.ids, maps, grid)[..., 0]
        found[self.ids < 0] = np.inf
        return found

    def inside(self, rim: float) -> Array32:
        """Return (S, S) 0..1: 1 inside the mesh's outline, 0 at it and outside.

        rim: width of what counts as outside, in heights of the face.
        """
        size = (self.side, self.side)
        soft, _ = self._inside(rim)
        return np.asarray(cv2.resize(soft, size, interpolation=cv2.INTER_LINEAR), np.float32)

    def _inside(self, rim: float) -> tuple[Array32, tuple[int, int, int, int]]:
        """Return `inside` as (S / STEP, S / STEP), and the outline's bounding box x, y, w, h."""
        inside = np.zeros((self.side // STEP, self.side // STEP), np.uint8)
        hull = cv2.convexHull(self.mesh[:, :2].astype(np.float32))[:, 0]
        corners = np.rint(((hull + 0.5) / STEP - 0.5) * 16).astype(np.int32)
        cv2.fillConvexPoly(inside, corners, 255, cv2.LINE_AA, 4)
        narrow = 2 * int(rim * np.ptp(self.mesh[:, 1]) / STEP) + 1
        inner = cv2.erode(inside, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (narrow, narrow)))
        soft = cv2.GaussianBlur(inner, (0, 0), narrow / 3).astype(np.float32) / np.float32(255)
        x0, y0, width, height = cv2.boundingRect(inside)
        return np.asarray(soft, np.float32), (x0, y0, width, height)

    @cached_property
    def occlusion(self) -> Array32:
        """Return (S, S) 0..1, where hair or an object occludes the face."""
        soft, (x0, y0, width, height) = self._inside(_OUTLINE_RIM)
        other = self._probability(_OCCLUDING, soft.shape[::-1])
        part = (slice(y0, y0 + height), slice(x0, x0 + width))
        low, high = _UNSURE
        if float((other[part] * soft[part]).max(initial=0)) > low:
            # Strands of hair have finer edges than the parser's regions.
            guide = cv2.resize(self.crop, soft.shape[::-1], interpolation=cv2.INTER_AREA)[part]
            guide = guide.astype(np.float32) / np.float32(255)
            other[part] = guided_filter(guide, other[part], _WINDOW, _EDGE)
        hidden = np.clip((other - np.float32(low)) / np.float32(high - low), 0, 1) * soft
        size = (self.side, self.side)
        return np.asarray(cv2.resize(hidden, size, interpolation=cv2.INTER_LINEAR), np.float32)

    @cached_property
    def face_mask(self) -> Array32:
        """Return (S, S) 0..1, probability of the face's own regions."""
        return self.region_mask(*FACE)
