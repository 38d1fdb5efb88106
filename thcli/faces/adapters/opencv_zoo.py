"""OpenCV's own networks: YuNet detector (MIT) and SFace identity (Apache-2.0), whose licences allow every use."""

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
from thcli.faces.adapters.common import file_of, six_points
from thcli.faces.adapters.reduce import at_most
from thcli.faces.identity.encoder import CropEncoder, unit_rows

DETECTOR, IDENTITY = "yunet", "sface"
_LONG_SIDE = 960  # of the picture that the detector sees; it finds faces from 10 to 300 pixels
_SMALL_SIDE = 320  # a second look, for faces that fill a large picture
_SCORE, _OVERLAP = 0.7, 0.3


class YuNet:
    """Detector: boxes and five points. Wu et al. 2023 (YuNet)."""

    def __init__(self, path: Path) -> None:
        self._net = _made(cv2.FaceDetectorYN.create, path, (320, 320), _SCORE, _OVERLAP)

    def detect(self, picture: Image) -> list[Face]:
        """Faces in (H, W, 3) RGB, best score first."""
        whole = to_uint8(picture)
        for side in (_LONG_SIDE, _SMALL_SIDE):
            small, scale = at_most(whole, side)
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
            np.asarray(box, np.float32), float(row[14]), keypoints=six_points(points), points=points
        )


class SFace(CropEncoder):
    """Identity: 128 numbers from an aligned 112 x 112 crop. Zhong et al. 2021 (SFace)."""

    name = "sface"
    same_person = 0.363  # opencv_zoo: models/face_recognition_sface/sface.py

    def __init__(self, path: Path) -> None:
        self._net = _made(cv2.FaceRecognizerSF.create, path)

    def vectors(self, crops: Sequence[Image]) -> Array32:
        rows = [
            np.asarray(
                self._net.feature(np.ascontiguousarray(pixels[..., ::-1])), np.float32
            ).ravel()
            for pixels in crops
        ]
        return unit_rows(rows)


def load_detector(run: RunOptions) -> YuNet:
    """Raises WeightsError when the weights are absent."""
    return YuNet(file_of(DETECTOR, run.licence))


def load_identity(run: RunOptions) -> SFace:
    """Raises WeightsError when the weights are absent."""
    return SFace(file_of(IDENTITY, run.licence))


def _made(create: Any, path: Path, *rest: Any) -> Any:
    """OpenCV's object for an ONNX file. Raises WeightsError when OpenCV cannot read it."""
    level = cv2.utils.logging.getLogLevel()
    # OpenCV 5 writes to stderr by itself that its new engine knows no targets; errors come as exceptions.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        return create(str(path), "", *rest)
    except cv2.error as exc:
        reason = str(exc).strip().splitlines()[0]
        raise WeightsError(f"{path} is not an ONNX model that OpenCV can use: {reason}") from exc
    finally:
        cv2.utils.logging.setLogLevel(level)
