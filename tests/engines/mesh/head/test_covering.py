"""Objects before the mouth: found by the face's regions, rigid and without lips."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from tests.engines.mesh.test_patches import red_network
from tests.faces import synthetic_hand
from thcli.core.options import RunOptions
from thcli.core.types import Crop, Image
from thcli.engines.mesh.anatomy import CHIN
from thcli.engines.mesh.engine import MeshEngine
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head import covering
from thcli.engines.mesh.head.shades import folds
from thcli.engines.mesh.patches.inputs import EYE_CHANNELS
from thcli.engines.mesh.patches.painter import PatchPainter
from thcli.engines.mesh.pictures.several import prepare_pictures
from thcli.engines.mesh.prepared_source import prepare
from thcli.engines.mesh.source_networks import ParsedSource, SourceNetworks
from thcli.faces.detection.hands import NO_HANDS
from thcli.faces.landmarks.topology import LIPS_INNER, LIPS_OUTER, NOSE
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions
from thcli.motion.canonical import decompose
from thcli.motion.render_target import RenderTarget

MESH = faces.centred_mesh(256, 256)
IMAGE = faces.render_face(MESH, 256, 256)


def regions(name: str) -> Regions:
    """Return the regions of a face of skin, with one region from below the nose to the chin."""
    planes = np.zeros((len(CLASSES), 256, 256), np.float32)
    rows = np.arange(256)[:, None]
    below = (rows > MESH[2, 1]) & (rows < MESH[152, 1]) & np.ones((1, 256), bool)
    planes[class_number(name)] = below
    planes[class_number("skin")] += ~below
    return Regions(Crop(np.eye(3), (256, 256)), planes)


@pytest.mark.parametrize(
    ("name", "found"), [("background", True), ("cloth", True), ("skin", False), ("u_lip", False)]
)
def test_what_is_no_face_at_the_lips_covers_them(name: str, *, found: bool) -> None:
    object_ = covering.find(IMAGE, regions(name), MESH, NO_HANDS)
    assert (object_ is not None) is found
    if object_ is not None:
        assert (object_.rigid[LIPS_OUTER] > 0.9).all() and object_.rigid[10] == 0


@pytest.mark.parametrize(("name", "found"), [("skin", True), ("u_lip", False)])
def test_a_mask_that_is_taken_for_skin_in_part_is_told_by_its_colour(
    name: str, *, found: bool
) -> None:
    """Mouths opened in cloth."""
    seen, rest = regions("cloth"), regions(name)
    mixed = replace(seen, probabilities=0.3 * seen.probabilities + 0.7 * rest.probabilities)
    blue = IMAGE.copy()
    rows = slice(int(MESH[2, 1]), int(MESH[152, 1]))
    blue[rows] = (60, 90, 160)
    assert (covering.find(blue, mixed, MESH, NO_HANDS) is not None) is found
    assert covering.find(IMAGE, mixed, MESH, NO_HANDS) is None


def dark_mask() -> Image:
    """Return the image with a dark mask from the bridge of the nose to the chin."""
    dark = IMAGE.copy()
    dark[int(MESH[197, 1]) : int(MESH[152, 1]) + 1] = (30, 28, 26)
    return dark


def test_a_mask_over_the_nose_that_is_taken_for_skin_is_told_by_its_light() -> None:
    """Mouths opened in dark masks."""
    skin = regions("skin")
    found = covering.find(dark_mask(), skin, MESH, NO_HANDS)
    assert found is not None and found.bare is not None
    assert found.rigid[LIPS_OUTER].min() == 1 and found.rigid[10] == 0
    assert found.no_skin[CHIN] == 1 and found.no_skin[10] == 0
    nose = skin.probabilities.copy()
    around = faces.polygon_mask(MESH[NOSE, :2], 256, 256, grow=4)
    nose[class_number("nose")][around] = 1
    assert covering.find(dark_mask(), replace(skin, probabilities=nose), MESH, NO_HANDS) is None
    lips = (skin.probabilities + regions("u_lip").probabilities) / np.float32(2)
    assert covering.find(dark_mask(), replace(skin, probabilities=lips), MESH, NO_HANDS) is None


def test_a_dark_mask_is_no_light_for_lids() -> None:
    """Lids were black squares as they shut."""
    seen, face = regions("cloth"), faces.make_face(MESH, faces.iris_points(MESH))
    bare = prepare(IMAGE, face, None)
    covered = prepare(dark_mask(), face, None, parsed=ParsedSource(seen, seen))
    for own, other in zip(bare.lid_skins, covered.lid_skins, strict=True):
        assert own is not None and other is not None
        assert own.tone is not None and other.tone is not None
        assert other.tone == pytest.approx(own.tone, rel=0.1)
        assert np.abs(other.grain).max() < 0.1
    assert covered.tone == pytest.approx(bare.tone, rel=0.2)


@pytest.mark.parametrize(("aside", "found"), [(0.0, True), (90.0, False)])
def test_a_hand_covers_the_lips_that_are_under_it(aside: float, *, found: bool) -> None:
    """Mouths opened in hands, which the parser takes for skin."""
    lips = MESH[LIPS_OUTER, :2].mean(0)
    hand = synthetic_hand.place((float(lips[0]) - aside, float(lips[1]) + 40), 60)
    object_ = covering.find(IMAGE, regions("skin"), MESH, hand[None])
    assert (object_ is not None) is found
    if object_ is not None:
        assert object_.rigid[LIPS_INNER].min() == 1 and object_.rigid[10] == 0
        assert object_.rigid[365] == 1 and object_.no_skin[365] == 0  # a jaw beside the hand


def test_hands_move_with_a_copy_of_the_source() -> None:
    seen, hand = regions("skin"), synthetic_hand.place((90, 200), 60)
    double = np.array([[2.0, 0, 5], [0, 2, -3], [0, 0, 1]])
    moved = ParsedSource(seen, seen, hand[None]).move(double)
    assert np.allclose(moved.hands, hand[None] * 2 + (5, -3))
    assert ParsedSource(seen, seen).move(double).hands.shape == (0, 21, 2)


def test_both_rings_of_the_lips_are_held_by_what_is_half_seen() -> None:
    seen = regions("background")
    planes = 0.7 * seen.probabilities
    planes[class_number("skin")] += np.float32(0.3)
    found = covering.find(IMAGE, replace(seen, probabilities=planes), MESH, NO_HANDS)
    assert found is not None
    assert found.rigid[LIPS_OUTER].min() == found.rigid[LIPS_INNER].min() == 1


def test_a_mask_is_neither_folded_nor_made_skin() -> None:
    seen, rows = regions("background"), slice(round(MESH[2, 1]) + 3, round(MESH[152, 1]) - 2)
    image = IMAGE.copy()
    image[rows] = 240
    image = faces.add_relief(image)
    face = faces.make_face(MESH, faces.iris_points(MESH))
    covered = prepare(image, face, None, with_folds=True, parsed=ParsedSource(seen, seen))
    assert covered.grown_cheek is None
    posed = decompose(MESH)
    shape = posed.shape + 1.2 * folds.load().smile
    target = RenderTarget(replace(posed, shape=shape).mesh(), np.zeros((2, 2)), np.ones(2))
    shaded = render_frame(covered, target, None).astype(int)
    plain = render_frame(replace(covered, folds=None), target, None)
    mask = slice(rows.start + 4, rows.stop)
    assert np.abs(shaded - plain)[mask].max() <= 2
    assert np.abs(shaded - plain).max() > 5


def test_a_covered_mouth_does_not_open() -> None:
    seen = regions("background")
    bare = prepare(IMAGE, faces.make_face(MESH, faces.iris_points(MESH)), None)
    face, parsed = bare.face, ParsedSource(seen, seen)
    covered = prepare(IMAGE, face, None, parsed=parsed)
    assert covered.mouth_hidden and not bare.mouth_hidden
    target = faces.make_target(bare, mouth=0.5)
    lips = faces.polygon_mask(target.points[LIPS_OUTER, :2], 256, 256, grow=-4)
    for driven in (target, replace(target, driver=target.points)):
        opened = render_frame(bare, driven, np.zeros_like(IMAGE))[lips].astype(int)
        shut = render_frame(covered, driven, np.zeros_like(IMAGE))[lips].astype(int)
        assert shut.min() > opened.min() + 20


@pytest.mark.parametrize("asked", [True, False])
def test_a_covered_mouth_gives_a_warning_beside_that_of_patches(
    monkeypatch: pytest.MonkeyPatch, *, asked: bool
) -> None:
    seen = regions("cloth")
    monkeypatch.setattr(SourceNetworks, "parse", lambda *_: ParsedSource(seen, seen))
    painter = PatchPainter(red_network(EYE_CHANNELS), None, is_asked_for=asked)
    engine = MeshEngine(RunOptions(), "off", mouth="synthetic", painter=painter)
    blurred = np.asarray(cv2.GaussianBlur(IMAGE, (0, 0), 4.0), np.uint8)
    source = engine.encode_source(blurred, faces.make_face(MESH, faces.iris_points(MESH)))
    warning = engine.find_warning(source)
    assert warning is not None and "covers the source's mouth" in warning
    assert ("--patches" in warning) == asked


@pytest.mark.parametrize("first_is_covered", [True, False])
def test_pictures_with_and_without_a_mask_are_not_mixed(*, first_is_covered: bool) -> None:
    seen, face = regions("cloth"), faces.make_face(MESH, faces.iris_points(MESH))
    parsed = [ParsedSource(seen, seen), None][:: 1 if first_is_covered else -1]
    first = prepare(IMAGE, face, None, parsed=parsed[0])
    found = prepare_pictures(first, [(IMAGE, face)], [parsed[1]])
    assert found.others == () and found.left_out == 1 and found.first.seen_mouths is None
    wide = faces.make_target(faces.make_source(256, 256), mouth=0.5).points
    opened = (faces.render_face(wide, 256, 256), faces.make_face(wide, faces.iris_points(wide)))
    alike = prepare_pictures(first, [opened], [parsed[0]])
    assert len(alike.others) == 1 and alike.left_out == 0
    assert (alike.first.seen_mouths is None) == first_is_covered
    engine = MeshEngine(RunOptions(), "off", mouth="synthetic")
    assert "--also: 1 not used" in (engine.find_warning(found) or "")
