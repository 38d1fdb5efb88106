"""Crops and compositing on a real face of the default tracker."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import skimage.data

from tests.faces.conftest import weights_file
from thcli.core.geometry import transform_points
from thcli.core.types import Face, Image
from thcli.faces.compositing.paste import PasteContext, paste
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop
from thcli.faces.crops.stabilize import crop_params, stabilize
from thcli.faces.detection.blazeface import BlazeFace
from thcli.faces.landmarks.facemesh import FaceMesh
from thcli.faces.landmarks.landmarks68 import landmarks68
from thcli.faces.landmarks.layouts import five_points, landmarks_of


@pytest.fixture(scope="module")
def networks() -> tuple[BlazeFace, FaceMesh]:
    detector = BlazeFace(weights_file("blazeface-short"), weights_file("blazeface-full"))
    return detector, FaceMesh(weights_file("facemesh-attention"))


@pytest.fixture(scope="module")
def image() -> Image:
    return np.asarray(skimage.data.astronaut(), np.uint8)  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def face(networks: tuple[BlazeFace, FaceMesh], image: Image) -> Face:
    found = networks[1].fit(image, networks[0].detect(image)[0])
    assert found is not None
    return found


def test_crops_of_the_mesh_are_those_of_its_68_points(face: Face) -> None:
    assert face.mesh is not None
    points = landmarks68(face.mesh)
    for place in (align.ffhq, align.liveportrait, align.arcface):
        ours, theirs = place(landmarks_of(face), 256), place(points, 256)
        corners = np.array([[0, 0], [255, 0], [255, 255], [0, 255]])
        frame = transform_points(np.asarray(np.linalg.inv(ours.crop_from_frame)), corners)
        assert np.abs(transform_points(theirs.crop_from_frame, frame) - corners).max() < 3


def test_facial_features_are_where_networks_expect_them(face: Face) -> None:
    five = five_points(landmarks_of(face))
    arcface = transform_points(align.arcface(five, 112).crop_from_frame, five)
    assert np.abs(arcface - align.ARCFACE_112).max() < 6  # a broad smile
    ffhq = transform_points(align.ffhq(landmarks_of(face), 512).crop_from_frame, five)
    assert abs(ffhq[0, 1] - ffhq[1, 1]) < 12 and np.abs(ffhq[:2].mean(0) - [256, 240]).max() < 12
    live = transform_points(
        align.liveportrait(landmarks_of(face), 512).crop_from_frame, landmarks_of(face)
    )
    assert live.min() > 60 and live.max() < 452


def test_a_changed_face_leaves_the_rest_unchanged(face: Face, image: Image) -> None:
    assert face.mesh is not None
    placement = align.ffhq(landmarks_of(face), 256)
    pixels = crop(image, placement)
    warmer = np.clip(pixels * np.array([1.1, 1.0, 0.9]), 0, 255).astype(np.uint8)
    out = paste(image, warmer, placement, context=PasteContext(points=face.mesh))
    inside = transform_points(
        placement.crop_from_frame, np.stack(np.meshgrid(np.arange(512), np.arange(512)), -1)
    )
    away = ((inside < -2) | (inside > 257)).any(-1)
    np.testing.assert_array_equal(out[away], image[away])
    same = paste(image, pixels, placement, context=PasteContext(points=face.mesh))
    changed = np.abs(same.astype(int) - image).max(-1) > 0
    # Of the pixels that changed at all.
    assert np.abs(same.astype(int) - image)[changed].mean() <= 2 * 1.5
    assert np.abs(same.astype(int) - image)[~away].mean() <= 2


@pytest.mark.slow
def test_the_crop_of_a_real_head_is_stable_without_lag(
    networks: tuple[BlazeFace, FaceMesh], shared: Path
) -> None:
    """d0.mp4, a head that turns: jitter falls to a third or less, without lag."""
    crops, seconds, face = [], [], None
    with av.open(str(shared / "media" / "d0.mp4")) as clip:
        for frame in clip.decode(video=0):
            pixels = frame.to_ndarray(format="rgb24")
            face = (
                networks[1].fit(pixels, networks[0].detect(pixels)[0])
                if face is None
                else networks[1].refit(pixels, face)
            )
            assert face is not None
            crops.append(align.liveportrait(landmarks_of(face), 512))
            seconds.append(float(frame.time or 0.0))
            if len(crops) == 60:
                break
    raw = crop_params(crops)
    stable = stabilize(raw, seconds)
    scale = np.array([512 / np.exp(raw[0, 2]), 512 / np.exp(raw[0, 2]), 256, 256])
    jitter, left = (
        np.sqrt((np.diff(p * scale, n=2, axis=0) ** 2).mean(0) / 6) for p in (raw, stable)
    )
    assert (left < jitter / 3 + 0.02).all() and left[:2].max() < 0.15
    speed = np.gradient(raw * scale, axis=0)
    lag = -(((stable - raw) * scale) * speed).sum(0) / (speed**2).sum(0)  # in frames
    # A column that hardly moves has no measurable lag.
    assert np.abs(lag[np.abs(speed).mean(0) > 0.2]).max() < 0.1
    assert (np.abs(lag) * np.abs(speed).mean(0)).max() < 0.06  # pixels
