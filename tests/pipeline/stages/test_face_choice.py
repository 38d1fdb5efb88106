"""--face speaking and --face IMAGE through commands, in a clip of two faces."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.pipeline.stages.made_videos import SIDE, Thcli, read_images, save
from thcli import media
from thcli.core.options import RunOptions
from thcli.evaluate.datasets.sample_clip import astronaut_clip
from thcli.faces.parsing import class_number
from thcli.media.info import MediaInfo
from thcli.motion.file.reader import MotionFile
from thcli.pipeline.backends import STAGES
from thcli.pipeline.observe.track_log import TrackLog
from thcli.weights.backend import Backend

GREEN = np.array([130, 255, 130])


@pytest.fixture(scope="module")
def talk(room: Path, clip: Path, pair: Path) -> Path:
    """Encode two faces with sound."""
    with media.read(pair) as frames:
        numbered = [replace(frame, pts=frame.index) for frame in frames]
    return save(room / "talk.mp4", numbered, clip)


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Let the right face speak; return the videos whose mouths were compared with their sound."""
    asked: list[Path] = []

    def score(
        tracks: Iterable[int], log: TrackLog, info: MediaInfo, run: RunOptions
    ) -> dict[int, float]:
        asked.append(info.path)
        first = {track: next(log.faces(track, 1)) for track in tracks}
        return {t: 0.4 if face and face.box[0] > SIDE else 0.0 for t, face in first.items()}

    monkeypatch.setattr("thcli.pipeline.observe.tracking.score_speech", score)
    return asked


def test_the_motion_of_the_face_that_speaks(
    thcli: Thcli, talk: Path, compared: list[Path], tmp_path: Path
) -> None:
    meshes = {}
    for face in ("speaking", "0", "1"):
        path = tmp_path / f"{face}.motion.safetensors"
        ran = thcli("encode", talk, "-o", path, "--face", face, "--json")
        assert ran.code == 0, ran.err
        assert ("speakers" in ran.report["stages"]) == (face == "speaking")
        motion = MotionFile(path)
        meshes[face] = motion.window(0, len(motion)).arrays["pose"]
    np.testing.assert_array_equal(meshes["speaking"], meshes["1"])
    assert not np.array_equal(meshes["0"], meshes["1"]) and compared == [talk]


def test_a_driver_with_several_faces_is_reported(thcli: Thcli, pair: Path, tmp_path: Path) -> None:
    """A comparison shows a picture beside its moving copy: nothing moves if it is followed."""
    for name, words in (("a", ()), ("b", ("--face", "1"))):
        path = tmp_path / f"{name}.motion.safetensors"
        ran = thcli("encode", pair, "-o", path, "--json", *words)
        assert ran.code == 0, ran.err
        told = [text for text in ran.report["warnings"] if "Choose with --face (0: " in text]
        assert len(told) == (not words)


def test_the_face_that_speaks_is_corrected_and_refined(
    thcli: Thcli, talk: Path, compared: list[Path], tmp_path: Path
) -> None:
    driver = save(tmp_path / "driver.mp4", astronaut_clip(6, SIDE))
    out = tmp_path / "out.mkv"
    words = ("--face", "speaking", "--engine", "detail", "--codec", "ffv1", "--json")
    ran = thcli("refine", talk, "--driving", driver, "-o", out, *words)
    assert ran.code == 0, ran.err
    pairs = zip(read_images(out), read_images(talk), strict=True)
    changes = np.array([np.abs(made.astype(int) - old) for made, old in pairs])
    left, right = changes[:, :, :SIDE].mean(), changes[:, :, SIDE:].mean()
    assert right > 10 * left, (left, right)
    assert len(compared) == 1  # corrected lips are not compared with the sound again


def test_the_regions_of_the_face_in_a_picture(
    thcli: Thcli, pair: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Backend("tests.pipeline.fake_refiners:ColourIdentity", "a stand-in")
    monkeypatch.setitem(STAGES["identity"].rows, "colours", row)
    with media.read(pair) as frames:
        images = [replace(frame, pts=frame.index) for frame in frames][:2]
    for frame in images:
        frame.pixels[:, SIDE:] = frame.pixels[:, SIDE:] * GREEN // 255
    clip = save(tmp_path / "colours.mp4", images)
    (picture,) = read_images(photo)
    for name, pixels, side in (("plain", picture, 0), ("green", picture * GREEN // 255, 1)):
        who, out = tmp_path / f"{name}.png", tmp_path / name
        with media.write(who, (SIDE, SIDE)) as written:
            written.write(pixels.astype(np.uint8), 0)
        words = ("--identity", "colours", "--parser", "mesh-parse", "--end", 0.04)
        ran = thcli("parse", clip, "-o", f"{out}/", "--face", who, *words)
        assert ran.code == 0, ran.err
        labels = np.asarray(Pillow.open(out / "000000.png"))
        skin = [(part == class_number("skin")).sum() > 2000 for part in np.hsplit(labels, 2)]
        assert skin == [side == 0, side == 1]
