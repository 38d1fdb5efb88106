"""NaN and infinity out of a network: the frame passes through and is counted."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.failures.conftest import FRAMES, Run, differing, read_images, write_noise
from tests.pipeline.failures.faulty import Faults, FaultyPainter
from thcli import media

LOSSLESS = "--codec ffv1"
BAD = 5


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """Return one second of noise."""
    return write_noise(tmp_path / "sound.wav", 1.0)


def test_an_engine_shows_the_source(
    thcli: Run, faults: Faults, portrait: Path, video: Path, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.mkv", tmp_path / "bad.mkv"
    words = ("reenact", portrait, video, "--engine faulty-network", LOSSLESS, "-o")
    assert thcli(*words, good).report["failed"] == 0
    faults.stage, faults.broken = "render", BAD
    ran = thcli(*words, bad)
    assert (ran.code, ran.report["frames"], ran.report["failed"]) == (0, FRAMES, 1)
    assert differing(good, bad) == [BAD]
    assert np.array_equal(read_images(bad)[BAD], media.read_image(portrait))


def test_motion_that_is_not_finite_is_a_frame_without_a_face(
    thcli: Run, faults: Faults, portrait: Path, video: Path, tmp_path: Path
) -> None:
    faults.stage, faults.broken = "observe", 1 + BAD  # the source's image comes first
    words = ("reenact", portrait, video, "--engine faulty-network", LOSSLESS, "-o")
    ran = thcli(*words, tmp_path / "out.mkv")
    assert (ran.code, ran.report["passed_through"], ran.report["failed"]) == (0, 1, 0)
    images = [image.astype(float) for image in read_images(tmp_path / "out.mkv")]
    steps = [np.abs(b - a).mean() for a, b in pairwise(images)]
    assert max(steps) < 3  # between its neighbours


def test_a_source_that_is_not_finite_ends_the_job(
    thcli: Run, faults: Faults, portrait: Path, video: Path, tmp_path: Path
) -> None:
    faults.stage, faults.broken = "observe", 0
    ran = thcli("reenact", portrait, video, "--engine faulty-network -o", tmp_path / "out.mp4")
    assert (ran.code, ran.report["error"]) == (6, "NotFiniteError")
    assert "not finite" in ran.report["message"] and "--precision fp32" in ran.report["hint"]


@pytest.mark.parametrize(
    ("stage", "words"), [("refine", ""), ("parse", "--background keep --parser faulty")]
)
def test_a_refiner_passes_the_frame_through(
    thcli: Run, faults: Faults, stage: str, words: str, video: Path, tmp_path: Path
) -> None:
    faults.stage, faults.broken = stage, BAD
    out = tmp_path / "out.mkv"
    ran = thcli(f"refine {video} --engine faulty", words, LOSSLESS, "-o", out)
    assert (ran.code, ran.report["frames"], ran.report["failed"]) == (0, FRAMES, 1)
    assert differing(video, out) == [i for i in range(FRAMES) if i != BAD]


def test_a_refiner_after_an_engine_keeps_the_rendered_frame(
    thcli: Run, faults: Faults, portrait: Path, video: Path, tmp_path: Path
) -> None:
    words = ("reenact", portrait, video, "--engine faulty-mesh", LOSSLESS)
    assert thcli(*words, "-o", tmp_path / "coarse.mkv").code == 0
    faults.stage, faults.broken = "refine", BAD
    ran = thcli(*words, "--refine faulty -o", tmp_path / "fine.mkv")
    assert (ran.code, ran.report["failed"]) == (0, 1)
    same = set(range(FRAMES)) - set(differing(tmp_path / "coarse.mkv", tmp_path / "fine.mkv"))
    assert same == {BAD}


@pytest.mark.parametrize(
    ("stage", "crop", "frame"), [("learn", 2, 4), ("paint", BAD, BAD), ("parse", 2, 4)]
)
def test_an_editor_passes_the_frame_through(
    thcli: Run, faults: Faults, stage: str, crop: int, frame: int, video: Path, tmp_path: Path
) -> None:
    """Every second frame is parsed and measured; the one after a broken one is not lost."""
    options = "--attr blush --engine faulty --parser faulty --threads 1"
    # One thread: the broken frame is told by the order of the crops.
    words = ("edit", video, options, LOSSLESS, "-o")
    good, bad = tmp_path / "good.mkv", tmp_path / "bad.mkv"
    assert thcli(*words, good).report["failed"] == 0
    mean = FaultyPainter.means[0]
    assert set(differing(video, good)) == set(range(FRAMES))
    faults.stage, faults.broken, faults.known = stage, crop, {}
    ran = thcli(*words, bad)
    assert (ran.code, ran.report["frames"], ran.report["failed"]) == (0, FRAMES, 1)
    assert differing(video, bad) == [i for i in range(FRAMES) if i != frame]
    assert np.isfinite(FaultyPainter.means).all()
    assert FaultyPainter.means[0] == pytest.approx(mean, abs=0.5)


def test_an_edit_without_any_number_ends_the_job(
    thcli: Run, faults: Faults, clip: Callable[..., Path], tmp_path: Path
) -> None:
    faults.stage, faults.broken = "learn", 0
    out = tmp_path / "out.mp4"
    ran = thcli("edit", clip("one.mp4", 1), "--attr blush --engine faulty -o", out)
    assert (ran.code, ran.report["error"], out.exists()) == (6, "NotFiniteError", False)
    assert ran.report["message"].startswith("faulty computed")


def test_parse_writes_the_frame_without_regions(
    thcli: Run, faults: Faults, video: Path, tmp_path: Path
) -> None:
    faults.stage, faults.broken = "parse", BAD
    words = ("parse", video, "--parser faulty --kind mask --regions skin", LOSSLESS, "-o")
    ran = thcli(*words, tmp_path / "mask.mkv")
    report = ran.report
    assert (ran.code, report["frames"], report["failed"], report["passed_through"]) == (
        0,
        FRAMES,
        1,
        0,
    )
    empty = [i for i, image in enumerate(read_images(tmp_path / "mask.mkv")) if not image.any()]
    assert empty == [BAD]


def test_paste_with_a_mask_leaves_the_frame(
    thcli: Run, faults: Faults, video: Path, tmp_path: Path
) -> None:
    crops, out = tmp_path / "crops.mkv", tmp_path / "out.mkv"
    assert thcli("crop", video, LOSSLESS, "-o", crops).code == 0
    dark = tmp_path / "dark.mkv"
    with media.read(crops) as frames, media.write(dark, frames.info.size, frames.info) as writer:
        for frame in frames:
            writer.write(frame.pixels // 2, frame.pts, frame.duration)
    faults.stage, faults.broken = "parse", BAD
    words = ("--crops", f"{tmp_path}/crops.crops.safetensors", "--no-colour-match --parser faulty")
    ran = thcli("paste", dark, video, *words, "--mask parse", LOSSLESS, "-o", out)
    assert (ran.code, ran.report.get("failed")) == (0, 1), ran
    assert BAD not in differing(video, out) and len(differing(video, out)) == FRAMES - 1


def test_a_fit_has_no_row_for_the_frame(
    thcli: Run, faults: Faults, video: Path, tmp_path: Path
) -> None:
    faults.stage, faults.broken = "fit", BAD + 1  # the first image is black, for the shapes
    ran = thcli("fit", video, "--model3d faulty -o", tmp_path / "fit.csv")
    assert (ran.code, ran.report["failed"], ran.report["passed_through"]) == (0, 1, 0)
    rows = (tmp_path / "fit.csv").read_text().splitlines()[1:]
    assert [i for i, row in enumerate(rows) if row.endswith(",")] == [BAD]


@pytest.mark.parametrize("name", ["faulty", "faulty-bar"])
def test_a_voice_ends_the_job(
    thcli: Run, faults: Faults, name: str, portrait: Path, sound: Path, tmp_path: Path
) -> None:
    faults.stage, faults.broken = "speak", 12
    out = tmp_path / "out.mp4"
    ran = thcli("speak", portrait, sound, "--voice", name, "-o", out)
    assert (ran.code, ran.report["error"], out.exists()) == (6, "NotFiniteError", False)
    assert f"The voice {name} " in ran.report["message"]
