"""The stream of `thcli parse`: batches, calming, resumed parts and several faces, with a parser that is a drawing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import cv2
import numpy as np
import pytest

from tests.faces.parsing.drawn_faces import SIDE, drawn, drawn_mesh, face_of
from thcli.core.events import silent
from thcli.core.options import RunOptions, Template
from thcli.core.types import Array32, Face, Frame, Image
from thcli.faces.parsing import CLASSES
from thcli.faces.parsing.crops import Regions, whole
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.region_overlay import ALL, Artist, Shares
from thcli.pipeline.observe.region_stream import Seen, divided, painted

RUN = RunOptions(threads=2, batch_size=3)
COUNT = 14
MESH = drawn_mesh()
PICTURE = drawn(MESH)[0]


class Wavering:
    """Skin by its colour, with doubt that is new in every picture; counts how large its batches were."""

    crop_size = 64
    template: Template = "ffhq"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def parse(self, crops: Sequence[Image], faces: Sequence[Face]) -> Array32:
        self.batches.append(len(crops))
        out = np.zeros((len(crops), len(CLASSES), 64, 64), np.float32)
        for row, crop in zip(out, crops, strict=True):
            seed = int(crop.astype(np.int64).sum())
            doubt = np.random.default_rng(seed).normal(0, 0.1, (64, 64)).astype(np.float32)
            row[1] = np.clip(
                (crop[..., 0] > 150) * 0.8 + 0.1 + cv2.GaussianBlur(doubt, (0, 0), 2), 0, 1
            )
            row[0] = 1 - row[1]
        return out


def frames(missing: Sequence[int] = (), faces: int = 1) -> Iterator[Seen]:
    for i in range(COUNT):
        pixels = PICTURE.copy()
        pixels[0, 0] = i  # so that no two are the same
        frame = Frame(np.roll(pixels, i // 2, 1), i, Fraction(1, 25), i, 1)
        mesh = MESH + np.array([i // 2, 0, 0], np.float32)
        face = None if i in missing else face_of(mesh)
        yield Seen(frame, f"{i:06d}", (face,) * faces, (None,) * faces, 0 if i < 10 else 1)


def run(reach: int = 3, first: int = 0, batch: int = 3, **world: object) -> list[tuple[int, Image]]:
    artist = Artist("mask", ALL - {0}, 0.5)
    with Job("parse", silent) as job:
        stream = divided(frames(**world), Wavering(), batch, first - reach, job)  # type: ignore[arg-type]  # passed on
        return [
            (seen.frame.index, drawn)
            for seen, _, drawn in painted(stream, artist, reach, first, RUN, job)
        ]


@pytest.mark.parametrize("reach", [0, 3])
def test_neither_batches_nor_a_resumed_beginning_change_a_pixel(reach: int) -> None:
    every = run(reach)
    assert [index for index, _ in every] == list(range(COUNT))
    for other in (run(reach, batch=1), run(reach, batch=50)):
        for (_, a), (_, b) in zip(every, other, strict=True):
            np.testing.assert_array_equal(a, b)
    late = run(reach, first=7)
    assert [index for index, _ in late] == list(range(7, COUNT))
    for (_, a), (_, b) in zip(every[7:], late, strict=True):
        np.testing.assert_array_equal(a, b)


def test_calming_calms() -> None:
    raw, calm = (
        np.stack([m for _, m in run(reach)]).astype(float)[:4, 60:200, 60:200] for reach in (0, 3)
    )
    assert (
        np.abs(np.diff(calm[::2], axis=0)).mean() < 0.6 * np.abs(np.diff(raw[::2], axis=0)).mean()
    )


def test_frames_without_the_face_are_empty_and_keep_their_place() -> None:
    found = run(missing=(0, 5, 6, 13))
    assert [index for index, mask in found if not mask.any()] == [0, 5, 6, 13]


def test_several_faces_are_parsed_together() -> None:
    parser = Wavering()
    with Job("parse", silent) as job:
        items = list(divided(frames(faces=2, missing=(3,)), parser, 4, 0, job))
    assert parser.batches == [6, 8, 8, 4]
    assert [sum(p.regions is not None for p in item.parsed) for item in items] == [
        0 if i == 3 else 2 for i in range(COUNT)
    ]


def two(at: int, region: int, level: float) -> Regions:
    """A square of one region, 40 pixels wide, from column `at` on."""
    planes = np.zeros((19, SIDE, SIDE), np.float32)
    planes[region, 100:140, at : at + 40] = level
    planes[0] = 1 - planes[region]
    return Regions(whole((SIDE, SIDE)), planes)


def test_where_two_faces_claim_a_pixel_the_surer_one_has_it() -> None:
    picture = np.full((SIDE, SIDE, 3), 100, np.uint8)
    found = [two(50, 1, 0.9), two(70, 13, 0.7)]
    for order in (found, found[::-1]):
        labels = Artist("labels", ALL, 1).draw(picture, order)
        assert (labels[120, 60], labels[120, 80], labels[120, 100], labels[20, 20]) == (1, 1, 13, 0)
        mask = Artist("mask", frozenset({1, 13}), 1).draw(picture, order)
        assert (mask[120, 80], mask[120, 100], mask[20, 20]) == (230, 178, 0)
        behind = Artist("mask", frozenset({0}), 1).draw(picture, order)
        assert (behind[120, 80], behind[120, 100], behind[20, 20]) == (26, 76, 255)
    only = Artist("labels", frozenset({13}), 1).draw(picture, found)
    assert set(np.unique(only)) == {0, 13}


def test_an_overlay_mixes_colours_and_leaves_the_rest() -> None:
    picture = np.full((SIDE, SIDE, 3), 100, np.uint8)
    art = Artist("overlay", ALL, 0.5).draw(picture, [two(50, 13, 1.0)])
    np.testing.assert_array_equal(art[120, 60], [125, 95, 150])  # half of the hair's (150, 90, 200)
    np.testing.assert_array_equal(art[20], picture[20])
    np.testing.assert_array_equal(Artist("overlay", ALL, 0.5).draw(picture, []), picture)
    assert (
        Artist("overlay", frozenset({1}), 0.5).draw(picture, [two(50, 13, 1.0)]) == picture
    ).all()


def test_shares_are_of_the_faces_not_of_the_frames() -> None:
    shares = Shares()
    shares.add([two(50, 1, 1.0)])
    shares.add([two(50, 13, 1.0), two(60, 13, 1.0)])
    found = shares.report()
    assert (found["skin"], found["hair"]) == (0.3333, 0.6667)
    assert "background" not in found
    assert Shares().report()["skin"] == 0
