"""Real3D-Portrait as an engine: protocol, batches, seeds, options, sources, missing weights."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.engines.real3d import tiny
from tests.motion import synthetic_motion
from thcli.core import protocols
from thcli.core.errors import NoFaceError, UsageError, WeightsError
from thcli.core.options import MotionOptions, Real3dOptions, ReenactOptions, RunOptions, ViewOptions
from thcli.core.types import Face, Image, Motion
from thcli.engines.backends import ENGINES
from thcli.engines.real3d.engine import Real3dEngine, Real3dSource
from thcli.evaluate.datasets.sample_clip import photograph
from thcli.faces.backends import LANDMARKERS
from thcli.faces.crops.crop import corners
from thcli.motion.file.buffer import MotionBuffer
from thcli.pipeline.observe.face_finder import FaceFinder

RUN = RunOptions(device="cpu", threads=1)
EXACT = MotionOptions(smooth=0)


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    options = ReenactOptions()
    return FaceFinder.load(options.faces, RUN, options.read)


@pytest.fixture(scope="module")
def picture() -> Image:
    """Return a portrait image that is not square, 300 x 400."""
    return np.ascontiguousarray(photograph()[0:400, 70:370])


@pytest.fixture(scope="module")
def face(finder: FaceFinder, picture: Image) -> Face:
    return finder.find(picture)[0]


@pytest.fixture(scope="module")
def engine() -> Real3dEngine:
    return tiny.load(RUN)


@pytest.fixture(scope="module")
def source(engine: Real3dEngine, picture: Image, face: Face) -> Real3dSource:
    return engine.encode_source(picture, face)


@pytest.fixture(scope="module")
def store(engine: Real3dEngine, source: Real3dSource) -> protocols.MotionStore:
    return engine.retarget(source, MotionBuffer(synthetic_motion.driver(3)), EXACT)


@pytest.fixture(scope="module")
def images(engine: Real3dEngine, source: Real3dSource, store: protocols.MotionStore) -> list[Image]:
    return engine.render(source, store.window(0, 3), None)


def test_is_an_engine(
    engine: Real3dEngine, source: Real3dSource, store: protocols.MotionStore
) -> None:
    checked: protocols.VoiceDrivenEngine = engine
    assert isinstance(checked, protocols.VoiceDrivenEngine)
    assert not isinstance(engine, protocols.CropEngine)
    assert engine.motion_kinds == {"mesh", "real3d"} and engine.motion_kind == "mesh"
    assert not engine.reads_driver(source, store) and not engine.parallel


def test_images_have_the_sources_size_and_move(
    images: list[Image], picture: Image, source: Real3dSource
) -> None:
    assert [(i.shape, i.dtype) for i in images] == [((400, 300, 3), np.dtype(np.uint8))] * 3
    assert not np.array_equal(images[0], images[1])
    changed = (images[0] != picture).any(-1)
    assert source.size == (300, 400)
    edges = corners(source.placement)
    inside = np.zeros((400, 300), np.bool_)
    left, top = np.maximum(np.floor(edges[0]).astype(int), 0)
    right, bottom = np.ceil(edges[2]).astype(int) + 1
    inside[top:bottom, left:right] = True
    assert changed[inside].mean() > 0.8 and not changed[~inside].any() and not inside.all()


def test_batches_and_windows_change_nothing(
    source: Real3dSource, store: protocols.MotionStore, images: list[Image]
) -> None:
    other = tiny.load(replace(RUN, batch_size=2))
    apart = [other.render(source, store.window(i, i + 1), None)[0] for i in range(2)]
    for alone, first in zip(apart, images, strict=False):
        np.testing.assert_array_equal(alone, first)


def test_larger_batches_compute_the_same(
    engine: Real3dEngine, source: Real3dSource, store: protocols.MotionStore, images: list[Image]
) -> None:
    """Several frames at once, as on a GPU, are equal up to rounding."""
    engine.batch = 3
    together = engine.render(source, store.window(0, 3), None)
    engine.batch = 1
    for ours, first in zip(together, images, strict=True):
        assert np.abs(ours.astype(int) - first).max() <= 1


def test_half_precision_is_close(
    store: protocols.MotionStore,
    images: list[Image],
    picture: Image,
    face: Face,
) -> None:
    half = tiny.load(replace(RUN, precision="bf16"))
    ours = half.render(half.encode_source(picture, face), store.window(0, 1), None)[0]
    assert np.abs(ours.astype(int) - images[0]).mean() < 4


def test_noise_depends_on_the_seed_and_the_frame(engine: Real3dEngine) -> None:
    again, other = tiny.load(RUN), tiny.load(replace(RUN, seed=1))
    first = engine._noise(4)
    assert np.array_equal(first.depth, again._noise(4).depth)
    assert not np.array_equal(first.depth, engine._noise(5).depth)
    assert not np.array_equal(first.depth, other._noise(4).depth)
    assert float(first.depth.min()) >= 0 and float(first.importance.max()) < 1


def test_a_still_driver_changes_only_the_renderers_noise(
    engine: Real3dEngine, source: Real3dSource
) -> None:
    driver = synthetic_motion.driver(1)
    still = Motion(
        driver.kind,
        np.arange(2, dtype=np.int64),
        driver.time_base,
        np.ones(2, np.bool_),
        {name: np.repeat(np.asarray(a), 2, 0) for name, a in driver.arrays.items()},
        driver.constants,
    )
    window = engine.retarget(source, MotionBuffer(still), EXACT).window(0, 2)
    frames = {**window.arrays, "frame": np.zeros(2, np.int64)}
    same = engine.render(source, replace(window, arrays=frames), None)
    np.testing.assert_array_equal(same[0], same[1])


def test_the_voices_motion_renders_and_blinks(engine: Real3dEngine, source: Real3dSource) -> None:
    expression = np.zeros((2, 64), np.float32)
    blink = np.array([0, 1], np.float32)
    spoken = Motion(
        "real3d",
        np.arange(2, dtype=np.int64),
        Fraction(1, 25),
        np.ones(2, np.bool_),
        {"expression": expression, "blink": blink},
    )
    window = engine.retarget(source, MotionBuffer(spoken), EXACT).window(0, 2)
    arrays = {**window.arrays, "frame": np.zeros(2, np.int64)}
    open_eyes, shut = engine.render(source, replace(window, arrays=arrays), None)
    assert not np.array_equal(open_eyes, shut)


def test_options_change_the_picture(
    source: Real3dSource,
    store: protocols.MotionStore,
    images: list[Image],
    picture: Image,
    face: Face,
) -> None:
    green = tiny.load(RUN, ReenactOptions(background="#00ff00"))
    replaced = green.encode_source(picture, face)
    drawn = green.render(replaced, store.window(0, 1), None)[0]
    before, after = (i[20:60, 30:60].astype(float).mean((0, 1)) for i in (images[0], drawn))
    assert after[1] - before[1] > 5 or before[0] - after[0] > 5
    opaque = tiny.load(RUN, ReenactOptions(real3d=Real3dOptions(head_threshold=0.0)))
    assert not np.array_equal(opaque.render(source, store.window(0, 1), None)[0], images[0])
    turned = tiny.load(RUN, ReenactOptions(view=ViewOptions(yaw=25)))
    driven = turned.retarget(source, MotionBuffer(synthetic_motion.driver(3)), EXACT)
    assert not np.array_equal(turned.render(source, driven.window(0, 1), None)[0], images[0])


def test_pictures_are_given_in_minus_one_to_one(engine: Real3dEngine) -> None:
    grey = np.zeros((512, 512, 3), np.uint8)
    grey[:, :, 0] = 255
    tensor = engine._tensor(grey)
    assert tensor.shape == (1, 3, 256, 256)
    assert bool((tensor[0, 0] == 1).all()) and bool((tensor[0, 1:] == -1).all())


def test_a_region_alone_is_refused(engine: Real3dEngine, source: Real3dSource) -> None:
    driver = MotionBuffer(synthetic_motion.driver(2))
    with pytest.raises(UsageError, match="engine real3d cannot move the eyes"):
        engine.retarget(source, driver, MotionOptions(region="eyes"))


def test_difficult_sources_render_or_are_refused(
    engine: Real3dEngine, finder: FaceFinder, picture: Image, store: protocols.MotionStore
) -> None:
    """A cut head, no torso, a busy background, a hat, glasses; a painted-over face is refused."""
    noise = np.random.default_rng(0).integers(0, 255, picture.shape, np.uint8)
    found = finder.find(picture)[0]
    assert found.mesh is not None
    x, y = found.mesh[:, 0], found.mesh[:, 1]
    top, chin, left, right = (round(float(v)) for v in (y.min(), y.max(), x.min(), x.max()))
    busy, hat, glasses = noise.copy(), picture.copy(), picture.copy()
    busy[:, 60:240] = picture[:, 60:240]
    hat[max(top - 70, 0) : top + 5, left - 10 : right + 10] = (30, 30, 160)
    eye_row = round(float(found.mesh[[33, 263], 1].mean()))
    glasses[eye_row - 14 : eye_row + 14, left:right] //= 2
    cases = {
        "cut head": picture[top + 8 :],
        "no torso": picture[: chin + 4],
        "busy background": busy,
        "hat": hat,
        "glasses": glasses,
    }
    for name, image in cases.items():
        image = np.ascontiguousarray(image)
        faces = finder.find(image)
        assert faces, name
        encoded = engine.encode_source(image, faces[0])
        out = engine.render(encoded, store.window(0, 1), None)[0]
        assert out.shape == image.shape and not np.array_equal(out, image), name
    painted = np.full_like(picture, (0, 0, 200))
    with pytest.raises(NoFaceError, match="hidden or too small"):
        engine.encode_source(painted, found)


def test_landmarks_of_another_layout_are_refused(engine: Real3dEngine, picture: Image) -> None:
    assert "facemesh" in LANDMARKERS.rows
    bare = Face(np.array([60, 60, 190, 190], np.float32), 0.9, points=np.ones((68, 2), np.float32))
    with pytest.raises(NoFaceError, match="468 points") as caught:
        engine.encode_source(picture, bare)
    assert "--landmarker facemesh" in caught.value.hint and caught.value.exit_code == 4


def test_missing_weights_name_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="real3d-video") as caught:
        ENGINES.backend("real3d").load(replace(RUN, offline=True))
    assert caught.value.exit_code == 5
    assert "thcli weights pull real3d-video" in caught.value.hint
    with pytest.raises(WeightsError, match="--licence free"):
        ENGINES.backend("real3d").load(replace(RUN, licence="free"))
