"""OpenCV's own networks, free for any use: YuNet detector (MIT), SFace identity (Apache-2.0)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from thcli.core.errors import WeightsError
from thcli.core.imaging import to_uint8
from thcli.core.options import RunOptions
from thcli.core.types import Array32, Face, Image
from thcli.faces.adapters.downscale import downscale
from thcli.faces.adapters.keypoints import six_keypoints
from thcli.faces.identity.encoder import AlignedCropEncoder, normalize_rows
from thcli.weights.loading import weights_path

DETECTOR, IDENTITY = "yunet", "sface"
_LONG_SIDE = 960  # of the image that the detector reads; it finds faces from 10 to 300 pixels
_LARGE_FACE_SIDE = 320  # second pass, for faces that fill a large image
_SCORE, _OVERLAP = 0.7, 0.3


class YuNet:
    """Detector of boxes and five points. Wu et al. 2023 (YuNet)."""

    def __init__(self, path: Path) -> None:
        self._net = _create(cv2.FaceDetectorYN.create, path, (320, 320), _SCORE, _OVERLAP)

    def detect(self, image: Image) -> list[Face]:
        """Detect faces in (H, W, 3) RGB, best score first."""
        full = to_uint8(image)
        for side in (_LONG_SIDE, _LARGE_FACE_SIDE):
            small, scale = downscale(full, side)
            self._net.setInputSize((small.shape[1], small.shape[0]))
            _, rows = self._net.detect(np.ascontiguousarray(small[..., ::-1]))
            if rows is not None and len(rows):
                break
        else:
            return []
        found = [self._face(row, scale) for row in np.asarray(rows, np.float32)]
        return sorted(found, key=lambda face: -face.score)

    def _face(self, row: Any, scale: float) -> Face:
        x, y, width, height = row[:4]
        box = (np.array([x, y, x + width, y + height], np.float32) + 0.5) * scale - 0.5
        five = (row[4:14].reshape(5, 2) + 0.5) * scale - 0.5
        points = np.asarray(five, np.float32)
        return Face(
            np.asarray(box, np.float32),
            float(row[14]),
            keypoints=six_keypoints(points),
            points=points,
        )


class SFace(AlignedCropEncoder):
    """Identity encoder, 128 numbers from an aligned 112 x 112 crop. Zhong et al. 2021 (SFace)."""

    name = "sface"
    same_person = 0.363  # opencv_zoo: models/face_recognition_sface/sface.py

    def __init__(self, path: Path) -> None:
        self._net = _create(cv2.FaceRecognizerSF.create, path)

    def encode_crops(self, crops: Sequence[Image]) -> Array32:
        rows = [
            np.asarray(
                self._net.feature(np.ascontiguousarray(pixels[..., ::-1])), np.float32
            ).ravel()
            for pixels in crops
        ]
        return normalize_rows(rows)


def load_detector(run: RunOptions) -> YuNet:
    """Load YuNet. Raises WeightsError when its weights are absent."""
    return YuNet(weights_path(DETECTOR, run.licence))


def load_identity(run: RunOptions) -> SFace:
    """Load SFace. Raises WeightsError when its weights are absent."""
    return SFace(weights_path(IDENTITY, run.licence))


def _create(create: Any, path: Path, *rest: Any) -> Any:
    """Create OpenCV's object for an ONNX file. Raises WeightsError when OpenCV cannot read it."""
    level = cv2.utils.logging.getLogLevel()
    # OpenCV 5 logs to stderr that its new engine has no targets; errors are raised as exceptions.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        return create(str(path), "", *rest)
    except cv2.error as exc:
        reason = str(exc).strip().splitlines()[0]
        raise WeightsError(f"{path} is not an ONNX model that OpenCV can read: {reason}") from exc
    finally:
        cv2.utils.logging.setLogLevel(level)
