"""`thcli encode --frontal`: the face turned to the front, in a square."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engines.narrow import trained
from tests.motion.synthetic_motion import source
from tests.pipeline.command_line import to_argv
from thcli import media
from thcli.cli.app import run
from thcli.core.errors import NoFaceError
from thcli.core.geometry import angles_from_matrix
from thcli.core.options import FaceOptions, RunOptions
from thcli.engines.x2face import engine as x2face
from thcli.engines.x2face.engine import X2FaceEngine
from thcli.engines.x2face.networks import X2Face
from thcli.motion.canonical import decompose
from thcli.motion.control.frontal import frontal_target, most_frontal_frame
from thcli.motion.file.buffer import MotionBuffer
from thcli.motion.sliders import SliderCurves, motion_from_sliders
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.stages import frontal

Clip = Callable[..., Path]


def test_a_turned_face_is_turned_to_the_front() -> None:
    face = source(yaw=12.0, pitch=-6.0, roll=9.0)
    points = np.asarray(frontal_target(face).arrays["points"][0], np.float64)
    assert face.mesh is not None
    own, turned = decompose(face.mesh), decompose(points)
    np.testing.assert_allclose(angles_from_matrix(turned.rotation), 0, atol=1e-6)
    np.testing.assert_allclose(turned.shape, own.shape, atol=1e-6)
    with pytest.raises(NoFaceError, match=r"turned too far .* yaw -?2"):
        frontal_target(source(yaw=25.0))


def test_the_most_frontal_frame_has_open_eyes() -> None:
    yaw = np.array([20.0, 0.0, 2.0, -9.0])
    curves = SliderCurves(yaw=yaw, blink=np.array([0.0, 1.0, 0.0, 0.0]))
    motion = motion_from_sliders(curves, range(4), Fraction(1, 25))
    assert most_frontal_frame(MotionBuffer(motion)) == 2


def test_encode_writes_a_frontal_square_of_a_clip(clip: Clip, tmp_path: Path) -> None:
    out = tmp_path / "frontal.png"
    argv = to_argv("encode", clip("eight.mp4", 8), "-o", tmp_path / "m.motion.safetensors", "-q")
    assert run([*argv, "--frontal", str(out)]) == 0
    image = media.read_image(out)
    assert image.shape[0] == image.shape[1]
    (face,) = FaceFinder.load(FaceOptions(), RunOptions()).find(image)
    assert face.mesh is not None
    assert np.abs(angles_from_matrix(decompose(face.mesh).rotation)).max() < 6
    assert (tmp_path / "m.motion.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--frontal OUT.mp4", "is not the name of an image"),
        ("--frontal OUT.png --engine fomm", "--frontal has no effect with engine fomm"),
    ],
)
def test_what_cannot_be_written_is_refused(
    words: str, message: str, clip: Clip, tmp_path: Path, capsys: Any
) -> None:
    text = words.replace("OUT", str(tmp_path / "OUT"))
    assert run(to_argv("encode", clip("eight.mp4", 8), *text.split())) == 2
    assert re.search(message, capsys.readouterr().err.replace("\n", " "))


def test_a_frame_that_is_gone_is_an_error_with_a_sentence(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(frontal, "read_frames", lambda *given: iter(()))
    argv = to_argv("encode", clip("eight.mp4", 8), "-o", tmp_path / "m.motion.safetensors", "-q")
    assert run([*argv, "--frontal", str(tmp_path / "frontal.png")]) == 3
    assert "can no longer be read" in capsys.readouterr().err.replace("\n", " ")


def test_an_engine_writes_the_face_that_it_embeds(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three frames of the clip are embedded together."""
    seen: list[int] = []
    original = X2FaceEngine.encode_sources

    def count(self: X2FaceEngine, images: Any, faces: Any) -> Any:
        seen.append(len(images))
        return original(self, images, faces)

    monkeypatch.setattr(X2FaceEngine, "encode_sources", count)
    monkeypatch.setattr(x2face, "load_tensors", lambda *names, **options: {})
    monkeypatch.setattr(x2face, "build_model", lambda *given: trained(X2Face(width_divisor=16)))
    out = tmp_path / "embedded.png"
    argv = to_argv("encode", clip("eight.mp4", 8), "-o", tmp_path / "m.motion.safetensors", "-q")
    assert run([*argv, "--engine", "x2face", "--frontal", str(out)]) == 0
    assert media.read_image(out).shape == (256, 256, 3) and seen == [3]
