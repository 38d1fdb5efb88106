"""Lip-synced videos: what changed outside of the lower face, and the mouth against its driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.evaluate.made_clips import MESH, find_face, make_clip, write_frames
from thcli import media
from thcli.cli.app import run
from thcli.core.errors import MediaError, NoFaceError, UsageError
from thcli.core.options import EncodeOptions, FindOptions
from thcli.core.types import Face, Image, Motion
from thcli.evaluate.benchmarks.voices import lip_synced
from thcli.evaluate.metrics.measure import Tracker
from thcli.motion import sliders
from thcli.motion.file.writer import MotionWriter

FRAMES = 12
JAW = 0.3 + 0.3 * np.sin(np.arange(FRAMES))


@pytest.fixture
def driver() -> Motion:
    pts = np.arange(FRAMES)
    return sliders.motion_from_sliders(sliders.SliderCurves(jaw=JAW), pts, Fraction(1, 25))


def trackers(driver: Motion) -> Callable[[], Tracker]:
    """Return a factory of a tracker of still lips, then of one that sees twice the driver's."""
    moved = iter(60 * 2 * np.asarray(driver.arrays["expression"]))

    def find_moved(image: Image) -> Face | None:
        face = find_face(image)
        assert face is not None and face.mesh is not None
        return replace(face, mesh=face.mesh + next(moved).astype(np.float32))

    made: Iterator[Tracker] = iter([find_face, find_moved])
    return lambda: next(made)


def paint(path: Path, box: tuple[slice, slice]) -> None:
    pixels = np.asarray(Pillow.open(path)).copy()
    pixels[box] = 255 - pixels[box]
    Pillow.fromarray(pixels).save(path)


def test_changes_and_the_mouth_are_measured(driver: Motion, tmp_path: Path) -> None:
    footage, result = (write_frames(tmp_path / name, FRAMES + 3) for name in ("a", "b"))
    x, y = (round(float(value)) for value in MESH[13, :2])
    paint(result / "0000.png", (slice(y - 4, y + 4), slice(x - 4, x + 4)))
    found = lip_synced.measure(footage, result, driver, trackers(driver))
    assert found.frames == FRAMES
    assert (found.outside, found.worst, found.equal) == (0, 0, 1)
    assert found.opening is not None and found.opening > 0.99
    assert found.jaw is not None and found.jaw > 0.99
    assert found.amplitude == pytest.approx(2, rel=0.2)


def test_a_change_outside_counts(driver: Motion, tmp_path: Path) -> None:
    footage, result = (write_frames(tmp_path / name, FRAMES) for name in ("a", "b"))
    paint(result / "0003.png", (slice(20, 30), slice(0, 256)))
    found = lip_synced.measure(footage, result, driver, trackers(driver))
    assert found.outside is not None and found.worst is not None and found.equal is not None
    assert 0 < found.outside == pytest.approx(found.worst / FRAMES) and 0.99 < found.equal < 1
    with pytest.raises(NoFaceError, match="no face"):
        lip_synced.measure(footage, result, driver, lambda: lambda image: None)


def test_frames_of_other_moments_are_refused(driver: Motion, tmp_path: Path) -> None:
    footage, fast = write_frames(tmp_path / "a", FRAMES), tmp_path / "fast.mkv"
    plan = media.WritePlan(time_base=Fraction(1, 30))
    with media.write(fast, (256, 256), plan=plan) as writer:
        for frame in make_clip(FRAMES, Fraction(1, 30)):
            writer.write(frame.pixels, frame.pts)
    with pytest.raises(MediaError, match="at other times than"):
        lip_synced.measure(footage, fast, driver, trackers(driver))


def test_a_result_that_ends_early_is_refused(driver: Motion, tmp_path: Path) -> None:
    footage = write_frames(tmp_path / "a", FRAMES)
    nearly, half = (write_frames(tmp_path / str(count), count) for count in (FRAMES - 2, 5))
    found = lip_synced.measure(footage, nearly, driver, trackers(driver))
    assert found.frames == FRAMES - 2
    with pytest.raises(MediaError, match="ends before"):
        lip_synced.measure(footage, half, driver, trackers(driver))


def test_what_frames_cannot_say_is_unknown(
    driver: Motion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that is silent, and a face that fills the picture."""
    still = {"expression": np.asarray(driver.arrays["expression"])[:1].repeat(FRAMES, 0)}
    monkeypatch.setattr(lip_synced, "_lower_face", lambda image, *_: np.ones(image.shape[:2], bool))
    footage = write_frames(tmp_path / "a", FRAMES)
    silent = replace(driver, arrays={**driver.arrays, **still})
    found = lip_synced.measure(footage, footage, silent, trackers(driver))
    assert found == lip_synced.LipSynced(FRAMES, *[None] * 6)


def test_the_driver_is_named_as_the_clip(driver: Motion, tmp_path: Path) -> None:
    with MotionWriter(tmp_path / "a.motion.safetensors") as writer:
        writer.append(driver)
    read = lip_synced.read_driver(tmp_path, Path("elsewhere/a.mp4"), EncodeOptions())
    wanted, got = (np.asarray(one.arrays["expression"], np.float64) for one in (driver, read))
    np.testing.assert_allclose(got, wanted, atol=1e-3)
    with pytest.raises(MediaError, match="no video named b"):
        lip_synced.read_driver(tmp_path, Path("b.mp4"), EncodeOptions())
    scores = lip_synced.LipSynced(9, 0.5, 1.0, 0.98, 0.951, None, 0.9)
    heads, lines = lip_synced.table(lip_synced.report({"a.mp4": scores}))
    assert lines == [["a.mp4", "9", "0.5", "1.0", "0.98", "0.951", "-", "0.9"]]
    assert len(heads) == len(lines[0])


def test_the_motion_of_a_driving_video_is_not_kept(
    driver: Motion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its face is found by the options of the command."""
    given = EncodeOptions(faces=FindOptions("mediapipe").choosing())
    (tmp_path / "a.mp4").write_bytes(b"")

    def write(video: Path, path: Path, options: EncodeOptions) -> None:
        assert video == tmp_path / "a.mp4" and options == given
        with MotionWriter(path) as writer:
            writer.append(driver)

    monkeypatch.setattr(lip_synced, "encode", write)
    read = lip_synced.read_driver(tmp_path, Path("a.mp4"), given)
    assert len(read.pts) == FRAMES
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--drivers needs --result"),
        (["--result", ".", "--motions", "x"], "--motions has no"),
        (["--result", ".", "--voice", "a2m"], "--voice has no effect with --result"),
        (["--result", ".", "--identity", "x"], "--identity has no effect"),
    ],
)
def test_drivers_belong_to_results(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    command = ["eval", "speak", str(tmp_path), "--drivers", str(tmp_path), *flags]
    assert run(command) == UsageError.exit_code
    assert message in capsys.readouterr().err
