"""What lies before a face is found by how the face looks in the rest of its clip, and stays in front when a crop is pasted."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.faces.conftest import weights_file
from thcli import media
from thcli.core.errors import MediaError
from thcli.core.geometry import box_of, transform
from thcli.core.options import (
    CropOptions,
    FaceOptions,
    OutputOptions,
    PasteJobOptions,
    PasteOptions,
    RunOptions,
    TemplateOptions,
)
from thcli.core.types import Array32, Face, Image
from thcli.evaluate.datasets.moving_clips import SCENES, Head, clip
from thcli.evaluate.datasets.occluders import OCCLUDERS, covered
from thcli.evaluate.datasets.test_clip import photograph
from thcli.faces.compositing.mask import hull_mask
from thcli.faces.compositing.occlusion import SAMPLES, SIDE, Memory, Sheet, Unrolled, refined
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop
from thcli.motion.canonical import neutral
from thcli.pipeline.observe.crop_track import CropPlacement
from thcli.pipeline.observe.mask_log import MaskLog
from thcli.pipeline.sources.source_image import FaceFinder
from thcli.pipeline.stages.crop_align import crop as cut_clip
from thcli.pipeline.stages.paste import paste as paste_clip

COUNT = 30
SWAY = next(scene for scene in SCENES if scene.name == "sway")
SHEET = Sheet(neutral())
Filmed = list[tuple[Image, Array32, Face]]


@pytest.fixture(scope="module")
def head() -> Head:
    weights_file("facemesh-attention")
    return Head.of(
        photograph(), FaceFinder.load(FaceOptions(), RunOptions()).find(photograph())[0], 384
    )


def filmed(head: Head, name: str) -> Filmed:
    """A swaying head with something before it: pictures, true covers, true faces."""
    plain = list(clip(head, SWAY, COUNT, 2.0, 0))
    what = next(occluder for occluder in OCCLUDERS if occluder.name == name)
    return [
        (p, c, face) for (p, c), (_, face) in zip(covered(plain, what, COUNT), plain, strict=True)
    ]


@pytest.mark.parametrize(("name", "least"), [("hand", 0.8), ("microphone", 0.8)])
def test_a_thing_before_the_face_is_found(head: Head, name: str, least: float) -> None:
    film = filmed(head, name)
    memory = Memory()
    unrolled = [SHEET.unrolled(picture, np.asarray(face.mesh)) for picture, _, face in film]
    for one in unrolled:
        memory.add(one)
    usual = memory.usual()
    assert usual is not None
    shared = either = false = free = 0
    for (picture, cover, face), one in zip(film, unrolled, strict=True):
        assert face.mesh is not None
        where = align.square(box_of(face.mesh), 192, 2.0)
        outline = hull_mask(
            transform(where.crop_from_frame, face.mesh[:, :2].astype(float)), (192, 192), 0.02
        )
        inside = cv2.erode((outline > 0.5).astype(np.uint8), np.ones((7, 7))) > 0
        likely = np.asarray(0.7 * SHEET.rolled(usual.occluded(one), face.mesh, where), np.float32)
        found = (refined(likely, crop(picture, where), outline) > 0.5) & inside
        true = (crop(cover, where, kernel="linear") > 0.5) & inside
        if true.any():
            shared, either = shared + int((found & true).sum()), either + int((found | true).sum())
        else:
            false, free = false + int(found.sum()), free + int(inside.sum())
    assert shared / either >= least
    assert false / free < 0.005


def test_unrolling_and_rolling_are_inverse(head: Head) -> None:
    face = head.face
    assert face.mesh is not None
    y, x = np.mgrid[:SIDE, :SIDE]
    spot = (np.hypot(x - 60, y - 50) < 12).astype(np.float32)
    where = align.square(box_of(face.mesh), 192, 2.0)
    drawn = SHEET.rolled(spot, face.mesh, where)
    picture = np.repeat(np.rint(255 * drawn)[..., None], 3, 2).astype(np.uint8)
    local = np.concatenate(
        [transform(where.crop_from_frame, face.mesh[:, :2].astype(float)), face.mesh[:, 2:]], 1
    )
    back = SHEET.unrolled(picture, local)
    assert back.texture.shape == (SIDE, SIDE, 3) and back.shows.dtype == bool
    both = (back.texture[..., 0] > 127) & (spot > 0)
    assert both.sum() > 0.8 * ((back.texture[..., 0] > 127) | (spot > 0)).sum()


def test_the_memory_is_small_and_even() -> None:
    memory = Memory()
    for number in range(7):
        memory.add(
            Unrolled(np.full((SIDE, SIDE, 3), number, np.uint8), np.ones((SIDE, SIDE), bool))
        )
    assert memory.usual() is None  # too few to tell
    for number in range(7, 1000):
        memory.add(
            Unrolled(np.full((SIDE, SIDE, 3), number % 251, np.uint8), np.ones((SIDE, SIDE), bool))
        )
    assert SAMPLES // 2 <= len(memory._kept) <= SAMPLES


def test_colours_that_tell_nothing_change_nothing() -> None:
    grey = np.full((64, 64, 3), 120, np.uint8)
    nothing = np.zeros((64, 64), np.float32)
    assert (refined(nothing, grey, nothing + 1) == 0).all()
    assert (refined(nothing + 1, grey, nothing) == 0).all()  # no face to look at


def folder_of(path: Path, pictures: list[Any], size: tuple[int, int]) -> Path:
    """A lossless clip."""
    lossless = OutputOptions(codec="ffv1", audio="none")
    with media.write(
        path,
        size,
        None,
        lossless,
        time_base=Fraction(1, 25),
        rate=Fraction(25),
        frames=len(pictures),
    ) as out:
        for number, picture in enumerate(pictures):
            out.write(picture, number, 1)
    return path


def read_all(path: Path) -> list[Any]:
    with media.read(path) as frames:
        return [frame.pixels for frame in frames]


def test_a_pasted_crop_stays_behind_the_hand(head: Head, tmp_path: Path) -> None:
    """From file to file: the face becomes blue, the hand before it and the hair above it do not."""
    film = filmed(head, "hand")
    lossless = OutputOptions(codec="ffv1", audio="none")
    source = folder_of(tmp_path / "film.mkv", [picture for picture, _, _ in film], (384, 384))
    cropped = tmp_path / "crop.mkv"
    cut_clip(source, cropped, CropOptions(template=TemplateOptions(size=256), output=lossless))
    blue = [
        np.clip(p * [0.6, 0.8, 1.0] + [0, 20, 60], 0, 255).astype(np.uint8)
        for p in read_all(cropped)
    ]
    changed = folder_of(tmp_path / "changed.mkv", blue, (256, 256))
    places = tmp_path / "crop.crops.safetensors"
    options = PasteJobOptions(
        crops=places,
        mask="parse",
        parser="mesh-parse",
        paste=PasteOptions(colour_match=False),
        output=lossless,
    )
    out = tmp_path / "out.mkv"
    report = paste_clip(changed, source, out, options)
    assert report.frames == len(film)
    hand, face_seen = [], []
    for (before, cover, face), after in zip(film, read_all(out), strict=True):
        assert face.mesh is not None
        turned_blue = (after[..., 2].astype(int) - before[..., 2]) - (
            after[..., 0].astype(int) - before[..., 0]
        ) > 30
        hull = cv2.convexHull(
            ((face.mesh[:, :2] - face.mesh[:, :2].mean(0)) * 0.7 + face.mesh[:, :2].mean(0)).astype(
                np.int32
            )
        )
        middle = cv2.fillConvexPoly(np.zeros((384, 384), np.uint8), hull, 1) > 0
        if (cover[middle] > 0.9).sum() > 500:
            hand.append(turned_blue[middle & (cover > 0.9)].mean())
        face_seen.append(turned_blue[middle & (cover == 0)].mean())
    assert hand and np.mean(hand) < 0.15
    assert np.mean(face_seen) > 0.8


def test_crops_of_an_older_version_are_named() -> None:
    class Blind:
        crop_size = 64
        template = "square"

        def parse(self, crops: object, faces: object) -> Any:
            raise AssertionError

    frame: Any = None
    place = CropPlacement(
        align.square([0, 0, 9, 9], 32), Fraction(0), 0, np.zeros((36, 2), np.float32)
    )
    with MaskLog(Blind(), 0.1) as log, pytest.raises(MediaError, match="older version"):  # type: ignore[arg-type]  # never asked
        log.add(frame, place)
