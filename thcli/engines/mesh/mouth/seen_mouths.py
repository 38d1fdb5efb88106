"""The inside of a person's mouth as the frames of a clip show it.

A few frames are kept, from nearly closed to wide open. A target opening between two of them shows
both, blended by the opening, each mapped between the target's lips. The texture is a continuous
function of the opening, so that it does not flicker. In a wider mouth teeth keep their size: the
upper part hangs on the upper lip, the lower part stands on the lower lip, and the cavity is between
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.mouth import lip_rims
from thcli.engines.mesh.mouth.colours import skin_tone, tone_gain
from thcli.engines.mesh.opening import Opening, Rims
from thcli.engines.mesh.sampling import remap
from thcli.faces.landmarks.topology import LIPS_OUTER

LEAST_GAP = 0.06  # gap / width of a mouth that shows its inside
LEVELS = 6  # openings that are kept
CANDIDATES = 6  # frames that are compared for each of them
LEAST_INSIDE = 0.03  # of it, without what of a lip lies between the landmarks
LEAST_SHOWN = 0.5  # of `lip_rims.shows_inside`, from which a frame shows the inside
RIM_REACH = 0.03  # widths to each side of a rim between which its contrast is measured
# Detail of a mouth: widths around its rims that are looked at, and between which it is measured
DETAIL_MARGIN, DETAIL_REACH = 0.04, 0.0125
DETAIL_COLUMNS = np.linspace(0.1, 0.9, 65, dtype=np.float32)
DETAIL_ROWS = np.linspace(0, 1, 25, dtype=np.float32)
LEAST_DETAIL = 0.6  # of the median of the levels; what shows less is blurred, or only lips
DRAWN_RANGE = (3.0, 5.0)  # gap over the widest seen, between which the inside is drawn instead
TONGUE_RANGE = (1.2, 1.8)  # the same, between which the dark between the teeth shows the tongue
NARROW_RANGE = (0.3, 0.9)  # gap over LEAST_GAP or less that was seen, below which it is dark
UPPER_RANGE = (0.8, 1.0)  # share of a seen gap below the upper lip over which its part ends
LOWER_RANGE = (0.1, 0.35)  # the same above the lower lip
DARK_SHARE = 0.08  # of the pixels between open lips, those of the cavity
MOST_LIGHT = np.array([0.30, 0.20, 0.19])  # of the cavity, over the skin's colour
SEAM_REACH = 0.03  # widths above and below the line between closed lips in which it is looked for
MARGIN = 0.15  # widths kept around a mouth
# Lip between the landmarks of a seen mouth: places across its gap and along it, brightness and
# redness of a lip over those of its middle, and share of the gap beyond it that is blurred with it
FILM_PLACES = np.linspace(0.0, 0.7, 22, dtype=np.float32)
FILM_COLUMNS = np.linspace(0.25, 0.75, 21, dtype=np.float32)
FILM_LIGHT, FILM_RED, FILM_BLUR = (0.75, 1.3), 0.95, 0.05
LEAST_FILM = 0.15  # of the gap; less of it is the soft edge of a lip
OPENING_TOLERANCE, ANGLE_TOLERANCE = 0.02, 0.12  # gap / width, and radians, of equal weight


@dataclass(frozen=True, slots=True)
class SeenMouth:
    """The mouth of one frame.

    image: (h, w, 3) uint8 around the lips.  lips: in its pixels.  tone: (3,) skin colour.
    dark: (3,) colour of the cavity between the teeth.  contrast: of the lips and what lies between
    the landmarks.  detail: of what lies there, over the skin's brightness; see `sharpest`.
    """

    image: Image
    lips: Opening
    tone: Array
    dark: Array
    contrast: float
    detail: float


@dataclass(frozen=True, slots=True)
class SeenMouths:
    """Mouths of a clip in the order of their gaps; at least one."""

    mouths: tuple[SeenMouth, ...]

    def share(self, gap: float) -> float:
        """Return how far a gap / width is within what was seen, 1 to 0 for a wider one."""
        return 1 - float(smoothstep(*DRAWN_RANGE, gap / self.mouths[-1].lips.gap))

    def shows_cavity(self, gap: float) -> bool:
        """Return whether a gap / width is so much wider than what was seen that it shows more."""
        return gap > TONGUE_RANGE[0] * self.mouths[-1].lips.gap

    def render(
        self,
        uv: tuple[Array32, Array32],
        rims: Rims,
        gap: float,
        tone: Array,
        cavity: Array32 | None = None,
    ) -> Array32:
        """Render the inside between the rims of a target mouth.

        Args:
            uv: (h, w) each, coordinates of the target's opening.
            rims: of the target at u.
            gap: of the target in widths.
            tone: (3,) skin colour of the frame.
            cavity: (h, w, 3) drawn mouth without teeth, see `shows_cavity`; None without.

        Returns:
            (h, w, 3) float32 in 0..255.
        """
        gaps = np.array([mouth.lips.gap for mouth in self.mouths])
        above = int(np.clip(np.searchsorted(gaps, gap), 1, max(len(gaps) - 1, 1)))
        low, high = self.mouths[above - 1], self.mouths[min(above, len(gaps) - 1)]
        span = high.lips.gap - low.lips.gap
        part = float(np.clip((gap - low.lips.gap) / span, 0, 1)) if span > 0 else 0.0
        if part == 1:
            return _sample(high, uv, rims, gap, tone, cavity)
        colour = _sample(low, uv, rims, gap, tone, cavity)
        if part == 0:  # teeth squeezed into a slit would be a white line
            dark = (low.dark * tone_gain(tone, low.tone)).astype(np.float32)
            narrow = 1 - float(smoothstep(*NARROW_RANGE, gap / min(low.lips.gap, LEAST_GAP)))
            return colour + np.float32(narrow) * (dark - colour)
        wider = _sample(high, uv, rims, gap, tone, cavity)
        return colour + np.float32(part) * (wider - colour)


def _sample(
    mouth: SeenMouth,
    uv: tuple[Array32, Array32],
    rims: Rims,
    gap: float,
    tone: Array,
    cavity: Array32 | None,
) -> Array32:
    """Sample one mouth between the rims of a target, in the target's tone; see `SeenMouths`."""
    u, v = uv
    own = mouth.lips.rims(u)
    gain = tone_gain(tone, mouth.tone).astype(np.float32)

    def sample(own_v: Array32) -> Array32:
        colour = remap(mouth.image, opening.to_pixels(mouth.lips, u, own_v)).astype(np.float32)
        return np.asarray(np.minimum(colour * gain, np.float32(255)))

    stretch = np.float32(gap / mouth.lips.gap)
    if stretch <= 1:
        return sample(opening.map_between_rims(v, rims, own))
    thin = np.float32(1e-3)
    below = (v - rims[0]) / (rims[1] - rims[0] + thin) * stretch  # seen gaps below the upper lip
    above = (rims[1] - v) / (rims[1] - rims[0] + thin) * stretch
    height = own[1] - own[0]
    dark = (mouth.dark * gain).astype(np.float32)
    colour = np.broadcast_to(dark, (*v.shape, 3))
    if cavity is not None:
        colour = dark + np.float32(smoothstep(*TONGUE_RANGE, stretch)) * (cavity - dark)
    for position, distance, limits in (
        (own[1] - np.clip(above, -1, 1) * height, above, LOWER_RANGE),
        (own[0] + np.clip(below, -1, 1) * height, below, UPPER_RANGE),
    ):
        share = (1 - smoothstep(*limits, distance)).astype(np.float32)[..., None]
        colour = colour + share * (sample(position) - colour)
    return np.asarray(colour)


def seam_share(image: Image, mesh: Array) -> Array:
    """Measure the darkness of the line between closed lips, (3,): its colour over the skin's."""
    lips = opening.fit_opening(mesh, LIPS)
    u = np.linspace(0.25, 0.75, 21, dtype=np.float32)[None]
    upper, lower = lips.rims(u)
    offsets = np.linspace(-SEAM_REACH, SEAM_REACH, 9, dtype=np.float32)[:, None]
    v = np.asarray((upper + lower) / 2 + offsets, np.float32)
    colours = remap(image, opening.to_pixels(lips, np.broadcast_to(u, v.shape), v))
    darkest = colours.sum(-1).argmin(0)
    seam = np.median(colours[darkest, np.arange(u.size)], 0)
    return np.asarray(np.clip(seam / np.maximum(skin_tone(image, mesh), 1.0), 0.05, 0.9))


def extract(image: Image, mesh: Array) -> SeenMouth | None:
    """Keep the mouth of a frame (H, W, 3) uint8.

    Returns:
        None when it lies outside of the image, or its landmarks lie on lips, so that no inside is
        seen between them.
    """
    lips = opening.fit_opening(mesh, LIPS)
    region = opening.bounding_region(lips, (image.shape[1], image.shape[0]), MARGIN)
    if region is None or lips.gap <= 0 or lip_rims.shows_inside(image, mesh) < LEAST_SHOWN:
        return None
    contrast = _rim_contrast(image, lips)
    lips = _leave_out_lip(image, mesh, lips)
    if lips.gap < LEAST_INSIDE:
        return None
    lips = replace(lips, corner=lips.corner - (region[1].start, region[0].start))
    inside, tone = image[region].copy(), skin_tone(image, mesh)
    dark = np.minimum(_darkest(inside, lips), MOST_LIGHT * tone)
    detail = _detail(inside, lips) / max(float(tone.mean()), 1.0)
    return SeenMouth(inside, lips, tone, dark, contrast, detail)


def _leave_out_lip(image: Image, mesh: Array, lips: Opening) -> Opening:
    """Return an opening without the part of the lower lip that lies between its rims.

    It would be seen twice, or as a film over the mouth, in a mouth that is opened as wide. Below
    the upper lip, its shadow has its colour.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        lips: its opening.
    """
    rim = np.arange(1, len(LIPS) // 2)
    middle = (mesh[LIPS[rim], :2] + mesh[LIPS_OUTER[rim], :2]) / 2
    lip = np.median(remap(image, middle[None].astype(np.float32))[0].astype(np.float64), 0)
    if _redness(lip) < lip_rims.LEAST_RED:
        return lips
    places = opening.between_rims(lips, FILM_COLUMNS, 1 - FILM_PLACES)
    across = remap(image, places).astype(np.float64)
    light = across.mean(-1) / max(float(lip.mean()), 1.0)
    red = _redness(across) > FILM_RED * _redness(lip)
    alike = (light > FILM_LIGHT[0]) & (light < FILM_LIGHT[1]) & red
    run = np.minimum.accumulate(alike, 0).sum(0)  # places of each column, from the rim on
    share = float(np.median(run)) / len(FILM_PLACES) * float(FILM_PLACES[-1])
    if share <= LEAST_FILM:
        return lips
    return replace(lips, lower=lips.lower - (share + FILM_BLUR) * (lips.lower - lips.upper))


def _redness(colours: Array) -> Array:
    light = np.maximum(colours.mean(-1), 1.0)
    return np.asarray((colours[..., 0] - colours[..., 1:].mean(-1)) / light)


def _darkest(image: Image, lips: Opening) -> Array:
    """Measure the colour (3,) of the darkest part between the lips."""
    whole = (slice(0, image.shape[0]), slice(0, image.shape[1]))
    u, v = opening.local_coordinates(lips, whole)
    upper, lower = lips.rims(u)
    between = (v > upper) & (v < lower) & (u > 0.2) & (u < 0.8)
    colours = image[between].astype(np.float64)
    if not len(colours):
        return np.zeros(3)
    light = colours.sum(-1)
    return np.asarray(colours[light <= np.quantile(light, DARK_SHARE)].mean(0))


def collect(mouths: Sequence[SeenMouth]) -> SeenMouths | None:
    """Order the mouths of several levels by their gap, without vague ones; None without any."""
    if not mouths:
        return None
    least = LEAST_DETAIL * float(np.median([mouth.detail for mouth in mouths]))
    clear = (mouth for mouth in mouths if mouth.detail >= least)
    return SeenMouths(tuple(sorted(clear, key=lambda mouth: mouth.lips.gap)))


def choose_frames(
    gaps: Array, rotvecs: Array, usable: npt.NDArray[np.bool_]
) -> list[npt.NDArray[np.intp]]:
    """Choose candidates for the mouths that are kept: at most LEVELS groups, disjoint.

    Args:
        gaps: (T,) gap / width of each frame's lips.
        rotvecs: (T, 3) head rotation in radians; frames near the median are preferred.
        usable: (T,) frames with a free view of the face.

    Returns:
        Frames of each level of the opening, CANDIDATES at most; `sharpest` tells which one shows
        it best.
    """
    open_frames = np.flatnonzero(usable & (gaps >= LEAST_GAP))
    if not len(open_frames):
        return []
    middle = np.median(rotvecs[usable], 0)
    angle = np.linalg.norm(rotvecs[open_frames] - middle, axis=-1) / ANGLE_TOLERANCE
    widest = float(np.quantile(gaps[open_frames], 0.97))
    levels = np.geomspace(LEAST_GAP, max(widest, LEAST_GAP), LEVELS)
    distance = np.abs(gaps[open_frames] - levels[:, None])
    cost = distance / OPENING_TOLERANCE + angle
    own = distance.argmin(0)
    groups = []
    for level in range(LEVELS):
        members = np.flatnonzero(own == level)
        if len(members):
            best = members[np.argsort(cost[level, members], kind="stable")[:CANDIDATES]]
            groups.append(open_frames[best])
    return groups


def sharpest(mouths: Sequence[SeenMouth]) -> SeenMouth:
    """Return the mouth that shows the most: teeth, no blur, and no lips that are pushed out.

    Its rims stand out, so that the landmarks fit.
    """
    return max(mouths, key=lambda mouth: mouth.contrast * mouth.detail)


def _detail(image: Image, lips: Opening) -> float:
    """Measure the mean step of brightness between an opening's rims and right beside them."""
    wide = replace(lips, upper=lips.upper - DETAIL_MARGIN, lower=lips.lower + DETAIL_MARGIN)
    places = opening.between_rims(wide, DETAIL_COLUMNS, DETAIL_ROWS)
    steps = []
    for axis in (DETAIL_REACH * lips.axes).astype(np.float32):
        before, after = (remap(image, places + side * axis).mean(-1) for side in (-1, 1))
        steps.append(after - before)
    return float(np.hypot(*steps).mean())


def _rim_contrast(image: Image, lips: Opening) -> float:
    """Measure how much the inside differs from the lips beside it, the less of the two rims."""
    u = np.linspace(0.25, 0.75, 21, dtype=np.float32)[None]
    contrasts = []
    for rim in lips.rims(u):
        beside = [
            remap(image, opening.to_pixels(lips, u, rim + np.float32(offset)))
            for offset in (-RIM_REACH, RIM_REACH)
        ]
        contrasts.append(float(np.abs(beside[0].astype(np.float64) - beside[1]).mean()))
    return min(contrasts)
