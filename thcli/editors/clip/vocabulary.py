"""The words that clip-s knows, what they say of CelebA's attributes, and texts made of them.

A closed vocabulary: a word that is not in it is told to the user with its nearest ones, never guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import numpy.typing as npt

from thcli.core.errors import UsageError
from thcli.editors.shared.celeba import CELEBA

Says = Mapping[str, bool]  # attribute -> whether the face has it
LONGEST = 32  # words of a text
OFFICIAL = "thcli weights pull clip-vit-b16 gets OpenAI's CLIP, which knows other words (--text-model clip-b16)."

BEGINNINGS = (
    "",
    "a photo of",
    "a picture of",
    "a portrait of",
    "an image of",
    "a close-up photo of",
    "a photo of the face of",
    "this is",
    "the face of",
)
PERSONS: dict[str, Says] = {
    "person": {},
    "face": {},
    "human": {},
    "somebody": {},
    "someone": {},
    "head": {},
    "man": {"Male": True},
    "male": {"Male": True},
    "guy": {"Male": True},
    "gentleman": {"Male": True},
    "boy": {"Male": True, "Young": True},
    "woman": {"Male": False},
    "female": {"Male": False},
    "lady": {"Male": False},
    "girl": {"Male": False, "Young": True},
}
# Before the person: "a smiling woman".
QUALITIES: dict[str, Says] = {
    "smiling": {"Smiling": True},
    "happy": {"Smiling": True},
    "cheerful": {"Smiling": True},
    "serious": {"Smiling": False},
    "unsmiling": {"Smiling": False},
    "young": {"Young": True},
    "youthful": {"Young": True},
    "old": {"Young": False},
    "elderly": {"Young": False},
    "aged": {"Young": False},
    "bald": {"Bald": True},
    "bearded": {"No_Beard": False},
    "shaven": {"No_Beard": True},
    "clean-shaven": {"No_Beard": True},
    "unshaven": {"5_o_Clock_Shadow": True},
    "stubbly": {"5_o_Clock_Shadow": True},
    "moustached": {"Mustache": True},
    "blond": {"Blond_Hair": True},
    "blonde": {"Blond_Hair": True},
    "fair-haired": {"Blond_Hair": True},
    "black-haired": {"Black_Hair": True},
    "dark-haired": {"Blond_Hair": False, "Gray_Hair": False},
    "brown-haired": {"Brown_Hair": True},
    "brunette": {"Brown_Hair": True},
    "gray-haired": {"Gray_Hair": True},
    "grey-haired": {"Gray_Hair": True},
    "chubby": {"Chubby": True},
    "fat": {"Chubby": True},
    "plump": {"Chubby": True},
    "round-faced": {"Chubby": True},
    "thin": {"Chubby": False},
    "slim": {"Chubby": False},
    "pale": {"Pale_Skin": True},
    "attractive": {"Attractive": True},
    "beautiful": {"Attractive": True, "Male": False},
    "pretty": {"Attractive": True, "Male": False},
    "handsome": {"Attractive": True, "Male": True},
    "tired": {"Bags_Under_Eyes": True},
    "made-up": {"Heavy_Makeup": True},
    "masculine": {"Male": True},
    "feminine": {"Male": False},
    "bespectacled": {"Eyeglasses": True},
    "blurry": {"Blurry": True},
    "curly-haired": {"Wavy_Hair": True},
    "rosy-cheeked": {"Rosy_Cheeks": True},
}
# After "with", or "without" and "no" for the contrary: "a man with a beard".
THINGS: dict[str, Says] = {
    "eyeglasses": {"Eyeglasses": True},
    "glasses": {"Eyeglasses": True},
    "spectacles": {"Eyeglasses": True},
    "a beard": {"No_Beard": False},
    "beard": {"No_Beard": False},
    "facial hair": {"No_Beard": False},
    "a goatee": {"Goatee": True},
    "a moustache": {"Mustache": True},
    "a mustache": {"Mustache": True},
    "mustache": {"Mustache": True},
    "moustache": {"Mustache": True},
    "stubble": {"5_o_Clock_Shadow": True},
    "a five o'clock shadow": {"5_o_Clock_Shadow": True},
    "sideburns": {"Sideburns": True},
    "whiskers": {"Sideburns": True},
    "bangs": {"Bangs": True},
    "a fringe": {"Bangs": True},
    "makeup": {"Heavy_Makeup": True},
    "make-up": {"Heavy_Makeup": True},
    "heavy makeup": {"Heavy_Makeup": True},
    "lipstick": {"Wearing_Lipstick": True},
    "red lipstick": {"Wearing_Lipstick": True},
    "red lips": {"Wearing_Lipstick": True},
    "rosy cheeks": {"Rosy_Cheeks": True},
    "red cheeks": {"Rosy_Cheeks": True},
    "blush": {"Rosy_Cheeks": True},
    "earrings": {"Wearing_Earrings": True},
    "an earring": {"Wearing_Earrings": True},
    "a necklace": {"Wearing_Necklace": True},
    "a hat": {"Wearing_Hat": True},
    "hat": {"Wearing_Hat": True},
    "a cap": {"Wearing_Hat": True},
    "a necktie": {"Wearing_Necktie": True},
    "a tie": {"Wearing_Necktie": True},
    "bags under the eyes": {"Bags_Under_Eyes": True},
    "a double chin": {"Double_Chin": True},
    "high cheekbones": {"High_Cheekbones": True},
    "a receding hairline": {"Receding_Hairline": True},
    "a smile": {"Smiling": True},
    "arched eyebrows": {"Arched_Eyebrows": True},
    "bushy eyebrows": {"Bushy_Eyebrows": True},
    "thick eyebrows": {"Bushy_Eyebrows": True},
}
# After "with" alone: their contrary is another one of them.
FEATURES: dict[str, Says] = {
    "black hair": {"Black_Hair": True},
    "dark hair": {"Blond_Hair": False, "Gray_Hair": False},
    "blond hair": {"Blond_Hair": True},
    "blonde hair": {"Blond_Hair": True},
    "brown hair": {"Brown_Hair": True},
    "gray hair": {"Gray_Hair": True},
    "grey hair": {"Gray_Hair": True},
    "white hair": {"Gray_Hair": True},
    "straight hair": {"Straight_Hair": True},
    "wavy hair": {"Wavy_Hair": True},
    "curly hair": {"Wavy_Hair": True},
    "no hair": {"Bald": True},
    "a bald head": {"Bald": True},
    "big lips": {"Big_Lips": True},
    "full lips": {"Big_Lips": True},
    "thick lips": {"Big_Lips": True},
    "thin lips": {"Big_Lips": False},
    "small lips": {"Big_Lips": False},
    "a big nose": {"Big_Nose": True},
    "a large nose": {"Big_Nose": True},
    "a small nose": {"Big_Nose": False},
    "a pointy nose": {"Pointy_Nose": True},
    "a pointed nose": {"Pointy_Nose": True},
    "narrow eyes": {"Narrow_Eyes": True},
    "small eyes": {"Narrow_Eyes": True},
    "an oval face": {"Oval_Face": True},
    "a round face": {"Chubby": True},
    "a chubby face": {"Chubby": True},
    "pale skin": {"Pale_Skin": True},
    "white skin": {"Pale_Skin": True},
    "an open mouth": {"Mouth_Slightly_Open": True},
    "the mouth open": {"Mouth_Slightly_Open": True},
    "open lips": {"Mouth_Slightly_Open": True},
    "a closed mouth": {"Mouth_Slightly_Open": False},
    "closed lips": {"Mouth_Slightly_Open": False},
    "the mouth closed": {"Mouth_Slightly_Open": False},
    "a serious look": {"Smiling": False},
}
# After "who": "a person who is smiling".
CLAUSES: dict[str, Says] = {
    "is smiling": {"Smiling": True},
    "smiles": {"Smiling": True},
    "is laughing": {"Smiling": True, "Mouth_Slightly_Open": True},
    "laughs": {"Smiling": True, "Mouth_Slightly_Open": True},
    "is not smiling": {"Smiling": False},
    "does not smile": {"Smiling": False},
    "is old": {"Young": False},
    "is young": {"Young": True},
    "is bald": {"Bald": True},
    "is not bald": {"Bald": False},
    "is male": {"Male": True},
    "is female": {"Male": False},
    "is pale": {"Pale_Skin": True},
    "is not young": {"Young": False},
    "is not old": {"Young": True},
    "is not wearing glasses": {"Eyeglasses": False},
    "is not wearing makeup": {"Heavy_Makeup": False},
    "has a beard": {"No_Beard": False},
    "has no beard": {"No_Beard": True},
    "has a mustache": {"Mustache": True},
    "has no eyeglasses": {"Eyeglasses": False},
    "has eyeglasses": {"Eyeglasses": True},
}
WORN = (
    "Eyeglasses",
    "Wearing_Lipstick",
    "Wearing_Earrings",
    "Wearing_Necklace",
    "Wearing_Hat",
    "Wearing_Necktie",
    "Heavy_Makeup",
)
JOINTS = (
    "a",
    "an",
    "the",
    "with",
    "without",
    "no",
    "not",
    "and",
    "who",
    "is",
    "has",
    "wearing",
    "of",
    "in",
    "his",
    "her",
    "very",
    "that",
)


def split(text: str) -> list[str]:
    """A text's words: lower case, hyphens parting them as spaces do, apostrophes and punctuation left out."""
    return re.findall(r"[a-z0-9]+", re.sub("['\u2019]", "", text.lower()))


def _vocabulary() -> tuple[str, ...]:
    texts = (*BEGINNINGS, *PERSONS, *QUALITIES, *THINGS, *FEATURES, *CLAUSES, *JOINTS)
    return tuple(dict.fromkeys(word for text in texts for word in split(text)))


VOCABULARY = (
    _vocabulary()
)  # the order is part of the weights: words are only ever added at the end of it
NUMBERS = {word: number for number, word in enumerate(VOCABULARY, 1)}  # 0 fills up


def numbers_of(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """(N, LONGEST) the words' numbers, 0 after the last. Raises UsageError naming every word that is not known, with the nearest ones."""
    out = np.zeros((len(texts), LONGEST), np.int64)
    for row, text in enumerate(texts):
        words = split(text)
        unknown = [word for word in dict.fromkeys(words) if word not in NUMBERS]
        if unknown:
            near = {word: get_close_matches(word, VOCABULARY, n=3, cutoff=0.5) for word in unknown}
            hints = [f"near {word}: {', '.join(found)}" for word, found in near.items() if found]
            raise UsageError(
                f"clip-s does not know the word{'s' * (len(unknown) > 1)} {', '.join(unknown)}.",
                f"{'; '.join(hints).capitalize() + '. ' if hints else ''}It knows what CelebA labels: {_examples()}. {OFFICIAL}",
            )
        if not words or len(words) > LONGEST:
            raise UsageError(
                f"A text of {len(words)} words cannot be understood: 1 to {LONGEST} can."
            )
        out[row, : len(words)] = [NUMBERS[word] for word in words]
    return out


def _examples() -> str:
    return "eyeglasses, beard, moustache, smiling, young, old, man, woman, bald, bangs, makeup, lipstick, hat, hair colours"


@dataclass(frozen=True, slots=True)
class Caption:
    """A text, and what it says."""

    text: str
    says: Says


def caption(
    labels: npt.NDArray[np.bool_], dice: np.random.Generator, rarity: npt.NDArray[np.float64]
) -> Caption:
    """A text that is true of a face with these labels (40,): a person, and up to three things of it.

    rarity: (40,) how much rather each attribute is spoken of when the face has it.  Nothing is said that the labels do not.
    """
    truth = dict(zip(CELEBA, labels.tolist(), strict=True))

    def true(says: Says) -> bool:
        return all(truth[name] == value for name, value in says.items())

    nouns = [noun for noun, says in PERSONS.items() if true(says)]
    plain = [noun for noun in nouns if not PERSONS[noun]]
    noun = str(dice.choice(plain if dice.random() < 0.55 else nouns))
    says: dict[str, bool] = dict(PERSONS[noun])
    before: list[str] = []
    after: list[str] = []
    clauses: list[str] = []
    for _ in range(int(dice.choice(4, p=(0.06, 0.5, 0.28, 0.16)))):
        kind = int(dice.choice(5, p=(0.26, 0.27, 0.2, 0.17, 0.1)))
        if kind == 4 and clauses:
            continue
        table = (QUALITIES, THINGS, THINGS, FEATURES, CLAUSES)[kind]
        denied = kind == 2
        found = [
            (words, facts)
            for words, facts in table.items()
            if (_contrary(facts, truth) if denied else true(facts))
        ]
        found = [(words, facts) for words, facts in found if not set(facts) & set(says)]
        if not found:
            continue
        weights = np.array(
            [
                max(rarity[CELEBA.index(name)] for name in facts) if not denied else 1.0
                for _, facts in found
            ]
        )
        words, facts = found[int(dice.choice(len(found), p=weights / weights.sum()))]
        says |= {name: truth[name] for name in facts}
        if kind == 0:
            before.append(words)
        elif kind == 4:
            clauses.append(words)
        else:
            worn = next(iter(facts)) in WORN and dice.random() < 0.4
            bare = words.removeprefix("a ").removeprefix("an ")
            without = str(dice.choice(("without", "with no", "not wearing" if worn else "without")))
            after.append(
                f"{without} {bare if without == 'with no' else words}"
                if denied
                else f"{'wearing' if worn else 'with'} {words}"
            )
    article = (
        str(dice.choice(("a", "a", "the", "this", "")))
        if noun not in ("somebody", "someone")
        else ""
    )
    head = " ".join([*before, noun])
    article = "an" if article == "a" and head[0] in "aeiou" else article
    tail = str(dice.choice((" and ", " and ", ", ", " "))).join(
        [*after, *(f"who {clause}" for clause in clauses)]
    )
    if not PERSONS[noun] and (after or before) and dice.random() < 0.08:
        return Caption(
            " ".join([*before, *tail.split()]), says
        )  # the thing alone: "bald", "with a moustache"
    return Caption(" ".join(f"{dice.choice(BEGINNINGS)} {article} {head} {tail}".split()), says)


def _contrary(facts: Says, truth: Mapping[str, bool]) -> bool:
    """Whether the face lacks what one thing says it has."""
    return all(truth[name] != value for name, value in facts.items())


def holds(says: Sequence[Says], labels: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(N, C): which of C texts are true of which of N faces, labels (N, 40)."""
    out = np.ones((len(labels), len(says)), np.bool_)
    for column, facts in enumerate(says):
        for name, value in facts.items():
            out[:, column] &= labels[:, CELEBA.index(name)] == value
    return out
