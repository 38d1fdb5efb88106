"""Stream of `thcli parse`: batches, smoothing, resume, several faces; rendered regions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import cv2
import numpy as np
import pytest

from tests.faces.parsing.synthetic_person import SIDE, face_of, person_mesh, render_person
from thcli.core.events import silent
from thcli.core.options import RunOptions, Template
from thcli.core.types import Array32, Face, Frame, Image
from thcli.faces.parsing import CLASSES
from thcli.faces.parsing.crops import Regions, full_frame_crop
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.region_overlay import ALL_CLASSES, RegionRenderer, RegionShares
from thcli.pipeline.observe.region_stream import FrameFaces, parse_frames, render_regions

RUN = RunOptions(threads=2, batch_size=3)
COUNT = 14
MESH = person_mesh()
IMAGE = render_person(MESH)[0]


class NoisyParser:
    """A parser of skin by colour with new noise in every image.

    batches: number of crops of each call.
    """

    crop_size = 64
    template: Template = "ffhq"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def parse(self, crops: Sequence[Image], faces: Sequence[Face]) -> Array32:
        self.batches.append(len(crops))
        out = np.zeros((len(crops), len(CLASSES), 64, 64), np.float32)
        for row, crop in zip(out, crops, strict=True):
            seed = int(crop.astype(np.int64).sum())
            noise = np.random.default_rng(seed).normal(0, 0.1, (64, 64)).astype(np.float32)
            row[1] = np.clip(
                (crop[..., 0] > 150) * 0.8 + 0.1 + cv2.GaussianBlur(noise, (0, 0), 2), 0, 1
            )
            row[0] = 1 - row[1]
        return out


def frames(missing: Sequence[int] = (), faces: int = 1) -> Iterator[FrameFaces]:
    """Yield COUNT frames of a moving face, undetected in the frames `missing`."""
    for i in range(COUNT):
        pixels = IMAGE.copy()
        pixels[0, 0] = i  # all images differ
        frame = Frame(np.roll(pixels, i // 2, 1), i, Fraction(1, 25), i, 1)
        mesh = MESH + np.array([i // 2, 0, 0], np.float32)
        face = None if i in missing else face_of(mesh)
        yield FrameFaces(frame, f"{i:06d}", (face,) * faces, (None,) * faces, 0 if i < 10 else 1)


def run(
    reach: int = 3, first: int = 0, batch: int = 3, missing: Sequence[int] = ()
) -> list[tuple[int, Image]]:
    """Return (index, mask) of every frame from number `first` on."""
    renderer = RegionRenderer("mask", ALL_CLASSES - {0}, 0.5)
    with Job("parse", silent) as job:
        stream = parse_frames(frames(missing), NoisyParser(), batch, first - reach, job)
        rendered = list(render_regions(stream, renderer, reach, first, RUN, job))
    return [(item.frame_faces.frame.index, item.image) for item in rendered]


@pytest.mark.parametrize("reach", [0, 3])
def test_batches_and_a_resume_do_not_change_the_pixels(reach: int) -> None:
    every = run(reach)
    assert [index for index, _ in every] == list(range(COUNT))
    for other in (run(reach, batch=1), run(reach, batch=50)):
        for (_, a), (_, b) in zip(every, other, strict=True):
            np.testing.assert_array_equal(a, b)
    late = run(reach, first=7)
    assert [index for index, _ in late] == list(range(7, COUNT))
    for (_, a), (_, b) in zip(every[7:], late, strict=True):
        np.testing.assert_array_equal(a, b)


def test_smoothing_reduces_flicker() -> None:
    raw, smoothed = (
        np.stack([m for _, m in run(reach)]).astype(float)[:4, 60:200, 60:200] for reach in (0, 3)
    )
    assert (
        np.abs(np.diff(smoothed[::2], axis=0)).mean()
        < 0.6 * np.abs(np.diff(raw[::2], axis=0)).mean()
    )


def test_frames_without_the_face_are_empty_and_keep_their_position() -> None:
    found = run(missing=(0, 5, 6, 13))
    assert [index for index, mask in found if not mask.any()] == [0, 5, 6, 13]


def test_several_faces_are_parsed_together() -> None:
    parser = NoisyParser()
    with Job("parse", silent) as job:
        items = list(parse_frames(frames(faces=2, missing=(3,)), parser, 4, 0, job))
    assert parser.batches == [6, 8, 8, 4]
    assert [sum(p.regions is not None for p in item.parsed) for item in items] == [
        0 if i == 3 else 2 for i in range(COUNT)
    ]


def square(at: int, region: int, level: float) -> Regions:
    """Return a square of one region, 40 pixels wide, from column `at` on."""
    planes = np.zeros((19, SIDE, SIDE), np.float32)
    planes[region, 100:140, at : at + 40] = level
    planes[0] = 1 - planes[region]
    return Regions(full_frame_crop((SIDE, SIDE)), planes)


def test_the_higher_probability_wins_where_faces_overlap() -> None:
    image = np.full((SIDE, SIDE, 3), 100, np.uint8)
    found = [square(50, 1, 0.9), square(70, 13, 0.7)]
    for order in (found, found[::-1]):
        labels = RegionRenderer("labels", ALL_CLASSES, 1).render(image, order)
        assert (labels[120, 60], labels[120, 80], labels[120, 100], labels[20, 20]) == (1, 1, 13, 0)
        mask = RegionRenderer("mask", frozenset({1, 13}), 1).render(image, order)
        assert (mask[120, 80], mask[120, 100], mask[20, 20]) == (230, 178, 0)
        behind = RegionRenderer("mask", frozenset({0}), 1).render(image, order)
        assert (behind[120, 80], behind[120, 100], behind[20, 20]) == (26, 76, 255)
    only = RegionRenderer("labels", frozenset({13}), 1).render(image, found)
    assert set(np.unique(only)) == {0, 13}


def test_an_overlay_blends_colours_inside_of_regions_only() -> None:
    image = np.full((SIDE, SIDE, 3), 100, np.uint8)
    overlay = RegionRenderer("overlay", ALL_CLASSES, 0.5).render(image, [square(50, 13, 1.0)])
    np.testing.assert_array_equal(
        overlay[120, 60], [125, 95, 150]
    )  # half of the hair's (150, 90, 200)
    np.testing.assert_array_equal(overlay[20], image[20])
    np.testing.assert_array_equal(
        RegionRenderer("overlay", ALL_CLASSES, 0.5).render(image, []), image
    )
    assert (
        RegionRenderer("overlay", frozenset({1}), 0.5).render(image, [square(50, 13, 1.0)]) == image
    ).all()


def test_every_face_has_the_same_weight_in_the_shares() -> None:
    shares = RegionShares()
    shares.add([square(50, 1, 1.0)])
    shares.add([square(50, 13, 1.0), square(60, 13, 1.0)])
    found = shares.report()
    assert (found["skin"], found["hair"]) == (0.3333, 0.6667)
    assert "background" not in found
    assert RegionShares().report()["skin"] == 0


@pytest.mark.parametrize("batch", [1, 3, 50])
def test_every_second_frame_is_parsed(batch: int) -> None:
    """Whatever the batches; the first frame after a gap or a cut is parsed."""
    parser = NoisyParser()
    with Job("edit", silent) as job:
        stream = parse_frames(frames(missing=(5,)), parser, batch, 0, job, alternate=True)
        kinds = "".join(
            "P" if one.regions is not None else "c" if one.visible else "-"
            for item in stream
            for one in item.parsed
        )
        assert not job.failed_frames
    assert kinds == "PcPcP-PcPcPcPc"
    assert sum(parser.batches) == kinds.count("P")


def test_the_frame_after_a_failed_one_is_parsed() -> None:
    class Failing(NoisyParser):
        def parse(self, crops: Sequence[Image], faces: Sequence[Face]) -> Array32:
            out = super().parse(crops, faces)
            if len(self.batches) == 2:
                out[:] = np.nan
            return out

    with Job("edit", silent) as job:
        found = list(parse_frames(frames(), Failing(), 1, 0, job, alternate=True))
        assert job.failed_frames == {2}
    parsed = [one for item in found for one in item.parsed]
    assert [one.regions is not None for one in parsed[:5]] == [True, False, False, True, True]
    assert [one.visible for one in parsed[:5]] == [True, True, False, True, True]


def test_the_first_frame_of_a_resumed_part_is_parsed() -> None:
    with Job("edit", silent) as job:
        found = parse_frames(frames(), NoisyParser(), 4, 3, job, alternate=True)
        parsed = [one.regions is not None for item in found for one in item.parsed]
    assert parsed[:6] == [False, False, False, True, False, True]
