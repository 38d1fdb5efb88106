"""Regions that networks see in frames of a source video: glasses, hair, and the person."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from tests.engines.mesh.synthetic_clips import (
    all_hair,
    images,
    mesh_engine,
    no_regions,
    own_clip,
    transferred,
    worn_in,
)
from tests.engines.mesh.test_patches import shut_eyes
from thcli.core.geometry import bounding_box, matrix_from_rotvec
from thcli.core.options import MotionOptions
from thcli.core.types import Array32, Face, Image
from thcli.engines.mesh import video
from thcli.engines.mesh.anatomy import face_height
from thcli.engines.mesh.background.border import NO_BORDER
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head.covered_points import NO_COVERS
from thcli.engines.mesh.renderer import render_video_frame
from thcli.faces.landmarks.topology import BROWS, EYES, OVAL
from thcli.motion.render_target import RenderTarget


def test_glasses_that_most_frames_show_keep_their_shape() -> None:
    frames, own = own_clip()
    assert video.collect(own, frames, worn_in(2)).worn is None
    clip = video.collect(own, frames, worn_in(4))
    assert clip.worn is not None and clip.worn.max() > 0.9
    (image, mesh), bare = (images()[0], faces.astronaut(False).mesh), replace(clip, worn=None)
    brow, target = np.concatenate(BROWS), mesh.copy()
    target[brow, 1] -= 0.05 * face_height(mesh)
    for found, moved in ((clip, 0.0), (bare, 1.0)):
        prepared = video.prepare_frame(image, mesh, target, found, 0, moves_eyes=True)
        shift = (prepared.place(target).held - mesh)[brow, 1] / (target - mesh)[brow, 1]
        assert np.median(shift) == pytest.approx(moved, abs=0.1)


def test_strands_before_the_near_cheek_of_a_frame_are_not_mirrored() -> None:
    """They would lie in the middle of the cheek that comes into view."""
    frames, own = own_clip()
    bare = video.collect(own, frames, no_regions)
    image, front = images()[0], faces.astronaut(False).mesh
    turn = matrix_from_rotvec(np.radians([0, 30, 0]))
    mesh = (front - front.mean(0)) @ turn.T + front.mean(0)
    for clip, mirrors in ((bare, True), (replace(bare, parse_face=all_hair), False)):
        prepared = video.prepare_frame(image, mesh, front, clip, 0, moves_eyes=True)
        assert (prepared.hidden_cheek is not None) == mirrors


def test_only_frames_that_turn_are_parsed() -> None:
    """To find the regions of a face takes as long as to render it."""
    frames, own = own_clip()
    parsed: list[Face] = []
    clip = replace(
        video.collect(own, frames, no_regions), parse_face=lambda _, face: parsed.append(face)
    )
    image, mesh = images()[0], faces.astronaut(False).mesh
    video.prepare_frame(image, mesh, mesh, clip, 0, moves_eyes=True)
    assert not parsed


def test_the_background_stays_as_the_head_turns_and_is_looked_at_only_then() -> None:
    frames, own = own_clip()
    image, mesh = images()[0], faces.astronaut(False).mesh
    seen: list[Image] = []

    def find_person(frame: Image) -> Array32:
        seen.append(frame)
        person = np.zeros(frame.shape[:2], np.float32)
        scale = frame.shape[1] / image.shape[1]
        left, right = (scale * (mesh[:, 0].min() - 20), scale * (mesh[:, 0].max() + 20))
        person[:, int(left) : int(right)] = 1
        return person

    clip = video.collect(own, frames, no_regions)
    turn = matrix_from_rotvec(np.radians([0, 25, 0]))
    target = (mesh - mesh.mean(0)) @ turn.T + mesh.mean(0) + [15, 0, 0]
    motion = transferred(mesh_engine(), MotionOptions())
    changes = []
    for source in (clip, replace(clip, find_person=find_person)):
        for points in (mesh, target):
            motion.arrays["mesh"][:], motion.arrays["points"][:] = mesh, points
            out = render_video_frame(source, image, motion, 0)
        changes.append(np.abs(out.astype(int) - image).max(-1) > 2)
    assert len(seen) == 1
    edge = int(mesh[:, 0].max()) + 100
    assert changes[0][:, edge:].any() and not changes[1][:, edge:].any()
    face = slice(int(mesh[:, 0].min()), int(mesh[:, 0].max()))
    assert changes[1][:, face].mean() == pytest.approx(changes[0][:, face].mean(), rel=0.02)


def test_no_lid_moves_behind_dark_glasses_that_most_frames_show() -> None:
    frames, own = own_clip()
    image, mesh = images()[0], faces.astronaut(False).mesh
    target = shut_eyes(mesh)
    top, low = (int(value) for value in (mesh[np.concatenate(BROWS), 1].max(), mesh[4, 1]))
    x1, _, x2, _ = bounding_box(mesh[np.concatenate(EYES)]).astype(int)
    changes = []
    for count, covers in ((4, ("glasses", "glasses")), (2, NO_COVERS)):
        clip = video.collect(own, frames, worn_in(count))
        assert clip.covers == covers
        motion = transferred(mesh_engine(), MotionOptions())
        motion.arrays["mesh"][:], motion.arrays["points"][:] = mesh, target
        out = render_video_frame(clip, image, motion, 0)
        change = np.abs(out.astype(int) - image)[top:low, x1:x2]
        changes.append(float(change.mean()))
    assert changes[0] < 1 < 4 < changes[1]


def test_a_dark_line_below_a_frame_is_not_drawn_into_it_as_the_head_rises() -> None:
    """The chin of this face touches it, so that the row at the edge came up to the neck."""
    source = faces.astronaut(False)
    end = int(source.mesh[OVAL, 1].max()) + 3
    frames, own = own_clip()
    lined = []
    for frame in frames:
        pixels = np.array(frame.pixels, np.uint8)[:end]
        pixels[-1] //= 4
        lined.append(replace(frame, pixels=pixels))
    found = video.collect(own, lined, no_regions)
    assert found.border == (0, 3, 0, 0)
    raised = source.mesh - (0, 12, 0)
    image = np.asarray(lined[0].pixels, np.uint8)
    middle = slice(*(int(source.mesh[point, 0]) for point in (176, 400)))
    target, shown = RenderTarget(raised, np.zeros((2, 2)), np.ones(2)), []
    for made in (found, replace(found, border=NO_BORDER)):
        prepared = video.prepare_frame(image, source.mesh, raised, made, 0, moves_eyes=False)
        shown.append(render_frame(prepared, target, None))
    assert np.array_equal(shown[0][-1], image[-1])
    darkest = [out[-16:-3, middle].mean(-1).min() for out in shown]
    assert darkest[0] > 2 * darkest[1]
