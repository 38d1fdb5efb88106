"""Tests of frames that repeat the one before, in which an edited face rests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from thcli import media
from thcli.core.events import silent
from thcli.core.options import EditOptions
from thcli.core.types import Face, Image
from thcli.evaluate.datasets.sample_clip import photograph
from thcli.evaluate.reports.contact_sheet import save_image
from thcli.pipeline.edit import locate_faces, observe_faces
from thcli.pipeline.editing.factory import plan_steps
from thcli.pipeline.editing.repeated_frames import RepeatedFrames
from thcli.pipeline.editing.request import parse_request
from thcli.pipeline.job.job import Job

FACE = Face(np.array([20, 20, 80, 90], np.float32), 1.0)


def noisy(seed: int) -> Image:
    return np.random.default_rng(seed).integers(0, 255, (100, 100, 3)).astype(np.uint8)


def test_a_frame_repeats_what_its_face_shows() -> None:
    first = noisy(1)
    beside, dim = first.copy(), first.copy()
    beside[:15] = 0  # beside the face
    dim[30:60, 30:60] //= 2
    found = RepeatedFrames()
    for pixels, face, scene in (
        (first, FACE, 0),
        (beside, FACE, 0),
        (dim, FACE, 0),
        (dim, FACE, 1),
        (dim, None, 1),
        (dim, FACE, 1),
        (dim, FACE, 1),
    ):
        found.add(pixels, face, scene)
    assert list(found) == [False, True, False, False, False, False, True]
    assert list(found) == list(found)  # may be read again


def test_codecs_and_deep_pixels_repeat_too() -> None:
    first = noisy(2).astype(np.uint16) * 257
    found = RepeatedFrames()
    for pixels in (first, first + np.uint16(30), first + np.uint16(600)):
        found.add(pixels, FACE, 0)
    assert list(found) == [False, True, False]


@pytest.mark.usefixtures("fakes")
def test_a_face_rests_in_repeated_frames(tmp_path: Path) -> None:
    """Filters in time would move it on between two jerks."""
    image = photograph()
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(8):
        shift = np.array([[1, 0, 6.0 * (i // 2)], [0, 1, 0]])
        moved = cv2.warpAffine(image, shift, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
        save_image(folder / f"{i}.png", np.asarray(moved, np.uint8))
    options = EditOptions(attr=["blush"], engine="blusher")
    with Job("edit", silent) as job:
        info = media.probe(folder)
        steps = plan_steps(parse_request(options), options, silent)
        faces = observe_faces(info, steps, options, job)
        rows = [
            one for _, (own,) in locate_faces(faces, info, 0, options, job) for one in own if one
        ]
    assert [row.index for row in rows] == [row.number for row in rows] == list(range(8))
    meshes = np.array([row.face.mesh for row in rows])
    assert (meshes[1::2] == meshes[::2]).all()
    assert (np.abs(np.diff(meshes[::2, 4, 0])) > 3).all()
    assert np.unique([float(row.parser_crop.seconds) for row in rows]).size == 8
