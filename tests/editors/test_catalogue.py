"""The attributes that a user may name: what is understood, what is refused, and who does it."""

from __future__ import annotations

import pytest

from thcli.core.errors import UsageError, WeightsError
from thcli.core.options import RunOptions
from thcli.editors import catalogue
from thcli.editors.backends import EDITORS, PAINTERS
from thcli.editors.catalogue import BY_NAME, NAMES, ROWS, find, planned, understood, ways_of
from thcli.editors.shared.celeba import CELEBA


def test_every_row_is_sound() -> None:
    words = [word for row in ROWS for word in (row.name, *row.aliases)]
    assert len(set(words)) == len(words)
    for row in ROWS:
        assert row.celeba in CELEBA and row.sign in (-1, 0, 1)
        assert not row.opposite or BY_NAME[row.opposite].opposite == row.name
        assert all(row.name in BY_NAME[other].excludes for other in row.excludes), row.name
        assert catalogue.engines(row), row.name
        assert all(share > 0 for way in row.ways for _, share in way)


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
    assert find(word).name == name


def test_every_label_of_celeba_s_that_can_be_seen_on_a_face_is_a_name() -> None:
    unseen = {"no_beard", "blurry", "wearing_necklace", "wearing_necktie"}
    assert {label.lower() for label in CELEBA} - unseen <= set(NAMES)


def test_strengths_add_up_and_compose() -> None:
    assert understood(["beard", "glasses=0.5", "smile=-1", "beard=0.5"]) == {
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
def test_what_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        understood(words)
    assert said in str(caught.value)


def test_taking_away_does_not_contradict() -> None:
    assert understood(["young", "old=-1"]) == {"young": 1.0, "old": -1.0}
    assert understood(["bald", "bangs=-1", "blond=-1"])["bald"] == 1.0


def test_who_does_it() -> None:
    plan = planned({"eyeglasses": 1.0, "hat": 0.5}, "auto", "any")
    assert plan == {"dva-s": {"hat": 0.5}, "drawn": {"eyeglasses": 1.0}}
    assert list(plan) == ["dva-s", "drawn"]  # painters draw on the face that an editor made
    assert planned({"beard": 2.0}, "dva", "any") == {"dva": {"beard": 2.0}}


def test_what_is_laid_on_is_not_asked_to_take_off() -> None:
    assert ways_of(find("eyeglasses"), "auto", "any", -1.0) == (("dva-s", 1.0),)
    with pytest.raises(UsageError, match="take eyeglasses off"):
        ways_of(find("eyeglasses"), "drawn", "any", -1.0)


def test_painters_know_what_is_asked_of_them() -> None:
    """Or its opposite, which they are then asked for the other way."""
    painters = {name: row.load(RunOptions()).attributes for name, row in PAINTERS.rows.items()}
    for row in ROWS:
        for name in catalogue.engines(row):
            if name in painters:
                assert row.name in painters[name] or row.opposite in painters[name], (
                    row.name,
                    name,
                )


def test_the_licence_chooses() -> None:
    assert ways_of(find("smiling"), "auto", "free") == (("atlas-free", 1.0),)
    assert ways_of(find("beard"), "auto", "free") == (("drawn", 1.0),)
    with pytest.raises(WeightsError, match="research"):
        ways_of(find("hat"), "auto", "free")


def test_an_engine_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="dva-s"):
        ways_of(find("beard"), "magic", "any")


def test_what_is_noted_is_of_what_there_is() -> None:
    noted = catalogue.measured()
    assert set(noted["attributes"]) <= set(BY_NAME)
    there = {name for stage in (EDITORS, PAINTERS) for name in stage.rows}
    assert {name for row in noted["attributes"].values() for name in row["by"].split("+")} <= there
    assert not noted["attributes"] or "thcli eval edit" in noted["command"]
