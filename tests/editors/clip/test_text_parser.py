"""Texts of the closed vocabulary, read as attributes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thcli.editors.catalogue import BY_NAME, meant
from thcli.editors.clip.text_parser import meaning, person
from thcli.editors.clip.vocabulary import caption
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
def test_what_a_text_says(text: str, neutral: str, said: dict[str, bool] | None) -> None:
    assert meaning(text, neutral) == said


@given(st.lists(st.booleans(), min_size=40, max_size=40), st.integers(0, 10_000))
def test_a_caption_is_read_as_it_was_meant(labels: list[bool], seed: int) -> None:
    """What the training's texts are made of is found in them again, but for the noun where more is said."""
    made = caption(np.array(labels), np.random.default_rng(seed), np.ones(len(CELEBA)))
    read = meaning(made.text)
    assert read is not None and set(read.items()) <= set(made.says.items())
    assert set(made.says) - set(read) <= {"Male", "Young"} or not read


def test_the_person_stands_beside_what_is_said() -> None:
    assert person("a smiling man") == "a man" and person("a woman with a hat") == "a woman"
    assert person("a woman") == person("a person with a beard") == person("a zombie") == "a face"


def test_labels_stand_for_attributes() -> None:
    assert meant("Smiling", True) == ("smiling", 1.0) and meant("Smiling", False) == (
        "smiling",
        -1.0,
    )
    assert meant("No_Beard", False) == ("beard", 1.0) and meant("No_Beard", True) == ("beard", -1.0)
    assert meant("Young", False) == ("old", 1.0) and meant("Male", False) == ("female", 1.0)
    assert meant("Wearing_Necktie", True) is None
    for label in CELEBA:
        for affirmed in (True, False):
            found = meant(label, affirmed)
            assert found is None or (BY_NAME[found[0]].sign * found[1] > 0) is affirmed
