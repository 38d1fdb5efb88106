"""Tests of texts of the closed vocabulary, parsed as attributes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thcli.editors.catalogue import resolve_label
from thcli.editors.clip.captions import make_caption
from thcli.editors.clip.text_parser import neutral_text, parse_text
from thcli.editors.shared.attribute_table import BY_NAME
from thcli.editors.shared.celeba import CELEBA


@pytest.mark.parametrize(
    ("text", "neutral", "said"),
    [
        ("a smiling man with a beard", "", {"Smiling": True, "No_Beard": False}),
        ("a woman", "", {"Male": False}),
        ("a woman", "a woman", {}),
        ("a man without a beard", "a man", {"No_Beard": True}),
        ("a man with no hat and with glasses", "", {"Wearing_Hat": False, "Eyeglasses": True}),
        (
            "a person not wearing glasses, with red lipstick",
            "",
            {"Eyeglasses": False, "Wearing_Lipstick": True},
        ),
        (
            "a serious young woman who is not wearing makeup",
            "",
            {"Smiling": False, "Young": True, "Heavy_Makeup": False},
        ),
        ("a smiling man", "a smiling face", {}),
        ("a zombie", "", None),
        ("a man with a beard", "a zombie", None),
    ],
)
def test_texts_are_parsed_into_labels(
    text: str, neutral: str, said: dict[str, bool] | None
) -> None:
    assert parse_text(text, neutral) == said


@given(st.lists(st.booleans(), min_size=40, max_size=40), st.integers(0, 10_000))
def test_captions_are_parsed_back(labels: list[bool], seed: int) -> None:
    """Labels of a caption are found again, except for the noun's where more is said."""
    made = make_caption(np.array(labels), np.random.default_rng(seed), np.ones(len(CELEBA)))
    read = parse_text(made.text)
    assert read is not None and set(read.items()) <= set(made.label_values.items())
    assert set(made.label_values) - set(read) <= {"Male", "Young"} or not read


def test_the_neutral_text_is_the_person() -> None:
    assert (
        neutral_text("a smiling man") == "a man" and neutral_text("a woman with a hat") == "a woman"
    )
    assert (
        neutral_text("a woman")
        == neutral_text("a person with a beard")
        == neutral_text("a zombie")
        == "a face"
    )


def test_labels_stand_for_attributes() -> None:
    assert resolve_label("Smiling", True) == ("smiling", 1.0) and resolve_label(
        "Smiling", False
    ) == (
        "smiling",
        -1.0,
    )
    assert resolve_label("No_Beard", False) == ("beard", 1.0) and resolve_label(
        "No_Beard", True
    ) == ("beard", -1.0)
    assert resolve_label("Young", False) == ("old", 1.0) and resolve_label("Male", False) == (
        "female",
        1.0,
    )
    assert resolve_label("Wearing_Necktie", True) is None
    for label in CELEBA:
        for affirmed in (True, False):
            found = resolve_label(label, affirmed)
            assert found is None or (BY_NAME[found[0]].sign * found[1] > 0) is affirmed
