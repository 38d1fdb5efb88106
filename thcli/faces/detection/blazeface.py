"""BlazeFace through LiteRT: short-range and full-range networks, with tiled and rotated search.

Bazarevsky et al. 2019, arXiv:1907.05047.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli.core.geometry import is_apart
from thcli.core.options import RunOptions
from thcli.core.types import Array32, Face
from thcli.faces.detection.anchors import OVERLAP, AnchorDetector, AnchorVariant
from thcli.faces.tflite import require_tensors
from thcli.weights import locate
from thcli.weights.layout import Checkpoint

Pixels = npt.NDArray[Any]
FALLBACK_SCORE = 0.65  # least score in tiles and rotations, whose many passes find more non-faces
SMALLEST_TILE = 192  # pixels: the input of the full-range network; enlarging adds no detail

SHORT_RANGE = AnchorVariant(
    128, ((16, 2), (8, 6)), 6, 0.5, -1.0, "input", ("regressors", "classificators")
)
FULL_RANGE = AnchorVariant(192, ((48, 1),), 6, 0.6, -1.0, "input_1", ("Identity", "Identity_1"))


class _FaceDetector:
    """Detector of one of the two networks."""

    def __init__(self, path: Path, variant: AnchorVariant) -> None:
        self._network = AnchorDetector(path, variant)

    def detect(self, image: Pixels) -> list[Face]:
        return [Face(f.box, f.score, f.points) for f in self._network.detect(image)]


class BlazeFace:
    """Face detector of boxes and six keypoints. Not thread-safe."""

    def __init__(self, short: Path, full: Path) -> None:
        self._short_path, self._full_path = short, full

    @cached_property
    def _short(self) -> _FaceDetector:
        return _FaceDetector(self._short_path, SHORT_RANGE)

    @cached_property
    def _full(self) -> _FaceDetector:  # small faces only: most runs never load it
        return _FaceDetector(self._full_path, FULL_RANGE)

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
        return self.detect_small(image) or self._detect_rotated(image)

    def detect_small(self, image: Pixels) -> list[Face]:
        """Detect upright faces down to 2 % of the longer side, of a panorama 7 % of the shorter.

        In overlapping tiles, of which the larger ones have precedence: a small one that shows a
        part of a face can take it for a whole one. Takes about 30 ms.
        """
        height, width = image.shape[:2]
        sides = [round(share * max(height, width)) for share in (0.6, 0.3)]
        if min(height, width) < sides[-1]:  # a panorama
            sides.append(min(height, width))
        kept: list[Face] = []
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
            larger = [face.box for face in kept]
            kept += [f for f in drop_overlapping(found) if is_apart(f.box, larger, OVERLAP)]
        return kept

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
        if is_apart(face.box, (other.box for other in kept), overlap):
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
