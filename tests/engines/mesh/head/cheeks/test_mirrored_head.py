"""Head to be mirrored: the rim of a thing before the cheek is covered, a highlight is not."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array32, Crop, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.head.cheeks import mirrored_head
from thcli.faces.landmarks.topology import OVAL
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions

SIDE = 256
SKIN, SHADE, WHITE = (200, 150, 130), (120, 80, 65), (250, 252, 250)


def keep(
    disc: int, colour: tuple[int, int, int], *, held: bool
) -> tuple[Image, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Keep the head of a face with a disc at its cheek.

    Args:
        disc: radius in pixels.
        colour: of the disc.
        held: it is a thing whose inner half alone the parser takes for skin, else a spot on skin.

    Returns:
        The person (H, W, 4) that is kept, the disc and the face (H, W).
    """
    mesh = faces.make_source(SIDE, SIDE).mesh
    face = faces.polygon_mask(mesh[OVAL, :2], SIDE, SIDE)
    edge, y = float(mesh[OVAL, 0].max()), int(mesh[4, 1])
    centre = round(edge) + (disc // 2 if held else -disc - 3), y
    round_spot = np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(round_spot, centre, disc, (1,), -1)
    spot = round_spot > 0
    rows, columns = np.mgrid[:SIDE, :SIDE]
    level = rows / SIDE + columns / SIDE
    image = (np.multiply(SKIN, 0.8) + 20 * level[..., None]).astype(np.uint8)
    image[spot] = colour
    rim = spot & (columns < edge + 3)
    skin = (face & ~spot) | rim
    person = np.dstack([image, np.where(face | spot, 255, 0).astype(np.uint8)])
    person[~(face | spot)] = 0
    planes: Array32 = np.zeros((len(CLASSES), SIDE, SIDE), np.float32)
    planes[class_number("skin")], planes[0] = skin, ~skin
    regions = Regions(Crop(np.eye(3), (SIDE, SIDE)), planes)
    mirrored_head.keep_head(person, mesh, regions)
    return person, spot, face


def test_the_rim_of_a_thing_before_the_cheek_is_covered_with_skin_and_ends_with_the_face() -> None:
    person, spot, face = keep(24, WHITE, held=True)
    shown = person[..., 3] > 100
    assert (spot & face).sum() > 200
    assert not (
        shown & spot & ~cv2.dilate(face.astype(np.uint8), np.ones((15, 15))).astype(bool)
    ).any()
    assert person[spot & face][:, 2].max() < 190  # WHITE is 250, skin up to 150


@pytest.mark.parametrize(("disc", "colour", "held"), [(6, WHITE, False), (24, SHADE, True)])
def test_a_highlight_of_the_skin_and_its_shade_stay(
    disc: int, colour: tuple[int, int, int], held: bool
) -> None:
    person, spot, face = keep(disc, colour, held=held)
    inner = cv2.erode((spot & face).astype(np.uint8), np.ones((3, 3))) > 0
    assert inner.any()
    assert (person[inner] == (*colour, 255)).all()


@pytest.mark.parametrize(("likely", "shown"), [(0.3, 0), (0.8, 255)])
def test_ground_that_may_be_hair_is_kept_as_a_whole_or_not_at_all(
    likely: float, shown: int
) -> None:
    """Half transparent, dark ground was a cloud beside the mirrored head."""
    mesh = faces.make_source(SIDE, SIDE).mesh
    face = faces.polygon_mask(mesh[OVAL, :2], SIDE, SIDE)
    person = np.full((SIDE, SIDE, 4), (40, 30, 25, 255), np.uint8)
    person[face] = (*SKIN, 255)
    planes: Array32 = np.zeros((len(CLASSES), SIDE, SIDE), np.float32)
    planes[class_number("skin")] = face
    planes[class_number("hair")], planes[0] = likely * ~face, (1 - likely) * ~face
    mirrored_head.keep_head(person, mesh, Regions(Crop(np.eye(3), (SIDE, SIDE)), planes))
    assert (person[: int(mesh[4, 1]), :20, 3] == shown).all()
    assert (person[int(mesh[4, 1]), int(mesh[4, 0])] == (*SKIN, 255)).all()


@pytest.mark.parametrize(("below", "shown"), [(0.5, False), (0.65, False), (1.2, True)])
def test_what_hangs_beside_the_neck_is_left_out_as_far_down_as_the_head_shows(
    below: float, shown: bool
) -> None:
    """The end of a scarf was a smear in the air beside a head that turned back."""
    mesh = faces.centred_mesh(SIDE, SIDE, 0.3)
    top, bottom = mesh[anatomy.FOREHEAD, :2], mesh[anatomy.CHIN, :2]
    x, y = (top + bottom) / 2 + below * (bottom - top)
    person = np.zeros((SIDE, SIDE, 4), np.uint8)
    end = slice(int(y) - 3, int(y) + 4), slice(int(x) + 40, int(x) + 60)
    person[end] = (*SKIN, 255)
    planes: Array32 = np.zeros((len(CLASSES), SIDE, SIDE), np.float32)
    planes[0] = 1
    mirrored_head.keep_head(person, mesh, Regions(Crop(np.eye(3), (SIDE, SIDE)), planes))
    assert (person[end][..., 3] == 255).all() == shown
    assert shown or person[end][..., 3].max() < 60
