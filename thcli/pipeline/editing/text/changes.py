"""Changes from one thing to another: "replace X with Y", "turn X into Y", "change X to Y".

A person before the change is nothing to edit; a thing before it goes, unless it is named again.
"""

from __future__ import annotations

from collections.abc import Sequence

from thcli.editors.catalogue import attribute_of
from thcli.editors.shared.keys import COLOURS, base_name
from thcli.pipeline.editing.text.known_words import ORDERS, REPLACES, THINGS
from thcli.pipeline.editing.text.tokens import ITEMS, Token

DETERMINERS = frozenset(("the", "this", "that", "my", "his", "her", "their"))
OBJECTS = frozenset(("him", "her", "them", "me", "it"))
_MAKES = frozenset(("make", "making"))
_TURNS = frozenset(("turn", "change", "changing", "transform", "convert"))
_MARKS = (
    {word: ("with", "for", "by", "into") for word in REPLACES}
    | {word: ("with", "for", "by", "into", "to") for word in ("swap", "swap out")}
    | {word: ("into", "to") for word in _TURNS}
    | {word: ("into", "to", "for") for word in ("change", "changing")}
    | {word: ("into",) for word in _MAKES}
)
"""Order -> words that stand between what is changed and what it becomes."""
_BECOMES = (Token("clause", "turn"), Token("filler", "into"))
_REMOVES, _ENDS = Token("negation", "replace"), Token("clause", "with")
_OR = Token("joint", "or")
_PLACES = frozenset(("of", "on", "from", "off"))


def read_changes(tokens: Sequence[Token]) -> list[Token]:
    """Return the tokens with every change as "turn into Y" or "replace X with Y"."""
    out: list[Token] = []
    at = 0
    while at < len(tokens):
        mark = _mark(tokens, at)
        if mark is None:
            swaps = tokens[at].text in REPLACES and any(map(_is_dyed, _part(tokens, at + 1)))
            out.append(_BECOMES[0] if swaps else tokens[at])
            at += 1
        elif at and tokens[at - 1].kind == "negation":
            out.append(Token("negation", tokens[at].text))  # "don't turn him into": refused
            at += 1
        else:
            order = tokens[at]
            while mark is not None:
                out += _changed(tokens[at + 1 : mark], tokens[mark + 1 :], order)
                start, (at, mark) = mark + 1, _next_change(tokens, mark)
                out += tokens[start:at]
    return out


def _next_change(tokens: Sequence[Token], mark: int) -> tuple[int, int | None]:
    """Return the places of "and" and "into" in "and the beard into a goatee".

    Behind a change; without another one, the place behind its "into", and None.
    """
    joint = mark + 1
    while joint < len(tokens) and tokens[joint].kind not in ("joint", "comma"):
        joint += 1
    for at in range(joint + 1, len(tokens)):
        if tokens[at].text in ORDERS or tokens[at].kind in ("joint", "comma"):
            break
        if tokens[at].text == tokens[mark].text and tokens[joint + 1].text in DETERMINERS:
            return joint, at
    return mark + 1, None


def _mark(tokens: Sequence[Token], order: int) -> int | None:
    """Return the place between what an order changes and what it becomes; None without one."""
    kinds = [token.kind for token in tokens[order + 2 : order + 5]]
    if tokens[order].text in _MAKES and kinds == ["thing", "article", "thing"]:
        return order + 3  # "make the beard a goatee"
    marks = _MARKS.get(tokens[order].text, ())
    places: list[int] = []
    for at in range(order + 1, len(tokens)):
        if tokens[at].text in ORDERS or (tokens[at].kind == "comma" and not _is_list(tokens, at)):
            break
        if tokens[at].text in marks and not (tokens[at].text == "to" and places):
            places.append(at)
    if not places or any(map(_is_dyed, tokens[order : places[0]])):
        return None
    place = places[0]
    if _is_person(tokens[order + 1 : place]):
        named = (one for one in places if any(t.kind == "noun" for t in _part(tokens, one + 1)))
        place = next(named, place)
    goal = _part(tokens, place + 1)
    things = any(token.kind in ("thing", "impossible", "noun", "shape") for token in goal)
    states = things or any(token.kind == "state" for token in goal)
    known = {"to": states, "for": things or _is_person(tokens[order + 1 : place])}
    return place if known.get(tokens[place].text, True) else None


def _is_list(tokens: Sequence[Token], comma: int) -> bool:
    """Return True for a comma before "with", or before a thing: "replace the beard, glasses"."""
    for token in tokens[comma + 1 :]:
        if token.text in ("with", "for", "by", "into") or token.kind == "thing":
            return True
        if token.kind != "filler":
            return False
    return False


def _part(tokens: Sequence[Token], start: int) -> list[Token]:
    """Return the tokens from a place up to the next comma, order or "with"."""
    out: list[Token] = []
    for token in tokens[start:]:
        if token.kind == "comma" or token.text in ORDERS or token.text in ("with", "for", "by"):
            break
        out.append(token)
    return out


def _is_dyed(token: Token) -> bool:
    """Return True for a thing with its new colour behind it: "hair colour to red"."""
    words = token.text.split(" ")
    return len(words) > 1 and words[0] in THINGS and (words[-1] in COLOURS or words[-1][:1] == "#")


def _is_person(source: Sequence[Token]) -> bool:
    """Return True when a person, not a thing of a person, is what changes."""
    for at, token in enumerate(source):
        before = [other.text for other in source[:at] if other.text not in DETERMINERS]
        behind = source[at + 1].kind if at + 1 < len(source) else ""
        if token.kind == "noun" and not any(text in _PLACES for text in before):
            return True
        if token.text in OBJECTS and not before:
            return token.text != "her" or behind not in (*ITEMS, "adjective", "adverb", "shape")
    return False


def _changed(source: Sequence[Token], goal: Sequence[Token], order: Token) -> list[Token]:
    """Return the tokens of a change: what goes, if anything, and a word before the goal."""
    if _is_person(source):
        person = [token for token in source if token.kind == "noun"][:1]
        return [_BECOMES[0], *person, _BECOMES[1]]
    kept = [
        token
        for token in source
        if token.kind == "unknown"
        or (token.kind in ("thing", "impossible") and not _named_again(token, goal))
    ]
    if not kept:
        return list(_BECOMES)
    if order.text not in REPLACES and any(token.kind == "impossible" for token in kept):
        return [_BECOMES[0], *kept, _ENDS]  # "change the eye colour to blue"
    listed = [part for token in kept for part in (_OR, token)][1:]
    return [order if order.text in REPLACES else _REMOVES, *listed, _ENDS]


def _named_again(token: Token, goal: Sequence[Token]) -> bool:
    """Return True when the goal has the same thing, or a colour for the hair."""
    names = [other.name for other in goal if other.name]
    if token.kind == "impossible":
        return token.text == "hair" and any(map(_is_hair, names))
    same = any(base_name(name) == base_name(token.name) for name in names)
    return same or (_is_hair(token.name) and any(map(_is_hair, names)))


def _is_hair(name: str) -> bool:
    return attribute_of(name).affected_region == "hair"
