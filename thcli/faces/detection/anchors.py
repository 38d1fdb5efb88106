"""Detectors with fixed anchors, of faces and palms: input, decoding and merging of what they find.

Bazarevsky et al. 2019, arXiv:1907.05047, sec. 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import subsample
from thcli.core.types import Array32
from thcli.faces.tflite import TfliteNetwork, read_model

Pixels = npt.NDArray[Any]
OVERLAP = 0.3  # intersection over union from which two boxes are one object


@dataclass(frozen=True, slots=True)
class AnchorVariant:
    """Parameters in which the networks differ.

    cells: (grid side, anchors per cell), in the order of the output rows.  points: of each object.
    threshold: least score.  darkest: what black is in the input, whose white is 1.
    """

    side: int
    cells: tuple[tuple[int, int], ...]
    points: int
    threshold: float
    darkest: float
    input: str
    outputs: tuple[str, str]

    def anchors(self) -> Array32:
        """Return the anchor centres, (N, 2), 0..1."""
        rows = []
        for grid, count in self.cells:
            at = (np.arange(grid, dtype=np.float32) + 0.5) / grid
            centres = np.stack([np.tile(at, grid), np.repeat(at, grid)], -1)
            rows.append(np.repeat(centres, count, axis=0))
        return np.concatenate(rows).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Detection:
    """An object in an image.

    box: (4,) x0, y0, x1, y1 in pixels.  score: 0..1.  points: (K, 2) pixels.
    """

    box: Array32
    score: float
    points: Array32


class AnchorDetector:
    """A network of one variant. Not thread-safe."""

    def __init__(self, path: Path, variant: AnchorVariant) -> None:
        """Load the network. Raises WeightsError, DeviceError."""
        self._variant = variant
        self._network = TfliteNetwork(read_model(path), [variant.input], variant.outputs)
        self._anchors = variant.anchors()

    def detect(self, image: Pixels) -> list[Detection]:
        """Detect the objects of an image (H, W, 3) RGB uint8 or uint16, best score first."""
        side = self._variant.side
        step = max(max(image.shape[:2]) // (4 * side), 1)
        if min(image.shape[:2]) < 4 * step:  # a strip of a few pixels
            step = 1
        image = subsample(image, step)
        height, width = image.shape[:2]
        k = side / max(height, width)
        size = max(round(width * k), 1), max(round(height * k), 1)
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if k < 1 else cv2.INTER_LINEAR)
        x0, y0 = (side - size[0]) // 2, (side - size[1]) // 2
        square = np.zeros((side, side, 3), image.dtype)
        square[y0 : y0 + size[1], x0 : x0 + size[0]] = small
        darkest = self._variant.darkest
        self._network.write_scaled_input(square, (1 - darkest) / np.iinfo(image.dtype).max, darkest)
        regressors, logits = self._network.run()
        scores = np.asarray(1 / (1 + np.exp(-np.clip(logits.reshape(-1), -30, 30))), np.float32)
        keep = scores >= self._variant.threshold
        if not keep.any():
            return []
        raw = regressors.reshape(len(keep), -1)[keep]
        rows = self._decode(raw, self._anchors[keep] * side)
        scale = np.array([width / size[0], height / size[1]], np.float32)
        padding = np.array([x0, y0], np.float32)
        found = []
        for row, score in weighted_nms(rows, scores[keep]):
            points = ((row.reshape(-1, 2) - padding) * scale - np.float32(0.5)) * step
            found.append(Detection(points[:2].reshape(4), score, points[2:]))
        return found

    def _decode(self, raw: Array32, anchors: Array32) -> Array32:
        """Return x0, y0, x1, y1 and the points, (N, 4 + 2 K) input pixels, of rows and anchors."""
        rows = np.empty_like(raw)
        middle, half = anchors + raw[:, :2], raw[:, 2:4] / 2
        rows[:, :2], rows[:, 2:4] = middle - half, middle + half
        rows[:, 4:] = raw[:, 4:] + np.tile(anchors, self._variant.points)
        return rows


def weighted_nms(
    rows: Array32, scores: Array32, overlap: float = OVERLAP
) -> list[tuple[Array32, float]]:
    """Merge overlapping detections by weighted non-maximum suppression, best first.

    Each group of boxes that overlap its best one becomes its mean weighted by score. The group's
    score is that of its best box.

    Args:
        rows: (N, 4 + 2 K) x0, y0, x1, y1, then points.
        scores: (N,).
        overlap: intersection over union from which boxes form a group.
    """
    order = np.argsort(-scores, kind="stable")
    area = (rows[:, 2] - rows[:, 0]) * (rows[:, 3] - rows[:, 1])
    found = []
    while len(order):
        best = order[0]
        low = np.maximum(rows[best, :2], rows[order, :2])
        high = np.minimum(rows[best, 2:4], rows[order, 2:4])
        inner = np.clip(high - low, 0, None).prod(1)
        same = inner > overlap * (area[best] + area[order] - inner)
        same[0] = True
        group = order[same]
        weights = scores[group] / scores[group].sum()
        found.append((np.asarray(weights @ rows[group], np.float32), float(scores[best])))
        order = order[~same]
    return found
