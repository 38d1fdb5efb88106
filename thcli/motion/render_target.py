"""Geometry of one frame for the mesh engine's renderer.

Written by `motion.retarget` and read by `engines.mesh`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from thcli.core.types import Array, Motion


@dataclass(frozen=True, slots=True)
class RenderTarget:
    """Geometry of one frame.

    Attributes:
        points: (468, 3) float64, the moved mesh of the source in source pixels (z in the same unit,
            negative towards the camera).
        gaze: (2, 2) displacement of each iris from its position in the source, in eye widths, along
            the corner line (to the image's right) and across it (down). Row 0 is the eye on the
            image's left (33/133), row 1 the other (362/263).
        opening: (2,) target lid gap over source lid gap of each eye.
        driver: (468, 3) raw mesh of the driver in driver pixels. None where the driver's mouth must
            not be sampled: not detected, occluded, or unused by the motion.
        weight: 1 for a frame with a detected face, fading to 0 inside a long gap. The other fields
            are faded already.
        body: (2,) shift of the whole person in source pixels, which comes after `points`; None
            for none.
        camera: (2, 3) image_from_still, motion of the whole picture with the driver's camera, in
            source pixels; None when it is still.
        drawn_mouth: whether the inside of the mouth is drawn though the driver shows its own.
        torso: (2, 3) image_from_still, motion of the shoulders in source pixels, which `points`
            have followed already; None when they are still.
    """

    points: Array
    gaze: Array
    opening: Array
    driver: Array | None = None
    weight: float = 1.0
    body: Array | None = None
    camera: Array | None = None
    drawn_mouth: bool = False
    torso: Array | None = None


def iterate_render_targets(motion: Motion) -> Iterator[RenderTarget]:
    """Yield the frames of a window of kind "mesh-target".

    The driver's mesh is None where its face is undetected or occluded (a hand), and where the
    motion leaves the mouth alone.
    """
    arrays = motion.arrays
    drawn_mouth = bool(motion.constants.get("drawn_mouth", False))
    for i in range(len(motion)):
        driver = np.asarray(arrays["driver"][i], np.float64) if arrays["shown"][i] else None
        yield RenderTarget(
            np.asarray(arrays["points"][i], np.float64),
            np.asarray(arrays["gaze"][i], np.float64),
            np.asarray(arrays["opening"][i], np.float64),
            driver,
            float(arrays["weight"][i]),
            np.asarray(arrays["body"][i], np.float64),
            np.asarray(arrays["camera"][i], np.float64),
            drawn_mouth,
            np.asarray(arrays["torso"][i], np.float64),
        )
