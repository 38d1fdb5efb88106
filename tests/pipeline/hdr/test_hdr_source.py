"""HDR videos that verbs change: seen tone-mapped, written in their own signal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.command_line import to_argv
from tests.pipeline.refining.results import install_fakes
from thcli import media
from thcli.cli.app import run
from thcli.core.options import OutputOptions, ReadOptions
from thcli.core.types import Face, Frame
from thcli.editors.backends import PAINTERS
from thcli.media.info import Colour
from thcli.media.tone_restoring import ToneRestorer
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.voices.backends import VOICES
from thcli.weights.backend import Backend

pytestmark = pytest.mark.usefixtures("regions_once")
Clip = Callable[..., Path]
FRAMES = 4
COLOURS = {"pq": Colour(9, 1, 9, 16), "hlg": Colour(9, 1, 9, 18)}


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register a fake painter, refiner and voice."""
    install_fakes(monkeypatch)
    made = "tests.pipeline.editing.fakes"
    monkeypatch.setitem(PAINTERS.rows, "blusher", Backend(f"{made}:load_painter", "a fake"))
    reads = VOICES.rows["a2m"].reads
    voice = Backend("tests.pipeline.fake_voices:jaw", "jaw", reads=reads)
    monkeypatch.setitem(VOICES.rows, "jaw", voice)


def write_hdr(path: Path, clip: Path, colour: Colour) -> Path:
    """Write a clip as PQ or HLG, lossless, with values between those of 8 bits."""
    restorer, random = ToneRestorer(colour), np.random.default_rng(0)
    with media.read(clip) as frames:
        like = replace(frames.info, colour=colour, bit_depth=10)
        with media.write(path, like.size, like, OutputOptions(codec="ffv1")) as out:
            for frame in frames:
                codes = restorer.signal(np.asarray(frame.pixels, np.uint8)) * 65535
                codes += random.integers(0, 60, codes.shape)
                out.write(codes.clip(0, 65535).astype(np.uint16), frame.pts, frame.duration)
    return path


def read_frames(path: Path, hdr: str = "keep") -> list[Frame]:
    with media.read(path, ReadOptions(hdr=hdr)) as frames:  # type: ignore[arg-type]  # a string
        return list(frames)


@pytest.mark.parametrize("kind", COLOURS)
@pytest.mark.parametrize(
    "words",
    [
        "edit VIDEO --engine blusher --attr blush",
        "refine VIDEO",
        "refine VIDEO --driving DRIVER",
        "speak VIDEO TONE --voice jaw --loop pingpong",
        "reenact VIDEO DRIVER",
    ],
    ids=["edit", "refine", "corrected", "speak", "reenact"],
)
def test_a_change_has_the_light_of_the_tone_mapped_one(
    words: str, kind: str, clip: Clip, tmp_path: Path
) -> None:
    """Pixels without it keep their codes, and the file its tags."""
    video = write_hdr(tmp_path / "video.mkv", clip("plain.mp4", FRAMES), COLOURS[kind])
    names = {
        "VIDEO": video,
        "DRIVER": clip("driver.mp4", FRAMES),
        "TONE": clip("sound.mp4", 2 * FRAMES, tone=True),
    }
    argv = to_argv(*(names.get(word, word) for word in words.split()), "-q --codec ffv1")
    out, mapped_out = tmp_path / "out.mkv", tmp_path / "mapped.mkv"
    assert run([*argv, "-o", str(out)]) == 0
    assert run([*argv, "-o", str(mapped_out), "--hdr", "tonemap"]) == 0
    info = media.probe(out)
    assert info.colour == media.probe(video).colour and info.bit_depth >= 10
    own, own_mapped = read_frames(video), read_frames(video, "tonemap")
    made, made_mapped, wanted = (
        read_frames(out),
        read_frames(out, "tonemap"),
        read_frames(mapped_out),
    )
    assert len(made) == len(wanted) >= FRAMES
    changes = 0
    for index, frame in enumerate(made):
        place = index if index < FRAMES else 2 * (FRAMES - 1) - index  # pingpong
        if not 0 <= place < FRAMES:
            break
        same = (wanted[index].pixels == own_mapped[place].pixels).all(-1)
        apart = np.abs(frame.pixels.astype(int) - own[place].pixels).max(-1)
        assert not apart[same].any()
        error = np.abs(made_mapped[index].pixels.astype(int) - wanted[index].pixels).max(-1)
        assert np.percentile(error, 99.5) <= 2
        changes += int((~same).sum())
    assert changes > 500


def test_crops_keep_the_signal(clip: Clip, tmp_path: Path) -> None:
    video = write_hdr(tmp_path / "video.mkv", clip("plain.mp4", 6), COLOURS["pq"])
    out = tmp_path / "crop.mkv"
    assert run(to_argv("crop", video, "-o", out, "-q --codec ffv1 --size 128")) == 0
    assert media.probe(out).colour == media.probe(video).colour
    own, made = read_frames(video)[0].pixels, read_frames(out)[0].pixels
    assert made.dtype == np.uint16 and abs(np.median(made) / np.median(own) - 1) < 0.3


def test_an_overlay_is_ordinary_video(clip: Clip, tmp_path: Path) -> None:
    video = write_hdr(tmp_path / "video.mkv", clip("plain.mp4", 2), COLOURS["pq"])
    out = tmp_path / "overlay.mkv"
    argv = to_argv("parse", video, "-o", out, "-q --codec ffv1 --kind overlay")
    assert run([*argv, "--opacity", "0"]) == 0
    assert not media.probe(out).colour.is_hdr
    plain = read_frames(video, "tonemap")[0].pixels.astype(int)
    assert np.abs(read_frames(out)[0].pixels - plain).mean() < 2


@pytest.mark.parametrize("kind", COLOURS)
def test_aligned_faces_are_those_of_tone_mapped_frames(
    kind: str, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were found in the codes, whose faces are flat and grey."""
    video = write_hdr(tmp_path / "video.mkv", clip("plain.mp4", 3), COLOURS[kind])
    seen: list[np.ndarray[Any, Any]] = []
    find = FaceFinder.find

    def observe(self: FaceFinder, image: np.ndarray[Any, Any], **given: Any) -> list[Face]:
        seen.append(image)
        return find(self, image, **given)

    monkeypatch.setattr(FaceFinder, "find", observe)
    out = tmp_path / "aligned.mkv"
    assert run(to_argv("align", video, "-o", out, "-q --codec ffv1 --size 128")) == 0
    mapped = read_frames(video, "tonemap")
    assert all(np.array_equal(a, b.pixels) for a, b in zip(seen, mapped, strict=True))
    assert media.probe(out).colour == media.probe(video).colour
    own, made = read_frames(video)[0].pixels, read_frames(out)[0].pixels
    assert made.dtype == np.uint16 and abs(np.median(made) / np.median(own) - 1) < 0.3
