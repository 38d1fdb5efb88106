"""InsightFace through onnxruntime: SCRFD, 106 and 68 landmarks, ArcFace (the pack buffalo_l).

The models are for non-commercial research only (deepinsight/insightface: model_zoo/README.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from insightface.app.common import Face as LibraryFace
from insightface.model_zoo import SCRFD, ArcFaceONNX, Landmark, get_model
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from thcli.core.errors import DeviceError, WeightsError
from thcli.core.imaging import to_uint8
from thcli.core.onnx.sessions import SESSION_ERRORS
from thcli.core.options import RunOptions
from thcli.core.types import Array32, Face, Image
from thcli.faces.adapters.keypoints import six_keypoints
from thcli.faces.identity.encoder import AlignedCropEncoder, normalize_rows
from thcli.faces.landmarks.layouts import five_points
from thcli.weights.loading import weights_path

WEIGHTS = "insightface-buffalo-l"
_SCORE = 0.5
_UNREADABLE = (
    *SESSION_ERRORS,
    AssertionError,  # raised by the library for a model with other outputs than it expects
    IndexError,  # a model whose input is not an image
)

log = logging.getLogger(__name__)


class Scrfd:
    """Detector of boxes and five points. Guo et al. 2021 (SCRFD)."""

    def __init__(self, path: Path, run: RunOptions) -> None:
        self._model = _open_model(path, run, SCRFD)
        self._model.prepare(0, det_thresh=_SCORE)

    def detect(self, image: Image) -> list[Face]:
        """Detect faces in (H, W, 3) RGB, best score first.

        The library runs two input sizes: 128 for faces that fill the image, and 640.
        """
        found, points = self._model.detect(_to_bgr(image))
        if points is None:
            return [Face(row[:4].astype(np.float32), float(row[4])) for row in found]
        return [
            Face(
                row[:4].astype(np.float32),
                float(row[4]),
                keypoints=six_keypoints(five),
                points=np.asarray(five, np.float32),
            )
            for row, five in zip(found, points, strict=True)
        ]


class InsightFaceLandmarker:
    """Landmarker of 106 points, or of 68 with depth, depending on the model."""

    def __init__(self, path: Path, run: RunOptions) -> None:
        self._model = _open_model(path, run, Landmark)

    def fit(self, image: Image, face: Face) -> Face | None:
        """Return the face with `points` (106, 2) or (68, 3) and keypoints.

        None when its box is empty.
        """
        if not face.area > 0:
            return None
        points = self._model.get(_to_bgr(image), LibraryFace(bbox=face.box.astype(np.float64)))
        points = np.asarray(points, np.float32)
        return replace(face, points=points, keypoints=six_keypoints(five_points(points)))


class ArcFace(AlignedCropEncoder):
    """Identity encoder, 512 numbers from an aligned 112 x 112 crop. Deng et al. 2019 (ArcFace)."""

    name = "insightface"
    same_person = 0.3  # not measured by us: we have no copy of its weights

    def __init__(self, path: Path, run: RunOptions) -> None:
        self._model = _open_model(path, run, ArcFaceONNX)

    def encode_crops(self, crops: Sequence[Image]) -> Array32:
        rows = [
            np.asarray(self._model.get_feat(pixels[..., ::-1]), np.float32).ravel()
            for pixels in crops
        ]
        return normalize_rows(rows)


def load_detector(run: RunOptions) -> Scrfd:
    """Load SCRFD. Raises WeightsError when the pack is absent or refused by --licence."""
    return Scrfd(weights_path(WEIGHTS, run.licence, "det_10g.onnx"), run)


def load_landmarks106(run: RunOptions) -> InsightFaceLandmarker:
    """Load the 106-point landmarker. Raises as `load_detector` does."""
    return InsightFaceLandmarker(weights_path(WEIGHTS, run.licence, "2d106det.onnx"), run)


def load_landmarks68(run: RunOptions) -> InsightFaceLandmarker:
    """Load the 68-point landmarker with depth. Raises as `load_detector` does."""
    return InsightFaceLandmarker(weights_path(WEIGHTS, run.licence, "1k3d68.onnx"), run)


def load_identity(run: RunOptions) -> ArcFace:
    """Load ArcFace. Raises as `load_detector` does."""
    return ArcFace(weights_path(WEIGHTS, run.licence, "w600k_r50.onnx"), run)


def _open_model(path: Path, run: RunOptions, kind: Callable[..., Any]) -> Any:
    """Open one ONNX file in the library's wrapper.

    Raises:
        WeightsError: the file is not a model of that kind.
        DeviceError: onnxruntime cannot use the device.
    """
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = run.threads
    settings.log_severity_level = 3  # errors only: those are raised as exceptions
    try:
        model = get_model(str(path), providers=_providers(run.device), sess_options=settings)
    except runtime.EPFail as exc:
        raise DeviceError(
            f"onnxruntime cannot use {run.device} for {path.name}: {exc}.", "Use --device cpu."
        ) from exc
    except _UNREADABLE as exc:
        raise WeightsError(
            f"{path} is not a usable ONNX model: {exc}.",
            f"thcli weights verify {WEIGHTS}",
        ) from exc
    if type(model) is not kind:
        raise WeightsError(f"{path} is an ONNX model, but not of kind {kind.__name__}.")
    return model


def _providers(device: str) -> list[Any]:
    """Return onnxruntime's providers for a --device value, with the CPU as fallback."""
    available = onnxruntime.get_available_providers()
    if device == "cpu" or device == "mps" or "CUDAExecutionProvider" not in available:
        if device.startswith("cuda"):
            log.warning(
                "This onnxruntime has no CUDA support; InsightFace runs on the CPU. "
                "Install onnxruntime-gpu to use the GPU."
            )
        return ["CPUExecutionProvider"]
    number = int(device.partition(":")[2] or 0) if device.startswith("cuda") else 0
    return [("CUDAExecutionProvider", {"device_id": number}), "CPUExecutionProvider"]


def _to_bgr(image: Image) -> Image:
    return np.ascontiguousarray(to_uint8(image)[..., ::-1])
