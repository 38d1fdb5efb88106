"""Engines that see a crop: cut, observed, put back; with a small fake of the protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thcli import media
from thcli.cli.app import run
from thcli.core.options import (
    MotionOptions,
    OutputOptions,
    ReenactOptions,
    RunOptions,
    SpeakOptions,
    Template,
)
from thcli.core.protocols import CropEngine, MotionStore
from thcli.core.types import Face, Frame, Image, Motion
from thcli.engines.backends import ENGINES
from thcli.motion.file import MotionFile
from thcli.pipeline.reenact import reenact
from thcli.pipeline.speak import speak
from thcli.weights.backend import Backend

Clip = Callable[..., Path]
SIDE = 96
LOSSLESS = ReenactOptions(engine="tint", output=OutputOptions(codec="ffv1"))


@dataclass(frozen=True)
class TintSource:
    picture: Image

    @property
    def size(self) -> tuple[int, int]:
        return SIDE, SIDE


class Tint:
    """Renders its source, less red from frame to frame; keeps what it was shown."""

    motion_kind = "tint"
    crop_size = SIDE
    template: Template = "square"
    uses_driving_frames = False
    parallel = False
    mask = None
    seen: list[tuple[Image, Face | None]] = []

    def encode_source(self, picture: Image, face: Face) -> TintSource:
        assert picture.shape == (SIDE, SIDE, 3)
        assert (
            face.mesh is not None and 20 < face.mesh[:, 0].mean() < 76
        )  # the face lies in the middle of its crop
        return TintSource(picture)

    def observe(self, frames: Sequence[Frame], faces: Sequence[Face | None]) -> Motion:
        Tint.seen += [
            (np.asarray(f.pixels, np.uint8), face) for f, face in zip(frames, faces, strict=True)
        ]
        pts = np.array([f.pts for f in frames], np.int64)
        red = np.linspace(0, 1, len(frames), dtype=np.float32)
        return Motion(
            "tint", pts, frames[0].time_base, np.array([f is not None for f in faces]), {"red": red}
        )

    def retarget(
        self, source: TintSource, motion: MotionStore, options: MotionOptions
    ) -> MotionStore:
        return motion

    def render(
        self, source: TintSource, motion: Motion, frames: Sequence[Frame] | None
    ) -> list[Image]:
        assert frames is None
        shade = np.array([-100, 0, 0])
        return [
            np.clip(source.picture + float(r) * shade, 0, 255).astype(np.uint8)
            for r in np.asarray(motion.arrays["red"], np.float64)
        ]


def load(run: RunOptions, options: ReenactOptions | None = None) -> Tint:
    Tint.seen = []
    return Tint()


@pytest.fixture(autouse=True)
def tint(monkeypatch: Any) -> None:
    monkeypatch.setitem(ENGINES.rows, "tint", Backend(f"{__name__}:load", "a fake"))


def pictures(path: Path) -> list[Any]:
    with media.read(path) as frames:
        return [frame.pixels for frame in frames]


def test_the_fake_is_a_crop_engine() -> None:
    assert isinstance(Tint(), CropEngine)


def test_only_the_crop_changes(portrait: Path, clip: Clip, tmp_path: Path) -> None:
    report = reenact(portrait, clip("plain.mp4", 24), tmp_path / "out.mkv", LOSSLESS)
    assert (report.frames, report.engine) == (24, "tint")
    made, still = pictures(tmp_path / "out.mkv"), media.read_image(portrait)
    paler = still[..., 0].astype(int) - made[-1][..., 0]
    assert paler[100:130, 110:140].mean() > 50
    assert np.array_equal(made[-1][:, :3], still[:, :3]) and np.array_equal(
        made[-1][:, -3:], still[:, -3:]
    )
    assert np.abs(made[0].astype(int) - still).mean() < 3


def test_the_drivers_crop_keeps_its_place(portrait: Path, clip: Clip, tmp_path: Path) -> None:
    reenact(portrait, clip("leaves.mp4", 60, without=range(20, 40)), tmp_path / "out.mkv", LOSSLESS)
    shown = Tint.seen
    assert len(shown) == 60 and all(p.shape == (SIDE, SIDE, 3) for p, _ in shown)
    assert [i for i, (_, face) in enumerate(shown) if face is None] == list(range(20, 40))
    middles = np.array(
        [face.mesh.mean(0)[:2] for _, face in shown if face is not None and face.mesh is not None]
    )
    assert np.abs(middles - SIDE / 2).max() < SIDE / 4
    assert np.ptp(middles, 0).max() > 1  # the head moves in it


def test_framing_crop_is_what_the_engine_makes(portrait: Path, clip: Clip, tmp_path: Path) -> None:
    reenact(
        portrait, clip("plain.mp4", 24), tmp_path / "out.mkv", replace(LOSSLESS, framing="crop")
    )
    assert pictures(tmp_path / "out.mkv")[0].shape == (SIDE, SIDE, 3)


def test_encode_then_warp(portrait: Path, clip: Clip, tmp_path: Path, capsys: Any) -> None:
    motion, out = tmp_path / "a.motion.safetensors", tmp_path / "out.mkv"
    assert run(["encode", str(clip("plain.mp4", 24)), "--engine", "tint", "-o", str(motion)]) == 0
    assert (MotionFile(motion).kind, len(MotionFile(motion))) == ("tint", 24)
    assert run(["warp", str(portrait), str(motion), "-o", str(out), "--engine", "tint"]) == 0
    assert len(pictures(out)) == 24
    capsys.readouterr()
    assert run(["warp", str(portrait), str(motion), "-o", str(tmp_path / "b.mkv")]) == 3
    assert "is of kind 'tint'" in capsys.readouterr().err


def test_an_engine_of_another_motion_follows_a_speaking_picture(
    portrait: Path, clip: Clip, tmp_path: Path
) -> None:
    """What it is shown is the same face, saying the words; the sound and its length go along."""
    out = tmp_path / "out.mkv"
    options = SpeakOptions(engine="tint", voice="a2m-free", output=LOSSLESS.output)
    report = speak(portrait, clip("spoken.mp4", 30, tone=True), out, options)
    assert (report.command, report.engine, report.details["by"]) == ("speak", "tint", "mesh")
    assert len(Tint.seen) == report.frames == len(pictures(out)) and abs(report.frames - 30) <= 2
    assert all(face is not None for _, face in Tint.seen) and len(media.probe(out).audio) == 1
    paler = media.read_image(portrait)[..., 0].astype(int) - pictures(out)[-1][..., 0]
    assert paler[100:130, 110:140].mean() > 50
