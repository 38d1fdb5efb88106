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

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import compose
from thcli.engines.mesh.anatomy import face_height
from thcli.engines.mesh.head.glasses import places, taken_off, temples, turned_away
from thcli.engines.mesh.head.glasses.places import WIDTH, Head, Places, Span, lens_point
from thcli.engines.mesh.head.glasses.taken_off import Separated, Wearer
from thcli.engines.mesh.head.glasses.temples import Hair, Temple
from thcli.engines.mesh.head.glasses.turned_away import Away, Outline
from thcli.engines.mesh.head.outline import fit_rigid_head, sine_of_yaw
from thcli.engines.mesh.sampling import box_mean
from thcli.engines.mesh.warp import WarpMap
from thcli.faces.parsing.crops import Regions

LEAST_WORN = 0.7  # largest share of glasses at a point of the mesh from which they are a layer
MOST_SIDE = 0.3  # sine of a source's yaw up to which both lenses are seen well
HEIGHT = (-0.24, 0.3)  # face heights around the bridge in which glasses are looked for
# Face heights of a temple that the source shows, to be drawn out; for the other side's, too
LEAST_STUB, LEAST_LENT = 0.035, 0.08
OPAQUE = 0.5  # opacity of lenses from which they hide the eyes
SHOWN = (0.0, 0.03)  # face heights of a temple in the frame: hidden behind the lens, drawn


@dataclass(frozen=True, slots=True)
class Piece:
    """A flat piece of glasses.

    texture: (h, w, 4) uint8 premultiplied.  corners: (3, 2) pixels of it.  points: (3, 3) where
    they are in the source, pixels.  outwards: (3,) direction in the source in which a temple shows,
    None of a lens.  hidden: face heights of a temple that do not count as shown.  hair: that hides
    a made temple, or None.  away: of a lens, as its side turns away.
    """

    texture: Image
    corners: Array32
    points: Array
    outwards: Array | None = None
    hidden: float = 0.0
    hair: Hair | None = None
    away: Away | None = None


@dataclass(frozen=True, slots=True)
class Glasses:
    """Glasses that a source wears.

    worn: (468,) how far a point of the mesh is glasses.  mesh: (468, 3) pixels of the source.
    pieces: those that are laid over each frame, which the source does without; none where the
    glasses are part of its skin.  hides_eyes: the lenses are dark.
    """

    worn: Array
    mesh: Array
    pieces: tuple[Piece, ...] = ()
    hides_eyes: bool = False


def take_off(
    image: Image, mesh: Array, regions: Regions, worn: Array, tone: Array
) -> tuple[Image, Glasses]:
    """Take the glasses off a source.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        regions: of the face.
        worn: (468,) how far a point is glasses.
        tone: (3,) colour of the skin, 0..255.

    Returns:
        The image without them, and they, which laid over it at rest give the image. They have no
        pieces, and the image is the given one, where they do not stand out from the skin or both
        lenses are not seen well enough from the front.
    """
    in_skin = image, Glasses(worn, mesh)
    if worn.max() < LEAST_WORN or abs(sine_of_yaw(mesh)) > MOST_SIDE:
        return in_skin
    head = places.find_head(mesh)
    box = np.array([(x, y, z) for x in (-WIDTH, WIDTH) for y in HEIGHT for z in (0.0, 0.3)])
    around = head.place(box)[:, :2]
    low = np.maximum(np.floor(around.min(0)), 0).astype(int)
    high = np.minimum(np.ceil(around.max(0)).astype(int) + 1, (image.shape[1], image.shape[0]))
    if (high - low < 8).any():
        return in_skin
    part = image[low[1] : high[1], low[0] : high[0]]
    wearer = taken_off.crop_wearer(part, mesh, regions, low)
    on_lens = places.places_on_lenses(head, low, part.shape[1::-1])
    spans = places.measure(wearer.worn > taken_off.IS_GLASSES, on_lens)
    if spans is None:
        return in_skin
    left, right = (span.hinge[0] for span in spans)
    found = taken_off.separate(wearer, (on_lens.across > left) & (on_lens.across < right), tone)
    if found is None:
        return in_skin
    pieces = _cut_out(head, low, wearer, found, (on_lens, spans), tone)
    whole = image.copy()
    whole[low[1] : high[1], low[0] : high[0]] = found.bare
    return whole, Glasses(worn, mesh, pieces, found.opaque >= OPAQUE)


def lend(glasses: Glasses) -> Glasses:
    """Return a source's glasses as they lie over another picture, whose hair is not known."""
    pieces = tuple(replace(piece, hair=None) for piece in glasses.pieces)
    return replace(glasses, pieces=pieces)


def render(
    out: Image,
    glasses: Glasses,
    points: Array,
    alpha: Image | None,
    warp_map: WarpMap | None,
) -> None:
    """Lay glasses over a frame, in place.

    Args:
        out: (H, W, 3) uint8 frame.
        glasses: from `take_off`.
        points: (468, 3) target mesh.
        alpha: (H, W) uint8 of the person in the frame, which they cover; None if not needed.
        warp_map: of the frame; None where it shows the source at rest.
    """
    matrix, shift = fit_rigid_head(glasses.mesh, points)
    target_from_source = np.linalg.inv(matrix.astype(np.float64))
    size = face_height(glasses.mesh)
    for piece in glasses.pieces:
        placed = (piece.points - shift) @ target_from_source.T
        share, texture, outline = 1.0, piece.texture, None
        if piece.outwards is not None:
            outwards = turned_away.flat(target_from_source @ piece.outwards)
            grown = float((placed[1] - placed[0])[:2] @ outwards) / size - piece.hidden
            share = float(smoothstep(*SHOWN, grown))
        elif piece.away is not None and warp_map is not None:
            turn = turned_away.find(piece.away, target_from_source, points, size)
            texture, outline = turned_away.shown_texture(texture, piece.away, turn), turn.outline
        if share > 0 and piece.hair is not None and warp_map is not None:
            free = temples.free_share(piece.hair, out, warp_map, *placed[:2, :2])
            if np.isfinite(free):
                texture = temples.hide(texture, piece.corners, free)
        if share > 0:
            laid = texture, piece.corners, outline
            _lay(out, alpha, laid, placed[:, :2].astype(np.float32), share)


def _lay(
    out: Image,
    alpha: Image | None,
    piece: tuple[Image, Array32, Outline | None],
    placed: Array32,
    share: float,
) -> None:
    """Lay a piece (texture, corners, what cuts it) over a frame, its corners at pixels (3, 2)."""
    texture, corners, outline = piece
    matrix = cv2.getAffineTransform(corners, placed)
    height, width = texture.shape[:2]
    ends = np.array([(0, 0, 1), (width, 0, 1), (0, height, 1), (width, height, 1.0)]) @ matrix.T
    low = np.maximum(np.floor(ends.min(0)), 0).astype(int)
    high = np.minimum(np.ceil(ends.max(0)).astype(int) + 1, (out.shape[1], out.shape[0]))
    if (high <= low).any():
        return
    matrix[:, 2] -= low
    size = int(high[0] - low[0]), int(high[1] - low[1])
    texture = np.asarray(cv2.warpAffine(texture, matrix, size), np.uint8)
    if share < 1:
        texture = np.asarray(cv2.convertScaleAbs(texture, alpha=share), np.uint8)
    if outline is not None:
        texture = outline.cut(texture, low)
    region = slice(low[1], high[1]), slice(low[0], high[0])
    out[region] = compose.lay_over(texture, out[region])
    if alpha is not None:
        alpha[region] = np.maximum(alpha[region], texture[..., 3])


def _cut_out(
    head: Head,
    low: npt.NDArray[np.integer],
    wearer: Wearer,
    found: Separated,
    measured: tuple[Places, tuple[Span, Span]],
    tone: Array,
) -> tuple[Piece, ...]:
    """Cut glasses into temples and lenses, in the order in which they are laid."""
    texture, frame = found.glasses, found.frame
    on_lens, spans = measured
    worn = wearer.worn > taken_off.IS_GLASSES
    whole, ends = turned_away.find_ends(worn, wearer.eyes, on_lens, wearer.size)
    rest = 1 - box_mean(ends.astype(np.float32), 3)[..., None]
    without = np.asarray(texture * rest + 0.5, np.uint8)
    lenses: list[Piece] = []
    seen: dict[int, Piece] = {}
    hidden: dict[int, Temple] = {}
    stubs: dict[int, float] = {}
    for side, span in zip((-1, 1), spans, strict=True):
        own = on_lens.across * side >= 0
        is_lens = own & (on_lens.across * side <= span.hinge[0] * side)
        points = head.place(
            np.array(
                [lens_point(side, 0, 0), lens_point(side, 0.4 * side, 0), lens_point(side, 0, 0.2)]
            )
        )
        temple = temples.find(head, side, span)
        stubs[side] = temple.stub
        is_seen = temple.stub > LEAST_STUB
        own_lens = is_lens if is_seen else own
        lens = _piece(texture, own_lens, low, points)
        closed = turned_away.is_closed(without[..., 3], whole, on_lens, side)
        away = Away(_cut(without, _box(texture, own_lens), own_lens), temple, closed)
        lenses.append(replace(lens, away=away))
        if is_seen:
            seen[side] = _piece(texture, own & ~is_lens, low, temple.points, temple.outwards)
        else:
            hidden[side] = temple
    shown = dict(seen)
    for side, temple in hidden.items():
        other, points = shown.get(-side), temple.whole.copy()
        if other is not None and stubs[-side] > LEAST_LENT:
            bar, corners = other.texture, other.corners
        elif frame is not None:
            colour = (
                frame.colour if other is None else temples.colour_of(other.texture, other.corners)
            )
            bar, corners = temples.bar(colour), temples.BAR_CORNERS
            points[2] = points[0] + (points[2] - points[0]) * (frame.thickness / 0.2)
        else:
            continue
        hair = temples.find_hair(temple, side, wearer, low, tone)
        seen[side] = Piece(bar, corners, points, temple.outwards, temple.full, hair)
    return (*seen.values(), *lenses)


def _piece(
    texture: Image,
    mask: npt.NDArray[np.bool_],
    low: npt.NDArray[np.integer],
    points: Array,
    outwards: Array | None = None,
) -> Piece:
    box = _box(texture, mask)
    corners = (points[:, :2] - low - (box[1].start, box[0].start)).astype(np.float32)
    return Piece(_cut(texture, box, mask), corners, points, outwards)


def _box(texture: Image, mask: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    left, top, width, height = cv2.boundingRect((mask & (texture[..., 3] > 0)).astype(np.uint8))
    return slice(top, top + max(height, 1)), slice(left, left + max(width, 1))


def _cut(texture: Image, box: tuple[slice, slice], mask: npt.NDArray[np.bool_]) -> Image:
    return np.asarray(texture[box] * mask[box][..., None].astype(np.uint8), np.uint8)
