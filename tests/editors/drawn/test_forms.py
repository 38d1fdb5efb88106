"""Tests of the forms of beards and of frames, which differ from person to person and by words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from thcli.core.errors import UsageError
from thcli.core.options import RunOptions
from thcli.core.types import Array
from thcli.editors.catalogue import find_attribute, parse_attributes
from thcli.editors.drawn import beard, beard_roots, glasses_frame
from thcli.editors.drawn.appearance import ANCHORS, Appearance
from thcli.editors.drawn.beard_form import BeardForm, form_of
from thcli.editors.drawn.painter import load
from thcli.motion.canonical import neutral

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
    assert form_of(make_appearance(JAW * 1.0001), 0) == form_of(make_appearance(), 0), (
        "noise of the measurement changes nothing"
    )


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


@pytest.mark.parametrize("shape", ["round", "square", "aviator"])
@pytest.mark.parametrize("name", ["eyeglasses", "sunglasses"])
def test_frames_have_the_shape_of_their_name(name: str, shape: str) -> None:
    (key,) = parse_attributes([f"{name}:{shape}"])
    prepared = load(RunOptions()).prepare(make_appearance().to_array(), {key: 1.0})
    assert prepared.shapes == {name: shape} and prepared.strengths == {name: 1.0}
    own, asked = (
        glasses_frame.outline(glasses_frame.shaped(glasses_frame.READING, one))
        for one in ("", shape)
    )
    assert np.abs(own - asked).max() > 0.02
    radii = np.linalg.norm(
        glasses_frame.outline(glasses_frame.shaped(replace(glasses_frame.READING), "round")), axis=1
    )
    assert radii.max() / radii.min() < 1.1


def test_shapes_are_part_of_names() -> None:
    assert parse_attributes(["glasses:round=red"]) == {"eyeglasses:round#a8391c": 1.0}
    assert parse_attributes(["eyeglasses:round=-1"]) == {"eyeglasses": -1.0}
    assert find_attribute("eyeglasses:round#a8391c").name == "eyeglasses:round#a8391c"
    for word in ("eyeglasses:oval", "beard:round", "eyeglasses:"):
        with pytest.raises(UsageError, match="There is no attribute"):
            parse_attributes([word])
    with pytest.raises(UsageError, match="contradict"):
        parse_attributes(["eyeglasses:round", "eyeglasses"])
