"""Occlusion of a face by comparison with its clip, and occlusions in front of a pasted crop."""

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
from thcli.core.geometry import bounding_box, transform_points
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
from thcli.evaluate.datasets.moving_clips import SCENES, AnimatedHead, render_clip
from thcli.evaluate.datasets.occluders import OCCLUDERS, occlude
from thcli.evaluate.datasets.sample_clip import photograph
from thcli.faces.compositing.mask import hull_mask
from thcli.faces.compositing.occlusion import SAMPLES, TextureSamples
from thcli.faces.compositing.occlusion_edges import refine_mask
from thcli.faces.compositing.uv_map import UV_SIDE, FaceTexture, UvMap
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop
from thcli.motion.canonical import neutral
from thcli.pipeline.observe.crop_track import TrackedCrop
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.mask_log import MaskLog
from thcli.pipeline.stages.crop_align import crop as cut_clip
from thcli.pipeline.stages.paste import paste as paste_clip

COUNT = 30
SWAY = next(scene for scene in SCENES if scene.name == "sway")
UV_MAP = UvMap(neutral())
Occluded = list[tuple[Image, Array32, Face]]


@pytest.fixture(scope="module")
def head() -> AnimatedHead:
    weights_file("facemesh-attention")
    return AnimatedHead.of(
        photograph(), FaceFinder.load(FaceOptions(), RunOptions()).find(photograph())[0], 384
    )


def render_occluded(head: AnimatedHead, name: str) -> Occluded:
    """Render a swaying head with an occluder: images, true occlusion masks, true faces."""
    plain = list(render_clip(head, SWAY, COUNT, 2.0, 0))
    occluder = next(row for row in OCCLUDERS if row.name == name)
    return [
        (p, c, face)
        for (p, c), (_, face) in zip(occlude(plain, occluder, COUNT), plain, strict=True)
    ]


@pytest.mark.parametrize(("name", "least"), [("hand", 0.8), ("microphone", 0.8)])
def test_an_occluder_is_found(head: AnimatedHead, name: str, least: float) -> None:
    clip = render_occluded(head, name)
    samples = TextureSamples()
    textures = [UV_MAP.unwrap(image, np.asarray(face.mesh)) for image, _, face in clip]
    for texture in textures:
        samples.add(texture)
    model = samples.appearance_model()
    assert model is not None
    shared = either = false = free = 0
    for (image, cover, face), texture in zip(clip, textures, strict=True):
        assert face.mesh is not None
        placement = align.square(bounding_box(face.mesh), 192, 2.0)
        outline = hull_mask(
            transform_points(placement.crop_from_frame, face.mesh[:, :2].astype(float)),
            (192, 192),
            0.02,
        )
        inside = cv2.erode((outline > 0.5).astype(np.uint8), np.ones((7, 7))) > 0
        probability = 0.7 * UV_MAP.project(
            model.occlusion_probability(texture), face.mesh, placement
        )
        mask = refine_mask(np.asarray(probability, np.float32), crop(image, placement), outline)
        found = (mask > 0.5) & inside
        true = (crop(cover, placement, kernel="linear") > 0.5) & inside
        if true.any():
            shared, either = shared + int((found & true).sum()), either + int((found | true).sum())
        else:
            false, free = false + int(found.sum()), free + int(inside.sum())
    assert shared / either >= least
    assert false / free < 0.005


def test_unwrap_and_project_are_inverse(head: AnimatedHead) -> None:
    face = head.face
    assert face.mesh is not None
    y, x = np.mgrid[:UV_SIDE, :UV_SIDE]
    spot = (np.hypot(x - 60, y - 50) < 12).astype(np.float32)
    placement = align.square(bounding_box(face.mesh), 192, 2.0)
    drawn = UV_MAP.project(spot, face.mesh, placement)
    image = np.repeat(np.rint(255 * drawn)[..., None], 3, 2).astype(np.uint8)
    local = np.concatenate(
        [
            transform_points(placement.crop_from_frame, face.mesh[:, :2].astype(float)),
            face.mesh[:, 2:],
        ],
        1,
    )
    back = UV_MAP.unwrap(image, local)
    assert back.texture.shape == (UV_SIDE, UV_SIDE, 3) and back.visible.dtype == bool
    both = (back.texture[..., 0] > 127) & (spot > 0)
    assert both.sum() > 0.8 * ((back.texture[..., 0] > 127) | (spot > 0)).sum()


def test_the_samples_are_few_and_evenly_spaced() -> None:
    samples = TextureSamples()
    for number in range(7):
        samples.add(
            FaceTexture(
                np.full((UV_SIDE, UV_SIDE, 3), number, np.uint8), np.ones((UV_SIDE, UV_SIDE), bool)
            )
        )
    assert samples.appearance_model() is None  # too few
    for number in range(7, 1000):
        samples.add(
            FaceTexture(
                np.full((UV_SIDE, UV_SIDE, 3), number % 251, np.uint8),
                np.ones((UV_SIDE, UV_SIDE), bool),
            )
        )
    assert SAMPLES // 2 <= len(samples._kept) <= SAMPLES


def test_uniform_colours_change_nothing() -> None:
    grey = np.full((64, 64, 3), 120, np.uint8)
    nothing = np.zeros((64, 64), np.float32)
    assert (refine_mask(nothing, grey, nothing + 1) == 0).all()
    assert (refine_mask(nothing + 1, grey, nothing) == 0).all()  # no face


def write_clip(path: Path, images: list[Any], size: tuple[int, int]) -> Path:
    """Write a lossless clip."""
    lossless = OutputOptions(codec="ffv1", audio="none")
    with media.write(
        path,
        size,
        None,
        lossless,
        media.WritePlan(time_base=Fraction(1, 25), rate=Fraction(25), frames=len(images)),
    ) as out:
        for number, image in enumerate(images):
            out.write(image, number, 1)
    return path


def read_all(path: Path) -> list[Any]:
    with media.read(path) as frames:
        return [frame.pixels for frame in frames]


def test_a_pasted_crop_is_behind_the_hand(head: AnimatedHead, tmp_path: Path) -> None:
    """From file to file: the face becomes blue, the hand in front of it does not."""
    clip = render_occluded(head, "hand")
    lossless = OutputOptions(codec="ffv1", audio="none")
    source = write_clip(tmp_path / "clip.mkv", [image for image, _, _ in clip], (384, 384))
    cropped = tmp_path / "crop.mkv"
    cut_clip(source, cropped, CropOptions(template=TemplateOptions(size=256), output=lossless))
    blue = [
        np.clip(p * [0.6, 0.8, 1.0] + [0, 20, 60], 0, 255).astype(np.uint8)
        for p in read_all(cropped)
    ]
    changed = write_clip(tmp_path / "changed.mkv", blue, (256, 256))
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
    assert report.frames == len(clip)
    hand, face_seen = [], []
    for (before, cover, face), after in zip(clip, read_all(out), strict=True):
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


def test_crops_of_an_older_version_are_refused() -> None:
    class FailingParser:
        crop_size = 64
        template = "square"

        def parse(self, crops: object, faces: object) -> Any:
            raise AssertionError

    frame: Any = None
    place = TrackedCrop(
        align.square([0, 0, 9, 9], 32), Fraction(0), 0, np.zeros((36, 2), np.float32)
    )
    parser: Any = FailingParser()
    with MaskLog(parser, 0.1) as log, pytest.raises(MediaError, match="older version"):
        log.add(frame, place)
