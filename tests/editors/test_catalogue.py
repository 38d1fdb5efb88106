"""Tests of the attribute catalogue: parsing, refusals and the choice of backends."""

from __future__ import annotations

from itertools import pairwise

import pytest

from thcli.core.errors import UsageError, WeightsError
from thcli.core.options import RunOptions
from thcli.editors import catalogue
from thcli.editors.backends import EDITORS, PAINTERS
from thcli.editors.catalogue import (
    choose_backends,
    find_attribute,
    parse_attributes,
    parse_variants,
    plan_backends,
)
from thcli.editors.shared.attribute_table import ATTRIBUTES, BY_NAME, NAME_BY_WORD
from thcli.editors.shared.celeba import CELEBA


def test_every_row_is_sound() -> None:
    words = [word for row in ATTRIBUTES for word in (row.name, *row.aliases)]
    assert len(set(words)) == len(words)
    for row in ATTRIBUTES:
        assert row.celeba in CELEBA and row.sign in (-1, 0, 1)
        assert not row.opposite or BY_NAME[row.opposite].opposite == row.name
        assert all(row.name in BY_NAME[other].excludes for other in row.excludes), row.name
        assert catalogue.engines_for(row), row.name
        assert all(share > 0 for shares in row.alternatives for _, share in shares)


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("Glasses", "eyeglasses"),
        ("mustache", "moustache"),
        ("5 o Clock Shadow", "stubble"),
        ("blond-hair", "blond"),
        ("Wearing_Lipstick", "lipstick"),
        ("Male", "male"),
        ("grey", "gray_hair"),
        ("smile", "smiling"),
    ],
)
def test_names_as_people_write_them(word: str, name: str) -> None:
    assert find_attribute(word).name == name


def test_every_visible_celeba_label_is_a_name() -> None:
    unseen = {"no_beard", "blurry", "wearing_necklace", "wearing_necktie"}
    assert {label.lower() for label in CELEBA} - unseen <= set(NAME_BY_WORD)


def test_strengths_add_up_and_compose() -> None:
    assert parse_attributes(["beard", "glasses=0.5", "smile=-1", "beard=0.5"]) == {
        "beard": 1.5,
        "eyeglasses": 0.5,
        "smiling": -1.0,
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["beart"], "beard"),
        (["eyeglases"], "eyeglasses"),
        (["young", "old"], "young and old"),
        (["young=-1", "old=-1"], "contradict"),
        (["blond", "gray"], "contradict"),
        (["bald", "bangs"], "contradict"),
        (["glasses", "sunglasses"], "contradict"),
        (["gender", "male"], "contradict"),
        (["beard=4"], "-3..3"),
        (["beard=0"], "not 0"),
        (["beard=nan"], "number"),
        (["beard="], "number"),
        (["=1"], "no attribute"),
    ],
)
def test_invalid_attributes_are_refused(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_attributes(words)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("word", "offered"),
    [("moustachio", "moustache"), ("bread", "beard"), ("yung", "young"), ("glases", "eyeglasses")],
)
def test_names_that_are_offered_look_alike(word: str, offered: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_attribute(word)
    assert f"Did you mean {offered}?" in str(caught.value.hint)


def test_taking_away_does_not_contradict() -> None:
    assert parse_attributes(["young", "old=-1"]) == {"young": 1.0, "old": -1.0}
    assert parse_attributes(["bald", "bangs=-1", "blond=-1"])["bald"] == 1.0


def test_backends_are_planned_in_order() -> None:
    plan = plan_backends({"eyeglasses": 1.0, "smiling": 0.5, "beard": -1.0}, "auto", "any")
    assert plan == {
        "removers": {"beard": -1.0},
        "atlas": {"smiling": 0.5},
        "drawn": {"eyeglasses": 1.0},
    }
    assert list(plan) == ["removers", "atlas", "drawn"]  # what is there goes first
    assert list(plan_backends({"female": 1.0}, "auto", "any")) == ["removers", "atlas"]
    assert list(plan_backends({"male": -1.0}, "auto", "any")) == ["removers", "atlas"]
    assert list(plan_backends({"male": 1.0}, "auto", "any")) == ["atlas"]
    assert plan_backends({"beard": 2.0}, "dva", "any") == {"dva": {"beard": 2.0}}


def test_additive_backends_do_not_remove() -> None:
    glasses = choose_backends(find_attribute("eyeglasses"), "auto", "any", -1.0)
    assert glasses == (("removers", 1.0),)
    assert choose_backends(find_attribute("pale"), "auto", "any", -1.0) == (("drawn", 1.0),)
    with pytest.raises(UsageError, match="remove eyeglasses"):
        choose_backends(find_attribute("eyeglasses"), "drawn", "any", -1.0)


def test_painters_know_their_attributes() -> None:
    """A painter knows the attribute, or its opposite with a negative strength.

    The attribute gender becomes male or female of the face.
    """
    painters = {name: row.load(RunOptions()).attributes for name, row in PAINTERS.rows.items()}
    for row in ATTRIBUTES:
        for shares in catalogue.believable(row):
            for name, _ in shares:
                known = {"male", "female"} if row.name == "gender" else {row.name, row.opposite}
                assert known & set(painters[name]), (row.name, name)


def test_the_licence_chooses() -> None:
    assert choose_backends(find_attribute("smiling"), "auto", "free") == (("atlas-free", 1.0),)
    assert choose_backends(find_attribute("beard"), "auto", "free") == (("drawn", 1.0),)
    with pytest.raises(WeightsError, match="research"):
        choose_backends(find_attribute("young"), "auto", "free")
    with pytest.raises(WeightsError, match="research"):
        choose_backends(find_attribute("beard"), "auto", "free", -1.0)


@pytest.mark.parametrize(
    ("name", "strength", "said"),
    [
        ("hat", 1.0, "put on"),
        ("bald", 1.0, "shape cannot"),
        ("bangs", 1.0, "shape cannot"),
        ("mouth_open", 1.0, "speak"),
        ("sunglasses", -1.0, "not visible"),
        ("lipstick", -1.0, "fades"),
        ("black_hair", -1.0, "Name the colour"),
    ],
)
def test_what_no_painter_does_is_refused_with_what_can_be_done(
    name: str, strength: float, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        choose_backends(find_attribute(name), "auto", "any", strength)
    assert choose_backends(find_attribute(name), "dva-s", "any", strength) == (("dva-s", 1.0),)
    removers = choose_backends(find_attribute("makeup"), "removers", "any", -1.0)
    assert removers == (("removers", 1.0),)


def test_several_strengths() -> None:
    assert parse_variants(["beard=0.5,1", "smile", "old=1,2"]) == [
        {"beard": 0.5, "smiling": 1.0, "old": 1.0},
        {"beard": 1.0, "smiling": 1.0, "old": 2.0},
    ]
    for words in (["beard=1,2", "old=1,2,3"], ["beard=" + ",".join("1" * 9)]):
        with pytest.raises(UsageError, match="equally long"):
            parse_variants(words)


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("hair=#8A2BE2", "hair#8a2be2"),
        ("hair=#8aE", "hair#88aaee"),
        ("hair=purple", "hair#7a2fb8"),
        ("lipstick=pink", "lipstick#e275a8"),
    ],
)
def test_colours(word: str, key: str) -> None:
    assert parse_attributes([word]) == {key: 1.0}
    assert catalogue.attribute_of(key).name == key and find_attribute(key).name == key


def test_colours_are_refused_where_there_is_none() -> None:
    for words, said in (
        (["old=red"], "no colour"),
        (["hair"], "needs a colour"),
        (["hair=1"], "needs a colour"),
        (["hair=#12"], "needs a colour"),
        (["hair=red", "blond"], "contradict"),
        (["hair=red", "hair=blue"], "contradict"),
    ):
        with pytest.raises(UsageError, match=said):
            parse_attributes(words)


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(UsageError, match="dva-s"):
        choose_backends(find_attribute("beard"), "magic", "any")


@pytest.mark.parametrize("word", ["eyeglasses:round", "hair=blue", "eyeglasses:round=red"])
@pytest.mark.parametrize("engine", ["dva-s", "atlas"])
def test_an_engine_without_colours_and_shapes_refuses_them(word: str, engine: str) -> None:
    with pytest.raises(UsageError, match="no colour and no shape") as caught:
        plan_backends(parse_attributes([word]), engine, "any")
    assert caught.value.exit_code == 2
    plan = plan_backends(parse_attributes([word]), "drawn", "any")
    assert plan == plan_backends(parse_attributes([word]), "auto", "any")


def test_measured_strengths_name_known_attributes_and_backends() -> None:
    noted = catalogue.load_measured_strengths()
    assert set(noted["attributes"]) <= set(BY_NAME)
    there = {name for stage in (EDITORS, PAINTERS) for name in stage.rows}
    assert {name for row in noted["attributes"].values() for name in row["by"].split("+")} <= there
    assert not noted["attributes"] or "thcli eval edit" in noted["command"]


def test_the_commands_of_the_measured_strengths_measure_these_backends() -> None:
    """Check each command's attributes: none is refused, and all rows are measured by one."""
    noted, seen = catalogue.load_measured_strengths(), set()
    for command in noted["command"].split("; "):
        words = command.split()
        options = list(pairwise(words))
        engine = next((value for word, value in options if word == "--engine"), "auto")
        for name in (value for word, value in options if word == "--attr"):
            backends = choose_backends(find_attribute(name), engine, "any")
            assert "+".join(backend for backend, _ in backends) == noted["attributes"][name]["by"]
            seen.add(name)
    assert seen == set(noted["attributes"])
