"""Tests of the painter `drawn` on a synthetic face, for every attribute."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.editors.drawn.drawn_face import (
    HAIR_NAMES,
    KEYS,
    PAINTER,
    make_face,
    max_change,
    paint,
    region_interior,
    render,
)
from thcli.core.errors import NoFaceError, UsageError
from thcli.core.options import RunOptions
from thcli.core.protocols import Painter
from thcli.editors.backends import PAINTERS
from thcli.editors.drawn import tint
from thcli.editors.drawn.hair_matte import HairMatte, hair_matte
from thcli.editors.drawn.painter import ATTRIBUTES, COLOURED, SIDE
from thcli.editors.drawn.scene import Scene
from thcli.editors.shared.attribute_table import BY_NAME
from thcli.faces.landmarks.topology import LIDS, OVAL
from thcli.faces.parsing.classes import BROWS, class_number, group_probability
from thcli.faces.parsing.polygon import polygon_coverage


def test_it_is_a_painter_of_the_table_without_weights() -> None:
    row = PAINTERS.backend("drawn")
    loaded = row.load(RunOptions(licence="free"))
    assert isinstance(loaded, Painter)
    assert row.weights == ()


def test_its_names_are_the_catalogues() -> None:
    assert set(ATTRIBUTES) <= set(BY_NAME)


@pytest.mark.parametrize("name", KEYS)
def test_every_attribute_is_visible_and_fades_with_its_strength(name: str) -> None:
    weak, plain = max_change({name: 0.25}), max_change({name: 1.0})
    assert (max_change({name: 0.0}) == 0).all()
    assert (plain > 9).mean() > 0.001, "nobody would see it"
    assert 0 < weak.mean() < 0.8 * plain.mean()


@pytest.mark.parametrize("name", KEYS)
def test_the_batch_changes_nothing(name: str) -> None:
    crops, faces, regions = zip(*(make_face(yaw) for yaw in (0.0, 25.0)), strict=True)
    look = PAINTER.measure_appearance(crops, faces, np.stack(regions)).mean(0)
    together = paint(crops, faces, np.stack(regions), look, {name: 1.0})
    alone = [
        paint([c], [f], r[None], look, {name: 1.0})[0]
        for c, f, r in zip(crops, faces, regions, strict=True)
    ]
    for one, other in zip(together, alone, strict=True):
        assert one.shape == (SIDE, SIDE, 3) and one.dtype == np.uint8
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    "name", [name for name in KEYS if name not in (*HAIR_NAMES, "pale", "sideburns")]
)
def test_occluders_stay_in_front(name: str) -> None:
    regions = make_face()[2].copy()
    hand = np.zeros((SIDE, SIDE), bool)
    hand[:, 256:] = True
    regions[:, hand] = 0
    regions[0, hand] = 1
    mesh = make_face()[1].mesh
    assert mesh is not None
    face = polygon_coverage(mesh[OVAL, :2], (SIDE, SIDE))
    inside = cv2.erode(face, np.ones((25, 25), np.uint8)) > 0.99
    inside[:, :280] = False
    assert (max_change({name: 1.0})[inside] > 8).any()
    assert (max_change({name: 1.0}, regions=regions)[inside] <= 2).all()


@pytest.mark.parametrize("name", ["eyeglasses", "beard", "makeup"])
def test_drawn_objects_move_with_the_face(name: str) -> None:
    crop, face, regions = make_face()
    look = PAINTER.measure_appearance([crop], [face], regions[None])[0]
    dx, dy = 8, 4
    assert face.mesh is not None
    moved = replace(face, mesh=face.mesh + np.array([dx, dy, 0], np.float32))
    roll = np.roll(crop, (dy, dx), (0, 1))
    after = paint([roll], [moved], np.roll(regions, (dy, dx), (1, 2))[None], look, {name: 1.0})[0]
    before = paint([crop], [face], regions[None], look, {name: 1.0})[0]
    apart = np.abs(np.roll(before, (dy, dx), (0, 1)).astype(int) - after)[16:-16, 16:-16]
    assert np.quantile(apart, 0.999) <= 3


def test_a_beard_leaves_lips_and_eyes_alone_and_grows_below_them() -> None:
    changed = max_change({"beard": 1.0})
    for name in ("mouth", "r_eye", "l_eye", "r_brow"):
        assert (changed[region_interior(name)] <= 1).all(), name
    chin = make_face()[1].mesh
    assert chin is not None
    x, y = chin[199, :2].astype(int)
    assert changed[y - 8 : y + 8, x - 8 : x + 8].mean() > 40


def test_stubble_is_lighter_than_a_beard() -> None:
    assert 0.1 < max_change({"stubble": 1.0}).mean() / max_change({"beard": 1.0}).mean() < 0.7


def test_pale_lightens_skin_and_takes_its_colour() -> None:
    before, after = make_face()[0].astype(float), render({"pale": 1.0}).astype(float)
    skin = region_interior("skin")
    assert after[skin].mean() > before[skin].mean() + 10
    assert np.ptp(after[skin].mean(0)) < 0.8 * np.ptp(before[skin].mean(0))
    assert np.abs(after - before)[region_interior("u_lip")].max() <= 3
    tanned = render({"pale": -1.0}).astype(float)
    assert tanned[skin].mean() < before[skin].mean() - 10
    warmth = [image[skin].mean(0)[0] / image[skin].mean(0)[2] for image in (before, tanned)]
    assert warmth[1] > 1.08 * warmth[0]


def test_warm_skin_gets_browner_than_orange() -> None:
    crop, face, regions = make_face()
    skin = region_interior("skin")
    growth = []
    for factors in ((1.0, 1.0, 1.0), (1.15, 1.0, 0.6)):
        tone = np.clip(crop * np.array(factors), 0, 255).astype(np.uint8)
        look = PAINTER.measure_appearance([tone], [face], regions[None])[0]
        tanned = paint([tone], [face], regions[None], look, {"pale": -1.0})[0]
        before, after = (image[skin].astype(float).mean(0) for image in (tone, tanned))
        assert after.mean() < before.mean() - 10
        growth.append(after[0] / after[2] / (before[0] / before[2]))
    assert growth[1] - 1 < 0.7 * (growth[0] - 1)


def test_make_up_leaves_lids_their_light() -> None:
    """Lids that are shut show all of the eyeshadow."""
    before, after = make_face()[0].astype(float), render({"makeup": 1.0}).astype(float)
    for lid in LIDS:
        at = np.rint(make_face()[1].mesh[lid.upper2[2:5], :2]).astype(int)  # type: ignore[index]
        light = after[at[:, 1], at[:, 0]].mean() / before[at[:, 1], at[:, 0]].mean()
        assert 0.77 < light < 0.9


def test_only_hair_takes_the_dye() -> None:
    hair, skin = region_interior("hair"), region_interior("skin")
    tones = {name: render({name: 1.0})[hair].astype(float).mean(0) for name in HAIR_NAMES}
    brightness = {name: tone.mean() for name, tone in tones.items()}
    assert brightness["blond"] > brightness["brown_hair"] + 30 > brightness["black_hair"] + 50
    assert tones["blond"][0] - tones["blond"][2] > 30 > np.ptp(tones["gray_hair"])
    away = np.asarray(
        cv2.dilate(make_face()[2][class_number("hair")], np.ones((15, 15), np.uint8)) < 0.01
    )
    assert (max_change({"blond": 1.0})[skin & away] <= 1).all()


def test_a_brow_takes_the_same_dye_beside_a_fringe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The difference of hair and its surroundings is no concern of a brow."""
    image, _, regions = make_face()
    bare = render({"red_hair": 1.0})
    side = len(image)

    def beside_a_fringe(scene: Scene) -> HairMatte:
        own = hair_matte(scene)
        return HairMatte(own.cover, own.roots, np.full((side, side, 3), -90, np.float32))

    monkeypatch.setattr(tint, "hair_matte", beside_a_fringe)
    brow = cv2.resize(group_probability(regions, BROWS), (side, side)) > 0.99
    far = brow & (cv2.resize(regions[class_number("hair")], (side, side)) < 0.01)
    assert far.sum() > 20
    apart = render({"red_hair": 1.0})[far].astype(int) - bare[far]
    assert np.abs(apart).max() <= 1


def test_lipstick_reddens_lips() -> None:
    lips = region_interior("u_lip")
    before, after = (
        p[lips].astype(float).mean(0) for p in (make_face()[0], render({"lipstick": 1.0}))
    )
    assert after[0] / after[1] > 1.25 * before[0] / before[1]


def test_a_light_lipstick_is_lighter_than_a_dark_one() -> None:
    lips = region_interior("u_lip")
    red, pink, black = (
        render({f"lipstick{code}": 1.0})[lips].mean() for code in ("", "#f0a0c0", "#100810")
    )
    assert pink > red + 8 > black + 16


def test_regions_of_another_resolution_do() -> None:
    small = np.stack(
        [cv2.resize(plane, (256, 256), interpolation=cv2.INTER_AREA) for plane in make_face()[2]]
    )
    both = {"eyeglasses": 1.0, "stubble": 1.0, "blond": 1.0}
    assert np.abs(render(both).astype(int) - render(both, regions=small)).mean() < 1.0


@pytest.mark.parametrize("name", [name for name in KEYS if name != "pale"])
def test_negative_strengths_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=name.partition("#")[0]) as error:
        render({name: -0.5})
    assert "--engine auto" in error.value.hint


def test_a_colour_is_the_one_that_is_asked_for() -> None:
    """The hair's middle tone has the hue of the colour; other things have none."""
    inside = region_interior("hair")
    for colour, channel in (("ff2020", 0), ("20c020", 1), ("2030ff", 2)):
        tone = render({f"hair#{colour}": 1.0})[inside].astype(float).mean(0)
        assert tone.argmax() == channel and tone.max() > 1.4 * np.sort(tone)[1]
    reds = (render({f"{name}#c02020": 1.0}) != render({name: 1.0}) for name in COLOURED[1:])
    assert all(changed.any() for changed in reds)
    for wrong in ({"hair": 1.0}, {"pale#ff0000": 1.0}):
        with pytest.raises(UsageError, match="colour"):
            render(wrong)


def test_an_unknown_attribute_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="halo") as error:
        render({"halo": 1.0})
    assert "eyeglasses" in error.value.hint


def test_a_face_without_points_is_refused() -> None:
    crop, face, regions = make_face()
    with pytest.raises(NoFaceError, match="no mesh"):
        PAINTER.measure_appearance([crop], [replace(face, mesh=None)], regions[None])


def test_grey_hair_gets_no_grey() -> None:
    crop, face, regions = make_face()
    grey = crop.copy()
    grey[regions[class_number("hair")] > 0.5] = (165, 161, 159)
    look = PAINTER.measure_appearance([grey], [face], regions[None])[0]
    painted = paint([grey], [face], regions[None], look, {"gray_hair": 1.0})[0]
    assert (painted == grey).all()
