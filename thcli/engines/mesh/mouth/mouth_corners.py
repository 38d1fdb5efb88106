"""The raised corner of a mouth that opens at one side.

Landmarks follow a smirk by about two thirds: the dark corner of the mouth lies beyond them, on what
they call lip and cheek. It then stays where it is when the lips close or move. `find_shift` looks
for it in a picture. A single frame of a video may mislead (a shadow, a blurred tooth): `Smirks`
keeps what most frames of a smirk show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.geometry import rotvec_from_matrix
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Face, Image
from thcli.engines.mesh.anatomy import CHIN, FOREHEAD, LIPS
from thcli.engines.mesh.mouth.colours import tone_at
from thcli.engines.mesh.sampling import remap
from thcli.faces.landmarks.topology import MOUTH_SKIN
from thcli.motion import anatomy, canonical
from thcli.motion.timeline import Bools, Ints

# Slant of the line between the corners against the face, its height over its length: a straight
# mouth, and a smirk
SLANT_RANGE = (0.05, 0.1)
TURN_RANGE = (np.radians(25.0), np.radians(40.0))  # of the head, over which slants fade out
WIDTH_RANGE = (36.0, 60.0)  # pixels of a mouth, below which no corner is sought
STEP = 0.0125  # widths between samples around the corner
ALONG = np.arange(-0.3, 0.3 + STEP / 2, STEP)  # widths outwards from it, and down, that are sampled
DOWN = np.arange(-0.3, 0.2 + STEP / 2, STEP)
MOST_LIGHT = 0.6  # brightness over the skin's, of the dark in a corner of the mouth at most
DARK_QUANTILE = 0.1  # of the brightness between the lips' corner half, taken as the dark
DARK_SHARES = (0.5, 0.35, 0.2)  # of the way from there to the skin, below which a pixel is dark
# widths beside the end of the dark that are averaged; where landmarks of a straight grin have it
TIP, USUAL_TIP = 0.03, np.array([-0.03, 0.015])
SURE_RANGE, MOST_SHIFT = (0.02, 0.04), 0.2  # widths
RIM_MARGIN, OVER_BLUR = 0.01, 0.04  # widths
FALLOFF = 0.3  # widths over which the shift of the landmarks fades out
# Frames on each side of one of a video over which the median, then the mean, of what is seen is
# taken: at 25 a second most of a third of a second has to show it
MEDIAN_REACH, MEAN_REACH = 4, 2


@dataclass(frozen=True, slots=True)
class Smirks:
    """Raised corners in the frames of a video.

    pts: (T,) time stamps, increasing.  seen: (2, T, 2 + len(ALONG)) float32, what `measure` gives
    for a corner that is raised on the image's right (slant over 0) and on its left, smoothed in
    time; 0 where there is none.
    """

    pts: npt.NDArray[np.int64]
    seen: Array32

    def correct(self, pts: int, mesh: Array, target: Array, doubt: float) -> tuple[Array, Array]:
        """Move the landmarks of a frame to the raised corner, its target as far as that keeps it.

        Args:
            pts: time stamp of the frame.
            mesh, target: (468, 3) pixels, the frame's own and where it goes.
            doubt: 0..1, that something may be in front of the mouth.

        Returns:
            Both; the same arrays where nothing is shifted.
        """
        row = int(np.searchsorted(self.pts, pts))
        if doubt >= 1 or row == len(self.pts) or self.pts[row] != pts:
            return mesh, target
        own, wanted = slant(mesh), slant(target)
        moved, moved_target = mesh, target
        for sign, seen in zip((1, -1), self.seen[:, row], strict=True):
            if seen.any():
                shift = (1 - doubt) * _shift_landmarks(mesh, seen, sign > 0)
                lost = sign * (own - wanted) / max(abs(own), SLANT_RANGE[1])
                moved = moved + shift
                moved_target = moved_target + float(np.clip(1 - lost, 0, 1)) * shift
        return moved, moved_target


def collect(
    pts: npt.NDArray[np.int64], shot: Ints, found: Mapping[int, tuple[bool, Array32]]
) -> Smirks | None:
    """Smooth in time what the frames of a video show; None where no corner is missed.

    Args:
        pts: (T,) time stamps.
        shot: (T,) number of each frame's shot; neighbours of another one do not count.
        found: of the frames that smirk, by index: whether the corner on the image's right is the
            raised one, and `measure`.
    """
    if not found:
        return None
    seen = np.zeros((2, len(pts), 2 + len(ALONG)), np.float32)
    for index, (on_right, row) in found.items():
        seen[0 if on_right else 1, index] = row
    for side in seen:
        side[:] = _smooth(_smooth(side, shot, MEDIAN_REACH, np.median), shot, MEAN_REACH, np.mean)
    return Smirks(pts, seen) if seen.any() else None


def _smooth(
    rows: Array32, shot: Ints, reach: int, average: Callable[[Array32, int], Array]
) -> Array32:
    """Average rows (T, N) with those up to `reach` before and after them in their shot."""
    out = np.zeros_like(rows)
    around = np.flatnonzero(rows.any(1))[:, None] + np.arange(-reach, reach + 1)
    for i in np.unique(around.clip(0, len(rows) - 1)):
        first = max(i - reach, np.searchsorted(shot, shot[i]))
        stop = min(i + reach + 1, np.searchsorted(shot, shot[i], "right"))
        if stop - first > reach:  # a shorter shot is no evidence
            out[i] = average(rows[first:stop], 0)
    return out


def slant(mesh: Array) -> float:
    """Return how much higher the corner on the image's right lies in the face, over the width."""
    shape = canonical.decompose(mesh).shape
    left, right = shape[list(anatomy.INNER_MOUTH_CORNERS)]
    return float((left[1] - right[1]) / max(float(np.linalg.norm(right - left)), 1e-9))


def smirk_share(mesh: Array) -> float:
    """Return 0..1, how far a mouth is slanted as in a smirk, which moves lips aside.

    Landmarks of a head that turns away slant by themselves: it fades out there.
    """
    turn = abs(float(rotvec_from_matrix(canonical.decompose(mesh).rotation)[1]))
    straight = 1 - float(smoothstep(*TURN_RANGE, turn))
    return straight * float(smoothstep(*SLANT_RANGE, abs(slant(mesh))))


def seek_share(mesh: Array) -> float:
    """Return 0..1, how far the corner of a mouth is sought: a smirk that is large enough."""
    left, right = mesh[list(anatomy.INNER_MOUTH_CORNERS), :2]
    width = float(np.linalg.norm(right - left))
    return smirk_share(mesh) * float(smoothstep(*WIDTH_RANGE, width))


def refine(image: Image, face: Face) -> Face:
    """Move the landmarks of a picture's face (H, W, 3) uint8 to its raised corner."""
    mesh = np.asarray(face.mesh, np.float64)
    shift = find_shift(image, mesh)
    return replace(face, mesh=(mesh + shift).astype(np.float32)) if shift.any() else face


def find_shift(image: Image, mesh: Array) -> Array:
    """Find by how much landmarks miss the raised corner of a slanted mouth.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.

    Returns:
        (468, 3) pixels from the landmarks to where they belong, 0 where the mouth is straight or
        small, or the picture shows no dark corner.
    """
    return _shift_landmarks(mesh, measure(image, mesh), slant(mesh) > 0)


def measure(image: Image, mesh: Array) -> Array32:
    """Measure how far the dark of the corner that is higher in the face lies beyond landmarks.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.

    Returns:
        (2 + len(ALONG),) widths: of its end, outwards and down, then of its top over the upper
        lip at each place of ALONG. Times `seek_share`; 0 where no dark is found.
    """
    seen, share = np.zeros(2 + len(ALONG), np.float32), seek_share(mesh)
    if share <= 0:
        return seen
    _, local = _corner_frame(mesh, slant(mesh) > 0)
    dark = _find_dark(image, mesh, local)
    if dark is None:
        return seen
    rows, columns = np.nonzero(dark)
    last = ALONG[columns] > ALONG[columns].max() - TIP
    tip = np.array([ALONG[columns][last].mean(), DOWN[rows][last].mean()])
    missed = np.clip(tip - USUAL_TIP, (0, -MOST_SHIFT), (MOST_SHIFT, 0))  # outwards and up
    missed *= float(smoothstep(*SURE_RANGE, np.hypot(*missed)))
    seen[:2], seen[2:] = missed, _measure_top(dark, _move_corner(local, missed))
    return np.asarray(share * seen, np.float32)


def _shift_landmarks(mesh: Array, seen: Array32, on_right: bool) -> Array:
    """Return the shift of all landmarks, (468, 3) pixels, for what `measure` gives at one side."""
    axes, local = _corner_frame(mesh, on_right)
    moved = _move_corner(local, seen[:2])
    moved[:, 1] -= _missed_above(seen[2:], moved)
    shift = np.zeros_like(mesh)
    shift[:, :2] = (moved - local) @ axes
    return shift


def _move_corner(local: Array, missed: Array | Array32) -> Array:
    """Move points (468, 2) in widths from the corner with it by `missed` (2,)."""
    near = np.exp(-((np.linalg.norm(local, axis=-1) / FALLOFF) ** 2))
    return np.asarray(local + near[:, None] * missed)


def _corner_frame(mesh: Array, on_right: bool) -> tuple[Array, Array]:
    """Return the axes (2, 2) at one corner, in pixels, and all points (468, 2) along them."""
    raised, other = anatomy.INNER_MOUTH_CORNERS[:: -1 if on_right else 1]
    axes = _corner_axes(mesh, raised, other)
    squared = float(axes[0] @ axes[0])
    return axes, (mesh[:, :2] - mesh[raised, :2]) @ axes.T / max(squared, 1.0)


def _corner_axes(mesh: Array, corner: int, other: int) -> Array:
    """Return the vectors of one width outwards along the mouth and down the face, (2, 2) pixels."""
    along = mesh[corner, :2] - mesh[other, :2]
    down = np.array([-along[1], along[0]])
    down *= 1 if down @ (mesh[CHIN, :2] - mesh[FOREHEAD, :2]) >= 0 else -1
    return np.stack([along, down])


def _find_dark(image: Image, mesh: Array, local: Array) -> Bools | None:
    """Find the dark of a mouth's corner, (len(DOWN), len(ALONG)).

    None unless it begins between the lips and ends within what is sampled.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        local: (468, 2) widths of it outwards and down from the corner.
    """
    grid = np.stack(np.meshgrid(ALONG, DOWN), -1).reshape(-1, 2)
    pixels_from_local = np.linalg.lstsq(np.c_[local, np.ones(len(local))], mesh[:, :2])[0]
    places = np.c_[grid, np.ones(len(grid))] @ pixels_from_local
    places = places.reshape(len(DOWN), len(ALONG), 2).astype(np.float32)
    light = remap(image, places).astype(np.float32).mean(-1)
    light = cv2.GaussianBlur(light, (0, 0), 1.0)
    rim = np.rint((local[LIPS] - (ALONG[0], DOWN[0])) / STEP * 16).astype(np.int32)
    between = np.zeros(light.shape, np.uint8)
    cv2.fillPoly(between, [rim], 1, cv2.LINE_4, 4)
    beside = (between > 0) & (ALONG <= 0)
    if not beside.any():
        return None
    skin = max(float(tone_at(image, mesh, MOUTH_SKIN).mean()), 1.0)
    darkest = float(np.quantile(light[beside], DARK_QUANTILE))
    for part in DARK_SHARES:
        is_dark = light < min(darkest + part * (skin - darkest), MOST_LIGHT * skin)
        _, labels = cv2.connectedComponents(is_dark.astype(np.uint8), connectivity=4)
        found = np.isin(labels, np.setdiff1d(labels[beside & is_dark], [0]))
        ends = not (found[0].any() or found[-1].any() or found[:, -1].any())
        if ends and found.any():
            return np.asarray(found)
    return None


def _measure_top(dark: Bools, local: Array) -> Array32:
    """Measure how far the dark reaches over the upper lip's landmarks, (len(ALONG),) widths."""
    lip = local[anatomy.LIPS.upper]
    inwards = np.argsort(lip[:, 0])
    rim = np.interp(ALONG, lip[inwards, 0], lip[inwards, 1])
    top = np.where(dark.any(0), DOWN[dark.argmax(0)], np.inf)
    over = np.clip(rim - RIM_MARGIN - top, 0, MOST_SHIFT).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(over[None], (0, 0), OVER_BLUR / STEP)[0], np.float32)


def _missed_above(over: Array32, local: Array) -> Array:
    """Return how far points (468, 2) miss the dark over the upper lip, (468,) widths.

    The skin above the lip moves less, what is below it not at all.
    """
    rings = anatomy.LIPS.upper_rings
    missed = np.interp(local[:, 0], ALONG, over, left=0.0, right=0.0)
    edge = local[rings[-1]]
    outwards = np.argsort(edge[:, 0])
    above = np.interp(local[:, 0], edge[outwards, 0], edge[outwards, 1]) - local[:, 1]
    share = np.where(above > 0, np.exp(-((above / FALLOFF) ** 2)), 0.0)
    share[np.r_[anatomy.LIPS.upper, rings.ravel()]] = 1.0
    return np.asarray(share * missed)
