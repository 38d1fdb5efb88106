"""Flat map of a face, which a frame's face is unwrapped to by its mesh."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core import geometry
from thcli.core.imaging import to_uint8
from thcli.core.types import Array, Array32, Crop, Image
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop
from thcli.faces.landmarks.topology import EYE_TRIANGLES, FRONT_SIGNS, MOUTH_TRIANGLES, TRIANGLES

UV_SIDE = 96  # cells across the UV map
_SOURCE_SIDE = 192  # side of the crop that a face is unwrapped from: about a pixel per cell
_CROP_SCALE = 2.0  # side of that crop over the mesh's
_MIN_FORESHORTENING = 0.25  # of its frontal area: a triangle below faces away

Pixels = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class UvMap:
    """Flat map of the face, UV_SIDE x UV_SIDE cells.

    frontal_mesh: (468, 2+) a face seen from the front, in any unit; its outline is the map's.
    """

    frontal_mesh: Array

    @cached_property
    def points(self) -> Array:
        """Mesh points in cells of the map, (468, 2)."""
        flat = self.frontal_mesh[:, :2]
        low, high = flat.min(0), flat.max(0)
        scale = (UV_SIDE - 3) / float((high - low).max())
        return np.asarray((flat - (low + high) / 2) * scale + (UV_SIDE - 1) / 2)

    @cached_property
    def _cells(self) -> tuple[npt.NDArray[np.intp], Array32, npt.NDArray[np.intp], Flags]:
        """Triangles of the map's n cells on the face.

        Corner points (n, 3), barycentric weights (n, 3), triangle (n,), and the cells that the face
        covers (UV_SIDE, UV_SIDE).
        """
        triangles = np.concatenate([TRIANGLES, EYE_TRIANGLES, MOUTH_TRIANGLES])
        number = np.full((UV_SIDE, UV_SIDE), -1, np.int32)
        for index, triangle in enumerate(triangles):
            # In sixteenths of a cell, for edges between cells.
            corners = np.rint(self.points[triangle] * 16).astype(np.int32)
            cv2.fillConvexPoly(number, corners, index, shift=4)
        inside = number >= 0
        y, x = np.nonzero(inside)
        which = number[inside]
        a, b, c = (self.points[triangles[which, i]] for i in range(3))
        full = _cross(b - a, c - a)
        full = np.where(np.abs(full) < 1e-9, 1e-9, full)
        at = np.stack([x, y], -1)
        second, third = _cross(at - a, c - a) / full, _cross(b - a, at - a) / full
        weights = np.clip(np.stack([1 - second - third, second, third], -1), -0.5, 1.5)
        corners_of = triangles[which].astype(np.intp)
        return corners_of, weights.astype(np.float32), which.astype(np.intp), inside

    @property
    def inside(self) -> Flags:
        """Cells that a face covers, (UV_SIDE, UV_SIDE)."""
        return self._cells[3]

    def unwrap(self, image: Pixels, mesh: npt.ArrayLike) -> FaceTexture:
        """Unwrap the face of an image, (H, W, 3) uint8 or uint16; mesh: (468, 2+) pixels."""
        points = np.asarray(mesh, np.float64)
        placement = align.square(geometry.bounding_box(points), _SOURCE_SIDE, _CROP_SCALE)
        source = to_uint8(crop(image, placement))
        flat = geometry.transform_points(placement.crop_from_frame, points[:, :2])
        corners, weights, which, inside = self._cells
        positions = np.zeros((UV_SIDE, UV_SIDE, 2), np.float32)
        positions[inside] = np.einsum("nk,nkd->nd", weights, flat[corners]).astype(np.float32)
        x, y = positions[..., 0], positions[..., 1]
        texture = cv2.remap(source, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        visible = np.zeros((UV_SIDE, UV_SIDE), bool)
        visible[inside] = self._faces_camera(flat)[which]
        edge = np.array(image.shape[1::-1]) - 0.5
        within = np.logical_and(points[:, :2] > -0.5, points[:, :2] < edge).all(axis=1)
        visible[inside] &= np.asarray(within)[corners].all(1)
        return FaceTexture(np.asarray(texture, np.uint8), visible)

    def _faces_camera(self, flat: Array) -> Flags:
        """Return True for triangles that face the camera; flat: (468, 2)."""
        triangles = np.concatenate([TRIANGLES, EYE_TRIANGLES, MOUTH_TRIANGLES])
        signs = np.concatenate([FRONT_SIGNS, np.zeros(len(triangles) - len(FRONT_SIGNS), np.int32)])
        first, second, third = triangles.T
        area, frontal = (
            _cross(p[second] - p[first], p[third] - p[first]) for p in (flat, self.points)
        )
        ratio = area / np.where(np.abs(frontal) < 1e-9, 1e-9, frontal)
        ratio /= max(float(np.median(ratio)), 1e-9)
        # Sign 0: eyes and mouth, which may close.
        return np.asarray((ratio > _MIN_FORESHORTENING) | (signs == 0))

    def project(self, mask: Array32, mesh: npt.ArrayLike, placement: Crop) -> Array32:
        """Project a mask of the map to the face in a crop, (height, width), 0 beyond the face.

        Args:
            mask: (UV_SIDE, UV_SIDE).
            mesh: (468, 2+) pixels of the frame.
            placement: of the crop.
        """
        points = np.asarray(mesh, np.float64)[:, :2]
        flat = geometry.transform_points(placement.crop_from_frame, points)
        # Forward: cells are added to the pixels under them, in the order of the mesh.
        corners, weights, _, inside = self._cells
        at = np.einsum("nk,nkd->nd", weights, flat[corners])
        scale = float(np.ptp(flat, 0).max()) / UV_SIDE  # crop pixels a cell
        step = max(scale, 1.0)
        width, height = (max(int(np.ceil(n / step)), 1) for n in placement.size)
        x, y = (np.rint((at + 0.5) / step - 0.5).astype(int)).T
        fits = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        total, count = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
        np.add.at(total, (y[fits], x[fits]), mask[inside][fits])
        np.add.at(count, (y[fits], x[fits]), 1.0)
        local_total, local_count = (
            np.asarray(cv2.GaussianBlur(p, (0, 0), 0.8), np.float32) for p in (total, count)
        )
        mean = local_total / np.maximum(local_count, 1e-6)
        coarse = np.where(local_count > 0.05, mean, 0).astype(np.float32)
        enlarged = cv2.resize(coarse, placement.size, interpolation=cv2.INTER_LINEAR)
        return np.asarray(enlarged, np.float32)


@dataclass(frozen=True, slots=True)
class FaceTexture:
    """Unwrapped face of one frame.

    texture: (UV_SIDE, UV_SIDE, 3) uint8.  visible: (UV_SIDE, UV_SIDE), cells that face the camera.
    """

    texture: Image
    visible: Flags


def _cross(a: Array, b: Array) -> Array:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])
