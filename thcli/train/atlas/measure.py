"""What the atlas learns of one picture: its points, its unrolled texture, its fine detail."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.protocols import Parser
from thcli.core.types import Array, Array32, Face, Image
from thcli.editors.atlas import layout as plan
from thcli.editors.atlas import sampling, tone
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop, moved
from thcli.faces.landmarks.topology import POINTS
from thcli.faces.parsing import BROWS, EYES, LIPS, NECK, SKIN, together

HALF = plan.COLUMNS // 2
SIDE = 256  # pixels of the crop that is measured
BANDS = (
    (0.0, 1.2),
    (1.2, 3.0),
)  # pixels of that crop: what is finer than the second, less what is finer than the first
AROUND = 4.0  # pixels over which the strength of detail is measured
_FAINT = 1e-5  # of its variance
KNOWN = SKIN | BROWS | EYES | LIPS | NECK


@dataclass(frozen=True, slots=True)
class Measured:
    """texture: (ROWS, HALF, 3) uint8, soft logarithms over their range, both sides of the face together.  weight: (ROWS, HALF) uint8.

    detail: (ROWS / 2, HALF / 2, 2) float16, logarithms of the local variance in each of BANDS.
    """

    texture: Image
    weight: Image
    detail: npt.NDArray[np.float16]


def measured(picture: Image, mesh: Array, parser: Parser | None) -> Measured:
    """picture: (H, W, 3).  mesh: (468, 3) in its pixels.  parser: says where hair and glasses hide the face; None: nothing does."""
    where = align.ffhq(mesh, SIDE)
    seen = np.asarray(crop(picture, where), np.uint8)
    face = moved(
        Face(np.zeros(4, np.float32), 1.0, mesh=np.asarray(mesh, np.float32)), where.crop_from_frame
    )
    assert face.mesh is not None
    points = plan.extended(face.mesh.astype(np.float64))
    at = sampling.places(points)
    known = (
        np.full((SIDE, SIDE), 1.0, np.float32)
        if parser is None
        else together(parser.parse([seen], [face])[0], KNOWN)
    )
    weight = (
        sampling.to_atlas(known, at) * plan.spread(plan.facing(points[:POINTS])[:, None])[..., 0]
    )
    weight = np.clip(2 * weight - 1, 0, 1)  # a border of skin is not skin
    texture = sampling.to_atlas(tone.logs(seen), at)
    detail = np.stack([sampling.to_atlas(band, at) for band in _bands(seen)], -1)
    both, total = _together(texture, weight)
    small, _ = _together(detail, weight)
    coded = (both - tone.LOW) * (255 / (tone.HIGH - tone.LOW))
    return Measured(
        np.clip(np.rint(coded), 0, 255).astype(np.uint8),
        np.rint(total * 255).astype(np.uint8),
        small[::2, ::2].astype(np.float16),
    )


def _bands(seen: Image) -> list[Array32]:
    light = tone.logs(seen) @ tone.LUMA
    out = []
    for low, high in BANDS:
        fine = light if low == 0 else cv2.GaussianBlur(light, (0, 0), low)
        band = fine - cv2.GaussianBlur(light, (0, 0), high)
        out.append(np.log(cv2.GaussianBlur(band * band, (0, 0), AROUND) + np.float32(_FAINT)))
    return out


def _together(values: Array32, weight: Array32) -> tuple[Array32, Array32]:
    """The left half, and the mirrored right half over it, as each is seen: means (ROWS, HALF, C), and how much is (0..1)."""
    left, right = weight[:, :HALF], weight[:, ::-1][:, :HALF]
    a, b = values[:, :HALF], values[:, ::-1][:, :HALF]
    total = left + right
    mean = (a * left[..., None] + b * right[..., None]) / np.maximum(total, 1e-6)[..., None]
    return np.where(total[..., None] > 1e-3, mean, (a + b) / 2), np.clip(total / 2, 0, 1)
