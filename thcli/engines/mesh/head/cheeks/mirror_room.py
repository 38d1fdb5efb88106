"""Room within the sides of a mirror image, whose hair a side of the picture may cut off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.head.cheeks.hair_beside import side_edges
from thcli.faces.landmarks.topology import OVAL

EDGE = 0.08  # face heights from the mirror image's sides over which it fades
# Face heights from the middle of the face up to where a head that a side of the picture cuts off is
# narrowest, and the share of the way to that side by which it is
TOP, NARROWED = 1.0, 0.4
JAW, ROWS = 0.42, 16  # face heights from there down to the jaw; rows in which its outline is known
HAIR_EDGE = 0.04  # face heights over which hair ends there: half transparent, it would be grey
BEGINS = 0.1  # face heights below the middle over which that begins to count


@dataclass(frozen=True, slots=True)
class MirrorRoom:
    """Room of a mirror image beside its face.

    Hair that a side of the picture cuts off does not end in a straight line, but ever nearer to the
    face from its middle up to the top of the head. Beside a cheek that is bare in the source, it
    ends as the jaw's outline does down from there.

    width: of the picture in pixels.  face_size: face height in pixels.  middle: y of the face's.
    sides: pixels from there to the left and right side, a face height at least.
    rows: (N,) y from there down to the jaw.  receding: (2, N) pixels by which the outline has
    receded there, on the left and on the right.
    bare: 0..1, how far the source shows no hair beside its far cheek.
    """

    width: int
    face_size: float
    middle: float
    sides: tuple[float, float]
    rows: Array
    receding: Array
    bare: float

    @staticmethod
    def of(mesh: Array, size: tuple[int, int], bare: float) -> MirrorRoom:
        """Measure a mirror image of (width, height) pixels by its mesh (468, 3)."""
        face_size = anatomy.face_height(mesh)
        x, y = (mesh[anatomy.FOREHEAD, :2] + mesh[anatomy.CHIN, :2]) / 2
        rows = np.linspace(y, y + JAW * face_size, ROWS)
        left, right = side_edges(mesh[OVAL, :2], rows)
        receding = np.maximum(np.stack([left - left[0], right[0] - right]), 0)
        sides = max(float(x), face_size), max(float(size[0] - 1 - x), face_size)
        return MirrorRoom(size[0], face_size, float(y), sides, rows, receding, bare)

    def at(self, positions: Array32) -> Array32:
        """Return how far pixels (rows, columns, 2) of the mirror image lie within it, 0..1."""
        above = np.float32(self.middle) - positions[..., 1]
        up = (above / np.float32(TOP * self.face_size)).clip(0, 1)
        narrowing = NARROWED * (1 - np.sqrt(1 - up**2))
        left, right = (narrowing * np.float32(side) for side in self.sides)
        return self._inside(positions, (left, right), EDGE)

    def hair_at(self, positions: Array32) -> Array32:
        """Return how far hair at such pixels lies within the room that the jaw leaves it, 0..1."""
        y = positions[..., 1]
        left, right = (np.interp(y, self.rows, side).astype(np.float32) for side in self.receding)
        below = (y - np.float32(self.middle)) / np.float32(BEGINS * self.face_size)
        inside = self._inside(positions, (left, right), HAIR_EDGE)
        counts = np.float32(self.bare) * below.clip(0, 1)
        return np.asarray(1 - counts * (1 - inside), np.float32)

    def _inside(self, positions: Array32, margins: tuple[Array32, Array32], edge: float) -> Array32:
        x = positions[..., 0]
        room = np.minimum(x - margins[0], self.width - 1 - x - margins[1])
        return np.asarray(smoothstep(0, edge * self.face_size, room), np.float32)
