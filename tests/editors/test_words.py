"""Tests of descriptions in words: what they mean, and what they never mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thcli.core.errors import UsageError
from thcli.core.options import EditOptions
from thcli.editors.catalogue import attribute_of, believable
from thcli.editors.shared.attribute_table import ATTRIBUTES
from thcli.editors.shared.keys import COLOURS, base_name
from thcli.pipeline.editing.request import parse_request
from thcli.pipeline.editing.text.known_words import COLOURLESS, IMPOSSIBLE, THINGS
from thcli.pipeline.editing.text.synonyms import SYNONYMS
from thcli.pipeline.editing.text.tokens import phrases
from thcli.pipeline.editing.text.words import describe, possible_words

TEXTS = {
    "turn the young man into an old woman": {"old": 1.0, "female": 1.0},
    "turn her brown hair into red hair": {"red_hair": 1.0},
    "make the old man younger and happier": {"young": 1.0, "smiling": 1.0},
    "take the glasses off the old woman": {"eyeglasses": -1.0},
    "make the girl older and give her glasses": {"old": 1.0, "eyeglasses": 1.0},
    "a cute little boy with big glasses": {"attractive": 1.0, "eyeglasses": 1.5},
    "give her a nice big smile": {"smiling": 1.5},
    "change hair color to dark brown": {"hair#392514": 1.0},
    "change the color of his beard to red": {"beard#a8391c": 1.0},
    "let him grow a three-day stubble": {"stubble": 1.0},
    "older, greyer, with a moustache": {"old": 1.0, "gray_hair": 1.0, "moustache": 1.0},
    "make me look like my grandfather": {"male": 1.0, "old": 1.0},
    "swap gender": {"gender": 1.0},
    "tan skin and black sunglasses": {"pale": -1.0, "sunglasses": 1.0},
    "replace his beard with a moustache": {"beard": -1.0, "moustache": 1.0},
    "thin round glasses": {"eyeglasses:round": 0.5},
    "black round glasses": {"eyeglasses:round#17130f": 1.0},
    "wearing thick square black glasses": {"eyeglasses:square#17130f": 1.5},
    "glasses with round frames": {"eyeglasses:round": 1.0},
    "put aviator sunglasses on him": {"sunglasses:aviator": 1.0},
    "a round face and no round glasses": {"chubby": 1.0, "eyeglasses": -1.0},
    "take off his glasses": {"eyeglasses": -1.0},
    "neither glasses nor beard": {"eyeglasses": -1.0, "beard": -1.0},
    "he shouldn't wear glasses": {"eyeglasses": -1.0},
    "no beard, no smile, black hair": {"beard": -1.0, "smiling": -1.0, "black_hair": 1.0},
    "a smiling old man with red hair and sunglasses": {
        "smiling": 1.0,
        "old": 1.0,
        "red_hair": 1.0,
        "sunglasses": 1.0,
    },
    "a woman without glasses": {"eyeglasses": -1.0},
    "a tanned young woman": {"pale": -1.0, "young": 1.0},
    "younger": {"young": 1.0},
    "a man with no beard and no moustache": {"beard": -1.0, "moustache": -1.0},
    "a clean-shaven man": {"beard": -1.0},
    "a slightly smiling woman with pink lipstick": {"smiling": 0.5, "lipstick#e275a8": 1.0},
    "a very old man": {"old": 1.5},
    "a man with purple hair": {"hair#7a2fb8": 1.0},
    "#8a2be2 hair": {"hair#8a2be2": 1.0},
    "a man without glasses or beard but with a moustache": {
        "eyeglasses": -1.0,
        "beard": -1.0,
        "moustache": 1.0,
    },
    "no glasses, older": {"eyeglasses": -1.0, "old": 1.0},
    "without a beard and smiling": {"beard": -1.0, "smiling": 1.0},
    "without smiling": {"smiling": -1.0},
    "without smiling or laughing": {"smiling": -1.5},
    "without old wrinkled skin": {"old": -1.0},
    "without glasses or a smiling face": {"eyeglasses": -1.0, "smiling": -1.0},
    "no beard or wrinkled skin": {"beard": -1.0, "old": -1.0},
    "no glasses or beard, older": {"eyeglasses": -1.0, "beard": -1.0, "old": 1.0},
    "no pale and tired face": {"pale": -1.0, "bags_under_eyes": -1.0},
    "not old or wrinkled": {"old": -1.0},
    "not smiling but old": {"smiling": -1.0, "old": 1.0},
    "she doesn't have glasses": {"eyeglasses": -1.0},
    "don't add a beard": {"beard": -1.0},
    "don't add glasses and a beard": {"eyeglasses": -1.0, "beard": -1.0},
    "he doesn't have glasses and smiles": {"eyeglasses": -1.0, "smiling": 1.0},
    "he shouldn't have glasses, but a smile": {"eyeglasses": -1.0, "smiling": 1.0},
    "take off his glasses and make him smile": {"eyeglasses": -1.0, "smiling": 1.0},
    "don't make her smile": {"smiling": -1.0},
    "no glasses, give him a beard": {"eyeglasses": -1.0, "beard": 1.0},
    "without glasses, put on lipstick": {"eyeglasses": -1.0, "lipstick": 1.0},
    "no beard, wearing glasses": {"beard": -1.0, "eyeglasses": 1.0},
    "remove the glasses she is wearing and the beard": {"eyeglasses": -1.0, "beard": -1.0},
    "no glasses, black hair": {"eyeglasses": -1.0, "black_hair": 1.0},
    "a thick grey beard": {"beard#9c9a97": 1.5},
    "a thick beard and red glasses": {"beard": 1.5, "eyeglasses#a8391c": 1.0},
    "turn off the smile": {"smiling": -1.0},
    "switch off his smile, older": {"smiling": -1.0, "old": 1.0},
    "the beard is gone": {"beard": -1.0},
    "a thin red lipstick": {"lipstick": 0.5},
    "pale blue hair": {"hair#3a6bff": 1.0},
    "pale pink lips": {"lipstick#ff9ee3": 1.0},
    "a very short beard": {"beard": 1 / 3},
    "very light makeup": {"makeup": 1 / 3},
    "a very faint smile": {"smiling": 1 / 3},
    "smile very slightly": {"smiling": 1 / 3},
    "a very thick beard": {"beard": 2.25},
    "make this man a woman with glasses": {"female": 1.0, "eyeglasses": 1.0},
    "make him a woman with glasses": {"female": 1.0, "eyeglasses": 1.0},
    "make her an old woman": {"old": 1.0},
}
REFUSED = {
    "a short man with brown hair": "short man",
    "a tall woman": "tall",
    "a middle-aged man": "middle aged",
    "blond hair and dark eyebrows": "dark eyebrows",
    "a round beard": "round",
    "a man with a hat": "hat",
    "bald": "bald",
    "a man with blue eyes": "blue eyes",
    "a black man": "black",
    "red": "red",
    "a woman with long hair": "long hair",
    "long brown hair": "long hair (The colour of hair",
    "short, light blond hair": "short hair",
    "thick darker hair": "thick hair",
    "thin pink lips": "thin pink lips",
    "a man with a shaved head": "shaved head",
    "not shaved head": "without shaved head",
    "shave his head": "shave his head",
    "off the smile": "negation before off",
    "a man and a woman with glasses": "woman beside another person",
    "a sad woman": "sad",
    "a zombie": "zombie",
    "eine l\u00e4chelnde Frau": "l\u00e4chelnde",
    "a man without sunglasses": "without sunglasses",
    "don't remove the beard, make her older": "negation before remove",
    "don't take off the glasses": "negation before take",
    "not without glasses": "negation before without",
    "don't give the man a beard": "negation before man",
    "remove the glasses and gray hair": "without gray hair",
    "remove the glasses and blonde hair": "without blond",
    "not a man": "negation before man",
    "a face": "nothing that changes",
    "a woman with glases": "glasses",
}


@pytest.mark.parametrize("text", TEXTS)
def test_texts_as_meant(text: str) -> None:
    said = describe(text)
    assert said.attributes == TEXTS[text] and not said.unknown and not said.impossible
    assert dict(parse_request(EditOptions(text=text)).attributes) == TEXTS[text]


@pytest.mark.parametrize("text", REFUSED)
def test_texts_that_are_refused_with_the_reason(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_request(EditOptions(text=text))
    assert REFUSED[text] in str(caught.value) and "It can name" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "name"), [("not old and wrinkled", "old"), ("a smile without smiling", "smiling")]
)
def test_texts_that_contradict_themselves_are_refused(text: str, name: str) -> None:
    with pytest.raises(UsageError, match=f"adds and takes away: {name}"):
        parse_request(EditOptions(text=text))


def test_misspelt_words_keep_their_hints() -> None:
    with pytest.raises(UsageError) as caught:
        parse_request(EditOptions(text="smilling, bearrd"))
    for hint in ("Near smilling: smiling", "Near bearrd: beard", "read in English"):
        assert hint in str(caught.value)


def test_the_noun_is_an_edit_only_alone() -> None:
    assert dict(parse_request(EditOptions(text="a girl")).attributes) == {
        "female": 1.0,
        "young": 1.0,
    }
    assert "male" not in parse_request(EditOptions(text="an old man")).attributes


def test_the_neutral_text_is_no_edit() -> None:
    options = EditOptions(text="a smiling man with a beard", neutral="a smiling man")
    assert dict(parse_request(options).attributes) == {"beard": 1.0}


@pytest.mark.parametrize("row", ATTRIBUTES, ids=lambda row: row.name)
def test_every_name_gives_its_attribute_or_is_refused(row: object) -> None:
    """Names and aliases that the phrases know, alone, negated and with a degree."""
    names = [words for words, meaning in phrases().items() if meaning[0] == row.name]  # type: ignore[attr-defined]
    for words in names:
        text, (name, strength) = " ".join(words), phrases()[words]
        for form, factor in ((text, 1), (f"very {text}", 1), (f"without {text}", -1)):
            said = describe(f"a person with {form}")
            wanted = attribute_of(name)
            expected = {name, wanted.opposite} if believable(wanted, factor * strength) else set()
            assert {*said.attributes} <= expected | ({wanted.opposite} - {""}), form
            assert said.attributes or said.impossible, form


@given(
    st.sampled_from(sorted(COLOURS)),
    st.sampled_from([*THINGS, *COLOURLESS]),
    st.sampled_from([*THINGS, *COLOURLESS]),
)
def test_a_colour_belongs_to_the_thing_behind_it(colour: str, thing: str, other: str) -> None:
    """Neither "red hair" nor "red hair and lips" ever colours anything else."""
    said = describe(f"a person with {colour} {thing}")
    allowed = {meaning[0] for words, meaning in phrases().items() if words == (colour, thing)} or {
        THINGS.get(thing, "")
    }
    assert {base_name(name) for name in said.attributes} <= allowed
    assert bool(said.attributes) != bool(said.impossible)
    both = describe(f"a person with {colour} {thing} and a {other}")
    assert all("#" not in name or base_name(name) in allowed for name in both.attributes)


KNOWN = sorted(
    {word for words in phrases() for word in words}
    | {"with", "a", "without", "red", "hair", "and", "very", "man"}
)


@given(st.lists(st.sampled_from(KNOWN), max_size=7))
def test_any_order_of_known_words_gives_only_what_a_phrase_of_it_names(words: list[str]) -> None:
    said = describe(" ".join(words))
    pieces = {tuple(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}
    pieces |= {(last, first) for first in words for last in words}  # "hair dyed red"
    named = {phrases()[piece][0] for piece in pieces if piece in phrases()}
    named |= {attribute_of(name).opposite for name in named}
    coloured = {THINGS[word] for word in words if word in THINGS}
    for name, strength in said.attributes.items():
        assert name in named or ("#" in name and base_name(name) in coloured)
        assert believable(attribute_of(name), strength)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    said = describe(text)
    assert all(abs(strength) <= 16 for strength in said.attributes.values())


def test_tables_name_attributes() -> None:
    assert {base_name(name) for name, _ in SYNONYMS.values()} <= {r.name for r in ATTRIBUTES}
    assert all(attribute_of(name).coloured for name in THINGS.values())
    assert not set(IMPOSSIBLE) & {" ".join(words) for words in phrases()}
    assert set(possible_words()) <= {row.name for row in ATTRIBUTES}
