"""Crop engines in full frames, with a fake of the protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thcli import media
from thcli.cli.app import run
from thcli.core.errors import UsageError
from thcli.core.options import (
    MeshOptions,
    MotionOptions,
    OutputOptions,
    ReadOptions,
    ReenactOptions,
    RunOptions,
    SpeakOptions,
    Template,
)
from thcli.core.protocols import CropEngine, MotionStore
from thcli.core.types import Face, Frame, Image, Motion
from thcli.engines.backends import ENGINES
from thcli.media.info import Colour
from thcli.motion.file.reader import MotionFile
from thcli.motion.retarget import retarget
from thcli.pipeline.reenact import reenact
from thcli.pipeline.speak import speak
from thcli.weights.backend import Backend

pytestmark = pytest.mark.usefixtures("regions_once")
Clip = Callable[..., Path]
SIDE = 96
LOSSLESS = ReenactOptions(engine="tint", output=OutputOptions(codec="ffv1"))


@dataclass(frozen=True)
class TintSource:
    """A crop of the source."""

    image: Image

    @property
    def size(self) -> tuple[int, int]:
        return SIDE, SIDE


class TintEngine:
    """A crop engine that reduces the red of its source from frame to frame.

    seen: driving crops and faces of the last job.
    """

    motion_kind = "tint"
    crop_size = SIDE
    template: Template = "square"
    parallel = False
    mask = None
    seen: list[tuple[Image, Face | None]] = []

    def encode_source(self, image: Image, face: Face) -> TintSource:
        assert image.shape == (SIDE, SIDE, 3)
        assert face.mesh is not None and 20 < face.mesh[:, 0].mean() < 76  # centred
        return TintSource(image)

    def observe(self, frames: Sequence[Frame], faces: Sequence[Face | None]) -> Motion:
        TintEngine.seen += [
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

    def reads_driver(self, source: Any, motion: MotionStore) -> bool:
        return False

    def render(
        self, source: TintSource, motion: Motion, frames: Sequence[Frame] | None
    ) -> list[Image]:
        assert frames is None
        shade = np.array([-100, 0, 0])
        return [
            np.clip(source.image + float(r) * shade, 0, 255).astype(np.uint8)
            for r in np.asarray(motion.arrays["red"], np.float64)
        ]


def load(run: RunOptions, options: ReenactOptions | None = None) -> TintEngine:
    TintEngine.seen = []
    return TintEngine()


@pytest.fixture(autouse=True)
def tint(monkeypatch: Any) -> None:
    monkeypatch.setitem(
        ENGINES.rows, "tint", Backend(f"{__name__}:load", "a fake", reads=("motion",))
    )


def read_images(path: Path) -> list[Any]:
    with media.read(path) as frames:
        return [frame.pixels for frame in frames]


def test_the_fake_is_a_crop_engine() -> None:
    assert isinstance(TintEngine(), CropEngine)


def test_only_pixels_of_the_crop_change(portrait: Path, clip: Clip, tmp_path: Path) -> None:
    report = reenact(portrait, clip("plain.mp4", 24), tmp_path / "out.mkv", LOSSLESS)
    assert (report.frames, report.engine) == (24, "tint")
    made, still = read_images(tmp_path / "out.mkv"), media.read_image(portrait)
    loss_of_red = still[..., 0].astype(int) - made[-1][..., 0]
    assert loss_of_red[100:130, 110:140].mean() > 50
    assert np.array_equal(made[-1][:, :3], still[:, :3]) and np.array_equal(
        made[-1][:, -3:], still[:, -3:]
    )
    assert np.abs(made[0].astype(int) - still).mean() < 3


def test_the_driving_crop_does_not_move(portrait: Path, clip: Clip, tmp_path: Path) -> None:
    reenact(portrait, clip("leaves.mp4", 60, without=range(20, 40)), tmp_path / "out.mkv", LOSSLESS)
    seen = TintEngine.seen
    assert len(seen) == 60 and all(p.shape == (SIDE, SIDE, 3) for p, _ in seen)
    assert [i for i, (_, face) in enumerate(seen) if face is None] == list(range(20, 40))
    centres = np.array(
        [face.mesh.mean(0)[:2] for _, face in seen if face is not None and face.mesh is not None]
    )
    assert np.abs(centres - SIDE / 2).max() < SIDE / 4
    assert np.ptp(centres, 0).max() > 1  # the head moves in the crop


def test_framing_crop_outputs_the_crops_of_the_engine(
    portrait: Path, clip: Clip, tmp_path: Path
) -> None:
    reenact(
        portrait, clip("plain.mp4", 24), tmp_path / "out.mkv", replace(LOSSLESS, framing="crop")
    )
    assert read_images(tmp_path / "out.mkv")[0].shape == (SIDE, SIDE, 3)


def test_a_crop_has_the_size_of_its_engine(portrait: Path, clip: Clip, tmp_path: Path) -> None:
    options = replace(LOSSLESS, framing="crop", mesh=MeshOptions(long_side=100))
    with pytest.raises(UsageError, match="--long-side has no effect with --framing crop"):
        reenact(portrait, clip("plain.mp4", 24), tmp_path / "out.mkv", options)


def test_a_picture_that_is_its_own_rest_is_warned_of(
    portrait: Path, tmp_path: Path, capsys: Any
) -> None:
    argv = ["reenact", str(portrait), str(portrait), "-o", str(tmp_path / "out.png"), "--json"]
    for mode, count in (("relative", 1), ("absolute", 0)):
        assert run([*argv, "--engine", "tint", "--motion", mode, "--overwrite"]) == 0
        assert len(json.loads(capsys.readouterr().out)["warnings"]) == count


def test_encode_then_warp(portrait: Path, clip: Clip, tmp_path: Path, capsys: Any) -> None:
    motion, out = tmp_path / "a.motion.safetensors", tmp_path / "out.mkv"
    assert run(["encode", str(clip("plain.mp4", 24)), "--engine", "tint", "-o", str(motion)]) == 0
    assert (MotionFile(motion).kind, len(MotionFile(motion))) == ("tint", 24)
    assert run(["warp", str(portrait), str(motion), "-o", str(out), "--engine", "tint"]) == 0
    assert len(read_images(out)) == 24
    capsys.readouterr()
    assert run(["warp", str(portrait), str(motion), "-o", str(tmp_path / "b.mkv")]) == 3
    assert "is of kind 'tint'" in capsys.readouterr().err


def test_an_engine_with_another_motion_observes_a_rendered_driver(
    portrait: Path, clip: Clip, tmp_path: Path
) -> None:
    """The mesh engine renders the speaking face; audio and length are kept."""
    out = tmp_path / "out.mkv"
    options = SpeakOptions(engine="tint", voice="a2m-free", output=LOSSLESS.output)
    report = speak(portrait, clip("spoken.mp4", 30, tone=True), out, options)
    assert (report.command, report.engine, report.details["by"]) == ("speak", "tint", "mesh")
    assert (
        len(TintEngine.seen) == report.frames == len(read_images(out))
        and abs(report.frames - 30) <= 2
    )
    assert all(face is not None for _, face in TintEngine.seen) and len(media.probe(out).audio) == 1
    loss_of_red = media.read_image(portrait)[..., 0].astype(int) - read_images(out)[-1][..., 0]
    assert loss_of_red[100:130, 110:140].mean() > 50


def test_gains_of_speak_are_applied_once(
    portrait: Path, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mesh engine renders the driver as the voice moves, the other engine applies the gains."""
    gains: list[float] = []

    def recorded(
        source: Face, store: MotionStore, options: MotionOptions, *room: Any, **flags: Any
    ) -> MotionStore:
        gains.append(options.strength)
        return retarget(source, store, options, *room, **flags)

    monkeypatch.setattr("thcli.engines.mesh.engine.retarget", recorded)
    options = SpeakOptions(
        engine="tint", voice="a2m-free", motion=MotionOptions(strength=0.5), output=LOSSLESS.output
    )
    speak(portrait, clip("short.mp4", 10, tone=True), tmp_path / "out.mkv", options)
    assert gains == [1.0]


def test_the_driver_of_one_frame_of_a_video_is_read_as_ordinary_video(
    clip: Clip, tmp_path: Path
) -> None:
    """This engine animates a source video's frame as a picture, which is converted too."""
    plain, drive = clip("plain.mp4", 4), tmp_path / "drive.mp4"
    with media.read(plain) as frames:
        like = replace(frames.info, colour=Colour(9, 1, 9, 14), bit_depth=10, codec="hevc")
        with media.write(drive, like.size, like) as writer:
            for frame in frames:
                writer.write(frame.pixels, frame.pts)
    shown = []
    for hdr in ("keep", "tonemap"):
        read = ReadOptions(hdr=hdr)
        reenact(plain, drive, tmp_path / f"{hdr}.mkv", replace(LOSSLESS, read=read))
        shown.append([crop for crop, _ in TintEngine.seen])
    assert len(shown[0]) == len(shown[1]) == 4
    assert all(np.array_equal(*crops) for crops in zip(*shown, strict=True))
