"""BlazeFace through LiteRT: the short-range and the full-range net, and a search for small and turned faces. Bazarevsky et al. 2019, arXiv:1907.05047."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import subsample
from thcli.core.options import RunOptions
from thcli.core.types import Array32, Face
from thcli.faces.tflite import Network, read
from thcli.weights import locate

Pixels = npt.NDArray[Any]
LAST_RESORT = 0.65  # score that a face needs in parts or turned: many looks find more that is none
SMALLEST_PART = 192  # pixels: the full-range net's input, enlarging more shows nothing new
OVERLAP = 0.3  # intersection over union from which two boxes are one face


@dataclass(frozen=True, slots=True)
class Layout:
    """What differs between the two nets. cells: (grid side, anchors a cell), in the order of the output rows."""

    side: int
    cells: tuple[tuple[int, int], ...]
    threshold: float
    input: str
    outputs: tuple[str, str]

    def anchors(self) -> Array32:
        """(N, 2) cell centres, 0..1."""
        rows = []
        for grid, count in self.cells:
            at = (np.arange(grid, dtype=np.float32) + 0.5) / grid
            rows.append(
                np.repeat(np.stack([np.tile(at, grid), np.repeat(at, grid)], -1), count, axis=0)
            )
        return np.concatenate(rows).astype(np.float32)


SHORT = Layout(128, ((16, 2), (8, 6)), 0.5, "input", ("regressors", "classificators"))
FULL = Layout(192, ((48, 1),), 0.6, "input_1", ("Identity", "Identity_1"))


def merge(rows: Array32, scores: Array32, overlap: float = OVERLAP) -> list[tuple[Array32, float]]:
    """Weighted non-maximum suppression, best first.

    rows: (N, 4 + 2 K) x0, y0, x1, y1, then points.  scores: (N,).  Each group of boxes that overlap its best one becomes its
    average by score; the group's score is the best one's.
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


class _Range:
    """One of the two nets."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._layout = layout
        self._network = Network(read(path), [layout.input], layout.outputs)
        self._anchors = layout.anchors()

    def detect(self, picture: Pixels) -> list[Face]:
        side = self._layout.side
        step = max(max(picture.shape[:2]) // (4 * side), 1)
        if min(picture.shape[:2]) < 4 * step:  # a strip
            step = 1
        picture = subsample(picture, step)
        height, width = picture.shape[:2]
        k = side / max(height, width)
        size = max(round(width * k), 1), max(round(height * k), 1)
        small = cv2.resize(
            picture, size, interpolation=cv2.INTER_AREA if k < 1 else cv2.INTER_LINEAR
        )
        x0, y0 = (side - size[0]) // 2, (side - size[1]) // 2
        square = np.zeros((side, side, 3), picture.dtype)
        square[y0 : y0 + size[1], x0 : x0 + size[0]] = small
        self._network.scaled_input(square, 2.0 / np.iinfo(picture.dtype).max, -1.0)
        regressors, logits = self._network.run()
        scores = np.asarray(1 / (1 + np.exp(-np.clip(logits.reshape(-1), -30, 30))), np.float32)
        keep = scores >= self._layout.threshold
        if not keep.any():
            return []
        raw = regressors.reshape(-1, 16)[keep]
        centre = self._anchors[keep] * side
        rows = np.empty_like(raw)
        middle, half = centre + raw[:, :2], raw[:, 2:4] / 2
        rows[:, :2], rows[:, 2:4] = middle - half, middle + half
        rows[:, 4:] = raw[:, 4:] + np.tile(centre, 6)
        scale = np.array([width / size[0], height / size[1]], np.float32)
        faces = []
        for row, score in merge(rows, scores[keep]):
            points = (
                (row.reshape(-1, 2) - np.array([x0, y0], np.float32)) * scale - np.float32(0.5)
            ) * step
            faces.append(Face(points[:2].reshape(4), score, points[2:]))
        return faces


class BlazeFace:
    """The detector. Not safe to share between threads."""

    def __init__(self, short: Path, full: Path) -> None:
        self._short_path, self._full_path = short, full

    @cached_property
    def _short(self) -> _Range:
        return _Range(self._short_path, SHORT)

    @cached_property
    def _full(self) -> _Range:  # small faces only: most runs never load it
        return _Range(self._full_path, FULL)

    def detect(self, picture: Pixels) -> list[Face]:
        """Faces in (H, W, 3) RGB uint8 or uint16, best score first: boxes (x0, y0, x1, y1) and six keypoints in pixels.

        When the whole picture shows none, overlapping parts of it are searched for small faces, and after them the picture
        turned by 90, 270 and 180 degrees. Takes 4 ms with a face and up to 0.2 s without one; `quick` is for every frame.
        """
        return self.quick(picture) or self._in_parts(picture) or self._turned(picture)

    def quick(self, picture: Pixels) -> list[Face]:
        """As `detect`, upright faces larger than about a tenth of the picture only."""
        return distinct(self._short.detect(picture) + self._full.detect(picture))

    def _in_parts(self, picture: Pixels) -> list[Face]:
        """Upright faces down to 2 % of the picture's longer side."""
        height, width = picture.shape[:2]
        for share in (0.6, 0.3):
            side = round(share * max(height, width))
            if side < SMALLEST_PART:
                break
            found: list[Face] = []
            for top in _starts(height, side):
                for left in _starts(width, side):
                    part = picture[top : top + side, left : left + side]
                    found += [
                        moved(f, left, top)
                        for f in self._full.detect(part)
                        if f.score >= LAST_RESORT
                    ]
            if found:
                return distinct(found)
        return []

    def _turned(self, picture: Pixels) -> list[Face]:
        height, width = picture.shape[:2]
        for quarters in (1, 3, 2):
            turned = self.quick(np.ascontiguousarray(np.rot90(picture, quarters)))
            faces = [face for face in turned if face.score >= LAST_RESORT]
            if faces:
                return [turn_back(face, quarters, width, height) for face in faces]
        return []


def _starts(length: int, side: int) -> list[int]:
    """Where parts of `side` begin that cover `length` and share at least a quarter with each other."""
    if length <= side:
        return [0]
    count = 1 + int(np.ceil((length - side) / (0.75 * side)))
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


def moved(face: Face, dx: float, dy: float) -> Face:
    """A detection shifted by (dx, dy) pixels."""
    shift = np.array([dx, dy], np.float32)
    keypoints = None if face.keypoints is None else face.keypoints + shift
    return replace(face, box=face.box + np.tile(shift, 2), keypoints=keypoints)


def distinct(faces: Sequence[Face], overlap: float = OVERLAP) -> list[Face]:
    """The faces without those that overlap a better one, best score first."""
    if not faces:
        return []
    ordered = sorted(faces, key=lambda face: -face.score)
    kept: list[Face] = []
    for face in ordered:
        low = [np.maximum(face.box[:2], other.box[:2]) for other in kept]
        high = [np.minimum(face.box[2:], other.box[2:]) for other in kept]
        inner = [float(np.clip(b - a, 0, None).prod()) for a, b in zip(low, high, strict=True)]
        # over the smaller of the two: the nets' boxes of one face differ in size
        if all(
            i <= overlap * min(face.area, other.area) for i, other in zip(inner, kept, strict=True)
        ):
            kept.append(face)
    return kept


def turn_back(face: Face, quarters: int, width: int, height: int) -> Face:
    """A detection in np.rot90(picture, quarters) seen in the picture itself, of that width and height."""

    def back(points: Array32) -> Array32:
        x, y = points[:, 0], points[:, 1]
        if quarters == 1:
            x, y = width - 1 - y, x
        elif quarters == 2:
            x, y = width - 1 - x, height - 1 - y
        elif quarters == 3:
            x, y = y, height - 1 - x
        return np.stack([x, y], -1).astype(np.float32)

    corners = back(face.box.reshape(2, 2))
    box = np.concatenate([corners.min(0), corners.max(0)])
    return Face(box, face.score, None if face.keypoints is None else back(face.keypoints))


def load(run: RunOptions) -> BlazeFace:
    """The default detector. Raises WeightsError when its weights are absent, DeviceError without LiteRT."""
    return BlazeFace(
        locate("blazeface-short", offline=run.offline),
        locate("blazeface-full", offline=run.offline),
    )
