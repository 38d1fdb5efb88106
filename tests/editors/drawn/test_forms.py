"""Tests of the forms of beards and of frames, which differ from person to person and by words."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from tests.editors.drawn.drawn_face import PAINTER, make_face, render
from thcli.core.errors import UsageError
from thcli.core.options import RunOptions
from thcli.core.types import Array, Image
from thcli.editors.catalogue import find_attribute, parse_attributes
from thcli.editors.drawn import beard, beard_roots, glasses_frame
from thcli.editors.drawn.appearance import ANCHORS, Appearance
from thcli.editors.drawn.beard_form import BeardForm, form_of
from thcli.editors.drawn.painter import load
from thcli.motion.canonical import neutral

SHAPES = ("round", "square", "aviator")
JAW = np.array([0.786, 1.193, 0.141])


def make_appearance(jaw: Array = JAW, hair: float = 60.0, tint: float = 0.8) -> Appearance:
    """Return an appearance with a jaw, and hair of a brightness and blue over red."""
    zero = np.zeros(1)
    return Appearance(
        skin=np.array([200.0, 150.0, 120.0]),
        hair=hair * np.array([1.0, (1 + tint) / 2, tint]),
        brow=np.array([70.0, 55.0, 45.0]),
        lips=np.array([160.0, 90.0, 90.0]),
        hair_share=np.array([0.1]),
        hair_spread=np.array([0.3]),
        hanging=np.ones(2),
        light=np.zeros(4),
        blur=zero + 1,
        jaw=jaw,
        anchors=neutral()[ANCHORS],
    )


def test_people_have_beards_of_their_own() -> None:
    forms = {form_of(make_appearance(JAW * (1 + 0.03 * n)), 0) for n in range(-3, 4)}
    assert len(forms) == 7, "no two jaws have the same beard"


def test_a_beard_changes_as_little_as_the_face() -> None:
    """Of jaws that differ by the noise of a measurement (.02 standard deviations)."""
    rng = np.random.default_rng(5)
    middle, spread = JAW, np.array([0.0165, 0.057, 0.027])
    for _ in range(12):
        jaw = middle + spread * rng.standard_normal(3)
        near = jaw + 0.02 * spread * rng.standard_normal(3)
        one, other = (form_of(make_appearance(each), 0) for each in (jaw, near))
        assert one.seed == other.seed
        for item in fields(BeardForm)[:-1]:
            assert abs(getattr(one, item.name) - getattr(other, item.name)) < 0.03, item.name
        roots = [
            {tuple(place) for place in beard_roots.beard_hair_roots("beard", form).place}
            for form in (one, other)
        ]
        assert len(roots[0] ^ roots[1]) < 0.03 * len(roots[0])


def test_another_seed_gives_another_beard() -> None:
    assert form_of(make_appearance(), 1) != form_of(make_appearance(), 0)
    assert load(RunOptions(seed=1)).prepare(make_appearance().to_array(), {"beard": 1.0}).form == (
        form_of(Appearance.from_array(make_appearance().to_array()), 1)
    )


def test_borders_of_a_beard_follow_its_form() -> None:
    plain = beard_roots.beard_hair_roots("beard", BeardForm()).place
    low = beard_roots.beard_hair_roots("beard", BeardForm(cheek=0.15, side=0.15)).place
    cheek = [np.abs(place[:, 0]) > 0.45 for place in (plain, low)]
    assert low[cheek[1], 1].mean() > plain[cheek[0], 1].mean() + 0.03
    own = beard_roots.beard_hair_roots("moustache", BeardForm())
    bare = beard_roots.beard_hair_roots("moustache", BeardForm(philtrum=0.8))
    share = [float((np.abs(one.place[:, 0]) < 0.02).mean()) for one in (own, bare)]
    assert share[1] < 0.75 * share[0]


def test_grey_hair_has_a_grey_beard_and_other_hair_a_darker_one() -> None:
    grey = beard.beard_colour(make_appearance(hair=150, tint=0.95)).mean()
    fair = beard.beard_colour(make_appearance(hair=150, tint=0.55)).mean()
    dark = beard.beard_colour(make_appearance(hair=50, tint=0.95)).mean()
    assert grey > 140 and fair < 0.75 * grey and dark < 40


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["eyeglasses", "sunglasses"])
def test_frames_have_the_shape_of_their_name(name: str, shape: str) -> None:
    (key,) = parse_attributes([f"{name}:{shape}"])
    prepared = load(RunOptions()).prepare(make_appearance().to_array(), {key: 1.0})
    assert prepared.shapes == {name: shape} and prepared.strengths == {name: 1.0}
    style = glasses_frame.READING if name == "eyeglasses" else glasses_frame.DARK
    own, asked = (glasses_frame.outline(glasses_frame.shaped(style, one)) for one in ("", shape))
    assert np.abs(own - asked).max() > 0.02
    if shape == "round":
        radii = np.linalg.norm(asked, axis=1)
        assert radii.max() / radii.min() < 1.1


@pytest.mark.parametrize("name", ["eyeglasses", "sunglasses"])
def test_each_shape_is_painted(name: str) -> None:
    shown = [render({key: 1.0}) for key in (name, *(f"{name}:{one}" for one in SHAPES))]
    for n, one in enumerate(shown):
        for other in shown[:n]:
            assert (np.abs(one.astype(int) - other).max(2) > 20).sum() > 100


def test_the_form_of_the_seed_is_painted_and_only_with_a_beard() -> None:
    crop, face, regions = make_face()
    look = PAINTER.measure_appearance([crop], [face], regions[None])[0]

    def paint_with(seed: int, name: str) -> Image:
        one = load(RunOptions(seed=seed))
        prepared = one.prepare(look, {name: 1.0})
        return one.paint([crop], [face], regions[None], prepared)[0].image

    assert (paint_with(1, "beard") != paint_with(0, "beard")).any()
    assert (paint_with(1, "eyeglasses") == paint_with(0, "eyeglasses")).all()
    assert load(RunOptions(seed=1)).prepare(look, {"eyeglasses": 1.0}).form == BeardForm()


def test_shapes_are_part_of_names() -> None:
    assert parse_attributes(["glasses:round=red"]) == {"eyeglasses:round#a8391c": 1.0}
    assert parse_attributes(["eyeglasses:round=-1"]) == {"eyeglasses": -1.0}
    assert find_attribute("eyeglasses:round#a8391c").name == "eyeglasses:round#a8391c"
    for word in ("eyeglasses:oval", "beard:round", "eyeglasses:"):
        with pytest.raises(UsageError, match="There is no attribute"):
            parse_attributes([word])
    with pytest.raises(UsageError, match="contradict"):
        parse_attributes(["eyeglasses:round", "eyeglasses"])
