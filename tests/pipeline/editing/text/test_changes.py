"""Texts of changes: who is there before, what goes for something else, frames of glasses."""

from __future__ import annotations

import pytest

from thcli.core.errors import UsageError
from thcli.core.options import EditOptions
from thcli.pipeline.editing.request import parse_request

PERSONS = {
    "replace him with an old man": {"old": 1, "male": 1},
    "exchange him for an old lady": {"old": 1, "female": 1},
    "swap him with a smiling woman": {"smiling": 1, "female": 1},
    "swap him for a bearded man": {"beard": 1, "male": 1},
    "replace the man with a woman": {"female": 1},
    "replace the old man, with a young woman": {"young": 1, "female": 1},
    "replace this young man by an old woman with glasses": {"old": 1, "female": 1, "eyeglasses": 1},
    "replace the man with glasses with a woman with red hair": {"female": 1, "red_hair": 1},
    "replace the old man and his glasses with a young woman": {"young": 1, "female": 1},
    "replace it with a beard": {"beard": 1},
    "swap the man for the old woman": {"old": 1, "female": 1},
    "change the young man for an old one": {"old": 1},
    "convert the man to a woman": {"female": 1},
    "change him to be older": {"old": 1},
    "turn the boy into a man": {"male": 1},
    "turn the man into an old man": {"old": 1},
    "turn the young man into an old woman": {"old": 1, "female": 1},
    "make her look like the bearded man": {"beard": 1, "male": 1},
    "make her look like the smiling girl": {"smiling": 1, "female": 1, "young": 1},
    "make the young man look like the old man": {"old": 1},
    "make him the old man": {"old": 1},
    "turn him into the bearded man": {"beard": 1, "male": 1},
    "let him be the old man": {"old": 1},
    "give him the bearded man look": {"beard": 1},
    "make the bearded and smiling man older": {"old": 1},
    "make the old, bearded man smile": {"smiling": 1},
    "make the blonde woman smile": {"smiling": 1},
    "shave the bearded man": {"beard": -1},
    "shave the bearded man and make him smile": {"beard": -1, "smiling": 1},
    "shave him": {"beard": -1},
    "add the glasses and the smile, man": {"eyeglasses": 1, "smiling": 1},
    "give him glasses, the beard, man": {"eyeglasses": 1, "beard": 1},
    "make the woman with glasses look older": {"old": 1},
    "make her with glasses look older": {"old": 1},
    "make the man with long hair smile": {"smiling": 1},
    "make the man who wears glasses older": {"old": 1},
    "make the man with glasses and a beard smile": {"smiling": 1},
    "make the man with glasses, and make him older": {"eyeglasses": 1, "old": 1},
    "make the man with glasses": {"eyeglasses": 1},
    "give the man in sunglasses a beard": {"beard": 1},
    "give the man without glasses a beard": {"beard": 1},
    "make the girl with the round glasses blonde": {"blond": 1},
    "remove the smile from the man with the beard and add glasses": {
        "smiling": -1,
        "eyeglasses": 1,
    },
    "add glasses to the man with the beard": {"eyeglasses": 1},
    "remove the old man's beard": {"beard": -1},
    "paint the old woman's lips red": {"lipstick": 1},
    "an old man's face with a beard": {"old": 1, "beard": 1},
    "she's smiling": {"smiling": 1},
}
CHANGES = {
    "turn the beard into a goatee": {"beard": -1, "goatee": 1},
    "change the beard into stubble": {"beard": -1, "stubble": 1},
    "change the beard into a moustache": {"beard": -1, "moustache": 1},
    "swap beard for stubble": {"beard": -1, "stubble": 1},
    "change the beard to stubble": {"beard": -1, "stubble": 1},
    "change the beard to be longer": {"beard": 1},
    "swap out the glasses for sunglasses": {"eyeglasses": -1, "sunglasses": 1},
    "replace the man's beard with stubble": {"beard": -1, "stubble": 1},
    "replace the glasses of the man with sunglasses": {"eyeglasses": -1, "sunglasses": 1},
    "replace the beard, glasses and smile with stubble": {
        "beard": -1,
        "eyeglasses": -1,
        "smiling": -1,
        "stubble": 1,
    },
    "replace the beard with a moustache, and add glasses": {
        "beard": -1,
        "moustache": 1,
        "eyeglasses": 1,
    },
    "turn the glasses into sunglasses and the beard into a goatee": {
        "eyeglasses": -1,
        "sunglasses": 1,
        "beard": -1,
        "goatee": 1,
    },
    "replace the man with a woman and the beard with stubble": {
        "female": 1,
        "beard": -1,
        "stubble": 1,
    },
    "replace the glasses with sunglasses and make him older": {
        "eyeglasses": -1,
        "sunglasses": 1,
        "old": 1,
    },
    "turn up the smile for a younger look": {"smiling": 1, "young": 1},
    "replace the smile with a serious look": {"smiling": -1},
    "change the smile to a bigger smile": {"smiling": 1.5},
    "replace young with old": {"old": 1},
    "from young to old": {"old": 1},
    "not old but young": {"young": 1},
    "remove wrinkles for a younger look": {"young": 1},
    "replace her blonde hair with black hair": {"black_hair": 1},
    "replace brown hair and glasses with red hair and a beard": {
        "eyeglasses": -1,
        "red_hair": 1,
        "beard": 1,
    },
    "replace red hair with green hair": {"hair#2f8f4a": 1},
    "swap the hair colour to red": {"red_hair": 1},
    "change his hair colour to red for a younger look": {"red_hair": 1, "young": 1},
    "change his hair from brown to blonde": {"blond": 1},
    "turn her hair from blonde to grey": {"gray_hair": 1},
    "replace her lipstick with red lipstick": {"lipstick": 1},
    "replace her red lipstick with pink": {"lipstick#e275a8": 1},
    "replace his grey beard with a black one": {"beard#17130f": 1},
    "make the beard a goatee": {"beard": -1, "goatee": 1},
    "change the red lipstick to pink and add a beard": {"lipstick#e275a8": 1, "beard": 1},
    "do not smile": {"smiling": -1},
    "make his hair a bit greyer": {"gray_hair": 0.5},
    "make her hair much lighter and smile": {"blond": 1.5, "smiling": 1},
}
GLASSES = {
    "round glasses with red frames": {"eyeglasses:round#a8391c": 1},
    "red glasses with round frames": {"eyeglasses:round#a8391c": 1},
    "thin round glasses with gold frames": {"eyeglasses:round#c99a3c": 0.5},
    "sunglasses with round frames": {"sunglasses:round": 1},
    "make the glasses round": {"eyeglasses:round": 1},
    "make the glasses square, man": {"eyeglasses:square": 1},
    "make the red glasses round": {"eyeglasses:round#a8391c": 1},
    "make the round glasses square": {"eyeglasses:square": 1},
    "change the man's glasses to round ones": {"eyeglasses:round": 1},
    "swap her glasses with round red ones": {"eyeglasses:round#a8391c": 1},
    "swap the glasses for round glasses": {"eyeglasses:round": 1},
    "replace the sunglasses with aviator sunglasses": {"sunglasses:aviator": 1},
    "remove glasses with round frames": {"eyeglasses": -1},
}
REFUSED = {
    "swap the sunglasses for round glasses": "without sunglasses (The eyes",
    "don't turn the beard into a goatee": "negation before turn",
    "don't turn him into an old man": "negation before turn",
    "don't replace him with an old man": "negation before replace",
    "take him and make him smile": "negation before make",
    "don't make him look like the old man": "negation before man",
    "do not replace the beard": "negation before replace",
    "don't shave the bearded man": "negation before shave",
    "change the eye color to blue": "eye; blue",
    "make me younger by 10 years": "10 years (Ages have degrees",
    "make the old man ten years younger": "ten years (Ages have degrees",
    "sunglasses with red frames": "red frames of sunglasses",
    "remove the red hair": "without red hair (Name",
    "remove the green hair": "without hair (Name the colour",
}


@pytest.mark.parametrize(("text", "expected"), {**PERSONS, **CHANGES, **GLASSES}.items(), ids=str)
def test_a_change_as_a_user_means_it(text: str, expected: dict[str, float]) -> None:
    assert dict(parse_request(EditOptions(text=text)).attributes) == expected


@pytest.mark.parametrize(("text", "reason"), REFUSED.items(), ids=str)
def test_a_change_that_is_refused_by_name(text: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_request(EditOptions(text=text))
    assert reason in str(caught.value)
