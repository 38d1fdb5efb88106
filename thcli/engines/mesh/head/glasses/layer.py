"""Glasses of a source as a rigid layer over its bare face.

In a turn a lens that is part of the skin is drawn out with the side of the cheek, because the skin
beside an eye lies far behind the glasses. So frames, dark lenses and temples are taken off the
picture, what they cover is filled from beside it, and flat pieces with a depth of their own are
laid over each frame by the head's rigid motion alone: two lenses that meet at the bridge, and a
straight bar from either hinge towards the ear. See docs/mesh-engine.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.geometry import fit_similarity
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import compose
from thcli.engines.mesh.anatomy import RIGID, RIGID_WEIGHTS, face_height
from thcli.engines.mesh.head.glasses import taken_off
from thcli.engines.mesh.head.glasses.taken_off import Separated
from thcli.engines.mesh.head.outline import fit_rigid_head, sine_of_yaw
from thcli.faces.parsing.crops import Regions
from thcli.motion.canonical import neutral

LEAST_WORN = 0.7  # largest share of glasses at a point of the mesh from which they are a layer
MOST_SIDE = 0.3  # sine of a source's yaw up to which both lenses are seen well
BRIDGE = 168
TEMPLES = {-1: 127, 1: 356}  # points before the ears, by side of the image
# Depth of the lenses behind the bridge of the nose, face heights: in the middle, for each face
# height to the side; and of a temple's end behind the point before the ear
LENS_DEPTH, WRAP, EAR_DEPTH = -0.01, 0.12, 0.08
WIDTH, HEIGHT = 0.6, (-0.24, 0.3)  # face heights around the bridge in which glasses are looked for
CELLS = 160  # samples over that width
LEAST_BAR = 0.009  # face heights, height of a column of glasses that may be a temple
LEAST_LENS = 0.08  # face heights, least height of lenses
LEAST_WHOLE = 0.8  # width of a lens over the other one's from which it is whole
LENS_SHARE = 0.3  # of the tallest column of glasses, which is a lens; less is a temple
LEAST_STUB = 0.035  # face heights of a temple that the source shows, to be drawn out
BAR_LENGTH = 40  # pixels of a made bar
SHOWN = (0.0, 0.03)  # face heights of a temple in the frame: hidden behind the lens, drawn


@dataclass(frozen=True, slots=True)
class Piece:
    """A flat piece of glasses.

    texture: (h, w, 4) uint8 premultiplied.  corners: (3, 2) pixels of it.  points: (3, 3) where
    they are in the source, pixels.  outwards: (3,) direction in the source in which a temple shows,
    None of a lens.  hidden: face heights of a temple that do not count as shown.
    """

    texture: Image
    corners: Array32
    points: Array
    outwards: Array | None = None
    hidden: float = 0.0


@dataclass(frozen=True, slots=True)
class _Head:
    """Similarity from the mean face to a source's mesh: source = scale * rotation @ mean + shift.

    size: of the mean face's height.
    """

    scale: float
    rotation: Array
    shift: Array
    size: float

    def place(self, points: Array) -> Array:
        """Return source points (..., 3) of points in face heights behind the bridge."""
        mean = neutral()[BRIDGE] + self.size * np.asarray(points, np.float64)
        return np.asarray(self.scale * mean @ self.rotation.T + self.shift)


def take_off(
    image: Image, mesh: Array, regions: Regions, worn: Array, tone: Array
) -> tuple[Image, tuple[Piece, ...]] | None:
    """Take the glasses off a source; None where none are seen well enough from the front.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        regions: of the face.
        worn: (468,) how far a point is glasses.
        tone: (3,) colour of the skin, 0..255.

    Returns:
        The image without them, and the pieces, which laid over it at rest give the image.
    """
    if worn.max() < LEAST_WORN or abs(sine_of_yaw(mesh)) > MOST_SIDE:
        return None
    head = _find_head(mesh)
    box = np.array([(x, y, z) for x in (-WIDTH, WIDTH) for y in HEIGHT for z in (0.0, 0.3)])
    around = head.place(box)[:, :2]
    low = np.maximum(np.floor(around.min(0)), 0).astype(int)
    high = np.minimum(np.ceil(around.max(0)).astype(int) + 1, (image.shape[1], image.shape[0]))
    if (high - low < 8).any():
        return None
    part = image[low[1] : high[1], low[0] : high[0]]
    wearer = taken_off.crop_wearer(part, mesh, regions, low)
    places = _places_on_lenses(head, low, part.shape[1::-1])
    spans = _measure(wearer.worn > taken_off.IS_GLASSES, places)
    if spans is None:
        return None
    left, right = (span.hinge[0] for span in spans)
    found = taken_off.separate(wearer, (places.across > left) & (places.across < right), tone)
    pieces = _cut_out(head, low, found, places, spans)
    whole = image.copy()
    whole[low[1] : high[1], low[0] : high[0]] = found.bare
    return whole, pieces


def render(
    out: Image, pieces: tuple[Piece, ...], meshes: tuple[Array, Array], alpha: Image | None
) -> None:
    """Lay glasses over a frame, in place.

    Args:
        out: (H, W, 3) uint8 frame.
        pieces: from `take_off`.
        meshes: (468, 3) of source and target.
        alpha: (H, W) uint8 of the person in the frame, which they cover; None if not needed.
    """
    matrix, shift = fit_rigid_head(*meshes)
    target_from_source = np.linalg.inv(matrix.astype(np.float64))
    size = face_height(meshes[0])
    for piece in pieces:
        placed = (piece.points - shift) @ target_from_source.T
        share = 1.0
        if piece.outwards is not None:
            outwards = (target_from_source @ piece.outwards)[:2]
            outwards /= max(float(np.linalg.norm(outwards)), 1e-9)
            grown = float((placed[1] - placed[0])[:2] @ outwards) / size - piece.hidden
            share = float(smoothstep(*SHOWN, grown))
        if share > 0:
            _lay(out, alpha, piece, placed[:, :2].astype(np.float32), share)


def _lay(out: Image, alpha: Image | None, piece: Piece, placed: Array32, share: float) -> None:
    """Lay a piece over a frame, its corners at pixels (3, 2)."""
    matrix = cv2.getAffineTransform(piece.corners, placed)
    height, width = piece.texture.shape[:2]
    ends = np.array([(0, 0, 1), (width, 0, 1), (0, height, 1), (width, height, 1.0)]) @ matrix.T
    low = np.maximum(np.floor(ends.min(0)), 0).astype(int)
    high = np.minimum(np.ceil(ends.max(0)).astype(int) + 1, (out.shape[1], out.shape[0]))
    if (high <= low).any():
        return
    matrix[:, 2] -= low
    size = int(high[0] - low[0]), int(high[1] - low[1])
    texture = np.asarray(cv2.warpAffine(piece.texture, matrix, size), np.uint8)
    if share < 1:
        texture = np.asarray(cv2.convertScaleAbs(texture, alpha=share), np.uint8)
    region = slice(low[1], high[1]), slice(low[0], high[0])
    out[region] = compose.lay_over(texture, out[region])
    if alpha is not None:
        alpha[region] = np.maximum(alpha[region], texture[..., 3])


def _find_head(mesh: Array) -> _Head:
    mean = neutral()
    scale, rotation, shift = fit_similarity(mean[RIGID], mesh[RIGID], RIGID_WEIGHTS)
    return _Head(float(scale), rotation, shift, face_height(mean))


@dataclass(frozen=True, slots=True)
class _Places:
    """Places of the pixels of a crop on the lenses' planes, in face heights around the bridge.

    across, down: (h, w).  area: of a pixel.
    """

    across: Array
    down: Array
    area: float


def _lens(side: int, across: float, down: float) -> tuple[float, float, float]:
    """Return the point of a lens's plane at a place, face heights."""
    return across, down, LENS_DEPTH + WRAP * side * across


def _places_on_lenses(head: _Head, low: npt.NDArray[np.integer], size: tuple[int, int]) -> _Places:
    x, y = np.meshgrid(low[0] + np.arange(size[0]), low[1] + np.arange(size[1]))
    halves, area = [], 0.0
    for side in (-1, 1):
        origin, right, below = head.place(
            np.array([_lens(side, 0, 0), _lens(side, 1, 0), _lens(side, 0, 1)])
        )[:, :2]
        inverse = np.linalg.inv(np.stack([right - origin, below - origin], 1))
        halves.append(inverse @ np.stack([x.ravel() - origin[0], y.ravel() - origin[1]]))
        area += abs(float(np.linalg.det(inverse))) / 2
    both = np.where(halves[1][0] >= 0, halves[1], halves[0]).reshape(2, *x.shape)
    return _Places(both[0], both[1], area)


@dataclass(frozen=True, slots=True)
class _Span:
    """Hinge of a lens and end of the temple that the source shows, (2,) places on the lens."""

    hinge: Array
    end: Array


def _measure(is_glasses: npt.NDArray[np.bool_], places: _Places) -> tuple[_Span, _Span] | None:
    """Find the hinges and temples of both sides; None where a lens is not whole."""
    across, down = places.across[is_glasses], places.down[is_glasses]
    near = np.abs(across) < WIDTH
    across, down = across[near], down[near]
    cell = 2 * WIDTH / CELLS
    bins = np.clip(((across + WIDTH) / cell).astype(int), 0, CELLS - 1)
    count = np.bincount(bins, minlength=CELLS)
    height = count * places.area / cell
    middle = np.bincount(bins, down, CELLS) / np.maximum(count, 1)
    top = np.full(CELLS, np.inf)
    np.minimum.at(top, bins, down)
    spans = []
    for side in (-1, 1):
        order = np.arange(CELLS // 2, CELLS) if side > 0 else np.arange(CELLS // 2 - 1, -1, -1)
        lens = np.flatnonzero(height[order] > LENS_SHARE * height.max())
        if not len(lens) or height.max() < LEAST_LENS:
            return None
        at = int(lens[-1])
        beyond = height[order][at + 1 :] > LEAST_BAR
        length = int(np.argmin(beyond)) if not beyond.all() else len(beyond)
        place = (order + 0.5) * cell - WIDTH
        outer = order[at]
        hinge_down = top[outer] + 0.3 * height[outer]
        end = place[at], hinge_down
        if length >= 2:
            stub = order[at + 1 : at + 1 + length]
            hinge_down = float(np.median(middle[stub[: max(2, length // 3)]]))
            end = place[at + length], float(np.median(middle[stub[-max(2, length // 3) :]]))
        spans.append(_Span(np.array([place[at] + side * cell / 2, hinge_down]), np.array(end)))
    left, right = (abs(float(span.hinge[0])) for span in spans)
    # where the face's outline hides an end of a lens, or the parser missed it, one side is short
    return (spans[0], spans[1]) if min(left, right) > LEAST_WHOLE * max(left, right) else None


def _cut_out(
    head: _Head,
    low: npt.NDArray[np.integer],
    found: Separated,
    places: _Places,
    spans: tuple[_Span, _Span],
) -> tuple[Piece, ...]:
    """Cut glasses into temples and lenses, in the order in which they are laid."""
    texture, frame = found.glasses, found.frame
    lenses: list[Piece] = []
    seen: dict[int, Piece] = {}
    hidden: dict[int, _Temple] = {}
    for side, span in zip((-1, 1), spans, strict=True):
        own = places.across * side >= 0
        is_lens = own & (places.across * side <= span.hinge[0] * side)
        points = head.place(
            np.array([_lens(side, 0, 0), _lens(side, 0.4 * side, 0), _lens(side, 0, 0.2)])
        )
        temple = _temple(head, side, span)
        is_seen = temple.stub > LEAST_STUB
        lenses.append(_piece(texture, is_lens if is_seen else own, low, points))
        if is_seen:
            seen[side] = _piece(texture, own & ~is_lens, low, temple.points, temple.outwards)
        else:
            hidden[side] = temple
    shown = dict(seen)
    for side, temple in hidden.items():
        points = temple.whole
        other = shown.get(-side)
        if other is not None:
            seen[side] = replace(other, points=points, outwards=temple.outwards, hidden=temple.full)
        elif frame is not None:
            points = points.copy()
            corners = np.array([(0, 4), (BAR_LENGTH, 4), (0, 7)], np.float32)
            points[2] = points[0] + (points[2] - points[0]) * (frame.thickness / 0.2)
            seen[side] = Piece(_bar(frame.colour), corners, points, temple.outwards, temple.full)
    return (*seen.values(), *lenses)


def _piece(
    texture: Image,
    mask: npt.NDArray[np.bool_],
    low: npt.NDArray[np.integer],
    points: Array,
    outwards: Array | None = None,
) -> Piece:
    left, top, width, height = cv2.boundingRect((mask & (texture[..., 3] > 0)).astype(np.uint8))
    part = slice(top, top + max(height, 1)), slice(left, left + max(width, 1))
    shown = texture[part] * mask[part][..., None].astype(np.uint8)
    return Piece(shown, (points[:, :2] - low - (left, top)).astype(np.float32), points, outwards)


@dataclass(frozen=True, slots=True)
class _Temple:
    """A temple: its hinge, end and a point 0.1 face heights below the hinge, (3, 3) pixels.

    points: as far as the source shows it.  whole: to the ear.  stub, full: face heights outwards
    that these take in the source.
    """

    points: Array
    whole: Array
    outwards: Array
    stub: float
    full: float


def _temple(head: _Head, side: int, span: _Span) -> _Temple:
    unit = head.scale * head.size
    hinge = head.place(np.array(_lens(side, *span.hinge)))
    below = hinge + 0.1 * unit * head.rotation[:, 1]
    mean = (neutral()[TEMPLES[side]] - neutral()[BRIDGE]) / head.size
    ear = head.place(np.array((mean[0], (mean[1] + span.hinge[1]) / 2, mean[2] + EAR_DEPTH)))
    outwards = side * head.rotation[:, 0]
    flat = outwards[:2] / np.linalg.norm(outwards[:2])
    end = head.place(np.array(_lens(side, *span.end)))
    stub, full = (float((point - hinge)[:2] @ flat) / unit for point in (end, ear))
    way = float(np.clip(stub / full, 0.15, 1)) if full > 0 else 1.0
    end[2] = hinge[2] + way * (ear[2] - hinge[2])
    points, whole = np.stack([hinge, end, below]), np.stack([hinge, ear, below])
    return _Temple(points, whole, outwards, stub, full)


def _bar(colour: Array32) -> Image:
    """Return a bar in the colour of a frame."""
    profile = np.array([0, 0.5, 1, 1, 1, 1, 0.5, 0, 0])[:, None]
    along = np.ones(BAR_LENGTH + 1)
    along[-6:] = np.linspace(1, 0, 6)
    alpha = (profile * along)[..., None]
    shade = np.array([1, 1, 1.1, 1.05, 1, 0.95, 0.9, 0.9, 0.9])[:, None, None]
    bar = np.concatenate([np.clip(colour * shade, 0, 255) * alpha, 255 * alpha], -1)
    return np.asarray(bar + 0.5, np.uint8)
