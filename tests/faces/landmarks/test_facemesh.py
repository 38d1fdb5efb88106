"""FaceMesh on a real face: equivariance to rotation, scale and mirroring."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thcli.core.geometry import fit_similarity_matrix, transform_points, warp_affine
from thcli.core.types import Array32, Face
from thcli.faces.detection.blazeface import BlazeFace
from thcli.faces.landmarks import topology as topo
from thcli.faces.landmarks.facemesh import MOST_FITS, FaceMesh
from thcli.faces.landmarks.roi import Roi, crop_roi, roi_of_detection, roi_of_mesh
from thcli.motion.canonical import neutral

Pixels = npt.NDArray[np.uint8]


def mesh_at(x: float, y: float, size: float, angle: float) -> Array32:
    """Return the neutral mesh with its outer eye corners `size` apart, rotated by angle."""
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return np.asarray(size * neutral() @ turn.T + (x, y, 0), np.float32)


def iod(mesh: Array32) -> float:
    return float(np.linalg.norm(mesh[33, :2] - mesh[263, :2]))


@pytest.fixture(scope="module")
def face(detector: BlazeFace, landmarker: FaceMesh, astronaut: Pixels) -> Face:
    (found,) = detector.detect(astronaut)
    fitted = landmarker.fit(astronaut, found)
    assert fitted is not None
    return fitted


def mesh_of(face: Face | None) -> Array32:
    assert face is not None
    assert face.mesh is not None
    return face.mesh


def inside(ring: Array32, point: Array32) -> bool:
    return bool(
        cv2.pointPolygonTest(
            ring.reshape(-1, 1, 2).astype(np.float32), (float(point[0]), float(point[1])), False
        )
        > 0
    )


def test_the_face_has_all_outputs(face: Face) -> None:
    mesh = mesh_of(face)
    assert mesh.shape == (468, 3)
    assert mesh.dtype == np.float32
    assert face.logit > 20
    assert np.allclose(face.box, [*mesh[:, :2].min(0), *mesh[:, :2].max(0)])
    assert mesh[4, 2] < mesh[234, 2]  # the nose is nearer than the ear
    assert np.hypot(*(mesh[4, :2] - (225, 131))) < 10


@pytest.mark.parametrize("side", [0, 1])
def test_each_iris_is_in_its_eye(face: Face, side: int) -> None:
    mesh = mesh_of(face)
    assert face.iris is not None
    assert face.iris.shape == (2, 5, 2)
    centre = face.iris[side, 0]
    assert inside(mesh[topo.EYES[side], :2], centre)
    assert not inside(mesh[topo.EYES[1 - side], :2], centre)
    radius = np.linalg.norm(face.iris[side, 1:] - centre, axis=1)
    assert (
        0.05 < radius.mean() / iod(mesh) < 0.09
    )  # an iris is 11.7 mm wide, the outer corners about 90 mm apart


def test_the_keypoints_are_those_of_the_mesh(face: Face) -> None:
    assert face.keypoints is not None
    assert face.iris is not None
    assert np.linalg.norm(face.keypoints[:2] - face.iris[:, 0], axis=1).max() < 0.12 * iod(
        mesh_of(face)
    )
    left_eye, right_eye, nose, mouth, left_ear, right_ear = face.keypoints
    assert left_ear[0] < left_eye[0] < nose[0] < right_eye[0] < right_ear[0]
    assert left_eye[1] < nose[1] < mouth[1]


def test_a_rotated_and_reduced_copy(
    detector: BlazeFace, landmarker: FaceMesh, astronaut: Pixels, face: Face
) -> None:
    mesh = mesh_of(face)
    centre = mesh[:, :2].mean(0)
    angle = np.deg2rad(15)
    k = 0.8 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([[0.0, 0], [100, 0], [0, 100]])
    copy_from_original = fit_similarity_matrix(corners, corners @ k.T + (256, 200) - k @ centre)
    copy = warp_affine(astronaut, copy_from_original, (512, 512))
    guess = transform_points(copy_from_original, mesh[:, :2])
    (detected,) = detector.detect(copy)
    found = mesh_of(landmarker.fit(copy, detected))
    error = np.linalg.norm(found[:, :2] - guess, axis=1)
    assert np.sqrt((error**2).mean()) < 0.01 * 0.8 * iod(mesh)


def test_a_mirrored_copy(landmarker: FaceMesh, astronaut: Pixels, face: Face) -> None:
    mesh = mesh_of(face)
    mirrored = mesh[topo.PAIRS] * np.array([-1, 1, 1], np.float32) + np.array(
        [511, 0, 0], np.float32
    )
    found = mesh_of(
        landmarker.fit(np.ascontiguousarray(astronaut[:, ::-1]), Face(face.box, 1.0, mesh=mirrored))
    )
    error = np.linalg.norm(found[:, :2] - mirrored[:, :2], axis=1)
    assert np.sqrt((error**2).mean()) < 0.02 * iod(mesh)


def test_sixteen_bits_give_the_same_mesh(
    landmarker: FaceMesh, astronaut: Pixels, face: Face
) -> None:
    deep = mesh_of(landmarker.fit(astronaut.astype(np.uint16) * 257, face))
    flat = mesh_of(landmarker.fit(astronaut, face))
    assert np.abs(deep - flat).max() < 0.1


@pytest.mark.parametrize("turn", [90, 135, 180, 225, 270])
def test_heads_that_are_not_upright(
    detector: BlazeFace, landmarker: FaceMesh, astronaut: Pixels, face: Face, turn: int
) -> None:
    matrix = np.eye(3)
    matrix[:2] = cv2.getRotationMatrix2D((225, 127), turn, 1)
    matrix[:2, 2] += (31, 129)
    image = warp_affine(astronaut, matrix, (512, 512))
    fits = [landmarker.fit(image, found) for found in detector.detect(image)]
    best = max((f for f in fits if f is not None), key=lambda f: f.logit)
    error = np.linalg.norm(
        mesh_of(best)[:, :2] - transform_points(matrix, mesh_of(face)[:, :2]), axis=1
    )
    assert np.sqrt((error**2).mean()) < 0.05 * iod(mesh_of(face))


def test_refine_is_more_stable(landmarker: FaceMesh, astronaut: Pixels, face: Face) -> None:
    rng = np.random.default_rng(0)
    noisy = [
        np.clip(astronaut + rng.normal(0, 6, astronaut.shape), 0, 255).astype(np.uint8)
        for _ in range(6)
    ]
    single = np.array([mesh_of(landmarker.fit(image, face)) for image in noisy])
    refined = np.array([mesh_of(landmarker.refine(image, face)) for image in noisy])
    assert refined.std(0).mean() < 0.9 * single.std(0).mean()
    assert np.abs(refined.mean(0) - single.mean(0)).mean() < 0.02 * iod(mesh_of(face))


def test_a_first_fit_is_as_stable_as_a_tracked_face(
    detector: BlazeFace, landmarker: FaceMesh, astronaut: Pixels
) -> None:
    (found,) = detector.detect(astronaut)
    for grown in (-0.12, 0.0, 0.12, 0.25):  # errors of the detector's box
        margin = grown * (found.box[2] - found.box[0])
        box = np.asarray(found.box + np.array([-1, -1, 1, 1]) * margin, np.float32)
        fitted = followed = landmarker.fit(astronaut, replace(found, box=box))
        for _ in range(4):
            assert followed is not None
            followed = landmarker.refit(astronaut, followed)
        moved = np.linalg.norm((mesh_of(followed) - mesh_of(fitted))[:, :2], axis=-1)
        assert moved.mean() < 0.005 * iod(mesh_of(fitted))


def follow_regions(
    monkeypatch: pytest.MonkeyPatch,
    landmarker: FaceMesh,
    asked: Callable[[Roi], Face | None],
) -> tuple[Face | None, list[Roi]]:
    """Fit a detection with `asked` in place of the network; return the fit, and all regions."""
    regions: list[Roi] = []

    def fit_roi(_image: Pixels, roi: Roi, _face: Face) -> Face | None:
        regions.append(roi)
        return asked(roi)

    monkeypatch.setattr(landmarker, "fit_roi", fit_roi)
    box = np.array([-50, -50, 50, 50], np.float32)
    return landmarker.fit(np.zeros((8, 8, 3), np.uint8), Face(box, 1.0)), regions


def seen_at(x: float, logit: float, angle: float = 0.0) -> Face:
    return Face(np.zeros(4, np.float32), 1.0, mesh=mesh_at(x, 0, 100, angle), logit=logit)


def test_only_the_best_rotation_is_fitted_until_it_is_stable(
    landmarker: FaceMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All four were: up to 32 fits of a face that is half covered."""

    def asked(roi: Roi) -> Face:  # the mesh moves on from fit to fit, and keeps its rotation
        return seen_at(roi.x + 3, 20.0 if abs(roi.angle) < 0.5 else 5.0, roi.angle)

    found, regions = follow_regions(monkeypatch, landmarker, asked)
    assert found is not None and found.logit == 20.0
    upright = [roi for roi in regions if abs(roi.angle) < 0.5]
    assert len(upright) == MOST_FITS and len(regions) == MOST_FITS + 3 * 3


def test_regions_that_alternate_end_in_their_mean(
    landmarker: FaceMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = roi_of_mesh(mesh_at(0, 0, 100, 0)).x

    def asked(roi: Roi) -> Face:
        return seen_at(0 if roi.x > first + 5 else 10, 30.0)

    _, regions = follow_regions(monkeypatch, landmarker, asked)
    assert len(regions) == MOST_FITS
    assert regions[-1].x == pytest.approx(first + 5, abs=0.01)


@pytest.mark.parametrize("good", [1, 2, 4])
def test_a_later_fit_that_fails_leaves_the_one_before(
    landmarker: FaceMesh, monkeypatch: pytest.MonkeyPatch, good: int
) -> None:
    places = iter([seen_at(8.0 * n, 30.0) for n in range(good)])
    found, _ = follow_regions(monkeypatch, landmarker, lambda _: next(places, None))
    assert np.allclose(mesh_of(found), mesh_at(8.0 * (good - 1), 0, 100, 0))


def test_the_mean_of_regions_is_that_of_their_turns() -> None:
    middle = Roi(0, 0, 10, 3.1).halfway_to(Roi(4, 2, 20, -3.1))
    assert (middle.x, middle.y, middle.side) == (2, 1, 15)
    assert abs(middle.angle) == pytest.approx(np.pi)


def test_no_face(landmarker: FaceMesh, astronaut: Pixels) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3)).astype(np.uint8)
    there = Face(np.array([80, 80, 180, 180], np.float32), 1.0)
    assert landmarker.fit(noise, there) is None
    assert landmarker.refine(np.zeros_like(noise), there) is None
    assert (
        landmarker.fit(astronaut, Face(np.full(4, 30, np.float32), 1.0)) is None
    )  # a box without area
    assert (
        landmarker.fit(astronaut, Face(np.array([-900, -900, -800, -800], np.float32), 1.0)) is None
    )


def test_clones_work_in_parallel(landmarker: FaceMesh, astronaut: Pixels, face: Face) -> None:
    expected = mesh_of(landmarker.fit(astronaut, face))

    def five_times(own: FaceMesh) -> list[Array32]:
        return [mesh_of(own.fit(astronaut, face)) for _ in range(5)]

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(five_times, [landmarker.clone(), landmarker.clone()]))
    assert all(np.array_equal(mesh, expected) for meshes in results for mesh in meshes)


@given(st.floats(-300, 300), st.floats(-300, 300), st.floats(20, 400), st.floats(-3, 3))
def test_the_region_of_a_mesh_moves_with_it(x: float, y: float, size: float, angle: float) -> None:
    still, roi = roi_of_mesh(mesh_at(0, 0, 100, 0)), roi_of_mesh(mesh_at(x, y, size, angle))
    assert np.isclose(roi.side, still.side * size / 100, rtol=1e-3)
    assert np.isclose(np.cos(roi.angle - still.angle - angle), 1, atol=1e-5)
    k = size / 100
    c, s = np.cos(angle) * k, np.sin(angle) * k
    dx, dy = still.x - 0.5, still.y - 0.5
    assert np.allclose(
        [roi.x - 0.5, roi.y - 0.5], [x + c * dx - s * dy, y + s * dx + c * dy], atol=0.01 * size
    )


def test_the_region_of_a_detection() -> None:
    points = np.array([[20, 20], [40, 40], [30, 30], [30, 40], [10, 30], [50, 30]], np.float32)
    roi = roi_of_detection(Face(np.array([10, 10, 50, 70], np.float32), 1.0, points))
    assert (roi.x, roi.y, roi.side) == (30.5, 40.5, 90)
    assert np.isclose(roi.angle, np.pi / 4)
    assert roi_of_detection(Face(np.array([10, 10, 50, 70], np.float32), 1.0)).angle == 0


@pytest.mark.parametrize("side", [96.0, 192.0, 300.0, 500.0, 1000.0])
@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_the_crop_shows_its_region(side: float, angle: float) -> None:
    """Red and green of the image are x and y: the crop must read its own coordinates."""
    y, x = np.mgrid[:1200, :1200].astype(np.float32)
    image = np.stack([x, y, 0 * x], -1).astype(np.uint16) * 32
    roi = Roi(600.3, 590.7, side, angle)
    crop = crop_roi(image, roi).astype(np.float64) / 32
    u, v = 30, 150
    expected = roi.matrix() @ (u + 0.5, v + 0.5, 1) - 0.5
    assert np.abs(crop[v, u, :2] - expected).max() < 0.05 + 0.002 * side


def test_the_crop_is_black_outside() -> None:
    crop = crop_roi(np.full((50, 50, 3), 200, np.uint8), Roi(0, 0, 600, 0))
    assert crop.shape == (192, 192, 3)
    assert not crop[:90, :90].any()
    assert (crop[100:105, 100:105] == 200).all()
    # Far outside, or with an image smaller than one step of the subsampling.
    for x, y in ((-5000, 0), (0, 9000), (25, 25)):
        strip = np.full((3, 50, 3), 200, np.uint8)
        assert crop_roi(strip, Roi(x, y, 6000, 0.3)).shape == (192, 192, 3)
