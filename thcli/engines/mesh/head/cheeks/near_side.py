"""Width of the cheek that a turned head shows, limited to what the source can fill.

A frontal picture shows the side of the face, from the corner of the eye to the ear, a few pixels
wide, and hair lies on it. A head that turns away brings it into view: its pixels are stretched to
streaks, and a face whose hair goes with the head looks as wide as without hair. From GROWN on, the
side grows by a part of what the turn asks for.

A turned picture shows that side, and landmarks make it wider there than a picture from the front
does: a head that turns back would be broad on it (docs/figures/turns.md, "Broad near sides").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array
from thcli.engines.mesh.anatomy import face_height
from thcli.engines.mesh.head.outline import sine_of_yaw
from thcli.faces.landmarks.topology import OVAL
from thcli.motion import canonical

GROWN, SHARE = 1.3, 0.74  # growth of a side's width that is whole; share of what lies beyond
# Growth of a side's width in shapes that landmarks make, for each radian by which it faces the
# camera. Radians of a source from which it is taken back: not, and whole. Little turned ones are
# often driven by a head that was turned as well, whose own shape brings it along
TURNED_GROWTH, TAKEN_BACK = 0.44, (0.26, 0.45)
LEAST_WIDTH = 1e-3  # face heights that a growth divides by
# Sides of the face, on the image's right and left: sign along the face's width, outer corner of the
# eye, and the outline from the temple to the jaw
_SIDES = ((1.0, 263, OVAL[6:13]), (-1.0, 33, OVAL[24:31]))
_ENDS = OVAL[9], OVAL[27]  # of the face's width, beside the ears


@dataclass(frozen=True, slots=True)
class NearSide:
    """Widths of a source's sides in face heights, on the image's right and left.

    widths: of each, the one that it shows or that it would show from the front, whichever is
    larger.  facing: radians by which each faces the camera.
    """

    widths: tuple[float, float]
    facing: tuple[float, float]

    @staticmethod
    def of(mesh: Array) -> NearSide:
        """Measure a source's mesh (468, 3)."""
        frontal = _measure(canonical.decompose(mesh).shape)
        right, left = (
            max(shown, own) for (shown, _), (own, _) in zip(_measure(mesh), frontal, strict=True)
        )
        return NearSide((right, left), _facing(mesh))

    def narrow(self, target: Array) -> Array:
        """Return a target mesh (468, 3) whose sides are no wider than the source can fill."""
        out = target
        facing = zip(self.facing, _facing(target), strict=True)
        for (sign, _, _), width, (shown, corner), (own, turned) in zip(
            _SIDES, self.widths, _measure(target), facing, strict=True
        ):
            share = 1 - float(smoothstep(*TAKEN_BACK, own)) * _grown_between(turned, own)
            growth = share * shown / max(width, LEAST_WIDTH)
            if growth > GROWN:
                share *= (GROWN + (growth - GROWN) * SHARE) / growth
            if share == 1:
                continue
            across = sign * _across(target)
            beyond = np.maximum(out[:, :2] @ across - corner, 0)
            out = out.copy()
            out[:, :2] -= ((1 - share) * beyond)[:, None] * across
        return out


def _facing(mesh: Array) -> tuple[float, float]:
    """Return the radians by which the sides of a mesh (468, 3) face the camera, at least 0."""
    yaw = float(np.arcsin(sine_of_yaw(mesh)))
    return max(-yaw, 0.0), max(yaw, 0.0)


def _grown_between(turned: float, own: float) -> float:
    """Return the share of a side's width that landmarks add as it turns to the camera, 0..1.

    turned, own: radians by which it faces the camera, before and after; 0 where it turns away.
    """
    return max(TURNED_GROWTH * (own - turned) / (1 + TURNED_GROWTH * own), 0.0)


def _across(mesh: Array) -> Array:
    """Return the direction (2,) of a face's width in a mesh, to the image's right."""
    along = (mesh[_ENDS[0]] - mesh[_ENDS[1]])[:2]
    return np.asarray(along / max(float(np.linalg.norm(along)), 1e-9))


def _measure(mesh: Array) -> list[tuple[float, float]]:
    """Return the width of each side in face heights, and the place of its eye along the width."""
    across, size = _across(mesh), face_height(mesh)
    found = []
    for sign, eye, outline in _SIDES:
        along = sign * (mesh[:, :2] @ across)
        found.append(((along[outline].mean() - along[eye]) / size, float(along[eye])))
    return found
