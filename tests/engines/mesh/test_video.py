"""The mesh engine as a VideoSourceEngine: frames that are sources of themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from tests.motion import synthetic_motion
from thcli.core.options import MotionOptions, ReenactOptions, RunOptions
from thcli.core.protocols import CropEngine, VideoSourceEngine
from thcli.core.types import Array, Crop, Face, Frame, Image, Motion
from thcli.engines.mesh import eye_reading, video
from thcli.engines.mesh.anatomy import LIPS, face_height
from thcli.engines.mesh.engine import MeshEngine, load, render_frame
from thcli.engines.mesh.head import folds
from thcli.engines.mesh.mouth import lip_rims, seen_mouths
from thcli.engines.mesh.opening import fit_opening, local_coordinates
from thcli.engines.mesh.prepared_source import ParsedSource
from thcli.faces.landmarks.topology import BROWS, LIPS_OUTER, OVAL
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions
from thcli.motion import canonical
from thcli.motion.file.buffer import MotionBuffer
from thcli.motion.observe import observe
from thcli.motion.render_target import RenderTarget

COUNT = 10
LIPS_ONLY = MotionOptions(region="lips", smooth=0)


def mesh_engine() -> MeshEngine:
    return load(RunOptions(device="cpu"), ReenactOptions())


@cache
def own_clip() -> tuple[tuple[Frame, ...], MotionBuffer]:
    """Return frames of the astronaut, each shifted by a pixel, and their motion."""
    source = faces.astronaut(False)
    frames, found = [], []
    for i in range(COUNT):
        image = np.roll(source.image, i, 1)
        frames.append(Frame(image, i, synthetic_motion.TIME_BASE, i, 1))
        shifted = source.mesh.astype(np.float32) + np.array([i, 0, 0], np.float32)
        found.append(replace(source.face, mesh=shifted))
    return tuple(frames), MotionBuffer(observe(frames, found))


def images() -> list[Image]:
    return [np.asarray(frame.pixels, np.uint8) for frame in own_clip()[0]]


def transferred(engine: MeshEngine, options: MotionOptions = LIPS_ONLY) -> Motion:
    driving = MotionBuffer(synthetic_motion.driver(COUNT))
    return engine.transfer_motion(own_clip()[1], driving, options).window(0, COUNT)


def no_regions(image: Image, face: Face) -> ParsedSource | None:
    return None


def worn_in(count: int) -> Callable[[Image, Face], ParsedSource | None]:
    """Return a parser that sees glasses from the brows to the nose in so many frames."""
    seen = []

    def parse(image: Image, face: Face) -> ParsedSource | None:
        assert face.mesh is not None
        planes = np.zeros((len(CLASSES), *image.shape[:2]), np.float32)
        top, low = face.mesh[np.concatenate(BROWS), 1].min(), face.mesh[4, 1]
        seen.append(face)
        planes[class_number("eye_g"), int(top) : int(low)] = float(len(seen) <= count)
        regions = Regions(Crop(np.eye(3), image.shape[1::-1]), planes)
        return ParsedSource(regions, regions)

    return parse


def test_glasses_that_most_frames_show_keep_their_shape() -> None:
    frames, own = own_clip()
    assert video.collect(own, frames, worn_in(2)).worn is None
    clip = video.collect(own, frames, worn_in(4))
    assert clip.worn is not None and clip.worn.max() > 0.9
    (image, mesh), bare = (images()[0], faces.astronaut(False).mesh), replace(clip, worn=None)
    brow, target = np.concatenate(BROWS), mesh.copy()
    target[brow, 1] -= 0.05 * face_height(mesh)
    for found, moved in ((clip, 0.0), (bare, 1.0)):
        prepared = video.prepare_frame(image, mesh, target, found, moves_eyes=True)
        shift = (prepared.place(target).held - mesh)[brow, 1] / (target - mesh)[brow, 1]
        assert np.median(shift) == pytest.approx(moved, abs=0.1)


def test_it_is_an_engine_of_whole_frames() -> None:
    engine = mesh_engine()
    assert isinstance(engine, VideoSourceEngine) and not isinstance(engine, CropEngine)


def test_lips_change_and_the_rest_is_the_frame() -> None:
    engine = mesh_engine()
    source = engine.encode_video(own_clip()[1], own_clip()[0])
    motion = transferred(engine)
    rendered = engine.render_frames(source, images(), motion)
    for image, new, mesh in zip(images(), rendered, motion.arrays["mesh"], strict=True):
        changed = np.flatnonzero((image != new).any((1, 2)))
        assert new.shape == image.shape and len(changed)
        assert changed[0] > np.asarray(mesh)[6, 1]  # below the bridge of the nose
        assert not (image != new)[:, : int(np.asarray(mesh)[:, 0].min() - 60)].any()


def test_the_light_of_the_eyes_is_the_same_in_every_frame() -> None:
    source = mesh_engine().encode_video(own_clip()[1], own_clip()[0])
    own = faces.astronaut(False)
    reading = eye_reading.read_eyes(own.image, own.mesh, own.tone)
    assert source.seen_eyes is not None and reading is not None
    assert source.seen_eyes.white == pytest.approx(reading.white, rel=0.05)
    prepared = video.prepare_frame(own.image, own.mesh, own.mesh, source, moves_eyes=False)
    np.testing.assert_allclose(prepared.interior.enamel, own.interior.enamel, rtol=0.05)


@pytest.mark.parametrize("region", ["lips", "expression", "all", "pose", "eyes"])
def test_strength_0_is_the_footage(region: Any) -> None:
    engine = mesh_engine()
    source = engine.encode_video(own_clip()[1], own_clip()[0])
    motion = transferred(engine, MotionOptions(region=region, strength=0))
    points, mesh = (np.asarray(motion.arrays[name], np.float64) for name in ("points", "mesh"))
    np.testing.assert_allclose(points, mesh, atol=1e-9)
    if region == "lips":
        for image, new in zip(
            images(), engine.render_frames(source, images(), motion), strict=True
        ):
            assert np.array_equal(image, new)


def test_frames_without_weight_or_face_are_returned_as_they_are() -> None:
    engine = mesh_engine()
    motion = transferred(engine)
    valid, weight = np.ones(COUNT, bool), np.array(motion.arrays["weight"])
    valid[2], weight[5] = False, 0
    motion = replace(motion, valid=valid, arrays={**motion.arrays, "weight": weight})
    source = engine.encode_video(own_clip()[1], own_clip()[0])
    given = images()
    rendered = engine.render_frames(source, given, motion)
    assert [new is old for new, old in zip(rendered, given, strict=True)] == [
        i in (2, 5) for i in range(COUNT)
    ]


def test_frames_do_not_depend_on_the_window() -> None:
    engine = mesh_engine()
    source = engine.encode_video(own_clip()[1], own_clip()[0])
    driving = MotionBuffer(synthetic_motion.driver(COUNT))
    store = engine.transfer_motion(own_clip()[1], driving, LIPS_ONLY)
    whole = engine.render_frames(source, images(), store.window(0, COUNT))
    for i in range(COUNT):
        (alone,) = engine.render_frames(source, images()[i : i + 1], store.window(i, i + 1))
        assert np.array_equal(alone, whole[i])


def test_encoding_reads_no_frame_after_the_last_that_it_needs() -> None:
    frames, own = own_clip()
    read = []

    def counted() -> Iterator[Frame]:
        for frame in frames:
            read.append(frame.index)
            yield frame

    found = video.collect(own, counted(), no_regions)
    assert read == sorted(set(read)) and found.mouths is not None  # she smiles with open lips
    assert found.appearance is not None


def mouth_mesh(gap: float) -> Array:
    """Return a mesh whose inner lips are `gap` widths apart."""
    mesh = faces.centred_mesh(256, 256, 0.8)
    width = float(np.linalg.norm(mesh[LIPS[0], :2] - mesh[LIPS[10], :2]))
    curve = np.sin(np.linspace(0, np.pi, 11))
    mesh[LIPS[:11], 1] += gap * width * curve
    mesh[LIPS[11:], 1] -= 0.01
    return mesh


def test_a_seen_mouth_is_shown_unchanged_at_its_own_opening() -> None:
    generator = np.random.default_rng(4)
    image = generator.integers(40, 200, (256, 256, 3)).astype(np.uint8)
    mesh = mouth_mesh(0.3)
    seen = seen_mouths.extract(image, mesh)
    assert seen is not None
    mouths = seen_mouths.collect([seen])
    assert mouths is not None and seen_mouths.collect([]) is None
    whole = (slice(0, 256), slice(0, 256))
    lips = fit_opening(mesh, LIPS)
    u, v = local_coordinates(lips, whole)
    rims = lips.rims(u)
    inside = (v > rims[0]) & (v < rims[1]) & (u > 0.05) & (u < 0.95)
    shown = mouths.render((u, v), rims, lips.gap, seen.tone)
    assert np.abs(shown[inside] - image[inside]).max() < 1.5
    assert mouths.share(lips.gap) == 1 and mouths.share(10 * lips.gap) == 0


def test_teeth_keep_their_size_in_a_wider_mouth() -> None:
    """The upper half of what was seen is as high in a mouth that opens twice as far."""
    narrow, wide = mouth_mesh(0.2), mouth_mesh(0.4)
    image = np.zeros((256, 256, 3), np.uint8)
    lips = fit_opening(narrow, LIPS)
    whole = (slice(0, 256), slice(0, 256))
    u, v = local_coordinates(lips, whole)
    upper, lower = lips.rims(u)
    image[v < (upper + lower) / 2] = 220  # teeth down to the middle
    seen = seen_mouths.extract(image, narrow)
    assert seen is not None
    target = fit_opening(wide, LIPS)
    u, v = local_coordinates(target, whole)
    rims = target.rims(u)
    shown = seen_mouths.SeenMouths((seen,)).render((u, v), rims, target.gap, seen.tone)
    column = int(wide[13, 0])
    between = ((v > rims[0]) & (v < rims[1]))[:, column]
    teeth = (shown[:, column].mean(-1) > 110) & between
    assert teeth.sum() / between.sum() == pytest.approx(0.25, abs=0.06)


def test_a_much_wider_mouth_shows_the_tongue_between_the_seen_teeth() -> None:
    mesh = mouth_mesh(0.2)
    image = np.full((256, 256, 3), (180, 70, 75), np.uint8)
    cv2.fillPoly(image, [mesh[LIPS, :2].round().astype(np.int32)], (30, 20, 20))
    seen = seen_mouths.extract(image, mesh)
    assert seen is not None
    mouths = seen_mouths.SeenMouths((seen,))
    assert not mouths.shows_cavity(0.22) and mouths.shows_cavity(0.4)
    found = {}
    for gap in (0.22, 0.4):
        target = fit_opening(mouth_mesh(gap), LIPS)
        u, v = local_coordinates(target, (slice(0, 256), slice(0, 256)))
        rims = target.rims(u)
        cavity = np.full((256, 256, 3), (140, 60, 60), np.float32)
        shown = [
            mouths.render((u, v), rims, target.gap, seen.tone, below) for below in (None, cavity)
        ]
        middle = (abs(v - (rims[0] + 3 * rims[1]) / 4) < 0.02) & (abs(u - 0.5) < 0.1)
        found[gap] = [float(np.median(picture[middle][:, 0])) for picture in shown]
    assert found[0.22][0] == pytest.approx(found[0.22][1], abs=2)
    assert found[0.4][0] < 40 and found[0.4][1] > 90


def test_mouths_beside_a_hidden_face_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, own = own_clip()
    kept: list[Any] = []
    original = seen_mouths.choose_frames

    def record(gaps: Any, rotvecs: Any, usable: Any) -> Any:
        kept.append(usable)
        return original(gaps, rotvecs, usable)

    monkeypatch.setattr(seen_mouths, "choose_frames", record)
    window = own.window(0, COUNT)
    valid = np.array(window.valid)
    valid[0] = False
    video.collect(MotionBuffer(replace(window, valid=valid)), frames)
    assert not kept[0][:3].any() and kept[0][-3:].all()


def test_a_mouth_that_is_all_lip_is_not_kept() -> None:
    mesh = mouth_mesh(0.2)
    image = np.full((256, 256, 3), (180, 70, 75), np.uint8)
    assert seen_mouths.extract(image, mesh) is None
    cv2.fillPoly(image, [mesh[LIPS, :2].round().astype(np.int32)], (30, 20, 20))
    assert seen_mouths.extract(image, mesh) is not None


@pytest.mark.parametrize(
    ("seen_gap", "gaps"), [(0.06, (0.015, 0.035, 0.06)), (0.3, (0.015, 0.035, 0.12))]
)
def test_teeth_fade_to_the_dark_of_the_mouth_in_a_slit(
    seen_gap: float, gaps: tuple[float, ...]
) -> None:
    """A slit is as narrow after a clip that shows wide mouths alone."""
    mesh = mouth_mesh(seen_gap)
    image = np.full((256, 256, 3), (180, 70, 75), np.uint8)
    cv2.fillPoly(image, [mesh[LIPS, :2].round().astype(np.int32)], (220, 218, 210))
    seen = seen_mouths.extract(image, mesh)
    assert seen is not None
    seen = replace(seen, dark=np.full(3, 20.0))
    light = []
    for gap in gaps:
        target = fit_opening(mouth_mesh(gap), LIPS)
        u, v = local_coordinates(target, (slice(0, 256), slice(0, 256)))
        rims = target.rims(u)
        shown = seen_mouths.SeenMouths((seen,)).render((u, v), rims, target.gap, seen.tone)
        light.append(float(np.median(shown[(v > rims[0]) & (v < rims[1]) & (abs(u - 0.5) < 0.2)])))
    assert light[0] < 25 and light[0] < light[1] < light[2] and light[2] > 200


def test_frames_of_every_opening_are_chosen() -> None:
    gaps = np.linspace(0, 0.5, 200)
    groups = seen_mouths.choose_frames(gaps, np.zeros((200, 3)), np.ones(200, bool))
    chosen = np.concatenate(groups)
    assert 3 <= len(groups) <= seen_mouths.LEVELS and gaps[chosen].max() > 0.4
    assert max(map(len, groups)) == seen_mouths.CANDIDATES
    assert (gaps[chosen] > 0.04).all() and len(set(chosen.tolist())) == len(chosen)
    assert not seen_mouths.choose_frames(0 * gaps, np.zeros((200, 3)), np.ones(200, bool))


def test_a_blurred_mouth_is_not_kept() -> None:
    mesh = mouth_mesh(0.3)
    image = np.full((256, 256, 3), 150, np.uint8)
    cv2.fillPoly(image, [mesh[LIPS, :2].round().astype(np.int32)], (30, 20, 20))
    blurred = np.asarray(cv2.GaussianBlur(image, (0, 0), 6), np.uint8)
    found = [seen_mouths.extract(picture, mesh) for picture in (blurred, image)]
    sharp, others = found[1], [mouth for mouth in found if mouth is not None]
    assert seen_mouths.sharpest(others) is sharp and seen_mouths.sharpest(others[::-1]) is sharp


def test_the_rim_of_a_lip_begins_beyond_teeth_that_the_landmarks_miss() -> None:
    mesh = mouth_mesh(0.3)
    image = np.full((256, 256, 3), (150, 60, 60), np.uint8)
    inner, outer = mesh[LIPS, :2], mesh[LIPS_OUTER, :2]
    covered = inner + 0.3 * (outer - inner)
    cv2.fillPoly(image, [np.rint(covered * 16).astype(np.int32)], (230, 228, 225), shift=4)
    moved = lip_rims.exclude_teeth(image, mesh, 1.0)
    middle = [3, 4, 5, 6, 7]  # of the lower lip
    height = np.linalg.norm(outer - inner, axis=1)[middle]
    share = np.linalg.norm(moved[LIPS, :2] - inner, axis=1)[middle] / height
    assert share.min() > 0.17 and share.max() < 0.45
    plain = lip_rims.exclude_teeth(np.full_like(image, (150, 60, 60)), mesh, 1.0)
    shift = np.linalg.norm(plain[LIPS, :2] - inner, axis=1)[middle] / height
    np.testing.assert_allclose(shift, lip_rims.LEAST_SHARE, atol=0.01)
    assert np.array_equal(lip_rims.exclude_teeth(image, mesh, 0.0), mesh)


def test_an_occluder_stays_where_the_landmarks_doubt() -> None:
    frames, own = own_clip()
    found = video.collect(own, frames, no_regions)
    image, mesh = images()[4], np.asarray(transferred(mesh_engine()).arrays["mesh"][4])
    mouth = mesh[13, :2].astype(int)
    covered = image.copy()
    covered[mouth[1] - 12 : mouth[1] + 30, mouth[0] - 40 : mouth[0] + 40] = (20, 90, 30)
    rendered = np.full_like(image, 128)
    kept = video.keep_occluders(covered, rendered.copy(), mesh, found, 1.0)
    view = (slice(mouth[1], mouth[1] + 15), slice(mouth[0] - 20, mouth[0] + 20))
    assert np.abs(kept[view].astype(int) - covered[view]).mean() < 12
    assert np.array_equal(video.keep_occluders(covered, rendered.copy(), mesh, found, 0), rendered)


def test_the_mouth_opens_as_the_driver_opens_it() -> None:
    driving = synthetic_motion.driver(COUNT, degrees=0)
    store = mesh_engine().transfer_motion(own_clip()[1], MotionBuffer(driving), LIPS_ONLY)
    points = np.asarray(store.window(0, COUNT).arrays["points"])
    made = canonical.mouth_opening(canonical.decompose(points).shape)
    wanted = canonical.mouth_opening(
        canonical.neutral() + np.asarray(driving.arrays["expression"], np.float64)
    )
    assert np.corrcoef(made, wanted)[0, 1] > 0.99


def test_a_frame_that_smiles_for_the_driver_gets_the_folds_of_a_smile() -> None:
    source = faces.astronaut(False)
    posed = canonical.decompose(source.mesh)
    clip = video.collect(own_clip()[1], own_clip()[0], no_regions)
    shown = []
    for amount in (0.0, 1.0):
        target = replace(posed, shape=posed.shape + amount * folds.load().smile).mesh()
        frame = video.prepare_frame(source.image, source.mesh, target, clip, moves_eyes=True)
        lips = video.prepare_frame(source.image, source.mesh, target, clip, moves_eyes=False)
        assert lips.folds is None
        plain = replace(frame, folds=None)
        to = RenderTarget(target, np.zeros((2, 2)), np.ones(2))
        with_folds, without = (render_frame(one, to, None) for one in (frame, plain))
        shown.append(int(np.abs(with_folds.astype(int) - without).max()))
    assert shown[0] == 0 and shown[1] > 5


@pytest.mark.parametrize("angle", [28.0, -28.0])
def test_a_frame_that_turns_back_shows_the_mirrored_cheek(angle: float) -> None:
    plain = faces.make_source(384, 384)
    turned = faces.make_target(plain, turn=(0, angle, 0)).points
    image = faces.render_face(turned, 384, 384)
    image[(image == (200, 200, 60)).all(-1)] = faces.GROUND
    clip = video.collect(own_clip()[1], own_clip()[0])
    frame = video.prepare_frame(image, turned, plain.mesh, clip, moves_eyes=True)
    to = RenderTarget(plain.mesh, np.zeros((2, 2)), np.ones(2))
    middle, face = plain.mesh[4, 0], faces.polygon_mask(plain.mesh[OVAL, :2], 384, 384, grow=-6)
    far = face & ((np.arange(384) - middle) * np.sign(turned[4, 0] - middle) > 0.2 * 384 * 0.45)

    def ground(shown: Image) -> float:
        return float((np.abs(shown[far].astype(int) - faces.GROUND).max(-1) < 40).mean())

    without = replace(frame, hidden_cheek=None)
    assert ground(render_frame(frame, to, None)) < 0.5 * ground(render_frame(without, to, None))
    still = video.prepare_frame(image, turned, turned + 1.0, clip, moves_eyes=True)
    assert still.hidden_cheek is None
