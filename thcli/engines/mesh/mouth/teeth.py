"""Appearance of drawn teeth and their gum, in millimetres of a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32

# mm from the midline to the border between one tooth and the next
UPPER_TEETH = np.array([0.0, 8.4, 15.0, 22.0, 27.5, 32.0])
LOWER_TEETH = np.array([0.0, 5.3, 11.0, 17.5, 23.5, 29.0])
# Colour of gums over that of skin, and light of enamel: lost at its sides, gaps and biting edge
GUM = np.array([0.78, 0.46, 0.46], np.float32)
SIDE_SHADE, GAP_SHADE, TIP_SHADE = np.float32(0.08), np.float32(0.14), np.float32(0.14)
BRIGHTEST = 250  # of drawn teeth
UPPER_TOOTH_HEIGHT, LOWER_TOOTH_HEIGHT = 18.0, 8.5  # mm; up to any lip: gum looked like gaps
UPPER_CURVE, LOWER_CURVE = np.float32(0.010), np.float32(0.012)  # mm per mm^2 from the midline
# Mm behind the incisors per mm^2 from the midline: the arch of the teeth, whose canines (17 mm) lie
# 9 mm behind them
ARCH = 0.03
MOST_LEANING = 1.0  # mm aside of what lies 1 mm behind, in a head that is seen from the side
# Light on teeth between lips that hardly part, and mm of opening over which it rises to 1; its
# exponents in red, green and blue, since lips reflect red: twelve talking faces, in the median
SLIT_LIGHT, SLIT_RANGE = 0.25, (0.5, 8.5)
SLIT_TINT = np.array([0.6, 1.0, 1.15])


def to_millimetres(offset: Array, axes: Array) -> Array:
    """Convert an image offset (2,) in pixels to mm along the first two axes; 0 when degenerate."""
    plane = axes[:2]
    area = plane[0, 0] * plane[1, 1] - plane[0, 1] * plane[1, 0]
    if abs(area) < 1e-9:
        return np.zeros(2)
    return np.asarray(np.linalg.solve(plane.T, offset))


def along_arch(across: Array32, axes: Array) -> Array32:
    """Return the mm from the midline of teeth that are seen at mm across a face's plane.

    The arch of a head that is turned shows more of its near side.

    Args:
        across: (h, w) mm along the first axis.
        axes: (3, 2) of the face, see `mouth_interior.face_axes`.
    """
    room = np.maximum(1 + np.float32(4 * _bend(axes)) * across, 0)
    return np.asarray(2 * across / (1 + np.sqrt(room)), np.float32)


def across_plane(x: Array32, axes: Array) -> Array32:
    """Return the mm across a face's plane at which teeth (h, w) mm from the midline are seen."""
    return np.asarray(x + np.float32(_bend(axes)) * x**2, np.float32)


def _bend(axes: Array) -> float:
    leaning = float(to_millimetres(-axes[2], axes)[0])
    return ARCH * float(np.clip(leaning, -MOST_LEANING, MOST_LEANING))


def light_between_lips(gap: float, natural: float) -> Array:
    """Return the light (3,) on teeth between lips, over that in a mouth that is wide open, 0..1.

    Args:
        gap: mm between the lips.
        natural: 0..1, whether the picture has colours.
    """
    light = SLIT_LIGHT + (1 - SLIT_LIGHT) * float(smoothstep(*SLIT_RANGE, gap))
    return np.asarray(light ** (1 + natural * (SLIT_TINT - 1)))


@dataclass(frozen=True, slots=True)
class Teeth:
    """Appearance of teeth.

    enamel, skin: (3,) float32 colours, of the skin around the mouth.  soft: edge width in mm.
    """

    enamel: Array32
    skin: Array32
    soft: np.float32

    def render(
        self, x: Array32, y: Array32, borders: Array, height: float
    ) -> tuple[Array32, Array32]:
        """Render one row of teeth with their gum.

        Args:
            x: (h, w) mm from the midline.
            y: (h, w) mm beyond the biting edge; negative on the tooth.
            borders: mm from the midline to the border of each tooth.
            height: mm of a tooth.

        Returns:
            Colour (h, w, 3) in 0..255 and coverage (h, w) in 0..1, both float32.
        """
        distance = np.abs(x)
        tooth = np.clip(
            np.searchsorted(borders, distance.ravel(), "right").reshape(distance.shape) - 1,
            0,
            len(borders) - 2,
        )
        left, wide = borders.astype(np.float32)[tooth], np.diff(borders).astype(np.float32)[tooth]
        side = 2 * (distance - left) / wide - 1  # -1..1 over one tooth
        shorter = np.array([0.0, 0.9, 0.2, 1.2, 2.0], np.float32)[tooth]
        beyond = y + shorter + np.float32(0.9) * np.abs(side) ** 5
        cover = np.clip(np.float32(0.5) - beyond / (2 * self.soft), 0, 1)
        cover = cover * (distance < borders[-1])
        fine = 1 / (1 + (self.soft / np.float32(0.6)) ** 2)  # detail that the source has
        body = np.float32(1.0) - SIDE_SHADE * side**2  # curved from side to side
        gaps = 1 - GAP_SHADE * fine * smoothstep(0.7, 1.0, np.abs(side)).astype(np.float32)
        # the biting edge is translucent
        tip = 1 - TIP_SHADE * smoothstep(-2.2, 0.0, beyond).astype(np.float32)
        colour = self.enamel * (body * gaps * tip)[..., None]
        depth = -beyond + np.float32(1.4) * side**2
        gum = smoothstep(height - 1.0, height + 0.4, depth).astype(np.float32)
        colour += gum[..., None] * (self.skin * GUM - colour)
        return np.minimum(colour, BRIGHTEST), cover.astype(np.float32)
