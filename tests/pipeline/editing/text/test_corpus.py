"""Corpus of texts as users write them, each with what they would expect."""

from __future__ import annotations

import pytest

from thcli.core.errors import UsageError
from thcli.core.options import EditOptions
from thcli.pipeline.editing.request import parse_request

LISTS = {
    "take off the glasses, smile": {"eyeglasses": -1, "smiling": 1},
    "take off the glasses and smile": {"eyeglasses": -1, "smiling": 1},
    "take off the glasses, smile and look younger": {"eyeglasses": -1, "smiling": 1, "young": 1},
    "older, no glasses, smiling": {"old": 1, "eyeglasses": -1, "smiling": 1},
    "beard, glasses": {"beard": 1, "eyeglasses": 1},
    "blond, tanned, smiling": {"blond": 1, "pale": -1, "smiling": 1},
    "make-up, lipstick and blush": {"makeup": 1, "lipstick": 1, "rosy_cheeks": 1},
    "a woman, smiling, with red lips and no glasses": {
        "smiling": 1,
        "lipstick": 1,
        "eyeglasses": -1,
    },
    "make him younger; remove the beard; add sunglasses": {
        "young": 1,
        "beard": -1,
        "sunglasses": 1,
    },
    "he is old. he has no beard. he wears sunglasses.": {"old": 1, "beard": -1, "sunglasses": 1},
    "glasses + moustache": {"eyeglasses": 1, "moustache": 1},
    "a gray-haired, bearded man without glasses": {"gray_hair": 1, "beard": 1, "eyeglasses": -1},
    "he should be older and have grey hair": {"old": 1, "gray_hair": 1},
}
NEGATIONS = {
    "without beard, moustache or glasses": {"beard": -1, "moustache": -1, "eyeglasses": -1},
    "without a beard, a moustache or glasses": {"beard": -1, "moustache": -1, "eyeglasses": -1},
    "without glasses, beard and moustache": {"eyeglasses": -1, "beard": -1, "moustache": -1},
    "not wearing glasses, beard or moustache": {"eyeglasses": -1, "beard": -1, "moustache": -1},
    "remove glasses, beard": {"eyeglasses": -1, "beard": -1},
    "remove the glasses, the beard and the smile": {
        "eyeglasses": -1,
        "beard": -1,
        "smiling": -1,
    },
    "w/o glasses & beard": {"eyeglasses": -1, "beard": -1},
    "no glasses, a beard": {"eyeglasses": -1, "beard": 1},
    "no glasses and a beard": {"eyeglasses": -1, "beard": 1},
    "no glasses, big smile": {"eyeglasses": -1, "smiling": 1.5},
    "no glasses, red lipstick": {"eyeglasses": -1, "lipstick": 1},
    "no glasses, clean shaven": {"eyeglasses": -1, "beard": -1},
    "no heavy beard": {"beard": -1},
    "no more glasses": {"eyeglasses": -1},
    "not smiling, laughing or happy": {"smiling": -1},
    "not smiling, older": {"smiling": -1, "old": 1},
    "without glasses, smiling": {"eyeglasses": -1, "smiling": 1},
    "no beard or glasses, but a moustache": {"beard": -1, "eyeglasses": -1, "moustache": 1},
    "lose the glasses, add a moustache": {"eyeglasses": -1, "moustache": 1},
    "get rid of the beard": {"beard": -1},
    "shave off the moustache": {"moustache": -1},
    "stop smiling": {"smiling": -1},
    "glasses off": {"eyeglasses": -1},
    "take his glasses off": {"eyeglasses": -1},
    "beard gone, smiling": {"beard": -1, "smiling": 1},
}
DEGREES = {
    "a bit older": {"old": 0.5},
    "much older": {"old": 1.5},
    "smile a bit, older": {"smiling": 0.5, "old": 1},
    "smile a lot less": {"smiling": -1.5},
    "a little younger, with a big smile": {"young": 0.5, "smiling": 1.5},
    "much younger and very happy": {"young": 1.5, "smiling": 1.5},
    "very very very very old": {"old": 3},
    "a hint of a smile": {"smiling": 0.5},
    "light make-up": {"makeup": 0.5},
    "a man with a thin moustache": {"moustache": 0.5},
    "a thin woman": {"chubby": -1},
    "a man with bushy eyebrows and a bushy beard": {"bushy_eyebrows": 1, "beard": 1.5},
    "a thicker beard": {"beard": 1.5},
    "fuller lips": {"big_lips": 1},
    "smaller nose, thicker eyebrows": {"big_nose": -1, "bushy_eyebrows": 1},
    "happier and paler": {"smiling": 1, "pale": 1},
    "more feminine": {"female": 1},
    "half smiling": {"smiling": 0.5},
    "make the woman look like a man": {"male": 1},
    "turn him into an old woman": {"old": 1, "female": 1},
    "fewer wrinkles": {"young": 1},
    "put glasses on him, too": {"eyeglasses": 1},
}
COLOURS = {
    "make his hair red": {"red_hair": 1},
    "hair: green": {"hair#2f8f4a": 1},
    "dye the hair blue, green glasses": {"hair#2b4fc4": 1, "eyeglasses#2f8f4a": 1},
    "turn her hair purple and smile": {"hair#7a2fb8": 1, "smiling": 1},
    "paint her lips dark red": {"lipstick#652211": 1},
    "his hair is grey and his beard black": {"gray_hair": 1, "beard#17130f": 1},
    "black-rimmed glasses": {"eyeglasses#17130f": 1},
    "dark brown hair and a light brown beard": {"hair#392514": 1, "beard#80522e": 1},
    "burgundy hair": {"hair#6d1a2c": 1},
    "dark beard": {"beard#2a1d14": 1},
    "glasses with red frames": {"eyeglasses#a8391c": 1},
}
REFUSED = {
    "beard, glasses, hat": "hat (What can be put on: eyeglasses",
    "without beard, glasses or make-up": "without makeup",
    "without freckles, older": "without freckles",
    "no smile or pale lips": "without pale lips",
    "no glasses, beard": "negation before beard",
    "older, no beard, glasses": "negation before glasses",
    "no glasses; beard": "negation before beard",
    "remove the glasses, thick beard": "negation before beard",
    "remove the beard and smile": "negation before smile",
    "not very old": "negation before very",
    "young old man": "young and old contradict",
    "younger and older": "young and old contradict",
    "serious smile": "adds and takes away: smiling",
    "tanned and pale": "adds and takes away: pale",
    "bearded man without a beard": "adds and takes away: beard",
    "blond black hair": "blond and black_hair contradict",
    "glasses and sunglasses": "eyeglasses and sunglasses contradict",
    "a man with stubble and a beard": "stubble and beard contradict",
    "20 years older": "20 years (Ages have degrees",
    "a child": "child (younger makes",
    "surprised, older": "surprised (thcli reenact",
    "remove his moustache but keep the beard": "keep (What is not named",
    "red hair and lips": "lips (Name the colour",
    "make his hair and beard grey": "hair (Name the colour",
    "a beard that is red": "red",
    "red and blue hair": "red",
    "very": "The word very",
    "an elf with wings": "elf, wings",
}


@pytest.mark.parametrize(
    ("text", "expected"), {**LISTS, **NEGATIONS, **DEGREES, **COLOURS}.items(), ids=str
)
def test_a_text_as_a_user_means_it(text: str, expected: dict[str, float]) -> None:
    assert dict(parse_request(EditOptions(text=text)).attributes) == expected


@pytest.mark.parametrize(("text", "reason"), REFUSED.items(), ids=str)
def test_a_text_that_is_refused_by_name(text: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_request(EditOptions(text=text))
    assert reason in str(caught.value)
