"""What the mesh engine's renderer needs to know of one frame: where every point of the source goes.

Written by `motion.retarget`, read by `engines.mesh`; both in pixels of their own picture.
"""

from __future__ import annotations

from dataclasses import dataclass

from thcli.core.types import Array


@dataclass(frozen=True, slots=True)
class Target:
    """One frame's geometry.

    points: (468, 3) float64, the source's mesh moved, in source pixels (z in the same unit, negative towards the camera).
    gaze: (2, 2) shift of each iris from where it is in the source, in eye widths, along the corner line (to the picture's
    right) and across it (down); row 0: the picture's left eye, 33/133; row 1: 362/263.  opening: (2,) target lid gap / source lid gap of each eye.
    driver: (468, 3) the driver's own raw mesh of this frame in driver pixels, or None where his mouth may not be
    sampled (not seen, covered by a hand, or the motion leaves the mouth alone).
    weight: 1 for a frame that was seen, fading to 0 inside a long gap; the other fields are faded by it already.
    """

    points: Array
    gaze: Array
    opening: Array
    driver: Array | None = None
    weight: float = 1.0
