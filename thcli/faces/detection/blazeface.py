"""BlazeFace through LiteRT: short-range and full-range networks, with tiled and rotated search.

Bazarevsky et al. 2019, arXiv:1907.05047.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.geometry import box_overlap
from thcli.core.imaging import subsample
from thcli.core.options import RunOptions
from thcli.core.types import Array32, Face
from thcli.faces.tflite import TfliteNetwork, read_model, require_tensors
from thcli.weights import locate
from thcli.weights.layout import Checkpoint

Pixels = npt.NDArray[Any]
FALLBACK_SCORE = 0.65  # least score in tiles and rotations, whose many passes find more non-faces
SMALLEST_TILE = 192  # pixels: the input of the full-range network; enlarging adds no detail
OVERLAP = 0.3  # intersection over union from which two boxes are one face


@dataclass(frozen=True, slots=True)
class NetworkVariant:
    """Parameters in which the two networks differ.

    cells: (grid side, anchors per cell), in the order of the output rows.
    """

    side: int
    cells: tuple[tuple[int, int], ...]
    threshold: float
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


SHORT_RANGE = NetworkVariant(128, ((16, 2), (8, 6)), 0.5, "input", ("regressors", "classificators"))
FULL_RANGE = NetworkVariant(192, ((48, 1),), 0.6, "input_1", ("Identity", "Identity_1"))


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


class _RangeDetector:
    """Detector of one of the two networks."""

    def __init__(self, path: Path, variant: NetworkVariant) -> None:
        self._variant = variant
        self._network = TfliteNetwork(read_model(path), [variant.input], variant.outputs)
        self._anchors = variant.anchors()

    def detect(self, image: Pixels) -> list[Face]:
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
        self._network.write_scaled_input(square, 2.0 / np.iinfo(image.dtype).max, -1.0)
        regressors, logits = self._network.run()
        scores = np.asarray(1 / (1 + np.exp(-np.clip(logits.reshape(-1), -30, 30))), np.float32)
        keep = scores >= self._variant.threshold
        if not keep.any():
            return []
        rows = self._decode(regressors.reshape(-1, 16)[keep], self._anchors[keep] * side)
        scale = np.array([width / size[0], height / size[1]], np.float32)
        padding = np.array([x0, y0], np.float32)
        faces = []
        for row, score in weighted_nms(rows, scores[keep]):
            points = ((row.reshape(-1, 2) - padding) * scale - np.float32(0.5)) * step
            faces.append(Face(points[:2].reshape(4), score, points[2:]))
        return faces

    @staticmethod
    def _decode(raw: Array32, anchors: Array32) -> Array32:
        """Return x0, y0, x1, y1 and six points, (N, 16) input pixels, of raw rows and anchors."""
        rows = np.empty_like(raw)
        middle, half = anchors + raw[:, :2], raw[:, 2:4] / 2
        rows[:, :2], rows[:, 2:4] = middle - half, middle + half
        rows[:, 4:] = raw[:, 4:] + np.tile(anchors, 6)
        return rows


class BlazeFace:
    """Face detector of boxes and six keypoints. Not thread-safe."""

    def __init__(self, short: Path, full: Path) -> None:
        self._short_path, self._full_path = short, full

    @cached_property
    def _short(self) -> _RangeDetector:
        return _RangeDetector(self._short_path, SHORT_RANGE)

    @cached_property
    def _full(self) -> _RangeDetector:  # small faces only: most runs never load it
        return _RangeDetector(self._full_path, FULL_RANGE)

    def detect(self, image: Pixels) -> list[Face]:
        """Detect faces in (H, W, 3) RGB uint8 or uint16, best score first.

        Faces have boxes (x0, y0, x1, y1) and six keypoints in pixels. When the whole image shows
        none, `search` follows. Takes 4 ms with a face and up to 0.2 s without; `detect_fast` is for
        every frame.
        """
        return self.detect_fast(image) or self.search(image)

    def detect_fast(self, image: Pixels) -> list[Face]:
        """Detect upright faces larger than about a tenth of the image, as `detect` does."""
        return drop_overlapping(self._short.detect(image) + self._full.detect(image))

    def search(self, image: Pixels) -> list[Face]:
        """Detect small faces in overlapping tiles, else in the image turned by 90, 270 and 180 °.

        Faces are as those of `detect`.
        """
        return self._detect_in_tiles(image) or self._detect_rotated(image)

    def _detect_in_tiles(self, image: Pixels) -> list[Face]:
        """Detect upright faces down to 2 % of the longer side, of a panorama 7 % of the shorter."""
        height, width = image.shape[:2]
        sides = [round(share * max(height, width)) for share in (0.6, 0.3)]
        if min(height, width) < sides[-1]:  # a panorama
            sides.append(min(height, width))
        for side in sides:
            if side < SMALLEST_TILE:
                break
            found: list[Face] = []
            for top in _tile_starts(height, side):
                for left in _tile_starts(width, side):
                    tile = image[top : top + side, left : left + side]
                    found += [
                        shift_face(f, left, top)
                        for f in self._full.detect(tile)
                        if f.score >= FALLBACK_SCORE
                    ]
            if found:
                return drop_overlapping(found)
        return []

    def _detect_rotated(self, image: Pixels) -> list[Face]:
        height, width = image.shape[:2]
        for quarters in (1, 3, 2):
            rotated = self.detect_fast(np.ascontiguousarray(np.rot90(image, quarters)))
            faces = [face for face in rotated if face.score >= FALLBACK_SCORE]
            if faces:
                return [rotate_back(face, quarters, width, height) for face in faces]
        return []


def _tile_starts(length: int, side: int) -> list[int]:
    """Return starts of tiles of `side` that cover `length` and overlap by at least a quarter."""
    if length <= side:
        return [0]
    count = 1 + int(np.ceil((length - side) / (0.75 * side)))
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


def shift_face(face: Face, dx: float, dy: float) -> Face:
    """Return a detection shifted by (dx, dy) pixels."""
    shift = np.array([dx, dy], np.float32)
    keypoints = None if face.keypoints is None else face.keypoints + shift
    return replace(face, box=face.box + np.tile(shift, 2), keypoints=keypoints)


def drop_overlapping(faces: Sequence[Face], overlap: float = OVERLAP) -> list[Face]:
    """Return the faces without those that overlap a better one, best score first."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        # Over the smaller box: the two networks' boxes of one face differ in size.
        if all(box_overlap(face.box, other.box) <= overlap for other in kept):
            kept.append(face)
    return kept


def rotate_back(face: Face, quarters: int, width: int, height: int) -> Face:
    """Map a detection in np.rot90(image, quarters) back to the pixels of the image.

    width, height: size of the image, in pixels.
    """

    def rotate(points: Array32) -> Array32:
        x, y = points[:, 0], points[:, 1]
        if quarters == 1:
            x, y = width - 1 - y, x
        elif quarters == 2:
            x, y = width - 1 - x, height - 1 - y
        elif quarters == 3:
            x, y = y, height - 1 - x
        return np.stack([x, y], -1).astype(np.float32)

    corners = rotate(face.box.reshape(2, 2))
    box = np.concatenate([corners.min(0), corners.max(0)])
    return Face(box, face.score, None if face.keypoints is None else rotate(face.keypoints))


def load(run: RunOptions) -> BlazeFace:
    """Load the default detector.

    Raises:
        WeightsError: its weights are absent.
        DeviceError: LiteRT is not installed.
    """
    return BlazeFace(
        locate("blazeface-short", offline=run.offline),
        locate("blazeface-full", offline=run.offline),
    )


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a file has the inputs and outputs of its range."""
    variant = SHORT_RANGE if checkpoint.name == "blazeface-short" else FULL_RANGE
    require_tensors(checkpoint.path, (variant.input, *variant.outputs))
