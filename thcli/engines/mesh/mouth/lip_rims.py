"""Inner rims of open lips where a picture shows them.

Landmarks of open lips may lie on a lip: what is left of it would be stretched over the mouth as a
film, or seen twice. `refine` finds the edge between lip and mouth in the picture, and the row of
teeth of a grin whose landmarks lie on one line, as if it were shut. Landmarks may also lie on the
teeth, most of all in a wide smile. Teeth are less red than lips; `exclude_teeth` leaves them out of
lips that close.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Face, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.opening import Opening
from thcli.engines.mesh.sampling import remap
from thcli.faces.landmarks.topology import LIPS_OUTER
from thcli.motion import anatomy

LEAST_SHARE = 0.15  # of a lip's height that is left out at its inner rim in any case
SEARCHED = np.linspace(0.0, 0.5, 11)  # shares of a lip's height that are searched for teeth
LIP_PLACE = 0.85  # share of a lip's height at which it is certainly lip
LEAST_CONTRAST = 0.12  # of the redness of teeth and lips, below which they are not told apart
PARTED_GAP = 0.02  # gap / width of lips from which a mouth counts as open
# Search for edges: least gap / width and width in pixels of a mouth; share of its gap that is left
LEAST_GAP, LEAST_WIDTH, LEAST_LEFT = 0.04, 12.0, 0.25
PLACES = 25  # samples on each normal
REACH_INSIDE, REACH_OUTSIDE = 0.6, 0.3  # gaps into the mouth; lip heights over the lip
LIP_MIDDLE = 0.5  # share of a lip's height at which its colour is taken
NEARER = 0.25  # preference of edges near the landmark
STEP_RANGE = (0.08, 0.2)  # step of colour between lip and mouth, over the lip's, that is an edge
FILM_RANGE = (0.25, 0.45)  # difference of a film from the lip, over that of the mouth
FILM_SHARE = (0.25, 0.45)  # of the gap, from which it is one and no blurred edge
RIDGE = 0.05  # pull towards the landmarks
# An inside: sampled places across and along, its brightness and redness over those of the lips
# below which a pixel is no lip, share of pixels that are lip, and redness that lips must have
INSIDE_PLACES = np.linspace(0.15, 0.85, 21, dtype=np.float32)
DARK_INSIDE, PALE_INSIDE, ALL_LIP_RANGE, LEAST_RED = 0.6, 0.6, (0.68, 0.78), 0.05
# A row of teeth below lips that look shut
GRIN_PLACES = np.linspace(0.0, 1.0, 31)  # shares of the lower lip's height that are sampled
GRIN_ENDS = range(6, 24)  # those of them where the row may end
TOOTH_LIGHT = 1.3  # its brightness over that of both lips
TOOTH_SKIN = 0.55  # its brightness over the skin's; a glossy lip is darker
TOOTH_RED = 0.6  # its redness over the lips' and, in colour, the skin's; a pale lip has more
LEAST_STEP = 0.15  # step of brightness to the lip below it
GRIN_STEP = 0.25  # median of the steps from which it is a row of teeth
LEAST_ROW = 2.5  # pixels of its height; a thinner line is not told from a light seam of the lips
SKIN_PLACE = 1.6  # lip heights from its inner rim
_HALF = len(LIPS) // 2
_LOWER = np.arange(1, _HALF)
_UPPER = np.arange(_HALF + 1, len(LIPS))
TOOTH_RANGE = (0.35, 0.7)  # position between the two, lip below and tooth above


def refine(image: Image, face: Face) -> Face:
    """Move the inner rims of open lips to the edges between lip and mouth in the picture.

    Args:
        image: (H, W, 3) uint8.
        face: with its mesh in pixels of the image.

    Returns:
        The face itself where its lips are closed, would be closed, or no edge is clear. Lips that
        look shut are opened where a row of teeth is seen below them.
    """
    if face.mesh is None:
        return face
    mesh = np.asarray(face.mesh, np.float64)
    lips = opening.fit_opening(mesh, LIPS)
    if lips.width < LEAST_WIDTH:
        return face
    if lips.gap < LEAST_GAP:
        hidden = _hidden_teeth(image, mesh, lips)
        if not hidden.any():
            return face
        return replace(face, mesh=_move_rims(mesh, hidden).astype(np.float32))
    shares = np.zeros(len(LIPS))
    for rim in (_UPPER, _LOWER):
        shares[rim] = _edge_shares(image, mesh, lips, rim)
    if not shares.any():
        return face
    moved = _move_rims(mesh, shares)
    if opening.fit_opening(moved, LIPS).gap <= max(LEAST_LEFT * lips.gap, PARTED_GAP):
        return face
    return replace(face, mesh=moved.astype(np.float32))


def _hidden_teeth(image: Image, mesh: Array, lips: Opening) -> Array:
    """Return the shares (20,) of the lips' heights that are teeth of a grin, 0 where none is seen.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels, whose lips are shut.
        lips: its opening.
    """
    inner, outer = mesh[LIPS, :2], mesh[LIPS_OUTER, :2]

    def sample(rim: npt.NDArray[np.intp], places: Array) -> Array:
        points = inner[rim] + places[:, None, None] * (outer - inner)[rim]
        return remap(image, points.astype(np.float32)).astype(np.float64)

    def redness(colours: Array) -> Array:
        return np.asarray(
            (colours[..., 0] - colours[..., 1:].mean(-1)) / np.maximum(colours.mean(-1), 1.0)
        )

    across = sample(_LOWER, GRIN_PLACES)
    light = across.mean(-1)
    beyond = sample(_UPPER, np.array([SKIN_PLACE]))
    upper, skin = (
        np.median(colours.mean(-1))
        for colours in (sample(_UPPER, np.linspace(0.3, 0.8, 6)), beyond)
    )
    red = redness(across)
    skin_red = np.median(redness(beyond))
    steps, ends = np.zeros(len(_LOWER)), np.zeros(len(_LOWER))
    for end in GRIN_ENDS:
        row, below = np.median(light[2:end], 0), light[end + 1 : end + 7].mean(0)
        step = light[end - 3 : end].mean(0) - light[end + 1 : end + 4].mean(0)
        step /= np.maximum(below, 20.0)
        bright = row > TOOTH_LIGHT * np.maximum(below, upper)
        pale = np.median(red[2:end], 0) < TOOTH_RED * red[end + 1 : end + 7].mean(0)
        grey = np.abs(red[end + 1 : end + 7]).mean(0) < LEAST_RED
        paler = (np.median(red[2:end], 0) < TOOTH_RED * skin_red) | (skin_red < LEAST_RED)
        better = bright & (pale | grey) & paler & (row > TOOTH_SKIN * skin) & (step > steps)
        steps[better], ends[better] = step[better], GRIN_PLACES[end]
    shares = np.zeros(len(LIPS))
    heights = ends * np.linalg.norm((outer - inner)[_LOWER], axis=1)
    if np.median(steps[1:-1]) > GRIN_STEP and np.median(heights[1:-1]) > LEAST_ROW:
        along = lips.to_local(inner[_LOWER])[:, 0]
        line = _smooth(along, (steps > LEAST_STEP).astype(np.float64), ends)
        shares[_LOWER] = line.clip(0, GRIN_PLACES[GRIN_ENDS[-1]])  # no fold where it is unsure
    return shares


def _edge_shares(image: Image, mesh: Array, lips: Opening, rim: npt.NDArray[np.intp]) -> Array:
    """Find the edges on the normals of a rim.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        lips: its opening.
        rim: positions of the rim's points between the corners in the ring.

    Returns:
        How far the edge at each point is beyond it, in heights of the lip; negative inside.
    """
    inner, outer = mesh[LIPS[rim], :2], mesh[LIPS_OUTER[rim], :2]
    local = lips.to_local(inner)
    upper, lower = lips.rims(local[:, 0])
    height = np.maximum(np.linalg.norm(outer - inner, axis=-1), 0.02 * lips.width)
    inwards = REACH_INSIDE * (lower - upper) * lips.width  # pixels
    places = np.linspace(-1, 1, PLACES)[:, None]
    offsets = np.where(places < 0, places * inwards, places * REACH_OUTSIDE * height)  # pixels
    across = (outer - inner) / np.maximum(np.linalg.norm(outer - inner, axis=-1), 1e-6)[:, None]
    colours = remap(image, (inner + offsets[..., None] * across).astype(np.float32))
    colours = colours.astype(np.float64)
    lip = remap(image, (inner + LIP_MIDDLE * (outer - inner))[None].astype(np.float32))
    unlike = np.abs(colours - lip.astype(np.float64)).mean(-1)  # (PLACES, points)
    unlike = (
        unlike[:, np.r_[0, : len(rim) - 1]] + 2 * unlike + unlike[:, np.r_[1 : len(rim), -1]]
    ) / 4
    total = np.cumsum(unlike, 0)
    count = np.arange(1, PLACES + 1)[:, None]
    inside = total / count
    beyond = (total[-1] - total) / np.maximum(PLACES - count, 1)
    spread = (inside - beyond)[1:-1] * np.sqrt(count * (PLACES - count))[1:-1] / PLACES
    spread -= NEARER * np.abs(places[1:-1]) * spread.max()
    best, points = spread.argmax(0) + 1, np.arange(len(rim))
    step = (inside - beyond)[best, points]
    sure = smoothstep(*STEP_RANGE, step / np.maximum(lip.mean(), 20.0))
    found = (offsets[best, points] + offsets[best + 1, points]) / 2
    # what an edge inside the mouth leaves out must look like lip, and unlike the mouth
    left = (np.arange(PLACES)[:, None] > best) & (places <= 0)
    shown = (
        (unlike * left).sum(0) / np.maximum(left.sum(0), 1) / np.maximum(inside[best, points], 1)
    )
    thick = smoothstep(*FILM_SHARE, -found / np.maximum(inwards / REACH_INSIDE, 1e-6))
    sure *= np.where(found < 0, (1 - smoothstep(*FILM_RANGE, shown)) * thick, 1.0)
    return _smooth(local[:, 0], sure, found / height)


def _smooth(u: Array, sure: Array, shares: Array) -> Array:
    """Fit a smooth line that ends in the corners to shares along a rim, weighted by `sure`."""
    t = 2 * u - 1
    arch = 1 - np.clip(t, -1, 1) ** 2
    basis = np.stack([arch, arch * t, arch**2], 1)
    known = basis.T @ (sure[:, None] * basis) + RIDGE * np.eye(3)
    line = basis @ np.linalg.solve(known, basis.T @ (sure * shares))
    return np.asarray(line * np.median(sure))


def exclude_teeth(image: Image, mesh: Array, share: float) -> Array:
    """Move the inner rims of a mesh's lips outwards, to where the lips begin in the picture.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        share: of the correction, 0..1.

    Returns:
        (468, 3).
    """
    inner, outer = mesh[LIPS, :2], mesh[LIPS_OUTER, :2]
    covered = np.maximum(_tooth_shares(image, mesh, inner, outer), LEAST_SHARE)
    covered = (np.roll(covered, 1) + 2 * covered + np.roll(covered, -1)) / 4
    return _move_rims(mesh, share * covered)


def shows_inside(image: Image, mesh: Array) -> float:
    """Return 0..1, whether more than lips is seen between the inner rims of an open mouth.

    Where landmarks lie on lips, or a mouth is painted without teeth, nothing there is an inside.
    """
    lips = opening.fit_opening(mesh, LIPS)
    places = opening.between_rims(lips, INSIDE_PLACES, INSIDE_PLACES)
    middle = mesh[LIPS, :2] + LIP_MIDDLE * (mesh[LIPS_OUTER, :2] - mesh[LIPS, :2])
    lip = np.median(remap(image, middle[None].astype(np.float32))[0].astype(np.float64), 0)
    inside = remap(image, places).astype(np.float64)
    brightness = np.maximum(inside.mean(-1), 1.0)
    light = brightness / max(float(lip.mean()), 1.0)
    red = (inside[..., 0] - inside[..., 1:].mean(-1)) / brightness
    lip_red = float(lip[0] - lip[1:].mean()) / max(float(lip.mean()), 1.0)
    if lip_red < LEAST_RED:
        return 1.0
    alike = ((light > DARK_INSIDE) & (red > PALE_INSIDE * lip_red)).mean()
    return 1 - float(smoothstep(*ALL_LIP_RANGE, alike))


def _move_rims(mesh: Array, shares: Array) -> Array:
    """Move each point of the inner rims by a share (20,) of the lip's height outwards."""
    reach = np.zeros((len(mesh), 3))
    reach[LIPS] = shares[:, None] * (mesh[LIPS_OUTER] - mesh[LIPS])
    moved = mesh + reach
    for rim, rings in (
        (anatomy.LIPS.upper, anatomy.LIPS.upper_rings),
        (anatomy.LIPS.lower, anatomy.LIPS.lower_rings),
    ):
        middle, edge = rings  # the middle of a lip moves with its rim, its outer edge stays
        height = np.linalg.norm(mesh[edge] - mesh[rim], axis=-1)
        left = np.linalg.norm(mesh[edge] - mesh[middle], axis=-1) / np.maximum(height, 1e-6)
        moved[middle] += left.clip(0, 1)[:, None] * reach[rim]
    return moved


def _tooth_shares(image: Image, mesh: Array, inner: Array, outer: Array) -> Array:
    """Measure the share of the lip's height, at each rim point, that shows teeth."""
    places = np.append(SEARCHED, LIP_PLACE)[:, None, None]
    pale = _paleness(image, inner + places * (outer - inner))
    lip = float(np.median(pale[-1]))
    lips = opening.fit_opening(mesh, LIPS)
    along, across = np.linspace(0.2, 0.8, 13), np.linspace(0.1, 0.9, 9)
    inside = opening.between_rims(lips, along.astype(np.float32), across.astype(np.float32))
    tooth = float(np.quantile(_paleness(image, inside), 0.8))
    if tooth - lip < LEAST_CONTRAST:
        return np.zeros(len(inner))
    is_tooth = smoothstep(*TOOTH_RANGE, (pale[:-1] - lip) / (tooth - lip))
    connected = np.minimum.accumulate(is_tooth, 0)  # from the inside of the mouth on
    return np.asarray(connected.sum(0) * (SEARCHED[1] - SEARCHED[0]))


def _paleness(image: Image, points: Array | Array32) -> Array:
    """Return green and blue over red at pixel positions (..., 2), 1 for grey and white."""
    colours = remap(image, np.asarray(points, np.float32)).astype(np.float64)
    return np.asarray(colours[..., 1:].mean(-1) / np.maximum(colours[..., 0], 8.0))
