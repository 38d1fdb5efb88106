"""The mesh engine as a VideoSourceEngine: frames that are sources of themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from tests.engines.mesh.synthetic_clips import (
    COUNT,
    LIPS_ONLY,
    images,
    mesh_engine,
    no_regions,
    own_clip,
    transferred,
)
from tests.motion import synthetic_motion
from thcli.core.options import MotionOptions
from thcli.core.protocols import CropEngine, VideoSourceEngine
from thcli.core.types import Array, Frame, Image, Motion
from thcli.engines.mesh import video
from thcli.engines.mesh.eyes.reading import read_eyes
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head.shades import folds
from thcli.engines.mesh.mouth import (
    closed_lips,
    colours,
    mouth_interior,
    seen_mouths,
    shot_looks,
    wide_jaw,
)
from thcli.engines.mesh.mouth.shot_looks import LEAST_SHOT
from thcli.engines.mesh.renderer import render_video_frame
from thcli.faces.landmarks.topology import OVAL
from thcli.motion import canonical
from thcli.motion.closure import set_lips
from thcli.motion.file.buffer import MotionBuffer
from thcli.motion.render_target import RenderTarget


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
    reading = read_eyes(own.image, own.mesh, own.tone)
    look = source.look_at(0)
    assert look.seen_eyes is not None and reading is not None
    assert look.seen_eyes.white == pytest.approx(reading.white, rel=0.05)
    prepared = video.prepare_frame(own.image, own.mesh, own.mesh, source, 0, moves_eyes=False)
    natural = colours.natural_colour(own.image, own.mesh, own.tone)
    wanted = mouth_interior.prepare(own.mesh, own.tone, reading, natural)
    np.testing.assert_allclose(prepared.interior.enamel, wanted.enamel, rtol=0.05)


def test_each_shot_has_the_mouths_and_the_light_of_its_own_frames() -> None:
    frames, own = own_clip()
    count = LEAST_SHOT

    def take(first: int, haze: int, cut: bool) -> tuple[list[Frame], list[Motion]]:
        shown, motions = [], []
        for k in range(first, first + count):
            row = k % COUNT
            pixels = np.asarray(frames[row].pixels, np.uint8) // 2 + haze
            shown.append(replace(frames[row], pixels=pixels.astype(np.uint8), index=k, pts=k))
            one = own.window(row, row + 1)
            begins = np.array([cut and k == first])
            motions.append(replace(one, pts=np.array([k]), arrays={**one.arrays, "cut": begins}))
        return shown, motions

    dark, hazy = take(0, 0, False), take(count, 40, True)
    motion = [*dark[1], *hazy[1]]
    arrays = {
        name: np.concatenate([np.asarray(m.arrays[name]) for m in motion])
        for name in motion[0].arrays
    }
    valid, pts = (np.concatenate([getattr(m, name) for m in motion]) for name in ("valid", "pts"))
    both = replace(motion[0], pts=pts, valid=valid, arrays=arrays)
    found = video.collect(MotionBuffer(both), [*dark[0], *hazy[0]], no_regions)
    assert [look.begin for look in found.looks] == [0, count]
    first, second = found.look_at(count - 1), found.look_at(count)
    assert first.mouths is not None and second.mouths is not None
    assert second.darkest > 30 > 15 > first.darkest
    darkest = [look.mouths.mouths[0].image.min() for look in found.looks if look.mouths is not None]
    assert darkest[1] >= 40 > darkest[0]


def test_a_hazy_shot_shows_no_black_between_the_lips() -> None:
    source, (frames, own) = faces.astronaut(False), own_clip()
    clear = video.collect(own, frames, no_regions).look_at(0)
    pixels = (np.asarray(frames[0].pixels) // 3 + 100).astype(np.uint8)
    haze = colours.haze_level(pixels, source.mesh, colours.skin_tone(pixels, source.mesh))
    assert clear.haze == 0 < 20 < haze
    assert clear.mouths is not None
    seen = shot_looks.lifted(clear.mouths, haze).mouths[0]
    assert seen.dark.mean() > clear.mouths.mouths[0].dark.mean() + 0.5 * haze
    assert seen.image.min() > haze / 2 and seen.image.max() <= clear.mouths.mouths[0].image.max()
    lines = [
        closed_lips.prepare(pixels, source.mesh, haze=level).colour.mean() for level in (0.0, haze)
    ]
    assert lines[1] > lines[0] + haze / 4


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
    assert (
        read == sorted(set(read)) and found.look_at(0).mouths is not None
    )  # she smiles with open lips
    assert found.appearance is not None


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
    video.collect(MotionBuffer(replace(window, valid=valid)), frames, no_regions)
    assert not kept[0][:3].any() and kept[0][-3:].all()


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


def test_the_lip_of_a_wide_open_mouth_is_not_taken_for_an_occluder_of_its_chin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It lies where the landmarks have the chin, and was put back over one that closes."""
    seen: list[Array] = []

    def record(image: Image, out: Image, mesh: Array, *_: object) -> Image:
        seen.append(mesh)
        return out

    monkeypatch.setattr(video, "keep_occluders", record)
    motion = transferred(mesh_engine())
    posed = canonical.decompose(np.asarray(motion.arrays["mesh"][0]))
    shape = posed.shape[None].copy()
    set_lips(shape, np.full((1, 9), 0.42))
    opened = replace(posed, shape=shape[0]).mesh()
    motion.arrays["mesh"][0] = opened
    clip = video.collect(own_clip()[1], own_clip()[0], no_regions)
    render_video_frame(clip, images()[0], motion, 0)
    lowered = wide_jaw.lower_skin(opened)
    assert np.allclose(seen[0], lowered) and np.abs(lowered - opened).max() > 1


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
        frame = video.prepare_frame(source.image, source.mesh, target, clip, 0, moves_eyes=True)
        lips = video.prepare_frame(source.image, source.mesh, target, clip, 0, moves_eyes=False)
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
    clip = video.collect(own_clip()[1], own_clip()[0], no_regions)
    frame = video.prepare_frame(image, turned, plain.mesh, clip, 0, moves_eyes=True)
    to = RenderTarget(plain.mesh, np.zeros((2, 2)), np.ones(2))
    middle, face = plain.mesh[4, 0], faces.polygon_mask(plain.mesh[OVAL, :2], 384, 384, grow=-6)
    far = face & ((np.arange(384) - middle) * np.sign(turned[4, 0] - middle) > 0.2 * 384 * 0.45)

    def ground(shown: Image) -> float:
        return float((np.abs(shown[far].astype(int) - faces.GROUND).max(-1) < 40).mean())

    without = replace(frame, hidden_cheek=None)
    assert ground(render_frame(frame, to, None)) < 0.5 * ground(render_frame(without, to, None))
    still = video.prepare_frame(image, turned, turned + 1.0, clip, 0, moves_eyes=True)
    assert still.hidden_cheek is None
