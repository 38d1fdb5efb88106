"""Identity encoder of any recognition network in an ONNX file: a teacher, or a baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from thcli.core.errors import WeightsError
from thcli.core.onnx.sessions import open_session
from thcli.core.options import TeacherInput
from thcli.core.types import Array32, Image
from thcli.faces.identity.aligned_crop import SIZE
from thcli.faces.identity.encoder import AlignedCropEncoder, normalize_rows

# Mean and standard deviation of RGB in 0..1.
INPUT_NORMALIZATION: dict[
    TeacherInput, tuple[tuple[float, float, float], tuple[float, float, float]]
] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "arcface": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
# Crops to vectors (N, D) and feature maps (N, C, S, S) each.
MapEncoder = Callable[[Sequence[Image]], tuple[Array32, list[Array32]]]


class OnnxIdentity(AlignedCropEncoder):
    """Identity encoder of an ONNX network from (1 or N, 3, 112, 112) RGB to (1 or N, D).

    Raises WeightsError when the file is not such a network.
    """

    same_person = 0.35  # typical of such networks; this file is unknown

    def __init__(self, path: Path, kind: TeacherInput = "imagenet", threads: int = 0) -> None:
        self.path, self.name = path, path.stem
        mean, std = INPUT_NORMALIZATION[kind]
        self._mean, self._std = np.array(mean, np.float32), np.array(std, np.float32)
        self._threads = threads
        if not path.is_file():
            raise WeightsError(
                f"There is no file {path}.", "Give a recognition network as an ONNX file."
            )
        self._session = open_session(path, str(path), threads)
        (first, *more), shape = self._session.get_inputs(), self._session.get_outputs()[0].shape
        if more or list(first.shape[1:]) != [3, SIZE, SIZE] or len(shape) != 2:
            raise WeightsError(
                f"{path} maps {first.shape} to {shape}; a recognition network maps "
                f"(N, 3, {SIZE}, {SIZE}) to (N, D)."
            )
        self._name, self._single = first.name, first.shape[0] == 1

    def encode_crops(self, crops: Sequence[Image]) -> Array32:
        (rows,) = self._run_all(self._session, crops)
        return normalize_rows(list(rows))

    def with_feature_maps(self, sides: Sequence[int]) -> MapEncoder:
        """Return the same network with feature maps of these sides as further outputs.

        Raises:
            WeightsError: the network has no residual sum of such a side.
        """
        import onnx  # slow, and few jobs need it

        model = onnx.shape_inference.infer_shapes(onnx.load(str(self.path)))
        shapes = {
            v.name: [d.dim_value for d in v.type.tensor_type.shape.dim][2:]
            for v in model.graph.value_info
        }
        sums = [node.output[0] for node in model.graph.node if node.op_type == "Add"]
        for side in sides:
            found = [name for name in sums if shapes.get(name) == [side, side]]
            if not found:
                raise WeightsError(
                    f"{self.path} has no residual sum of {side} x {side}.", "Give --no-hints."
                )
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(found[-1]))
        session = open_session(model.SerializeToString(), str(self.path), self._threads)

        def encode(crops: Sequence[Image]) -> tuple[Array32, list[Array32]]:
            rows, *maps = self._run_all(session, crops)
            return normalize_rows(list(rows)), maps

        return encode

    def _run_all(
        self, session: onnxruntime.InferenceSession, crops: Sequence[Image]
    ) -> list[Array32]:
        """Return every output of a session for all crops."""
        pixels = (np.stack(crops).astype(np.float32) / 255 - self._mean) / self._std
        planes = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        parts = np.split(planes, len(planes)) if self._single else [planes]
        outputs = [session.run(None, {self._name: part}) for part in parts]
        return [np.concatenate(column) for column in zip(*outputs, strict=True)]
