"""Separation of the person from the background: strands and earrings, hair and shoulders."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array, Array32, Crop
from thcli.engines.mesh import compose
from thcli.engines.mesh.background.hair import parsed_cloth, parsed_hair
from thcli.engines.mesh.background.matte import separate_person, separate_within
from thcli.engines.mesh.background.persons import SeenPersons
from thcli.engines.mesh.background.plate import Indices, Mask
from thcli.engines.mesh.background.strands import find_strands
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions


def face_on_a_wall() -> tuple[Array, tuple[Indices, Indices], tuple[int, int], Mask]:
    """Return a mesh in a picture of 256 x 256, x and y, its sides, and where its face is."""
    mesh = faces.make_source(256, 256).mesh
    x, y = np.meshgrid(np.arange(256), np.arange(256))
    left, right = int(mesh[:, 0].min()), int(mesh[:, 0].max())
    return mesh, (x, y), (left, right), (x >= left) & (x <= right) & (abs(y - 128) < 70)


def test_strands_of_hair_belong_to_the_person_and_leave_the_plate() -> None:
    """A head on a bare wall with loose strands; the matte ends where the head does."""
    image = np.full((200, 200, 3), 0.8, np.float32)
    alpha = np.zeros((200, 200), np.float32)
    cv2.circle(image, (100, 110), 50, (0.1, 0.1, 0.1), -1)
    cv2.circle(alpha, (100, 110), 50, 1.0, -1)
    alpha = np.asarray(cv2.GaussianBlur(alpha, (5, 5), 0), np.float32)
    cv2.line(image, (140, 90), (172, 76), (0.15, 0.15, 0.15), 1)
    cv2.line(image, (20, 40), (30, 44), (0.15, 0.15, 0.15), 1)  # on the wall, not of the head
    found = find_strands(image, alpha, 100.0)
    assert found[78:86, 151:166].sum() >= 10 and found[30:50, 15:35].sum() == 0
    pale = image.copy()
    cv2.line(pale, (60, 130), (44, 156), (0.7, 0.5, 0.6), 2)  # an earring, of a colour of its own
    ring = find_strands(pale, alpha, 100.0)
    assert ring[140:158, 42:54].sum() >= 10 and not find_strands(image, alpha, 100.0)[140:158].any()
    crossed = image.copy()
    cv2.line(crossed, (0, 120), (200, 120), (0.3, 0.3, 0.3), 1)  # goes on: a line of the wall
    cv2.circle(crossed, (100, 110), 50, (0.1, 0.1, 0.1), -1)
    assert find_strands(crossed, alpha, 100.0)[118:123].sum() == 0
    striped = image.copy()
    striped[::6, :60] = striped[::6, 140:] = 0.2
    assert find_strands(striped, alpha, 100.0)[(striped == np.float32(0.2)).all(-1)].sum() == 0


def test_a_pole_beside_the_head_is_the_background_s() -> None:
    """It touches the head by an arm, and runs beside it."""
    image = np.full((200, 200, 3), 0.8, np.float32)
    alpha = np.zeros((200, 200), np.float32)
    cv2.circle(image, (120, 110), 50, (0.1, 0.1, 0.1), -1)
    cv2.circle(alpha, (120, 110), 50, 1.0, -1)
    alpha = np.asarray(cv2.GaussianBlur(alpha, (5, 5), 0), np.float32)
    cv2.line(image, (50, 110), (72, 110), (0.2, 0.2, 0.2), 2)
    cv2.line(image, (50, 70), (50, 150), (0.2, 0.2, 0.2), 2)
    assert find_strands(image, alpha, 100.0)[70:150, 40:60].sum() == 0
    cv2.line(image, (160, 90), (192, 76), (0.15, 0.15, 0.15), 1)  # a strand on the other side
    assert find_strands(image, alpha, 100.0)[78:86, 171:186].sum() >= 10


def test_hair_and_upper_neck_hang_from_the_head_and_cloth_below_it_stays() -> None:
    """A parser's crop at half the image's size: hair left, neck below, cloth of hair's colour."""
    planes = np.zeros((len(CLASSES), 100, 100), np.float32)
    planes[class_number("hair"), :80, :30] = 1
    planes[class_number("neck"), 60:, 30:] = 1
    planes[class_number("cloth"), 80:, :30] = 1
    planes[class_number("cloth"), 20:60, 80:] = 1  # a scarf around the head
    regions = Regions(Crop(np.diag([0.5, 0.5, 1.0]), (100, 100)), planes)
    angles = 2 * np.pi * np.arange(36) / 36
    oval = np.stack([100 + 30 * np.sin(angles), 90 - 50 * np.cos(angles)], 1)
    found = parsed_hair(regions, np.ones((200, 200), np.float32), oval, 1)
    assert found[80, 30] > 0.95 and found[194, 100] < 0.05  # hair, neck at the collar
    assert found[138, 100] > 0.8 and 0.2 < found[170, 100] < 0.7  # neck at the jaw, between
    assert found[190, 20] < 0.05 and found[190, 180] < 0.05  # cloth, a bare shoulder
    cloth = parsed_cloth(regions, (200, 200), oval, 1)
    assert cloth[190, 20] > 0.95 and not cloth[60:110, 185].any()
    assert cloth[80, 30] < 0.05 and cloth[170, 100] < 0.05


@pytest.mark.parametrize("part", ["hair", "l_ear"])
def test_what_the_parser_sees_of_a_head_is_the_person_s_where_the_network_doubts(part: str) -> None:
    mesh, (x, y), (left, right), face = face_on_a_wall()
    beside = (x > right) & (x < right + 30) & (abs(y - 128) < 50)  # doubtful
    apart = (x < left) & (x > left - 30) & (abs(y - 128) < 50)  # wall that the parser takes for it
    probability = np.where(face, 1.0, np.where(beside, 0.4, 0.0)).astype(np.float32)
    image = np.full((256, 256, 3), 120, np.uint8)
    image[face | beside] = (160, 150, 130)  # hardly lighter than the wall, which tells nothing

    def alpha_with(share: float) -> Array32:
        planes = np.zeros((len(CLASSES), 256, 256), np.float32)
        planes[class_number(part), beside | apart] = share
        regions = Regions(Crop(np.eye(3), (256, 256)), planes)
        separated = separate_person(image, probability, mesh, regions)
        assert separated is not None
        return np.asarray(separated[0].person[..., 3] / np.float32(255), np.float32)

    doubtful, seen = alpha_with(0.0), alpha_with(0.6)
    inside = (slice(100, 156), slice(right + 8, right + 22))
    assert doubtful[inside].mean() < 0.5 and seen[inside].mean() > 0.9
    assert seen[100:156, left - 25 : left - 15].max() < 0.05


@pytest.mark.parametrize("skin, wall", [(200, 60), (60, 200)])
def test_light_beside_a_person_is_the_person_s_before_what_is_darker(skin: int, wall: int) -> None:
    """Hair that light falls on, and what a camera sharpens along dark hair before a light wall."""
    mesh, (x, y), (_, right), face = face_on_a_wall()
    line = (x > right) & (x < right + 4) & (abs(y - 128) < 40)
    image = np.full((256, 256, 3), wall, np.uint8)
    image[face] = skin
    image[line] = 240
    separated = separate_person(image, face.astype(np.float32), mesh)
    assert separated is not None
    person = separated[0].person[100:156, right + 2 : right + 4]
    light = np.maximum(person[..., :3].max(-1).astype(int) - person[..., 3], 0)
    assert (light.max() < 8) == (wall < skin)
    assert (light.min() > 15) == (wall > skin)


def test_a_lamp_beside_the_head_stays_with_the_background() -> None:
    """It touches the head's outline, far brighter than the wall; a light strand is the person's."""
    mesh, (x, y), (_, right), face = face_on_a_wall()
    lamp = (x > right) & (x < right + 12) & (abs(y - 100) < 12)
    strand = (x > right) & (x < right + 12) & (abs(y - 150) < 2)
    image = np.full((256, 256, 3), 60, np.uint8)
    image[face] = (200, 150, 130)
    image[lamp | strand] = 210
    separated = separate_person(image, face.astype(np.float32), mesh)
    assert separated is not None
    layers = separated[0]
    inside = (slice(92, 108), slice(right + 6, right + 10))
    assert layers.plate[inside].min() > 160 and layers.person[inside].max() < 50
    assert layers.plate[149:152, right + 6 : right + 10].max() < 120


@pytest.mark.parametrize("scale", [1, 3])
def test_a_person_is_separated_in_the_part_that_shows_it(scale: int) -> None:
    """Nothing changes beyond it; at three times the size the matte has three pixels a sample."""
    mesh, _, (left, right), face = face_on_a_wall()
    side, mesh = 256 * scale, mesh * scale
    image = np.full((side, side, 3), 120, np.uint8)
    shown = cv2.resize(face.astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST) > 0
    image[shown] = (200, 150, 130)
    part = slice(40 * scale, 220 * scale), slice((left - 25) * scale, (right + 25) * scale)
    whole = SeenPersons(face.astype(np.float32))
    regions = Regions(Crop(np.eye(3), (side, side)), np.zeros((len(CLASSES), 8, 8), np.float32))
    for known in (None, regions):
        first, second = (
            separate_within(image, persons, mesh, known)
            for persons in (whole, replace(whole, part=part))
        )
        assert first is not None and second is not None
        assert first[2] == second[2] and first[1].shape == second[1].shape
        alphas = first[0].person[..., 3], second[0].person[..., 3]
        assert np.abs(alphas[0].astype(int) - alphas[1])[shown].max() < 8
        beyond = np.ones((side, side), bool)
        beyond[part] = False
        assert not second[0].person[beyond].any()
        np.testing.assert_array_equal(second[0].plate[beyond], image[beyond])
        np.testing.assert_array_equal(compose.lay_over(second[0].person, second[0].plate), image)


def test_persons_beside_tell_nothing_of_the_background() -> None:
    """A face before a bare wall with a faint line; next to it stands one in dark and pale stripes.

    With the stripes for background, all that is as strange as they are is background.
    """
    mesh, (x, y), (left, right), face = face_on_a_wall()
    image = np.full((256, 256, 3), 120, np.uint8)
    image[face] = (200, 150, 130)
    other = x < left - 30
    image[other] = np.where((x[other] // 8 % 2 == 0)[:, None], 20, 230)
    strand = (x > right) & (x < right + 10) & (abs(y - 128) < 2)
    image[strand] = 60
    alphas = []
    for beside in (None, other):
        separated = separate_person(image, face.astype(np.float32), mesh, beside=beside)
        assert separated is not None
        alphas.append(int(separated[0].person[128, right + 5, 3]))
    assert alphas[0] < 60 < 120 < alphas[1]
