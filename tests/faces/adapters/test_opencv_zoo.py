"""YuNet's and SFace's adapters on small generated ONNX models in OpenCV Zoo's format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.faces.adapters.tiny_onnx import Graph, embedding
from thcli.core.errors import WeightsError
from thcli.core.types import Face
from thcli.faces.adapters.opencv_zoo import SFace, YuNet


def yunet(path: Path) -> Path:
    """Generate a model with the twelve outputs of face_detection_yunet_2023mar.onnx.

    It fires where an 8 x 8 cell is pure red (its input is BGR, 0..255).
    """
    graph = Graph("input")
    outputs: dict[str, list[int | str]] = {}
    for stride in (8, 16, 32):
        detector = np.zeros((1, 3, stride, stride), np.float32)
        bias = np.full(1, -20, np.float32)
        if stride == 8:
            detector[:, 2], detector[:, :2] = 0.2 / 64, -0.2 / 64
            bias[:] = -46.0  # 51 of a pure red cell leaves +5
        box = np.array([0, 0, np.log(4), np.log(6)], np.float32)
        five = np.array([-1, -1, 1, -1, 0, 0, -1, 1, 1, 1], np.float32)
        for name, weight, shift in (
            ("cls", detector, bias),
            ("obj", detector, bias),
            ("bbox", np.zeros((4, 3, stride, stride), np.float32), box),
            ("kps", np.zeros((10, 3, stride, stride), np.float32), five),
        ):
            tag = f"{name}_{stride}"
            x = graph.convolve(tag, weight, shift, stride)
            last = tag if name in ("bbox", "kps") else f"flat_{tag}"
            x = graph.rows(x, tag, [1, -1, len(shift)], last)
            if name in ("cls", "obj"):
                graph.add("Sigmoid", [x], tag)
            outputs[tag] = [1, f"n_{stride}", len(shift)]
    ordered = {
        f"{n}_{s}": outputs[f"{n}_{s}"] for n in ("cls", "obj", "bbox", "kps") for s in (8, 16, 32)
    }
    return graph.save(path, [1, 3, "h", "w"], ordered)


def test_yunet_decodes_boxes_and_points(tmp_path: Path) -> None:
    detector = YuNet(yunet(tmp_path / "yunet.onnx"))
    image = np.zeros((240, 320, 3), np.uint8)
    image[80:88, 160:168, 0] = 255
    image[40:48, 40:48, 2] = 255  # blue: not a face
    (face,) = detector.detect(image)
    np.testing.assert_allclose(face.box, [144, 56, 176, 104], atol=0.01)
    assert face.points is not None and face.keypoints is not None
    np.testing.assert_allclose(
        face.points, [[152, 72], [168, 72], [160, 80], [152, 88], [168, 88]], atol=0.01
    )
    assert 0.9 < face.score <= 1
    large = np.zeros((1440, 1920, 3), np.uint16)
    large[160:176, 320:336, 0] = 65535
    (big,) = detector.detect(large)  # type: ignore[arg-type]
    np.testing.assert_allclose(big.box, [288.5, 112.5, 352.5, 208.5], atol=0.02)
    assert detector.detect(np.zeros((50, 70, 3), np.uint8)) == []


def test_sface_gives_a_unit_vector_of_the_aligned_face(tmp_path: Path) -> None:
    model = SFace(embedding(tmp_path / "sface.onnx", 128, "data"))
    image = np.random.default_rng(0).integers(0, 255, (300, 300, 3)).astype(np.uint8)
    five = np.array([[120, 120], [180, 120], [150, 150], [125, 180], [175, 180]], np.float32)
    identity = model.identify(
        image, Face(np.array([90, 80, 210, 220], np.float32), 0.9, points=five)
    )
    assert identity.vector.shape == (128,) and identity.backend == "sface"
    assert np.linalg.norm(identity.vector) == pytest.approx(1, abs=1e-5)


def test_no_model_is_a_weights_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model" * 100)
    for make in (YuNet, SFace):
        with pytest.raises(WeightsError, match=r"broken\.onnx"):
            make(broken)
