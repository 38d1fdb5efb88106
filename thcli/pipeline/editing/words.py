"""Descriptions in words, read as attributes with strengths and colours.

    "a smiling old man with red hair and sunglasses"
    -> smiling 1, old 1, red_hair 1, sunglasses 1

Words that no rule knows, and things that no painter can do, are reported; nothing is guessed. A
colour belongs to the thing that follows it, so "red hair" never colours lips.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache

from thcli.editors.catalogue import attribute_of, believable
from thcli.editors.clip.vocabulary import PERSON_NOUNS, PREFIXES, split_words
from thcli.editors.shared.attribute_table import ATTRIBUTES, BY_NAME
from thcli.editors.shared.colours import (
    COLOURS,
    base_name,
    levels_of,
    parse_colour,
    with_colour,
)
from thcli.pipeline.editing.known_words import (
    COLOURLESS,
    DEGREES,
    IMPOSSIBLE,
    NOUNS,
    SYNONYMS,
    THINGS,
    TONES,
    Meaning,
)
from thcli.pipeline.editing.negation import NEGATIONS, RESETS, Negation

Phrase = tuple[str, ...]

_BARE_ALIASES = frozenset(
    split_words(
        "black brown gray grey straight wavy shadow age oval rosy man woman male female gender hair"
    )
)
"""Names of the catalogue that mean something else in a sentence."""
_FILLERS = frozenset(
    word
    for text in (
        "a an the and or nor any are be of in on",
        "his her their him them that this it look looking like as so off please",
        *PREFIXES,
    )
    for word in split_words(text)
)
_PLAIN_NOUNS = frozenset(noun for noun in PERSON_NOUNS if noun not in NOUNS) | {"people"}


@dataclass(slots=True)
class Description:
    """Content of a text.

    attributes: attribute, with its colour where it has one -> strength.
    noun: what the noun means, which is an edit only where nothing else is said.
    unknown: words that no rule knows.
    impossible: things that no engine does, with what can be done instead.
    contradictory: attributes that it both adds and takes away.
    unclear: second negations and nouns directly behind a negation ("don't remove", "not a man").
    """

    attributes: dict[str, float] = field(default_factory=dict)
    noun: dict[str, float] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    impossible: list[str] = field(default_factory=list)
    contradictory: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)


@cache
def phrases() -> Mapping[Phrase, Meaning]:
    """Return all phrases that name an attribute, without their article."""
    out: dict[Phrase, Meaning] = {}
    for row in ATTRIBUTES:
        for word in (row.name, *row.aliases):
            if word not in _BARE_ALIASES:
                out[tuple(split_words(word.replace("_", " ")))] = row.name, 1.0
    for text, meaning in SYNONYMS.items():
        out[_without_article(text)] = meaning
    return out


def describe(text: str) -> Description:
    """Read a text. Nothing is refused here; see `Description`."""
    words = _split(text)
    out = Description()
    at, degree, negation = 0, 1.0, Negation()
    while at < len(words):
        length, kind, meaning = _match(words, at)
        word = words[at]
        negation.before(word)
        if kind == "degree":
            degree *= DEGREES[" ".join(words[at : at + length])]
        elif kind == "noun":
            if negation.waits:
                out.unclear.append(word)
            out.noun.update(NOUNS.get(word, ()))
            negation = Negation()
        elif kind == "meaning":
            name, strength = meaning
            if attribute_of(name).affected_region == "hair":
                negation.before_hair()
            _add(out, name, (-strength if negation.holds else strength) * degree)
            degree = 1.0
            negation.applied(word)
        elif kind == "impossible":
            phrase = " ".join(words[at : at + length])
            hint = IMPOSSIBLE.get(phrase, "")
            if not negation.holds:
                out.impossible.append(f"{phrase} ({hint.rstrip('.')})" if hint else phrase)
            degree = 1.0
            negation.applied(word)
        elif word in NEGATIONS:
            if negation.waits:
                out.unclear.append(word)
            negation = Negation.opened_by(word)
        elif word in RESETS:
            negation.reset(word)
        elif word not in _FILLERS:
            out.unknown.append(word)
        at += length
    return out


def _match(words: list[str], at: int) -> tuple[int, str, Meaning]:
    """Return the number of words of the longest phrase at a position, its kind and meaning."""
    none: Meaning = "", 0.0
    coloured = _coloured_thing(words, at)
    if coloured is not None:
        length, name = coloured
        return (length, "meaning", (name, 1.0)) if name else (length, "impossible", none)
    known = phrases()
    for length in range(min(4, len(words) - at), 0, -1):
        phrase = tuple(words[at : at + length])
        text = " ".join(phrase)
        if phrase in known:
            return length, "meaning", known[phrase]
        if text in IMPOSSIBLE:
            return length, "impossible", none
        if text in DEGREES and at + length < len(words):
            return length, "degree", none
        if length == 1 and (text in NOUNS or text in _PLAIN_NOUNS):
            return length, "noun", none
    if words[at] in THINGS or words[at] in COLOURLESS or words[at] in COLOURS:
        return 1, "impossible", none
    return 1, "", none


def _coloured_thing(words: list[str], at: int) -> tuple[int, str] | None:
    """Return the length and attribute of "[dark] COLOUR THING"; "" for a thing without colours."""
    start = at + (words[at] in TONES)
    if start >= len(words) or not (words[start] in COLOURS or words[start].startswith("#")):
        return None
    known = phrases()
    for length in (3, 2):
        phrase = tuple(words[start : start + length])
        if start == at and phrase in known:
            return length, known[phrase][0]
    thing = words[start + 1] if start + 1 < len(words) else ""
    if thing in COLOURLESS or thing in ("haired",):
        return start + 2 - at, ""
    if thing not in THINGS:
        return None
    colour = words[start]
    code = parse_colour(colour)
    if start > at:
        code = _toned(code, words[at])
    return start + 2 - at, with_colour(THINGS[thing], code)


def _toned(code: str, tone: str) -> str:
    """Return a darker or lighter colour."""
    factor = {"dark": 0.6, "deep": 0.7}.get(tone, 1.35)
    return bytes(min(round(level * factor), 255) for level in levels_of(code)).hex()


def _add(out: Description, name: str, strength: float) -> None:
    row = attribute_of(name)
    if strength < 0 and row.opposite and not believable(row, strength):
        name, strength, row = row.opposite, -strength, attribute_of(row.opposite)
    if not believable(row, strength):
        verb = "without " if strength < 0 else ""
        what = name.replace("_", " ")
        out.impossible.append(f"{verb}{what} ({row.instead.rstrip('.')})")
        return
    for other, before in out.attributes.items():
        same, reverse = base_name(other) == row.name, other == row.opposite
        if (same and before * strength < 0) or (reverse and before * strength > 0):
            out.contradictory.append(row.name.replace("_", " "))
    out.attributes[base_name(name) if strength < 0 else name] = strength


def _split(text: str) -> list[str]:
    """Split a text into lower-case words; hyphens separate, #RRGGBB is one word."""
    out: list[str] = []
    for part in text.lower().split():
        bare = part.strip(".,;:!?()\"'")
        if bare.startswith("#") and parse_colour(bare):
            out.append(bare)
        else:
            out += re.findall(r"[^\W_]+", re.sub("['\u2019]", "", part))
    return out


def _without_article(text: str) -> Phrase:
    words = split_words(text)
    return tuple(words[int(words[0] in ("a", "an", "the")) :])


def possible_words() -> Iterator[str]:
    """Yield the names of all attributes that a painter adds or removes believably."""
    yield from (row.name for row in BY_NAME.values() if believable(row) and row.name != "hair")


def nearest_words(word: str) -> list[str]:
    """Return up to three known words that are spelled like an unknown one."""
    known = {part for phrase in phrases() for part in phrase} | set(COLOURS) | set(NOUNS)
    return get_close_matches(word, sorted(known), n=3, cutoff=0.6)
