"""Person before a change: "turn the young man into an old woman" asks for nothing young."""

from __future__ import annotations

from collections.abc import Sequence

from thcli.pipeline.editing.text.known_words import ORDERS
from thcli.pipeline.editing.text.tokens import ITEMS, Token

DETERMINERS = frozenset(("the", "this", "that", "my", "his", "her", "their"))
_CHANGES = frozenset(("turn", "change", "changing", "transform", "convert", "make", "making"))
_DESCRIBES = ITEMS | {"adjective", "adverb", "comma", "joint", "shape"}


def without_source(tokens: Sequence[Token]) -> list[Token]:
    """Return the tokens without what describes the person, or the thing, before a change.

    That is everything between "turn" and "into", and behind an order the words between "the" and
    the noun: "make the old man smile".
    """
    dropped: set[int] = set()
    for at, token in enumerate(tokens):
        if token.text == "into":
            dropped.update(_changed(tokens, at))
        elif token.kind == "noun" and any(other.text in ORDERS for other in tokens[:at]):
            dropped.update(_described(tokens, at))
    return [token for at, token in enumerate(tokens) if at not in dropped]


def _changed(tokens: Sequence[Token], into: int) -> range:
    """Return the places between the last order to change and "into"."""
    orders = [at for at, token in enumerate(tokens[:into]) if token.text in _CHANGES]
    return range(orders[-1] + 1, into) if orders else range(0)


def _described(tokens: Sequence[Token], noun: int) -> range:
    """Return the places of the words between "the" and a noun; none behind another article."""
    start = noun
    while start and tokens[start - 1].kind in _DESCRIBES:
        start -= 1
    definite = start and tokens[start - 1].text in DETERMINERS
    return range(start, noun) if definite else range(0)
