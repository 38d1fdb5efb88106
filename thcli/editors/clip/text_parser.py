"""What a text of the closed vocabulary says of a face, where all of it is understood: CelebA's labels, affirmed or denied."""

from __future__ import annotations

from collections.abc import Mapping

from thcli.editors.clip.vocabulary import (
    BEGINNINGS,
    CLAUSES,
    FEATURES,
    JOINTS,
    PERSONS,
    QUALITIES,
    THINGS,
    Says,
    split,
)

_ARTICLES = ("a", "an", "the")
_TABLES = (PERSONS, QUALITIES, THINGS, FEATURES, CLAUSES)
_PHRASES: Mapping[tuple[str, ...], Says] = {
    tuple(words[bare:]): says
    for table in _TABLES
    for text, says in table.items()
    for words in [split(text)]
    for bare in {0, int(words[0] in _ARTICLES)}
}
_LONGEST = max(map(len, _PHRASES))
_DENIES = frozenset(("without", "no", "not"))
_FILLS = frozenset(JOINTS) | {word for text in BEGINNINGS for word in split(text)}
_NOUNS = frozenset(tuple(split(text)) for text in PERSONS)


def meaning(text: str, neutral: str = "") -> dict[str, bool] | None:
    """The labels that a text affirms (True) or denies beyond what a neutral one says; None where a part of it is no such thing.

    The noun says who it is, not what shall change ("a man with a beard" makes nobody a man), unless nothing else is said ("a woman").
    Raises nothing: words that are not known make it None.
    """
    read, before = _read(text), _read(neutral)
    if read is None or before is None:
        return None
    things, noun = read
    known = before[0] | before[1]
    said = things or noun
    return {label: value for label, value in said.items() if known.get(label) != value}


def person(text: str) -> str:
    """What a text can be compared with: the person that it names, when it says more than that ("a man" for "a man with a beard"); else "a face"."""
    read = _read(text)
    words = [word for word in split(text) if (word,) in _NOUNS and PERSONS.get(word)]
    return f"a {words[0]}" if words and read is not None and read[0] else "a face"


def _read(text: str) -> tuple[dict[str, bool], dict[str, bool]] | None:
    """What a text says beside the noun, and what the noun says."""
    words = split(text)
    things: dict[str, bool] = {}
    noun: dict[str, bool] = {}
    denied, at = False, 0
    while at < len(words):
        found = next(
            (
                n
                for n in range(min(_LONGEST, len(words) - at), 0, -1)
                if tuple(words[at : at + n]) in _PHRASES
            ),
            0,
        )
        if found:
            phrase = tuple(words[at : at + found])
            into = noun if phrase in _NOUNS else things
            into |= {label: value != denied for label, value in _PHRASES[phrase].items()}
            at += found
        elif words[at] in _FILLS:
            at += 1
        else:
            return None
        # "without a beard": an article may stand between; everything else ends it, so that "no hat, with glasses" keeps its glasses
        previous = words[at - 1]
        denied = previous in _DENIES or (denied and previous in (*_ARTICLES, "wearing"))
    return things, noun
