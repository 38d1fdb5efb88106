"""Vocabulary of clip-s: words, and the CelebA labels that they affirm or deny.

The vocabulary is closed: an unknown word is an error that names the nearest known ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import numpy as np
import numpy.typing as npt

from thcli.core.errors import UsageError

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
