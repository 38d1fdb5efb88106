"""The inside of a person's mouth as the frames of a clip show it.

A few frames are kept, from nearly closed to wide open. A target opening between two of them shows
both, blended by the opening, each mapped between the target's lips. The texture is a continuous
function of the opening, so that it does not flicker.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.mouth import skin_tone, tone_gain
from thcli.engines.mesh.opening import Opening, Rims
from thcli.engines.mesh.sampling import remap

LEAST_GAP = 0.06  # gap / width of a mouth that shows its inside
LEVELS = 6  # openings that are kept
STRETCH_RANGE = (1.6, 2.4)  # gap over the widest seen, between which the inside is drawn instead
MARGIN = 0.15  # widths kept around a mouth
OPENING_TOLERANCE, ANGLE_TOLERANCE = 0.02, 0.12  # gap / width, and radians, of equal weight


@dataclass(frozen=True, slots=True)
class SeenMouth:
    """The mouth of one frame.

    image: (h, w, 3) uint8 around the lips.  lips: in its pixels.  tone: (3,) skin colour.
    """

    image: Image
    lips: Opening
    tone: Array


@dataclass(frozen=True, slots=True)
class SeenMouths:
    """Mouths of a clip in the order of their gaps; at least one."""

    mouths: tuple[SeenMouth, ...]

    def share(self, gap: float) -> float:
        """Return how far a gap / width is within what was seen, 1 to 0 for a wider one."""
        return 1 - float(smoothstep(*STRETCH_RANGE, gap / self.mouths[-1].lips.gap))

    def render(self, uv: tuple[Array32, Array32], rims: Rims, gap: float, tone: Array) -> Array32:
        """Render the inside between the rims of a target mouth.

        Args:
            uv: (h, w) each, coordinates of the target's opening.
            rims: of the target at u.
            gap: of the target in widths.
            tone: (3,) skin colour of the frame.

        Returns:
            (h, w, 3) float32 in 0..255.
        """
        gaps = np.array([mouth.lips.gap for mouth in self.mouths])
        above = int(np.clip(np.searchsorted(gaps, gap), 1, max(len(gaps) - 1, 1)))
        low, high = self.mouths[above - 1], self.mouths[min(above, len(gaps) - 1)]
        span = high.lips.gap - low.lips.gap
        part = float(np.clip((gap - low.lips.gap) / span, 0, 1)) if span > 0 else 0.0
        if part in (0.0, 1.0):
            return _sample(low if part == 0 else high, uv, rims, tone)
        colour = _sample(low, uv, rims, tone)
        colour += np.float32(part) * (_sample(high, uv, rims, tone) - colour)
        return colour


def _sample(
    mouth: SeenMouth, uv: tuple[Array32, Array32], rims: Rims, tone: Array
) -> Array32:
    """Sample one mouth between the rims of a target, in the target's tone."""
    u, v = uv
    own_v = opening.map_between_rims(v, rims, mouth.lips.rims(u))
    colour = remap(mouth.image, opening.to_pixels(mouth.lips, u, own_v)).astype(np.float32)
    return np.minimum(colour * tone_gain(tone, mouth.tone).astype(np.float32), np.float32(255))


def extract(image: Image, mesh: Array) -> SeenMouth | None:
    """Keep the mouth of a frame (H, W, 3) uint8; None when it lies outside of the image."""
    lips = opening.fit_opening(mesh, LIPS)
    region = opening.bounding_region(lips, (image.shape[1], image.shape[0]), MARGIN)
    if region is None or lips.gap <= 0:
        return None
    corner = lips.corner - (region[1].start, region[0].start)
    return SeenMouth(image[region].copy(), replace(lips, corner=corner), skin_tone(image, mesh))


def collect(mouths: list[SeenMouth]) -> SeenMouths | None:
    """Order mouths by their gap; None without any."""
    return SeenMouths(tuple(sorted(mouths, key=lambda m: m.lips.gap))) if mouths else None


def choose_frames(
    gaps: Array, rotvecs: Array, usable: npt.NDArray[np.bool_]
) -> npt.NDArray[np.intp]:
    """Choose the frames whose mouths are kept, at most LEVELS, in order.

    Args:
        gaps: (T,) gap / width of each frame's lips.
        rotvecs: (T, 3) head rotation in radians; frames near the median are preferred.
        usable: (T,) frames with a free view of the face.
    """
    open_frames = np.flatnonzero(usable & (gaps >= LEAST_GAP))
    if not len(open_frames):
        return open_frames
    middle = np.median(rotvecs[usable], 0)
    angle = np.linalg.norm(rotvecs[open_frames] - middle, axis=-1) / ANGLE_TOLERANCE
    widest = float(np.quantile(gaps[open_frames], 0.97))
    levels = np.geomspace(LEAST_GAP, max(widest, LEAST_GAP), LEVELS)
    cost = np.abs(gaps[open_frames] - levels[:, None]) / OPENING_TOLERANCE + angle
    return np.unique(open_frames[np.argmin(cost, 1)])
