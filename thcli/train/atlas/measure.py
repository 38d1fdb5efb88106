"""Measurement of one face for the atlas: shape, unrolled texture and fine detail."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.protocols import Parser
from thcli.core.types import Array, Array32, Face, Image
from thcli.editors.atlas import layout, sampling, tone
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop, transform_face
from thcli.faces.landmarks.topology import POINTS
from thcli.faces.parsing import BROWS, EYES, LIPS, NECK, SKIN, group_probability

HALF = layout.COLUMNS // 2
SIDE = 256  # side of the measured crop in pixels
BANDS = ((0.0, 1.2), (1.2, 3.0))  # band-pass filters: standard deviations of two Gaussians, pixels
DETAIL_WINDOW = 4.0  # standard deviation of the window of the local variance, pixels
_MIN_VARIANCE = 1e-5
VISIBLE = SKIN | BROWS | EYES | LIPS | NECK


@dataclass(frozen=True, slots=True)
class FaceMeasurement:
    """Texture and detail of one face, with both sides combined.

    texture: (ROWS, HALF, 3) uint8, soft logarithms scaled to their range. weight: (ROWS, HALF)
    uint8 visibility. detail: (ROWS / 2, HALF / 2, 2) float16, logarithms of the local variance in
    BANDS.
    """

    texture: Image
    weight: Image
    detail: npt.NDArray[np.float16]


def measure_face(image: Image, mesh: Array, parser: Parser | None) -> FaceMeasurement:
    """Measure a face.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) in the image's pixels.
        parser: Finds hair and glasses that hide the face; None: nothing hides it.
    """
    placement = align.ffhq(mesh, SIDE)
    pixels = np.asarray(crop(image, placement), np.uint8)
    face = Face(np.zeros(4, np.float32), 1.0, mesh=np.asarray(mesh, np.float32))
    face = transform_face(face, placement.crop_from_frame)
    assert face.mesh is not None
    points = layout.extend_mesh(face.mesh.astype(np.float64))
    positions = sampling.sample_positions(points)
    if parser is None:
        visible = np.full((SIDE, SIDE), 1.0, np.float32)
    else:
        visible = group_probability(parser.parse([pixels], [face])[0], VISIBLE)
    facing = layout.rasterize(layout.facing_weights(points[:POINTS])[:, None])[..., 0]
    weight = sampling.unroll_image(visible, positions) * facing
    weight = np.clip(2 * weight - 1, 0, 1)  # excludes the border of the skin
    texture = sampling.unroll_image(tone.to_log(pixels), positions)
    bands = [sampling.unroll_image(band, positions) for band in _local_variance(pixels)]
    folded, total = _fold_halves(texture, weight)
    detail, _ = _fold_halves(np.stack(bands, -1), weight)
    coded = (folded - tone.LOW) * (255 / (tone.HIGH - tone.LOW))
    return FaceMeasurement(
        np.clip(np.rint(coded), 0, 255).astype(np.uint8),
        np.rint(total * 255).astype(np.uint8),
        detail[::2, ::2].astype(np.float16),
    )


def _local_variance(image: Image) -> list[Array32]:
    """Return the logarithm of the local variance of luma in each of BANDS."""
    luma = tone.to_log(image) @ tone.LUMA
    out = []
    for low, high in BANDS:
        fine = luma if low == 0 else cv2.GaussianBlur(luma, (0, 0), low)
        band = fine - cv2.GaussianBlur(luma, (0, 0), high)
        variance = cv2.GaussianBlur(band * band, (0, 0), DETAIL_WINDOW)
        out.append(np.log(variance + np.float32(_MIN_VARIANCE)))
    return out


def _fold_halves(values: Array32, weight: Array32) -> tuple[Array32, Array32]:
    """Average the left half and the mirrored right half, weighted by visibility.

    Returns:
        Means (ROWS, HALF, C) and visibility (ROWS, HALF) in [0, 1].
    """
    left, right = weight[:, :HALF], weight[:, ::-1][:, :HALF]
    a, b = values[:, :HALF], values[:, ::-1][:, :HALF]
    total = left + right
    mean = (a * left[..., None] + b * right[..., None]) / np.maximum(total, 1e-6)[..., None]
    return np.where(total[..., None] > 1e-3, mean, (a + b) / 2), np.clip(total / 2, 0, 1)
