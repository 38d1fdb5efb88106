"""InsightFace through onnxruntime: SCRFD detector, 106- and 68-point landmarks, ArcFace identity (the pack buffalo_l).

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
from thcli.core.options import RunOptions
from thcli.core.types import Array32, Face, Image
from thcli.faces.adapters.common import file_of, six_points
from thcli.faces.identity.encoder import CropEncoder, unit_rows
from thcli.faces.landmarks.layouts import five_points

WEIGHTS = "insightface-buffalo-l"
_SCORE = 0.5
_UNREADABLE = (
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.InvalidGraph,
    runtime.InvalidProtobuf,
    runtime.NoSuchFile,
    runtime.NotImplemented,
    runtime.RuntimeException,
    AssertionError,  # how the library refuses a model with other outputs than it expects
    IndexError,  # a model whose input is not a picture
)

log = logging.getLogger(__name__)


class Scrfd:
    """Detector: boxes and five points. Guo et al. 2021 (SCRFD)."""

    def __init__(self, path: Path, run: RunOptions) -> None:
        self._model = _open(path, run, SCRFD)
        self._model.prepare(0, det_thresh=_SCORE)

    def detect(self, picture: Image) -> list[Face]:
        """Faces in (H, W, 3) RGB, best score first, at two sizes of input (128: faces that fill the picture; 640)."""
        found, points = self._model.detect(_bgr(picture))
        if points is None:
            return [Face(row[:4].astype(np.float32), float(row[4])) for row in found]
        return [
            Face(
                row[:4].astype(np.float32),
                float(row[4]),
                keypoints=six_points(five),
                points=np.asarray(five, np.float32),
            )
            for row, five in zip(found, points, strict=True)
        ]


class Points:
    """Landmarker: 106 points in the plane, or 68 with depth, as the model has them."""

    def __init__(self, path: Path, run: RunOptions) -> None:
        self._model = _open(path, run, Landmark)

    def fit(self, picture: Image, face: Face) -> Face | None:
        """The face with `points` (106, 2) or (68, 3) and keypoints; None when its box is empty."""
        if not face.area > 0:
            return None
        points = self._model.get(_bgr(picture), LibraryFace(bbox=face.box.astype(np.float64)))
        points = np.asarray(points, np.float32)
        return replace(face, points=points, keypoints=six_points(five_points(points)))


class ArcFace(CropEncoder):
    """Identity: 512 numbers from an aligned 112 x 112 crop. Deng et al. 2019 (ArcFace)."""

    name = "insightface"
    same_person = 0.3  # not measured here: its weights are not at hand

    def __init__(self, path: Path, run: RunOptions) -> None:
        self._model = _open(path, run, ArcFaceONNX)

    def vectors(self, crops: Sequence[Image]) -> Array32:
        rows = [
            np.asarray(self._model.get_feat(pixels[..., ::-1]), np.float32).ravel()
            for pixels in crops
        ]
        return unit_rows(rows)


def load_detector(run: RunOptions) -> Scrfd:
    """Raises WeightsError when the pack is absent or refused by --licence."""
    return Scrfd(file_of(WEIGHTS, run.licence, "det_10g.onnx"), run)


def load_points106(run: RunOptions) -> Points:
    """Raises as `load_detector` does."""
    return Points(file_of(WEIGHTS, run.licence, "2d106det.onnx"), run)


def load_points68(run: RunOptions) -> Points:
    """Raises as `load_detector` does."""
    return Points(file_of(WEIGHTS, run.licence, "1k3d68.onnx"), run)


def load_identity(run: RunOptions) -> ArcFace:
    """Raises as `load_detector` does."""
    return ArcFace(file_of(WEIGHTS, run.licence, "w600k_r50.onnx"), run)


def _open(path: Path, run: RunOptions, kind: Callable[..., Any]) -> Any:
    """The library's wrapper of one ONNX file. Raises WeightsError when the file is not a model of that kind."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = run.threads
    settings.log_severity_level = (
        3  # errors come as exceptions; warnings about unused initialisers help nobody
    )
    try:
        model = get_model(str(path), providers=_providers(run.device), sess_options=settings)
    except runtime.EPFail as exc:
        raise DeviceError(
            f"onnxruntime cannot use {run.device} for {path.name}: {exc}.", "Use --device cpu."
        ) from exc
    except _UNREADABLE as exc:
        raise WeightsError(
            f"{path} is not an ONNX model that can be used: {exc}.",
            f"thcli weights verify {WEIGHTS}",
        ) from exc
    if type(model) is not kind:
        raise WeightsError(f"{path} is an ONNX model of another kind than {kind.__name__}.")
    return model


def _providers(device: str) -> list[Any]:
    """onnxruntime's names for a --device value; the CPU takes over what a provider cannot do."""
    there = onnxruntime.get_available_providers()
    if device == "cpu" or device == "mps" or "CUDAExecutionProvider" not in there:
        if device.startswith("cuda"):
            log.warning(
                "onnxruntime here is without CUDA: InsightFace runs on the CPU (install onnxruntime-gpu)"
            )
        return ["CPUExecutionProvider"]
    number = int(device.partition(":")[2] or 0) if device.startswith("cuda") else 0
    return [("CUDAExecutionProvider", {"device_id": number}), "CPUExecutionProvider"]


def _bgr(picture: Image) -> Image:
    return np.ascontiguousarray(to_uint8(picture)[..., ::-1])
