"""Crop track of the face that an engine places in the frames that it renders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from tests.engines.mesh.synthetic_faces import make_source
from tests.motion import synthetic_motion as synthetic
from tests.pipeline.fake_refiners import RedRefiner
from thcli.core.options import (
    CompositingOptions,
    MotionOptions,
    ReenactOptions,
    RefineOptions,
    RunOptions,
    StabilizationOptions,
)
from thcli.core.types import Motion
from thcli.engines.mesh.engine import MeshEngine
from thcli.faces.compositing.pixel_ops import OPENCV
from thcli.pipeline.job.job import Job
from thcli.pipeline.job.replayable_frames import RenderedFrame
from thcli.pipeline.observe.crop_track import TrackedCrop
from thcli.pipeline.refining.placed_face import PlacedFace
from thcli.pipeline.refining.refine_pass import RefinePass
from thcli.pipeline.render.drivers import FaceDriver, FaceDrivers, place_face, retarget_faces
from thcli.pipeline.render.encoded_faces import encode_faces
from thcli.pipeline.render.postprocess import PostProcessor
from thcli.pipeline.sources.source_image import SourceImage

FRAMES, CUT = 24, 10
NETWORK = cast(Any, SimpleNamespace(template="ffhq", crop_size=64, mask=None))


def driver_with_cut() -> Motion:
    motion = synthetic.driver(FRAMES, degrees=25.0)
    return replace(motion, arrays={**motion.arrays, "cut": np.arange(FRAMES) == CUT})


def place(drivers: FaceDrivers) -> PlacedFace:
    engine = MeshEngine(RunOptions(device="cpu"), "off", mouth="synthetic")
    prepared = make_source()
    source = SourceImage(cast(Any, None), prepared.image, (replace(prepared.face, track=0),))
    encoded = encode_faces(engine, source, [True], (), lambda _: None)
    faces = retarget_faces(engine, encoded.faces, drivers, MotionOptions(), lambda _: None)
    placed = place_face(engine, source, faces, drivers)
    assert placed is not None
    return placed


def track(placed: PlacedFace) -> list[TrackedCrop]:
    with Job("reenact", lambda _: None) as job:
        (subject,) = placed.observe(NETWORK, StabilizationOptions(), job).subjects
        return list(subject.crop_track.window(0, FRAMES))


@pytest.mark.parametrize("own", [False, True])
def test_the_track_has_the_scenes_of_the_driver(own: bool) -> None:
    """Also those of a driver of the face's own, at its frames."""
    cut, plain = (synthetic.buffer(one) for one in (driver_with_cut(), synthetic.driver(FRAMES)))
    drivers = FaceDrivers(cut)
    if own:
        rows = np.maximum(np.arange(FRAMES) - 3, 0)
        drivers = FaceDrivers(plain, {0: FaceDriver(cast(Any, None), cut, rows)})
    begin = CUT + 3 if own else CUT
    assert [one.scene for one in track(place(drivers))] == [0] * begin + [1] * (FRAMES - begin)


def test_crops_do_not_glide_through_a_cut() -> None:
    placed = place(FaceDrivers(synthetic.buffer(driver_with_cut())))
    still = placed.place(placed.motion.window(0, 1))[0]
    meshes = np.stack([still + np.array([60 * (row >= CUT), 0, 0]) for row in range(FRAMES)])

    def stand(rows: Motion) -> Any:
        return meshes[rows.pts]

    crops = track(replace(placed, place=stand))
    for row, one in enumerate(crops):
        assert one.mesh == pytest.approx(meshes[row], abs=1e-3)
        alike = crops[0 if row < CUT else CUT].placement.crop_from_frame
        assert one.placement.crop_from_frame == pytest.approx(alike, abs=1e-3), row


class StillRedRefiner(RedRefiner):
    still_camera = True


@pytest.mark.parametrize(
    ("zoom", "follows", "network", "left_out"),
    [
        (1.1, True, StillRedRefiner, True),
        (1.005, True, StillRedRefiner, False),  # noise of a still camera
        (1.1, False, StillRedRefiner, False),
        (1.1, True, RedRefiner, False),
    ],
)
def test_a_network_for_still_cameras_leaves_a_clip_whose_camera_moves(
    zoom: float, follows: bool, network: type[RedRefiner], left_out: bool
) -> None:
    """The picture moves in one frame; none is refined, wherever a resumed run begins."""
    placed = place(FaceDrivers(synthetic.buffer(synthetic.driver(FRAMES, degrees=2.0))))
    rows = placed.motion.window(0, FRAMES)
    cameras = np.tile(np.eye(2, 3), (FRAMES, 1, 1))
    cameras[7, :, :2] *= zoom
    motion = synthetic.buffer(replace(rows, arrays={**rows.arrays, "camera": cameras}))
    placed = replace(placed, motion=motion, follows_camera=follows)
    run = RunOptions(device="cpu", threads=1, batch_size=4)
    how, options = CompositingOptions(source_detail=False), RefineOptions()
    red = RefinePass("red", cast(Any, network(run)), None, options, how, run, OPENCV)
    events: list[Any] = []

    def frames_from(start: int) -> Iterator[RenderedFrame]:
        for row in range(start, FRAMES):
            yield RenderedFrame(placed.image, row, Fraction(1, 25), 1, True, None)

    with Job("reenact", events.append) as job:
        after = PostProcessor(ReenactOptions(), cast(Any, None), red)
        refined = after.refine(frames_from, FRAMES, None, job, placed=placed)
        for start in (0, 9):
            same = {np.array_equal(one.image, placed.image) for one in refined(start)}
            assert same == {left_out}
    assert any("camera" in str(event) for event in events) == left_out


@pytest.mark.parametrize("source_detail", [False, True])
def test_a_frame_that_shows_the_source_is_not_refined(source_detail: bool) -> None:
    """Also where a resumed run begins; no failure of a network is counted."""
    run, bad = RunOptions(device="cpu", threads=1, batch_size=4), 5
    how = CompositingOptions(source_detail=source_detail)
    red = RefinePass("red", cast(Any, RedRefiner(run)), None, RefineOptions(), how, run, OPENCV)
    placed = place(FaceDrivers(synthetic.buffer(synthetic.driver(FRAMES, degrees=2.0))))

    def frames_from(start: int) -> Iterator[RenderedFrame]:
        for row in range(start, FRAMES):
            yield RenderedFrame(placed.image, row, Fraction(1, 25), 1, row != bad, None)

    with Job("reenact", lambda _: None) as job:
        after = PostProcessor(ReenactOptions(), cast(Any, None), red)
        refined = after.refine(frames_from, FRAMES, None, job, placed=placed)
        whole = list(refined(0))
        assert [row for row, one in enumerate(whole) if not one.succeeded] == [bad]
        alike = [row for row, one in enumerate(whole) if np.array_equal(one.image, placed.image)]
        assert alike == [bad]
        for one, again in zip(whole[bad - 1 :], refined(bad - 1), strict=True):
            assert np.array_equal(one.image, again.image) and one.succeeded == again.succeeded
        assert not job.failed_frames
