"""Several faces in one picture, each with a driver of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.command_line import to_argv
from thcli import media
from thcli.cli.app import run
from thcli.core.errors import UsageError
from thcli.core.options import (
    MeshOptions,
    OutputOptions,
    ReadOptions,
    ReenactOptions,
    RunOptions,
)
from thcli.core.options.jobs import Framing
from thcli.core.types import Face, Frame, Image
from thcli.engines.mesh.engine import MeshEngine, load
from thcli.evaluate.datasets.sample_clip import photograph
from thcli.evaluate.reports.contact_sheet import save_image
from thcli.motion.file.buffer import MotionBuffer
from thcli.motion.sliders import SliderCurves, motion_from_sliders
from thcli.pipeline.job.fingerprint import describe
from thcli.pipeline.reenact import reenact
from thcli.pipeline.render.drivers import frames_at, nearest_rows
from thcli.pipeline.render.face_shares import draw, face_shares

pytestmark = pytest.mark.usefixtures("regions_once")
Clip = Callable[..., Path]
SMALL = MeshOptions(long_side=300)
LOSSLESS = ReenactOptions(output=OutputOptions(codec="ffv1"), read=ReadOptions(end=0.3))
CENTRES = ((slice(100, 150), slice(95, 145)), (slice(100, 150), slice(351, 401)))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a picture of the same head twice, side by side."""
    one, path = photograph()[10:266, 95:351], tmp_path_factory.mktemp("pair") / "pair.png"
    save_image(path, np.concatenate([one, one], 1))
    return path


def moved(path: Path, source: Path) -> list[float]:
    """Return how far both faces of a clip's last frame differ from the picture."""
    with media.read(path) as frames:
        last = [frame.pixels for frame in frames][-1].astype(int)
    change = np.abs(last - media.read_image(source)).mean(-1)
    return [float(change[place].mean()) for place in CENTRES]


def test_a_face_without_a_driver_stays_still(pair: Path, clip: Clip, tmp_path: Path) -> None:
    drive = clip("plain.mp4", 24)
    for number in (0, 1):
        out = tmp_path / f"{number}.mkv"
        reenact(pair, None, out, replace(LOSSLESS, driver=[f"{number}={drive}"]))
        found = moved(out, pair)
        assert found[number] > 2 and found[1 - number] < 0.2


@pytest.mark.parametrize("chosen", ["0", "1", "largest", "all"])
@pytest.mark.parametrize("framing", ["full", "crop"])
def test_an_engine_is_told_of_the_faces_beside(
    pair: Path,
    clip: Clip,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    chosen: str,
    framing: Framing,
) -> None:
    """In pixels of the picture as it is rendered, whatever is cropped or made smaller."""
    told: list[tuple[Image, Face, list[Face]]] = []
    encode, encode_group = MeshEngine.encode_among, MeshEngine.encode_group

    def encode_among(
        engine: MeshEngine, image: Image, face: Face, neighbours: list[Face], *more: Any
    ) -> Any:
        told.append((image, face, neighbours))
        return encode(engine, image, face, neighbours, *more)

    def encode_all(
        engine: MeshEngine, image: Image, found: Sequence[Face], driven: Sequence[bool]
    ) -> Any:
        assert list(driven) == [True, True]
        told.extend((image, found[n], [found[1 - n]]) for n in (0, 1))
        return encode_group(engine, image, found, driven)

    monkeypatch.setattr(MeshEngine, "encode_among", encode_among)
    monkeypatch.setattr(MeshEngine, "encode_group", encode_all)
    options = replace(LOSSLESS, source_face=chosen, framing=framing, mesh=SMALL)
    reenact(pair, clip("plain.mp4", 24), tmp_path / "out.mkv", options)
    assert len(told) == (2 if chosen == "all" else 1)
    for image, own, (other,) in told:
        assert own.mesh is not None and other.mesh is not None
        apart = np.abs(own.mesh - other.mesh)[:, :2].mean(0)
        face_height = np.ptp(own.mesh[:, 1])
        assert apart[0] == pytest.approx(2.1 * face_height, rel=0.15) and apart[1] < 3
        assert max(image.shape[:2]) <= 300


def test_a_missing_driver_is_named_before_any_work(pair: Path, clip: Clip, capsys: Any) -> None:
    argv = to_argv("reenact", pair, clip("plain.mp4", 24), "--driver 1=none.mp4")
    assert run(argv) == 3
    assert capsys.readouterr().err == "thcli: none.mp4 does not exist. Check the path.\n"


def test_each_face_follows_its_own_driver(pair: Path, clip: Clip, tmp_path: Path) -> None:
    drive = clip("plain.mp4", 24)
    still = tmp_path / "still.png"
    with media.read(drive) as frames:
        save_image(still, np.asarray(next(iter(frames)).pixels, np.uint8))
    out = tmp_path / "out.mkv"
    report = reenact(pair, drive, out, replace(LOSSLESS, driver=[f"0={still}"]))
    own, other = moved(out, pair)
    assert report.frames == 8 and other > 2 > own


def test_nearest_frames_of_a_driver_at_another_rate() -> None:
    def motion(times: Sequence[int], unit: Fraction) -> MotionBuffer:
        return MotionBuffer(motion_from_sliders(SliderCurves(), times, unit))

    fast, slow = motion(range(7, 19), Fraction(1, 50)), motion(range(8), Fraction(1, 25))
    assert nearest_rows(fast, slow).tolist() == [0, 2, 4, 6, 8, 10, 11, 11]
    assert nearest_rows(slow, fast)[:6].tolist() == [0, 1, 1, 2, 2, 3]
    pixels, rows = np.zeros((2, 2, 3), np.uint8), np.array([0, 0, 2, 2, 3])
    frames = (Frame(pixels, number, Fraction(1, 25), number) for number in range(6))
    assert [frame.index for frame in frames_at(frames, rows)] == [0, 0, 2, 2, 3]


def face(x: float, width: float = 40) -> Face:
    return Face(np.array([x - width / 2, 30, x + width / 2, 70], np.float32), 1.0)


def test_shares_are_soft_and_add_up() -> None:
    faces, size = [face(40), face(150)], (200, 100)
    first, second = face_shares(faces, [True, True], size)
    assert first.shape == (100, 200)
    assert second[50, 150] == pytest.approx(1) and second[50, 40] == pytest.approx(0)
    assert 0.4 < second[50, 95] < 0.6 and np.abs(np.diff(second[50])).max() < 0.2
    black, white = np.zeros((100, 200, 3), np.uint8), np.full((100, 200, 3), 200, np.uint8)
    both = draw(draw(black, white, first), white, second)
    assert both.min() > 190  # two renderings that agree show as they are
    assert np.all(face_shares([face(40)], [True], size)[0] == 1)


def test_a_still_face_keeps_its_share_of_the_picture() -> None:
    (only,) = face_shares([face(40), face(150)], [True, False], (200, 100))
    assert only[50, 40] == pytest.approx(1) and only[50, 150] == pytest.approx(0)


def test_the_file_of_a_driver_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    found: list[Any] = []
    for text in ("one", "two"):
        file.write_text(text, "utf-8")
        found.append(describe(ReenactOptions(driver=[f"0={file}"])))
    assert found[0] != found[1]


@pytest.mark.parametrize("text", ["clip.mp4", "=clip.mp4", "one=clip.mp4", "0="])
def test_a_driver_names_a_face_and_a_file(text: str) -> None:
    with pytest.raises(UsageError, match="--driver must be N=FILE"):
        ReenactOptions(driver=[text])
    with pytest.raises(UsageError, match="once for each face"):
        ReenactOptions(driver=["1=a", "1=b"])


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("--driver 5=CLIP", 4, "There is no face number 5"),
        ("--driver 0=CLIP --source-face 1", 2, "--source-face 1 excludes --driver"),
        ("--driver 0=CLIP.absent", 3, "absent"),
    ],
)
def test_a_driver_that_cannot_be_used(
    pair: Path, clip: Clip, tmp_path: Path, capsys: Any, words: str, code: int, message: str
) -> None:
    text = words.replace("CLIP", str(clip("plain.mp4", 24)))
    argv = to_argv("reenact", pair, "-o", tmp_path / "out.mp4", "--end 0.2", *text.split())
    assert run(argv) == code
    assert re.search(message, capsys.readouterr().err.replace("\n", " "))


def test_a_source_video_has_one_face(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    drive = clip("eight.mp4", 8)
    argv = to_argv("reenact", drive, drive, "-o", tmp_path / "o.mp4", "--driver", f"0={drive}")
    assert run(argv) == 2
    assert "--driver has no effect on a source video" in capsys.readouterr().err
    argv = to_argv("reenact", drive, drive, "-o", tmp_path / "o.mp4", "--also", drive)
    assert run(argv) == 2
    assert "--also has no effect on a source video" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "follows"),
    [
        (ReenactOptions(), True),
        (ReenactOptions(source_face="all"), False),
        (ReenactOptions(driver=["1=a.mp4"]), False),
        (ReenactOptions(camera="still"), False),
    ],
)
def test_only_a_picture_of_one_who_moves_follows_the_camera(
    options: ReenactOptions, follows: bool
) -> None:
    """Two drivers have two cameras, and persons who are drawn alone cannot take the picture along.

    The engine's networks are loaded for the first source.
    """
    assert load(RunOptions(), options).follows_camera == follows
