"""Tokens of a description: its words as things, states, degrees, negations and joints.

A colour belongs to the thing that it stands beside, so "red hair" never colours lips.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from thcli.editors.clip.vocabulary import PERSON_NOUNS, PREFIXES, split_words
from thcli.editors.shared.attribute_table import ATTRIBUTES
from thcli.editors.shared.keys import (
    COLOURS,
    base_name,
    levels_of,
    parse_colour,
    with_colour,
)
from thcli.pipeline.editing.text.known_words import (
    ADJECTIVES,
    ADVERBS,
    CLAUSES,
    COLOURLESS,
    FRAME_SHAPES,
    FRAMED,
    IMPOSSIBLE,
    NEGATIONS,
    NOUNS,
    SHAPES,
    STATES,
    THINGS,
    TONES,
    Meaning,
)
from thcli.pipeline.editing.text.rewording import OWNS, is_colour, reword
from thcli.pipeline.editing.text.synonyms import SYNONYMS

Kind = Literal[
    "thing",
    "state",
    "impossible",
    "adverb",
    "adjective",
    "shape",
    "noun",
    "negation",
    "clause",
    "joint",
    "comma",
    "article",
    "off",
    "filler",
    "unknown",
]
Phrase = tuple[str, ...]
COMMA = ","
ITEMS: frozenset[Kind] = frozenset(("thing", "state", "impossible"))
"""Kinds that an edit, or a refusal, comes from."""
_LONGEST = 4  # words of a phrase
_JOINTS = frozenset(("and", "or", "nor"))
_ARTICLES = frozenset(("a", "an", "some"))
_OFF = frozenset(("off", "gone", "away", "removed"))  # behind a thing: it goes
_LINKS = frozenset(
    split_words("to into in a an is are be should turned dyed coloured colored colour color")
)
"""Words between a thing and its colour: "the hair dyed blue"."""
_BARE_ALIASES = frozenset(
    split_words(
        "black brown gray grey straight wavy shadow age oval rosy man woman male female gender hair"
    )
)
"""Names of the catalogue that mean something else in a sentence."""
_FILLERS = frozenset(
    word
    for text in (
        "the any are be of in on his hers her their him them that this it its looking like as so",
        "please i want would can could you me my to into let also then even just now anymore",
        "them both should get gets getting up get become becomes skin face see nice lovely cool",
        "pair stylish elegant fashionable from by do",
        *PREFIXES,
    )
    for word in split_words(text)
) - {"a", "an"}
_NUMBERS = frozenset(split_words("two three four five ten fifteen twenty thirty forty fifty"))
_PLAIN_NOUNS = frozenset(noun for noun in PERSON_NOUNS if noun not in NOUNS) | {"people"}
_SKIN = frozenset(("skin", "skinned", "haired"))  # have tones of their own
_OF_HAIR = frozenset(("blond", "blonde"))  # colours of hair alone
_SIGNS = {"&": " and ", "+": " and ", "w/o": " without ", "w/": " with "}


@dataclass(frozen=True, slots=True)
class Token:
    """One or several words of a text.

    text: the words.
    name: attribute of a thing or state, with its colour where it has one.
    strength: of a thing or state; factor of an adverb or adjective.
    """

    kind: Kind
    text: str
    name: str = ""
    strength: float = 1.0

    @property
    def coloured(self) -> bool:
        """True for a thing that is named with its colour."""
        return "#" in self.name or self.text.split(" ")[0] in COLOURS


def read_tokens(text: str) -> list[Token]:
    """Split a text into tokens, each the longest that begins there."""
    words, out = reword(_split(text)), []
    at = 0
    while at < len(words):
        length, token = _token(words, at)
        out.append(token)
        at += length
    return out


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


def _token(words: list[str], at: int) -> tuple[int, Token]:
    """Return the token that begins at a position, and its number of words."""
    coloured = _coloured_thing(words, at)
    if coloured is not None:
        return coloured
    shaped = _shaped_thing(words, at)
    if shaped:
        return 1, Token("impossible", shaped)
    known = phrases()
    for length in range(min(_LONGEST, len(words) - at), 0, -1):
        phrase = tuple(words[at : at + length])
        text = " ".join(phrase)
        if text in ADJECTIVES and length == 1 and _has_thing_at(words, at + 1):
            return 1, Token("adjective", text, strength=ADJECTIVES[text])
        if phrase in known:
            name, strength = known[phrase]
            kind: Kind = "state" if any(word in STATES for word in phrase) else "thing"
            return length, Token(kind, text, name, strength)
        if text in NEGATIONS and length == 2:
            return length, Token("negation", text)
        if text in IMPOSSIBLE:
            return length, Token("impossible", text)
        if text in ADVERBS:
            return length, Token("adverb", text, strength=ADVERBS[text])
        if text in ADJECTIVES:
            return length, Token("adjective", text, strength=ADJECTIVES[text])
    return _single(words, at)


def _single(words: list[str], at: int) -> tuple[int, Token]:
    """Return the token of one word that begins no phrase; of "20 years" both words."""
    word = words[at]
    if word in FRAME_SHAPES and _shapes_glasses(words, at):
        length = 1 + (words[at + 1] in (*FRAMED, "shaped", "style"))
        return length, Token("shape", word, FRAME_SHAPES[word])
    if (word.isdigit() or word in _NUMBERS) and words[at + 1 : at + 2] in (["years"], ["year"]):
        return 2, Token("impossible", " ".join(words[at : at + 2]))
    kinds: tuple[tuple[Kind, bool], ...] = (
        ("comma", word == COMMA),
        ("joint", word in _JOINTS),
        ("article", word in _ARTICLES),
        ("negation", word in NEGATIONS),
        ("clause", word in CLAUSES),
        ("off", word in _OFF),
        ("noun", word in NOUNS or word in _PLAIN_NOUNS),
        ("filler", word in _FILLERS),
        ("impossible", word in THINGS or word in COLOURLESS or word in COLOURS),
    )
    return 1, Token(next((kind for kind, found in kinds if found), "unknown"), word)


def _coloured_thing(words: list[str], at: int) -> tuple[int, Token] | None:
    """Return "[dark] COLOUR [rimmed] THING" or "THING [dyed] COLOUR", None for anything else.

    A thing that no engine colours is impossible.
    """
    if words[at] in THINGS:
        return _colour_behind(words, at)
    start = at + (words[at] in TONES)
    if start >= len(words):
        return None
    if not is_colour(words[start]):
        toned = start > at and words[start] in COLOURLESS and words[start] not in _SKIN
        return (2, Token("impossible", " ".join(words[at : start + 1]))) if toned else None
    known = phrases()
    for length in (3, 2):
        phrase = tuple(words[start : start + length])
        if start == at and phrase in known:
            name, strength = known[phrase]
            return length, Token("thing", " ".join(phrase), name, strength)
    end = start + 1 + (words[start + 1 : start + 2] in [[word] for word in FRAMED])
    thing = words[end] if end < len(words) else ""
    text = " ".join(words[at : end + 1])
    if thing in COLOURLESS:
        skin = start > at and words[at] == "pale"  # "a pale red haired woman"
        return None if skin else (end + 1 - at, Token("impossible", text))
    if thing not in THINGS:
        return None
    code = parse_colour(words[start])
    if start > at:
        code = _toned(code, words[at])
    return end + 1 - at, Token("thing", text, with_colour(THINGS[thing], code))


def _colour_behind(words: list[str], at: int) -> tuple[int, Token] | None:
    """Return "THING [dyed] COLOUR" when the colour is not that of another thing behind it."""
    end = at + 1
    while end < len(words) and words[end] in _LINKS:
        end += 1
    tone = words[end] if words[end : end + 1] and words[end] in TONES else ""
    end += bool(tone)
    if end >= len(words) or not is_colour(words[end]):
        return None
    behind = words[end + 1] if end + 1 < len(words) else ""
    if behind in THINGS or behind in COLOURLESS or behind in FRAMED:
        return None
    if words[end] in _OF_HAIR and THINGS[words[at]] == "eyeglasses":
        return None  # "make the girl with glasses blonde"
    text, plain = " ".join(words[at : end + 1]), (words[end], words[at])
    if not tone and plain in phrases():
        name, strength = phrases()[plain]
        return end + 1 - at, Token("thing", text, name, strength)
    code = parse_colour(words[end])
    code = _toned(code, tone) if tone else code
    return end + 1 - at, Token("thing", text, with_colour(THINGS[words[at]], code))


def _has_thing_at(words: Sequence[str], at: int) -> bool:
    """Return True when a thing that adjectives describe, or its colour, stands at a position."""
    while at < len(words) and (
        words[at] in (*TONES, *FRAMED, *FRAME_SHAPES) or is_colour(words[at])
    ):
        at += 1
    if at == len(words) or words[at] in ("hair", "lips"):
        return False
    return words[at] in THINGS or ((words[at],) in phrases() and words[at] not in STATES)


def _shaped_thing(words: Sequence[str], at: int) -> str:
    """Return the hair or the coloured lips whose shape a word names: "long hair"; "" for others."""
    if words[at] not in SHAPES:
        return ""
    known, end = phrases(), at + 1
    while end < len(words) and (
        is_colour(words[end])
        or words[end] in (COMMA, "and", *TONES, *FRAMED, *SHAPES)
        or (words[end], "hair") in known
    ):
        end += 1
    thing = words[end] if end < len(words) else ""
    if thing == "hair":
        return f"{words[at]} hair"
    return " ".join(words[at : end + 1]) if thing == "lips" and end > at + 1 else ""


def _shapes_glasses(words: Sequence[str], at: int) -> bool:
    """Return True when the shape at a position is that of glasses."""
    end = at + 1
    while end < len(words) and (
        words[end] in (COMMA, "and", "shaped", "style", *TONES, *FRAMED, *FRAME_SHAPES)
        or words[end] in ADJECTIVES
        or is_colour(words[end])
    ):
        end += 1
    things = (words[end : end + 1], words[end : end + 2])
    names = (phrases().get(tuple(thing), ("", 0.0))[0] for thing in things)
    return any(base_name(name) in ("eyeglasses", "sunglasses") for name in names if name)


def _toned(code: str, tone: str) -> str:
    """Return a darker or lighter colour."""
    factor = {"dark": 0.6, "deep": 0.7}.get(tone, 1.35)
    return bytes(min(round(level * factor), 255) for level in levels_of(code)).hex()


def _split(text: str) -> list[str]:
    """Split a text into lower-case words and commas; hyphens separate, #RRGGBB is one word."""
    out: list[str] = []
    plain = text.lower()
    for sign, word in _SIGNS.items():
        plain = plain.replace(sign, word)
    for part in plain.split():
        bare = part.strip(".,;:!?()\"'")
        owner = re.fullmatch("([a-z]+)['\u2019]s", bare)
        if bare.startswith("#") and parse_colour(bare):
            out.append(bare)
        elif owner and (owner[1] in NOUNS or owner[1] in _PLAIN_NOUNS):
            out += [owner[1], OWNS]
        elif owner and owner[1] in ("he", "she"):
            out += [owner[1], "is"]
        else:
            out += re.findall(r"[^\W_]+", re.sub("['\u2019]", "", part))
        if part[-1] in ".,;!?" and out and out[-1] != COMMA:
            out.append(COMMA)
    return out[:-1] if out and out[-1] == COMMA else out


def _without_article(text: str) -> Phrase:
    words = split_words(text)
    return tuple(words[int(words[0] in ("a", "an", "the")) :])
