"""Any recognition network in an ONNX file: a teacher to learn from, or one to be compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from thcli.core.errors import WeightsError
from thcli.core.options import TeacherInput
from thcli.core.types import Array32, Image
from thcli.faces.identity.aligned import SIZE
from thcli.faces.identity.encoder import CropEncoder, unit_rows

# (pixel / 255 - mean) / spread, RGB.
INPUTS: dict[TeacherInput, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "arcface": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
_UNREADABLE = (
    runtime.Fail, runtime.InvalidArgument, runtime.InvalidGraph, runtime.InvalidProtobuf, runtime.NoSuchFile, runtime.NotImplemented,
    runtime.RuntimeException,
)  # fmt: skip


class OnnxIdentity(CropEncoder):
    """An ONNX network from (1 or N, 3, 112, 112) RGB to (1 or N, D). Raises WeightsError when the file is not one."""

    same_person = 0.35  # of another file nothing is known: about what such networks have

    def __init__(self, path: Path, kind: TeacherInput = "imagenet", threads: int = 0) -> None:
        self.path, self.name = path, path.stem
        mean, spread = INPUTS[kind]
        self._mean, self._spread = np.array(mean, np.float32), np.array(spread, np.float32)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.log_severity_level = 3
        if not path.is_file():
            raise WeightsError(f"There is no file {path}.", "Give a recognition network as an ONNX file.")
        try:
            self._session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
        except _UNREADABLE as exc:
            raise WeightsError(f"{path} is not an ONNX model that can be used: {exc}.") from exc
        (given, *more), shape = self._session.get_inputs(), self._session.get_outputs()[0].shape
        if more or list(given.shape[1:]) != [3, SIZE, SIZE] or len(shape) != 2:
            raise WeightsError(f"{path} takes {given.shape} and gives {shape}: one that tells persons apart goes from (N, 3, {SIZE}, {SIZE}) to (N, D).")  # fmt: skip
        self._name, self._single = given.name, given.shape[0] == 1

    def vectors(self, crops: Sequence[Image]) -> Array32:
        pixels = (np.stack(crops).astype(np.float32) / 255 - self._mean) / self._spread
        planes = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        parts = np.split(planes, len(planes)) if self._single else [planes]
        return unit_rows(list(np.concatenate([self._session.run(None, {self._name: part})[0] for part in parts])))
