"""Parser of texts of the closed vocabulary into affirmed and denied CelebA labels."""

from __future__ import annotations

from collections.abc import Mapping

from thcli.editors.clip.vocabulary import (
    ADJECTIVES,
    CLAUSES,
    FEATURES,
    FUNCTION_WORDS,
    NEGATABLE_FEATURES,
    PERSON_NOUNS,
    PREFIXES,
    LabelValues,
    split_words,
)

_ARTICLES = ("a", "an", "the")
_TABLES = (PERSON_NOUNS, ADJECTIVES, NEGATABLE_FEATURES, FEATURES, CLAUSES)
_PHRASES: Mapping[tuple[str, ...], LabelValues] = {
    tuple(words[bare:]): label_values
    for table in _TABLES
    for text, label_values in table.items()
    for words in [split_words(text)]
    for bare in {0, int(words[0] in _ARTICLES)}
}
_LONGEST = max(map(len, _PHRASES))
_NEGATIONS = frozenset(("without", "no", "not"))
_FILLERS = frozenset(FUNCTION_WORDS) | {word for text in PREFIXES for word in split_words(text)}
_NOUNS = frozenset(tuple(split_words(text)) for text in PERSON_NOUNS)


def parse_text(text: str, neutral: str = "") -> dict[str, bool] | None:
    """Return the labels that a text affirms (True) or denies (False) beyond a neutral text.

    The noun names the person and is not an edit ("a man with a beard" makes nobody male), unless
    the text holds nothing else ("a woman"). Returns None where a word is unknown; raises nothing.
    """
    parsed, reference = _parse_words(text), _parse_words(neutral)
    if parsed is None or reference is None:
        return None
    features, noun = parsed
    known = reference[0] | reference[1]
    return {
        label: value for label, value in (features or noun).items() if known.get(label) != value
    }


def neutral_text(text: str) -> str:
    """Return the text that a text is compared with.

    It is the person that the text names when it says more than that ("a man" for "a man with a
    beard"), else "a face".
    """
    parsed = _parse_words(text)
    nouns = [word for word in split_words(text) if (word,) in _NOUNS and PERSON_NOUNS.get(word)]
    return f"a {nouns[0]}" if nouns and parsed is not None and parsed[0] else "a face"


def _parse_words(text: str) -> tuple[dict[str, bool], dict[str, bool]] | None:
    """Return the labels of a text without its noun, and of the noun; None for unknown words."""
    words = split_words(text)
    features: dict[str, bool] = {}
    noun: dict[str, bool] = {}
    denied, at = False, 0
    while at < len(words):
        lengths = range(min(_LONGEST, len(words) - at), 0, -1)
        length = next((n for n in lengths if tuple(words[at : at + n]) in _PHRASES), 0)
        if length:
            phrase = tuple(words[at : at + length])
            into = noun if phrase in _NOUNS else features
            into |= {label: value != denied for label, value in _PHRASES[phrase].items()}
            at += length
        elif words[at] in _FILLERS:
            at += 1
        else:
            return None
        # An article may follow "without". Any other word ends the negation, so that
        # "no hat, with glasses" affirms the glasses.
        previous = words[at - 1]
        denied = previous in _NEGATIONS or (denied and previous in (*_ARTICLES, "wearing"))
    return features, noun
