"""Words of a text in the order that the tokens expect: "red round glasses", "round ones"."""

from __future__ import annotations

from collections.abc import Sequence

from thcli.editors.shared.keys import COLOURS
from thcli.pipeline.editing.text.known_words import (
    ADJECTIVES,
    ADVERBS,
    FRAME_SHAPES,
    NOUNS,
    ORDERS,
    REPLACES,
    STATES,
    THINGS,
    TONES,
)
from thcli.pipeline.editing.text.synonyms import SYNONYMS

GLASSES = frozenset(("glasses", "eyeglasses", "spectacles", "specs", "sunglasses", "frames"))
_ONES = (THINGS.keys() - {"hair", "lips"}) | GLASSES | NOUNS.keys() | {"smile"}
"""What "one" and "ones" stand for."""
_DESCRIBES = (COLOURS.keys() | FRAME_SHAPES.keys() | ADJECTIVES.keys() | STATES) - {"little"}
_LINKS = frozenset(("is", "are", "be", "to", "look", "more", "bit", "a"))
_DEGREES = frozenset(part for text in ADVERBS for part in text.split(" "))
_LONGEST_ORIGIN = 3  # words
OWNS = "'s"  # a word of its own behind a person: "the old man's beard"


def reword(words: Sequence[str]) -> list[str]:
    """Return the words of a text without "ones" and origins, shapes and "hair" in their places."""
    out = list(words)
    for step in (
        _without_owners,
        _without_origin,
        _ones_named,
        _colours_named,
        _shapes_before,
        _hair_behind,
        _shapes_first,
    ):
        out = step(out)
    return out


def is_colour(word: str) -> bool:
    """Return True for the name of a colour and #RRGGBB."""
    return word in COLOURS or word.startswith("#")


def _without_owners(words: list[str]) -> list[str]:
    """Return the words with "his" for "the old man's" behind an order; else without "'s"."""
    out: list[str] = []
    for word in words:
        if word != OWNS:
            out.append(word)
            continue
        start = len(out) - 1
        while start and out[start - 1] in STATES:
            start -= 1
        definite = start and out[start - 1] in ("the", "this", "that")
        if definite and any(one in ORDERS for one in out):
            out[start - 1 :] = ["his"]
    return out


def _without_origin(words: list[str]) -> list[str]:
    """Return the words without "from brown" before "to blonde"."""
    for at, word in enumerate(words):
        behind = words[at + 1 : at + 2 + _LONGEST_ORIGIN]
        if word == "from" and "to" in behind[1:] and not {"the", "his", "her"} & {*behind}:
            return [*words[:at], *words[at + 1 + behind.index("to") :]]
    return words


def _ones_named(words: list[str]) -> list[str]:
    """Return the words with what "one" and "ones" stand for: "round ones" are round glasses."""
    out: list[str] = []
    for word in words:
        if word in ("one", "ones") and out and (out[-1] in _DESCRIBES or is_colour(out[-1])):
            several = [
                one
                for one in reversed(out)
                if one in _ONES and (one in GLASSES) == (word == "ones")
            ]
            out.append(several[0] if several else word)
        else:
            out.append(word)
    return out


def _colours_named(words: list[str]) -> list[str]:
    """Return the words with the thing behind its new colour: "replace red lipstick with pink"."""
    out = list(words)
    for at in range(len(words) - 2, 0, -1):
        thing, colour, last = (
            words[at - 1],
            words[at + 1],
            words[at + 2 : at + 3] in ([], [","], ["and"]),
        )
        marked = words[at] in ("with", "for", "by") and {*words[:at]} & REPLACES
        recoloured = words[at] == "to" and at > 1 and is_colour(words[at - 2])
        change = thing in THINGS and (marked or recoloured)
        if change and is_colour(colour) and last:
            out.insert(at + 2, thing)
    return out


def _shapes_before(words: list[str]) -> list[str]:
    """Return the words with a shape behind glasses before them: "make the glasses round"."""
    out = list(words)
    for at, word in enumerate(words):
        end = at + 1
        while end < len(words) and words[end] in _LINKS - {"a"}:
            end += 1
        last = end + 1 == len(words) or words[end + 1 : end + 2] in ([","], ["and"])
        if word in GLASSES and end < len(words) and words[end] in FRAME_SHAPES and last:
            out.insert(at, out.pop(end))
    return out


def _hair_behind(words: list[str]) -> list[str]:
    """Return the words with "hair" behind its comparative: "make his hair a bit greyer"."""
    out = list(words)
    for at, word in enumerate(words):
        end = at + 1
        while end < len(words) and words[end] in _LINKS | _DEGREES:
            end += 1
        behind = words[end] if end < len(words) else ""
        follows = words[end + 1 : end + 2] in ([], [","], ["and"])
        if word == "hair" and f"{behind} hair" in SYNONYMS and behind.endswith("er") and follows:
            out.insert(end, out.pop(at))
    return out


def _shapes_first(words: list[str]) -> list[str]:
    """Return the words with shapes of frames before their colours: "black round glasses"."""
    out: list[str] = []
    for word in words:
        at = len(out)
        while word in FRAME_SHAPES and at and (is_colour(out[at - 1]) or out[at - 1] in TONES):
            at -= 1
        out.insert(at, word)
    return out
