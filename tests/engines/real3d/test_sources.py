"""Difficult sources: each is rendered, or the command says why not.

With narrow random networks, so nothing is said of the quality.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.engines.real3d import tiny
from tests.motion import synthetic_motion
from tests.pipeline.face_clip import write_face_clip
from thcli import media
from thcli.cli.app import run
from thcli.core.events import silent
from thcli.core.options import MotionOptions, ReenactOptions, RunOptions
from thcli.core.types import Face, Image
from thcli.engines.backends import ENGINES
from thcli.engines.real3d.engine import Real3dEngine
from thcli.evaluate.reports.contact_sheet import save_image
from thcli.motion.file.buffer import MotionBuffer
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.train.real3d.heads import expression_basis, read_heads
from thcli.train.real3d.portraits import draw_portrait, make_body
from thcli.train.real3d.synthetic import write_photographs
from thcli.weights.backend import Backend

RUN = RunOptions(device="cpu", threads=1)
PARSE, LONDON = "faceparse.tar", "london.tar"


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    options = ReenactOptions()
    return FaceFinder.load(options.faces, RUN, options.read)


@pytest.fixture(scope="module")
def engine() -> Real3dEngine:
    return tiny.load(RUN)


def portrait(folder: Path, yaw: float) -> Image:
    """Draw a known portrait whose head is turned by an angle in degrees, 512 x 512."""
    folder.mkdir()
    write_photographs(folder)
    head = read_heads(folder, silent)[0]
    pose = np.radians([0, yaw, 0]).astype(np.float32), np.zeros(3, np.float32)
    neutral = np.zeros(len(expression_basis()), np.float32)
    return draw_portrait(head, make_body(head), neutral, pose, 512).image


def assert_renders(engine: Real3dEngine, image: Image, face: Face) -> float:
    """Render a frame and return the yaw of the fitted head in degrees."""
    source = engine.encode_source(image, face)
    driver = MotionBuffer(synthetic_motion.driver(2))
    motion = engine.retarget(source, driver, MotionOptions(smooth=0))
    (out,) = engine.render(source, motion.window(0, 1), None)
    assert out.shape == image.shape and not np.array_equal(out, image)
    fitted = (source.head.euler, source.head.expression, source.identity)
    assert all(np.isfinite(values).all() for values in fitted)
    return float(np.degrees(source.head.euler[1]))


def from_tar(shared: Path, archive: str, member: str) -> Image:
    """Read an image of a data set, (H, W, 3) uint8."""
    path = shared / "data" / archive
    if not path.is_file():
        pytest.skip(f"needs ../shared/data/{archive}")
    with tarfile.open(path) as files:
        file = files.extractfile(member)
        assert file is not None
        return np.asarray(Pillow.open(io.BytesIO(file.read())).convert("RGB"), np.uint8)


def test_a_face_from_the_side_renders(
    engine: Real3dEngine, finder: FaceFinder, tmp_path: Path
) -> None:
    image = portrait(tmp_path / "photographs", 60)
    (face,) = finder.find(image)
    assert 40 < assert_renders(engine, image, face) < 75


def test_a_full_profile_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    backend = Backend("tests.engines.real3d.tiny:load", "tiny", reads=ENGINES.rows["real3d"].reads)
    monkeypatch.setitem(ENGINES.rows, "real3d", backend)
    side, drive, out = (tmp_path / name for name in ("side.png", "drive.mp4", "out.mp4"))
    save_image(side, portrait(tmp_path / "photographs", 85))
    write_face_clip(drive, 2)
    words = ["--engine", "real3d", "--device", "cpu", "-q", "-o", str(out)]
    assert run(["reenact", str(side), str(drive), *words]) == 4
    message = capfd.readouterr().err
    assert "side.png" in message and "no face" in message.lower() and not out.exists()


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("from the side", "hq_05619"),
        ("hat and hands", "hq_26051"),
        ("hat that leaves the image", "hq_26894"),
        ("sunglasses", "hq_12915"),
        ("no torso", "hq_10582"),
        ("hair around the face", "hq_18282"),
        ("busy background", "hq_25081"),
    ],
)
def test_difficult_photographs_render(
    name: str, member: str, engine: Real3dEngine, finder: FaceFinder, shared: Path
) -> None:
    image = from_tar(shared, PARSE, f"faceparse/images/{member}.jpg")
    (face,) = finder.find(image)
    assert_renders(engine, image, face)


def test_of_two_persons_each_renders(
    engine: Real3dEngine, finder: FaceFinder, shared: Path
) -> None:
    pair = [from_tar(shared, LONDON, f"london/london_{n}_neutral.jpg") for n in ("001", "002")]
    image = np.ascontiguousarray(np.concatenate(pair, 1))
    faces = finder.find(image)
    assert len(faces) == 2
    for face in faces:
        assert_renders(engine, image, face)


@pytest.mark.parametrize("name", ["s5.jpg", "s9.jpg", "s10.jpg"])
def test_paintings_render(
    name: str, engine: Real3dEngine, finder: FaceFinder, shared: Path
) -> None:
    path = shared / "media" / name
    if not path.is_file():
        pytest.skip(f"needs ../shared/media/{name}")
    image = np.asarray(media.read_image(path), np.uint8)
    faces = finder.find(image)
    assert_renders(engine, image, faces[0])
