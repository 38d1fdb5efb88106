"""InsightFace's adapter on small generated ONNX models in the format of the pack buffalo_l."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from tests.faces.adapters.tiny_onnx import Graph, embedding
from thcli.core.errors import NoFaceError, WeightsError
from thcli.core.options import RunOptions
from thcli.core.types import Face, Image
from thcli.faces.adapters.insightface_onnx import ArcFace, InsightFaceLandmarker, Scrfd, _providers

CPU = RunOptions(device="cpu")


def scrfd(path: Path) -> Path:
    """Generate a model with the nine outputs of det_10g.onnx.

    It fires where an 8 x 8 cell of the input is pure red, with a box of 3 and 4 cells around.
    """
    graph = Graph()
    outputs: dict[str, list[int | str]] = {}
    parts: dict[str, list[str]] = {"score": [], "bbox": [], "kps": []}
    for stride in (8, 16, 32):
        hot = stride == 8
        detector = np.zeros((2, 3, stride, stride), np.float32)
        if hot:
            detector[:, 0], detector[:, 1], detector[:, 2] = (
                1 / 64,
                -1 / 64,
                -1 / 64,
            )  # red in, green and blue out; inputs are -1..1
        values = {
            "score": (detector, np.full(2, -2.5 if hot else -9.0, np.float32), 1),
            "bbox": (None, np.tile([3, 3, 3, 4], 2).astype(np.float32), 4),
            "kps": (None, np.tile([-1, -1, 1, -1, 0, 0, -1, 1, 1, 1], 2).astype(np.float32), 10),
        }
        for name, (weight, bias, width) in values.items():
            weight = (
                np.zeros((len(bias), 3, stride, stride), np.float32) if weight is None else weight
            )
            tag = f"{name}_{stride}"
            x = graph.convolve(tag, weight, bias, stride)
            x = graph.rows(x, tag, [-1, width], f"flat_{tag}" if name == "score" else tag)
            if name == "score":
                x = graph.add(
                    "Mul",
                    [x, graph.constant(f"gain_{tag}", np.array(8.0, np.float32))],
                    f"steep_{tag}",
                )
                x = graph.add("Sigmoid", [x], tag)
            parts[name].append(x)
    for name, width in (("score", 1), ("bbox", 4), ("kps", 10)):
        outputs.update({tag: [f"n_{tag}", width] for tag in parts[name]})
    return graph.save(path, [1, 3, "h", "w"], outputs)


def red_cell(x: int, y: int, width: int = 640, height: int = 640) -> Image:
    image = np.zeros((height, width, 3), np.uint8)
    image[y : y + 8, x : x + 8, 0] = 255
    return image


def test_scrfd_decodes_boxes_and_points(tmp_path: Path) -> None:
    detector = Scrfd(scrfd(tmp_path / "det_10g.onnx"), CPU)
    image = red_cell(240, 160)
    image[400:408, 400:408, 2] = 255  # blue: not a face to a network that reads RGB
    (face,) = detector.detect(image)
    np.testing.assert_allclose(face.box, [216, 136, 264, 192], atol=1e-3)
    assert face.points is not None and face.keypoints is not None
    np.testing.assert_allclose(
        face.points, [[232, 152], [248, 152], [240, 160], [232, 168], [248, 168]], atol=1e-3
    )
    np.testing.assert_allclose(
        face.keypoints[:4], [[232, 152], [248, 152], [240, 160], [240, 168]], atol=1e-3
    )
    assert (
        face.keypoints[4, 0] < face.keypoints[0, 0] and face.keypoints[5, 0] > face.keypoints[1, 0]
    )
    assert 0.5 < face.score < 1


def test_scrfd_of_another_size_and_depth(tmp_path: Path) -> None:
    detector = Scrfd(scrfd(tmp_path / "det_10g.onnx"), CPU)
    big = np.repeat(np.repeat(red_cell(240, 160, 640, 480), 2, 0), 2, 1)
    (face,) = detector.detect(big)
    np.testing.assert_allclose(face.box, [432, 272, 528, 384], atol=0.1)
    (deep,) = detector.detect(big.astype(np.uint16) * 257)  # type: ignore[arg-type]
    np.testing.assert_array_equal(deep.box, face.box)


def test_scrfd_finds_none_and_several(tmp_path: Path) -> None:
    detector = Scrfd(scrfd(tmp_path / "det_10g.onnx"), CPU)
    assert detector.detect(np.zeros((48, 64, 3), np.uint8)) == []
    both = np.maximum(red_cell(80, 80), red_cell(480, 400))
    assert len(detector.detect(both)) == 2


def landmarks(path: Path, values: np.ndarray, size: int) -> Path:
    """Generate a model of constant output: `values`, in -1..1 of the crop."""
    graph = Graph()
    x = graph.add("GlobalAveragePool", ["input.1"], "mean")
    x = graph.add("Flatten", [x], "flat")
    graph.constant("w", np.zeros((3, size), np.float32))
    graph.constant("b", values.astype(np.float32))
    graph.add("Gemm", [x, "w", "b"], "fc1")
    return graph.save(path, [1, 3, 192, 192], {"fc1": [1, size]})


def test_points_map_back_to_the_image(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(-0.5, 0.5, (106, 2))
    model = InsightFaceLandmarker(landmarks(tmp_path / "2d106det.onnx", values.ravel(), 212), CPU)
    box = np.array([100, 60, 200, 180], np.float32)
    face = model.fit(np.zeros((300, 400, 3), np.uint8), Face(box, 0.9))
    assert face is not None and face.points is not None and face.keypoints is not None
    side = 1.5 * 120
    np.testing.assert_allclose(face.points, np.array([150, 120]) + values * side / 2, atol=1e-2)
    assert face.points.shape == (106, 2) and face.keypoints.shape == (6, 2)
    assert (
        model.fit(np.zeros((300, 400, 3), np.uint8), Face(np.array([9, 9, 9, 9], np.float32), 0.9))
        is None
    )


def test_points_with_depth(tmp_path: Path) -> None:
    # A plausible head, for the library also estimates its pose from the points.
    points = np.random.default_rng(1).uniform(-0.5, 0.5, (68, 3))
    values = np.concatenate([np.zeros(3309 - 204), points.ravel()])
    model = InsightFaceLandmarker(landmarks(tmp_path / "1k3d68.onnx", values, 3309), CPU)
    face = model.fit(
        np.zeros((300, 400, 3), np.uint8), Face(np.array([100, 60, 200, 180], np.float32), 0.9)
    )
    assert face is not None and face.points is not None
    assert face.points.shape == (68, 3)
    np.testing.assert_allclose(
        face.points[:, :2], np.array([150, 120]) + points[:, :2] * 90, atol=1e-2
    )


FIVE = np.array([[203, 101], [247, 104], [223, 126], [202, 139], [245, 140]], np.float32)


def test_identity_is_of_the_aligned_face(tmp_path: Path) -> None:
    import cv2
    import skimage.data

    from thcli.core.geometry import square_crop_matrix, transform_points

    model = ArcFace(embedding(tmp_path / "w600k_r50.onnx", 512), CPU)
    image = np.asarray(skimage.data.astronaut(), np.uint8)  # type: ignore[no-untyped-call]
    face = Face(np.array([170, 60, 280, 180], np.float32), 0.9, points=FIVE)
    identity = model.identify(image, face)
    assert (
        identity.vector.shape == (512,)
        and identity.vector.dtype == np.float32
        and identity.backend == "insightface"
    )
    assert np.linalg.norm(identity.vector) == pytest.approx(1, abs=1e-5)
    turn = square_crop_matrix([225, 130], 300, 0.5, 400)
    rotated = np.asarray(cv2.warpAffine(image, turn[:2], (400, 400)), np.uint8)
    rotated_face = Face(
        np.array([0, 0, 400, 400], np.float32),
        0.9,
        points=transform_points(turn, FIVE).astype(np.float32),
    )
    other = Face(np.array([0, 0, 400, 400], np.float32), 0.9, points=FIVE + np.float32(180))
    assert float(model.identify(rotated, rotated_face).vector @ identity.vector) > 0.99
    assert float(model.identify(image, other).vector @ identity.vector) < 0.9
    with pytest.raises(NoFaceError):
        model.identify(image, Face(face.box, 0.9))


def test_a_model_of_another_kind_or_no_model_is_a_weights_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not of kind ArcFaceONNX"):
        ArcFace(scrfd(tmp_path / "det.onnx"), CPU)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model" * 100)
    with pytest.raises(WeightsError, match=r"broken\.onnx"):
        Scrfd(broken, CPU)


def test_cuda_without_its_runtime_warns(caplog: pytest.LogCaptureFixture) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        assert _providers("cuda:1")[0] == ("CUDAExecutionProvider", {"device_id": 1})
        return
    with caplog.at_level(logging.WARNING):
        assert _providers("cuda") == ["CPUExecutionProvider"]
    assert "no CUDA support" in caplog.text
