"""Lips that close over a mouth which is open in the source.

The warp map is too coarse for it: between the lips it would show what is left of the open mouth.
Here both lips are sampled again, column by column up to the line between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import lip_rims, opening
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.opening import COLUMNS, Opening
from thcli.engines.mesh.sampling import remap
from thcli.faces.landmarks.topology import LIPS_OUTER

OPEN_RANGE = (0.02, 0.07)  # gap / width of the target between which the line fades out
CLOSE_RANGE = (0.35, 0.75)  # target gap / source gap between which the lips are sampled again
HEIGHT_RANGE = (0.45, 0.9)  # share of a lip's height, from its inner rim, in which that fades out
LEAST_HEIGHT = 0.02  # of a lip, widths
CORNER_FADE = 0.12  # widths beside each corner; landmarks of turned faces miss the far corner
# of a lip beside its inner rim, where the picture mixes it with teeth: share of its height, pixels
MIXED_SHARE, MIXED_PIXELS, MOST_MIXED = 0.12, 1.5, 0.4
LINE_DARKNESS = 0.5  # brightness of the line between closed lips over that of the lips
# Half of its width, in mouth widths and in pixels at least; its share of the colour
LINE_WIDTH, LEAST_LINE, LINE_SHARE = 0.008, 0.5, 0.85
CREASE, SHARP_CREASE = 0.04, 1.5  # widths and pixels of blur over which the line stays as dark
_HALF = len(LIPS) // 2
_UPPER = np.r_[0, np.arange(len(LIPS) - 1, _HALF - 1, -1)]
_LOWER = np.arange(_HALF + 1)


@dataclass(frozen=True, slots=True)
class PartedLips:
    """Lips that are open in a source.

    rims: (2 lips, 2, 11, 2) pixels of the upper and the lower lip from left to right, its inner
    rim, where it is certainly lip, and its outer one.  mixed: (2, 11) share of the lip's height
    beside its inner rim where the picture mixes it with teeth.  colour: (3,) of the line between
    them.  gap: of the mouth in widths.  blur: of the picture, pixels.
    """

    rims: Array
    mixed: Array
    colour: Array
    gap: float
    blur: float


def prepare(
    image: Image, mesh: Array, gap: float, colour: Array | None = None, blur: float = 0.0
) -> PartedLips:
    """Measure the open lips of an image (H, W, 3) uint8.

    Args:
        image: the source.
        mesh: (468, 3) pixels.
        gap: of its mouth in widths.
        colour: (3,) of the line, if it is known.
        blur: of the image, pixels.
    """
    clear = lip_rims.exclude_teeth(image, mesh, 1.0)
    sides = [[clear[LIPS[one], :2], mesh[LIPS_OUTER[one], :2]] for one in (_UPPER, _LOWER)]
    rims = np.array(sides)
    height = np.linalg.norm(rims[:, 1] - rims[:, 0], axis=-1)
    mixed = np.clip(MIXED_PIXELS / np.maximum(height, 1e-6), MIXED_SHARE, MOST_MIXED)
    if colour is None:
        inner = clear[LIPS, :2] + 0.35 * (mesh[LIPS_OUTER, :2] - clear[LIPS, :2])
        colours = remap(image, inner[None].astype(np.float32))[0]
        lip = np.median(colours, 0)
        tint = np.sqrt(lip / max(float(lip.max()), 1.0))  # light within lips turns redder
        colour = np.asarray(LINE_DARKNESS * lip * tint, np.float64)
    return PartedLips(rims, mixed, colour, gap, blur)


def render(out: Image, image: Image, lips: PartedLips, target: Array) -> None:
    """Close the lips as far as the target's are closed, in place.

    Args:
        out: (H, W, 3) uint8 frame.
        image: (H, W, 3) uint8 source.
        lips: of the source.
        target: (468, 3) target mesh.
    """
    mouth = opening.fit_opening(target, LIPS)
    shown = 1 - float(smoothstep(*CLOSE_RANGE, mouth.gap / lips.gap))
    region = opening.bounding_region(mouth, (out.shape[1], out.shape[0]), 0.35)
    if shown <= 0 or region is None:
        return
    u, v = opening.local_coordinates(mouth, region)
    rims = mouth.rims(u)
    inside = smoothstep(0.0, CORNER_FADE, np.minimum(u, 1 - u)).astype(np.float32)
    closed = 1 - float(smoothstep(*OPEN_RANGE, mouth.gap))
    for side, ring in enumerate((_UPPER, _LOWER)):
        beyond = v - rims[1] if side else rims[0] - v
        rims_and_mixed = (lips.rims[side], closed * lips.mixed[side])
        height, positions = _sample_positions(mouth, target, rims_and_mixed, ring, (u, beyond))
        cover = 1 - smoothstep(*HEIGHT_RANGE, beyond / height)
        cover *= np.clip(1 + beyond * np.float32(mouth.width), 0, 1)
        opening.blend(
            out, region, np.asarray(shown * inside * cover, np.float32), remap(image, positions)
        )
    width = np.float32(max(LINE_WIDTH, LEAST_LINE / max(mouth.width, 1.0)))
    line = (rims[0] - width, rims[1] + width)
    soft = max(1.5, 2 * LINE_WIDTH * mouth.width, lips.blur)
    seam = opening.coverage(mouth, u, v, line, soft)
    crease = SHARP_CREASE + CREASE * mouth.width
    shown *= closed * crease / max(crease, lips.blur)
    colour = np.full((*seam.shape, 3), lips.colour, np.float32)
    opening.blend(out, region, LINE_SHARE * shown * seam * inside, colour)


def _sample_positions(
    mouth: Opening,
    target: Array,
    lip: tuple[Array, Array],
    ring: npt.NDArray[np.intp],
    grid: tuple[Array32, Array32],
) -> tuple[Array32, Array32]:
    """Find where the source shows a lip.

    Args:
        mouth: opening of the target.
        target: (468, 3) target mesh.
        lip: rims (2, 11, 2) and mixed share (11,) of it in the source, see `PartedLips`.
        ring: positions of the lip's points in the rings of lips.
        grid: (h, w) each, u, and the distance from the lip's inner rim outwards in widths.

    Returns:
        Height of the lip in widths, (h, w), and positions (h, w, 2) in pixels.
    """
    (u, beyond), (rims, mixed) = grid, lip
    inner, outer = (mouth.to_local(target[points[ring], :2]) for points in (LIPS, LIPS_OUTER))
    places = np.maximum.accumulate(inner[:, 0])
    edge = np.interp(COLUMNS, np.maximum.accumulate(outer[:, 0]), outer[:, 1])
    high = np.maximum(np.abs(edge - np.interp(COLUMNS, places, inner[:, 1])), LEAST_HEIGHT)
    own = [np.interp(COLUMNS, places, rims[k, :, axis]) for k in range(2) for axis in range(2)]
    at = np.clip((u + 0.25) * 64, 0, 95.999)
    low = at.astype(np.intp)
    part = (at - low).astype(np.float32)
    columns = np.stack([high, np.interp(COLUMNS, places, mixed), *own], -1).astype(np.float32)
    found = columns[low] + part[..., None] * (columns[low + 1] - columns[low])
    depth = np.maximum(beyond, 0)[..., None] / found[..., :1]
    depth += found[..., 1:2] * (1 - np.minimum(depth, 1))
    positions = found[..., 2:4] + depth * (found[..., 4:] - found[..., 2:4])
    return found[..., 0], np.asarray(positions, np.float32)
