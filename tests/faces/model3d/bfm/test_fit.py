"""Fit of the face model to landmarks: known parameters, windows, gaps, smoothness, the loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from tests.faces.model3d.bfm.made_model import made_model
from thcli.core.types import Array, Array32
from thcli.faces.model3d.bfm import camera, fit
from thcli.faces.model3d.bfm.fit import ClipFit, fit_clip, fit_frames, fit_identity, fit_image
from thcli.faces.model3d.bfm.landmark_loss import (
    VIDEO,
    LandmarkBasis,
    Penalties,
    Pose,
    landmark_basis,
    linearise,
    residuals,
)
from thcli.faces.model3d.bfm.model import UNMATCHED_POINTS, FaceModel3D

FRAMES = 40
MATCHED = np.setdiff1d(np.arange(468), UNMATCHED_POINTS)
WEAK = replace(VIDEO, identity=1e-4, expression=1e-4, smooth_expression=0.0, smooth_pose=0.0)


@pytest.fixture(scope="module")
def model() -> FaceModel3D:
    return made_model()


def smooth_rows(rng: np.random.Generator, columns: int, size: float) -> Array:
    """Return random curves (FRAMES, columns) of a given deviation."""
    window = np.hanning(13) / np.sqrt((np.hanning(13) ** 2).sum())
    raw = rng.standard_normal((FRAMES + 12, columns))
    curves = [np.convolve(raw[:, i], window, "valid") for i in range(columns)]
    return size * np.stack(curves, 1)


class Clip:
    """A made clip of one face: its parameters and landmarks."""

    def __init__(self, model: FaceModel3D, yaw: float = 0.0) -> None:
        rng = np.random.default_rng(2)
        self.identity = 0.7 * rng.standard_normal(80)
        self.expression = smooth_rows(rng, 64, 0.5)
        self.euler = smooth_rows(rng, 3, 0.2) + np.array([0, yaw, 0])
        self.trans = smooth_rows(rng, 3, 0.2)
        self.points = model.points468(self.identity, self.expression)
        self.landmarks = camera.project(self.points, self.euler, self.trans)

    def distances(self, model: FaceModel3D, fitted: ClipFit) -> Array:
        """Return landmark distances (T, 460) of a fit in pixels of a 224 x 224 image."""
        points = model.points468(fitted.identity, fitted.expression)
        seen = camera.project(points, fitted.euler, fitted.trans)
        return np.asarray(np.linalg.norm(seen - self.landmarks, axis=-1)[:, MATCHED] * 224)


@pytest.fixture(scope="module")
def clip(model: FaceModel3D) -> Clip:
    return Clip(model)


def test_known_parameters_are_recovered(model: FaceModel3D, clip: Clip) -> None:
    """With weak penalties the landmarks, and nearly the parameters, are those of the clip."""
    fitted = fit_clip(model, clip.landmarks, WEAK)
    assert clip.distances(model, fitted).mean() < 0.03
    assert np.abs(fitted.euler - clip.euler).mean() < 0.005
    # a constant expression and an identity can look alike
    assert np.corrcoef(fitted.identity, clip.identity)[0, 1] > 0.75
    assert np.corrcoef(fitted.expression.ravel(), clip.expression.ravel())[0, 1] > 0.9
    points = model.points468(fitted.identity, fitted.expression)
    assert np.linalg.norm(points - clip.points, axis=-1)[:, MATCHED].mean() < 0.02  # decimetres


def test_published_penalties(model: FaceModel3D, clip: Clip) -> None:
    """The fit stays near noisy landmarks, and nearer to the clean ones than the noise."""
    noise = 0.5 * np.random.default_rng(0).standard_normal(clip.landmarks.shape)
    fitted = fit_clip(model, clip.landmarks + noise / 224)
    assert clip.distances(model, fitted).mean() < 0.45 < np.linalg.norm(noise, axis=-1).mean()
    assert 0.4 < fitted.error.mean() < 1.0
    assert np.abs(fitted.euler - clip.euler).mean() < 0.03
    assert fitted.identity.shape == (80,) and fitted.expression.dtype == np.float32


@pytest.mark.parametrize("yaw", [-0.9, 0.9])
def test_turned_heads(model: FaceModel3D, yaw: float) -> None:
    turned = Clip(model, yaw)
    fitted = fit_clip(model, turned.landmarks, WEAK)
    assert turned.distances(model, fitted).mean() < 0.1
    assert np.abs(fitted.euler - turned.euler).max() < 0.05


def test_windows_change_little(
    model: FaceModel3D, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short windows of a stream of blocks give the parameters of one window within 1e-4."""
    identity = fit_identity(model, clip.landmarks[::4])
    (whole,) = fit_frames(model, identity, [clip.landmarks])
    monkeypatch.setattr(fit, "WINDOW", 12)
    blocks = np.split(clip.landmarks, [1, 7, 30, 31])
    windows = list(fit_frames(model, identity, blocks))
    assert [len(window.error) for window in windows] == [12, 12, 12, 4]
    for name in ("expression", "euler", "trans"):
        joined = np.concatenate([getattr(window, name) for window in windows])
        wanted = getattr(whole, name)
        assert np.abs(joined - wanted).max() < 1e-4 * np.abs(wanted).max(), name


def test_only_a_window_is_read(
    model: FaceModel3D, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "WINDOW", 12)
    read = 0

    def blocks() -> Iterator[Array]:
        nonlocal read
        for row in clip.landmarks:
            read += 1
            yield row[None]

    windows = fit_frames(model, np.zeros(80), blocks())
    next(windows)
    assert read == 12 + fit.CONTEXT
    next(windows)
    assert read == 24 + fit.CONTEXT


def test_frames_without_a_face_are_interpolated(model: FaceModel3D, clip: Clip) -> None:
    gap = clip.landmarks.copy()
    gap[18:21] = np.nan
    fitted = fit_clip(model, gap)
    assert np.isnan(fitted.error).tolist() == [18 <= t < 21 for t in range(FRAMES)]
    assert np.isfinite(fitted.expression).all()
    near = fitted.euler[[17, 21]]
    assert (fitted.euler[18:21] >= near.min(0) - 0.03).all()
    assert (fitted.euler[18:21] <= near.max(0) + 0.03).all()
    with pytest.raises(ValueError, match="no frame"):
        fit_identity(model, np.full((3, 468, 2), np.nan))


def test_an_end_without_faces(
    model: FaceModel3D, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows without any face, after others, have finite parameters."""
    monkeypatch.setattr(fit, "WINDOW", 8)
    monkeypatch.setattr(fit, "CONTEXT", 2)
    missing = clip.landmarks.copy()
    missing[10:] = np.nan
    fitted = fit_clip(model, missing)
    assert np.isfinite(fitted.expression).all() and np.isfinite(fitted.trans).all()
    assert len(fitted.euler) == FRAMES


def test_smoothness_damps_jitter(model: FaceModel3D, clip: Clip) -> None:
    noise = 1.0 * np.random.default_rng(1).standard_normal(clip.landmarks.shape) / 224
    identity = fit_identity(model, clip.landmarks[::4])

    def jitter(penalties: Penalties) -> float:
        (fitted,) = fit_frames(model, identity, [clip.landmarks + noise], penalties)
        return float(np.diff(fitted.expression, 2, axis=0).std())

    assert jitter(VIDEO) < 0.7 * jitter(replace(VIDEO, smooth_expression=0.0))


def test_one_image_and_68_landmarks(model: FaceModel3D, clip: Clip) -> None:
    alone = fit_image(model, clip.landmarks[0])
    assert len(alone.euler) == 1 and clip.distances(model, alone)[0].mean() < 0.3
    points = model.landmarks68(clip.identity, clip.expression)
    seen = camera.project(points, clip.euler, clip.trans)
    fitted = fit_clip(model, seen, WEAK)
    found = camera.project(
        model.landmarks68(fitted.identity, fitted.expression), fitted.euler, fitted.trans
    )
    assert np.linalg.norm(found - seen, axis=-1).mean() * 224 < 0.1
    with pytest.raises(ValueError, match=r"\(T, 68, 2\)"):
        fit_clip(model, np.zeros((2, 98, 2)))


def test_irises_are_left_out(model: FaceModel3D, clip: Clip) -> None:
    with_irises = np.concatenate([clip.landmarks[:3], np.ones((3, 10, 2))], 1)
    for name in ("expression", "euler", "trans"):
        np.testing.assert_array_equal(
            getattr(fit_clip(model, with_irises), name),
            getattr(fit_clip(model, clip.landmarks[:3]), name),
        )


def test_derivatives(model: FaceModel3D, clip: Clip) -> None:
    """Gradients of all parameters agree with differences of the loss."""
    basis = landmark_basis(model, 468, VIDEO)
    rng = np.random.default_rng(0)
    identity = clip.identity + 0.1 * rng.standard_normal(80)
    exact = Pose(clip.expression[:2], clip.euler[:2], clip.trans[:2])
    pose = exact.moved(0.05 * rng.standard_normal((2, 70)))
    found = linearise(basis.with_identity(identity), basis, pose, clip.landmarks[:2], identity=True)

    def loss(identity: Array, pose: Pose) -> Array:
        error = residuals(basis.with_identity(identity), basis, pose, clip.landmarks[:2])
        return np.asarray((error**2).sum((1, 2)))

    np.testing.assert_allclose(found.loss, loss(identity, pose))
    for column in (0, 40, 63, *range(64, 70), 70, 149):
        step = np.zeros(150)
        step[column] = 1e-5
        up, down = (
            loss(identity + sign * step[70:], pose.moved(sign * step[None, :70]))
            for sign in (1, -1)
        )
        np.testing.assert_allclose(found.gradient[:, column], (up - down) / 4e-5, rtol=2e-4)
    np.testing.assert_allclose(found.matrix, np.swapaxes(found.matrix, 1, 2), rtol=1e-3, atol=1e-3)


def test_weights_of_landmarks(model: FaceModel3D) -> None:
    basis: LandmarkBasis = landmark_basis(model, 468, VIDEO)
    weights: Array32 = basis.weights
    assert (weights[list(UNMATCHED_POINTS)] == 0).all()
    upper = [161, 160, 159, 158, 157, 388, 387, 386, 385, 384]
    assert sorted(np.flatnonzero(weights == 20)) == sorted(upper)
    assert (weights[[33, 133, 145, 263]] == 3).all() and weights[[0, 13, 14, 17]].tolist() == [
        5
    ] * 4
    assert weights[1] == 1
