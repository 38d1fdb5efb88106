"""Vocabulary of clip-s: words, the CelebA labels that they affirm or deny, and generated captions.

The vocabulary is closed: an unknown word is an error that names the nearest known ones.
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

LabelValues = Mapping[str, bool]  # CelebA label -> True where the face has the attribute
MAX_WORDS = 32  # of a text
OPENAI_HINT = (
    "OpenAI's CLIP knows other words: thcli weights pull clip-vit-b16, then --text-model clip-b16."
)
EXAMPLES = (
    "eyeglasses, beard, moustache, smiling, young, old, man, woman, bald, bangs, makeup, "
    "lipstick, hat, hair colours"
)

PREFIXES = (
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
PERSON_NOUNS: dict[str, LabelValues] = {
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
ADJECTIVES: dict[str, LabelValues] = {
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
# After "with", or after "without" and "no" for the denied label: "a man with a beard".
NEGATABLE_FEATURES: dict[str, LabelValues] = {
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
# After "with" only: their opposite is another feature of this table.
FEATURES: dict[str, LabelValues] = {
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
CLAUSES: dict[str, LabelValues] = {
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
FUNCTION_WORDS = (
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


def split_words(text: str) -> list[str]:
    """Split a text into lower-case words.

    Hyphens separate words; apostrophes and punctuation are dropped.
    """
    return re.findall(r"[a-z0-9]+", re.sub("['\u2019]", "", text.lower()))


def _vocabulary() -> tuple[str, ...]:
    nouns_and_features = (*PERSON_NOUNS, *ADJECTIVES, *NEGATABLE_FEATURES, *FEATURES)
    texts = (*PREFIXES, *nouns_and_features, *CLAUSES, *FUNCTION_WORDS)
    return tuple(dict.fromkeys(word for text in texts for word in split_words(text)))


# The order is part of the weights: new words may only be appended.
VOCABULARY = _vocabulary()
WORD_IDS = {word: number for number, word in enumerate(VOCABULARY, 1)}  # 0 is padding


def tokenize(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Convert texts to word ids (N, L) int64, 0 after the last word; L: words of the longest.

    Raises UsageError that names every unknown word with the nearest known ones.
    """
    out = np.zeros((len(texts), MAX_WORDS), np.int64)
    for row, text in enumerate(texts):
        words = split_words(text)
        unknown = [word for word in dict.fromkeys(words) if word not in WORD_IDS]
        if unknown:
            raise _unknown_words(unknown)
        if not words or len(words) > MAX_WORDS:
            raise UsageError(f"A text of {len(words)} words: give 1 to {MAX_WORDS}.")
        out[row, : len(words)] = [WORD_IDS[word] for word in words]
    return out[:, : max(np.count_nonzero(out, 1), default=0)]


def _unknown_words(unknown: Sequence[str]) -> UsageError:
    near = {word: get_close_matches(word, VOCABULARY, n=3, cutoff=0.5) for word in unknown}
    hints = [f"Near {word}: {', '.join(found)}." for word, found in near.items() if found]
    hints += [f"It knows CelebA's attributes: {EXAMPLES}.", OPENAI_HINT]
    plural = "s" if len(unknown) > 1 else ""
    return UsageError(
        f"clip-s does not know the word{plural} {', '.join(unknown)}.", " ".join(hints)
    )


@dataclass(frozen=True, slots=True)
class Caption:
    """A text with the labels that it affirms or denies."""

    text: str
    label_values: LabelValues


def make_caption(
    labels: npt.NDArray[np.bool_], rng: np.random.Generator, rarity: npt.NDArray[np.float64]
) -> Caption:
    """Write a caption that is true of a face: a person and up to three attributes.

    Args:
        labels: (40,) bool of the face.
        rng: random numbers.
        rarity: (40,) weight with which each attribute of the face is mentioned.
    """
    truth = dict(zip(CELEBA, labels.tolist(), strict=True))

    def is_true(facts: LabelValues) -> bool:
        return all(truth[name] == value for name, value in facts.items())

    nouns = [noun for noun, facts in PERSON_NOUNS.items() if is_true(facts)]
    plain = [noun for noun in nouns if not PERSON_NOUNS[noun]]
    noun = str(rng.choice(plain if rng.random() < 0.55 else nouns))
    label_values: dict[str, bool] = dict(PERSON_NOUNS[noun])
    before: list[str] = []
    after: list[str] = []
    clauses: list[str] = []
    for _ in range(int(rng.choice(4, p=(0.06, 0.5, 0.28, 0.16)))):
        kind = int(rng.choice(5, p=(0.26, 0.27, 0.2, 0.17, 0.1)))
        if kind == 4 and clauses:
            continue
        table = (ADJECTIVES, NEGATABLE_FEATURES, NEGATABLE_FEATURES, FEATURES, CLAUSES)[kind]
        denied = kind == 2
        found = [
            (words, facts)
            for words, facts in table.items()
            if (_contradicts(facts, truth) if denied else is_true(facts))
        ]
        found = [(words, facts) for words, facts in found if not set(facts) & set(label_values)]
        if not found:
            continue
        weights = np.array(
            [
                max(rarity[CELEBA.index(name)] for name in facts) if not denied else 1.0
                for _, facts in found
            ]
        )
        words, facts = found[int(rng.choice(len(found), p=weights / weights.sum()))]
        label_values |= {name: truth[name] for name in facts}
        if kind == 0:
            before.append(words)
        elif kind == 4:
            clauses.append(words)
        else:
            worn = next(iter(facts)) in WORN and rng.random() < 0.4
            bare = words.removeprefix("a ").removeprefix("an ")
            without = str(rng.choice(("without", "with no", "not wearing" if worn else "without")))
            after.append(
                f"{without} {bare if without == 'with no' else words}"
                if denied
                else f"{'wearing' if worn else 'with'} {words}"
            )
    article = ""
    if noun not in ("somebody", "someone"):
        article = str(rng.choice(("a", "a", "the", "this", "")))
    head = " ".join([*before, noun])
    article = "an" if article == "a" and head[0] in "aeiou" else article
    conjunction = str(rng.choice((" and ", " and ", ", ", " ")))
    tail = conjunction.join([*after, *(f"who {clause}" for clause in clauses)])
    if not PERSON_NOUNS[noun] and (after or before) and rng.random() < 0.08:
        # Without a noun: "bald", "with a moustache".
        return Caption(" ".join([*before, *tail.split()]), label_values)
    text = f"{rng.choice(PREFIXES)} {article} {head} {tail}"
    return Caption(" ".join(text.split()), label_values)


def _contradicts(facts: LabelValues, truth: Mapping[str, bool]) -> bool:
    """Return True when the face has none of the given label values."""
    return all(truth[name] != value for name, value in facts.items())


def match_labels(
    label_values: Sequence[LabelValues], labels: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return (N, C) bool, True where text c is true of face n.

    Args:
        label_values: of C texts.
        labels: (N, 40) bool of N faces.
    """
    out = np.ones((len(labels), len(label_values)), np.bool_)
    for column, facts in enumerate(label_values):
        for name, value in facts.items():
            out[:, column] &= labels[:, CELEBA.index(name)] == value
    return out
