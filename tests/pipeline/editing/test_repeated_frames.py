"""Tests of frames that repeat an earlier one, in which an edited face rests."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import cv2
import numpy as np
import pytest

from thcli import media
from thcli.core.events import silent
from thcli.core.options import EditOptions, RunOptions
from thcli.core.types import Face, Image
from thcli.editors.shared.face_mesh import mesh_of
from thcli.evaluate.datasets.sample_clip import photograph
from thcli.evaluate.reports.contact_sheet import save_image
from thcli.pipeline.edit import locate_faces, observe_faces
from thcli.pipeline.editing.face_in_frame import FaceInFrame
from thcli.pipeline.editing.factory import plan_steps
from thcli.pipeline.editing.repeated_frames import RepeatedFrames
from thcli.pipeline.editing.request import parse_request
from thcli.pipeline.job.job import Job

FACE = Face(np.array([20, 20, 80, 90], np.float32), 1.0)


PHOTOGRAPHED = Face(np.array([180, 70, 276, 185], np.float32), 1.0)


def noisy(seed: int) -> Image:
    return np.random.default_rng(seed).integers(0, 255, (100, 100, 3)).astype(np.uint8)


def shifted(image: Image, pixels: float) -> Image:
    """Return the picture moved to the right."""
    shift = np.array([[1, 0, pixels], [0, 1, 0]])
    return np.asarray(
        cv2.warpAffine(image, shift, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT), np.uint8
    )


def held_frames(found: RepeatedFrames) -> list[int]:
    """Return for each frame the one in whose place its face rests."""
    return list(accumulate((0 if same else i for i, same in enumerate(found)), max))


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


@pytest.mark.parametrize("brightness", [1.0, 0.5, 0.2])
def test_a_slow_pan_does_not_add_up(brightness: float) -> None:
    """A face is never held where it is more than a fraction of a pixel away."""
    large = cv2.resize(photograph(), (1024, 1024), interpolation=cv2.INTER_CUBIC)
    image = np.asarray(large, np.uint8)
    face = Face(PHOTOGRAPHED.box * 2, 1.0)
    found = RepeatedFrames()
    for i in range(60):
        moved = shifted(image, i / 32).astype(np.float64) * brightness
        found.add(np.rint(moved).astype(np.uint8), face, 0)
    assert (np.arange(60) - held_frames(found)).max() / 32 <= 0.13
    assert len(set(held_frames(found))) > 10


@pytest.mark.parametrize("brightness", [1.0, 0.4, 0.2])
def test_a_dark_picture_repeats_and_moves_as_a_bright_one(brightness: float) -> None:
    image = photograph()
    coded = image + np.random.default_rng(3).normal(0, 0.2, image.shape)
    found = RepeatedFrames()
    for pixels in (image, coded, shifted(image, 0.1), move_lips(image), move_lips(image)):
        dim = np.rint(np.clip(np.asarray(pixels, np.float64), 0, 255) * brightness).astype(np.uint8)
        found.add(dim, PHOTOGRAPHED, 0)
    assert list(found) == [False, True, False, False, True]


def test_a_corner_of_the_lips_that_moves_is_no_repeat() -> None:
    """In the mean of the whole face it drowns."""
    image = photograph()
    x0, y0, x1, y1 = PHOTOGRAPHED.box.astype(int)
    change = np.abs(move_lips(image).astype(int) - image)[y0:y1, x0:x1].mean()
    assert change < 0.25 and change < 0.005 * image[y0:y1, x0:x1].mean(-1).std()
    found = RepeatedFrames()
    for pixels in (image, move_lips(image)):
        found.add(pixels, PHOTOGRAPHED, 0)
    assert list(found) == [False, False]


def move_lips(image: Image) -> Image:
    """Return the photograph with the left corner of its lips one pixel higher."""
    out = image.copy()
    out[140:148, 234:244] = image[141:149, 234:244]
    return out


@pytest.mark.usefixtures("fakes")
def test_a_face_rests_in_repeated_frames(tmp_path: Path) -> None:
    """Filters in time would move it on between two jerks."""
    rows = located(write_frames(tmp_path / "frames", [6.0 * (i // 2) for i in range(8)]))
    assert [row.index for row in rows] == [row.number for row in rows] == list(range(8))
    meshes = np.array([row.face.mesh for row in rows])
    assert (meshes[1::2] == meshes[::2]).all()
    assert (np.abs(np.diff(meshes[::2, 4, 0])) > 3).all()
    assert np.unique([float(row.parser_crop.seconds) for row in rows]).size == 8


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize(("batch", "threads", "done"), [(3, 2, 0), (1, 1, 5)])
def test_a_face_rests_alike_in_any_batch_and_when_resumed(
    batch: int, threads: int, done: int, tmp_path: Path
) -> None:
    """A part that begins within a run, as with `--resume`, holds what its first frame does."""
    folder = write_frames(tmp_path / "frames", [0.0, 6.0, 6.0, 6.0, 6.0, 6.0, 12.0, 12.0])
    whole = located(folder)[done:]
    part = located(folder, RunOptions(batch_size=batch, threads=threads), done)
    assert len(part) == len(whole) == 8 - done
    for one, other in zip(part, whole, strict=True):
        assert (one.index, one.number) == (other.index, other.number)
        assert np.array_equal(mesh_of(one.face), mesh_of(other.face))
        assert np.array_equal(
            one.placements[0].crop_from_frame, other.placements[0].crop_from_frame
        )
        assert np.array_equal(one.regions.probabilities, other.regions.probabilities)


def write_frames(folder: Path, shifts: Sequence[float]) -> Path:
    """Write the photograph, moved to the right by some pixels in each frame."""
    folder.mkdir()
    for i, shift in enumerate(shifts):
        save_image(folder / f"{i}.png", shifted(photograph(), shift))
    return folder


def located(folder: Path, run: RunOptions | None = None, done: int = 0) -> list[FaceInFrame]:
    """Return the edited face in every frame from number `done` on."""
    options = EditOptions(attr=["blush"], engine="blusher", run=run or RunOptions())
    with Job("edit", silent) as job:
        info = media.probe(folder)
        steps = plan_steps(parse_request(options), options, silent)
        faces = observe_faces(info, steps, options, job)
        batches = locate_faces(faces, info, done, options, job)
        return [one for _, (own,) in batches for one in own if one]
