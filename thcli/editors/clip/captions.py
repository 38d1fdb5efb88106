"""Captions of faces in the vocabulary of clip-s, written from their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.editors.clip.vocabulary import (
    ADJECTIVES,
    CLAUSES,
    FEATURES,
    NEGATABLE_FEATURES,
    PERSON_NOUNS,
    PREFIXES,
    LabelValues,
)
from thcli.editors.shared.celeba import CELEBA

WORN = (
    "Eyeglasses",
    "Wearing_Lipstick",
    "Wearing_Earrings",
    "Wearing_Necklace",
    "Wearing_Hat",
    "Wearing_Necktie",
    "Heavy_Makeup",
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
