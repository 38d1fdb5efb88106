"""Person before a change: "turn the young man into an old woman" asks for nothing young."""

from __future__ import annotations

from collections.abc import Sequence

from thcli.editors.catalogue import attribute_of
from thcli.pipeline.editing.text.changes import DETERMINERS, OBJECTS, read_changes
from thcli.pipeline.editing.text.known_words import ORDERS
from thcli.pipeline.editing.text.tokens import ITEMS, Token

_GOALS = frozenset(("like", "into", "be", "become", "becomes", "as")) | (OBJECTS - {"her"})
"""Words before "the old man" that make it what the person becomes."""
_MAKES = frozenset(("make", "makes", "making", "turn", "give", "gives", "giving"))
_SHAVES = frozenset(("shave", "shaving"))
_WEARS = frozenset(("with", "without", "in", "wearing", "having", "who"))
_BESIDES = frozenset(("filler", "article", "adjective", "adverb", "shape"))
_PLACES = frozenset(("to", "on", "from", "of", "off"))
_GOES_ON = ITEMS | {"adverb", "adjective", "article", "shape"}
_LOOKS = frozenset(("look", "looks", "have", "has", "wear", "wears", "should", "be"))


def without_source(tokens: Sequence[Token]) -> list[Token]:
    """Return the tokens without what describes the person, or the thing, before a change.

    That is what stands between "turn" and "into" or "replace" and "with" (`read_changes`), and
    behind an order the words beside a person: "make the old man with glasses smile".
    """
    out = _shaved(read_changes(tokens))
    dropped: set[int] = set()
    for at, token in enumerate(out):
        if token.text in OBJECTS and at and out[at - 1].text in ORDERS:
            dropped.update(_worn(out, 0, at))
        elif token.kind == "noun" and any(other.text in ORDERS for other in out[:at]):
            start = _described(out, at)
            if start is not None and not _is_goal(out, start):
                dropped.update((*range(start, at), *_worn(out, start, at)))
    return [token for at, token in enumerate(out) if at not in dropped]


def _described(tokens: Sequence[Token], noun: int) -> int | None:
    """Return the place behind "the" before a noun and its states; None behind another article."""
    start = noun
    while start and (
        _is_state(tokens[start - 1])
        or (
            tokens[start - 1].kind in ("comma", "joint")
            and start < noun
            and start > 1
            and all(_is_state(tokens[at]) for at in (start - 2, start))
        )
    ):
        start -= 1
    return start if start and tokens[start - 1].text in DETERMINERS else None


def _is_state(token: Token) -> bool:
    """Return True for a word between "the" and a person: "old", "very", "sad", "blonde"."""
    hair = token.kind == "thing" and token.name not in ("hair", "")
    return token.kind in ("state", "adjective", "adverb", "impossible", "shape") or (
        hair and (token.text == "bald" or attribute_of(token.name).affected_region == "hair")
    )


def _is_goal(tokens: Sequence[Token], start: int) -> bool:
    """Return True when "the" behind which a place lies begins what the person becomes."""
    before = [token.text for token in tokens[: start - 1]]
    if not before:
        return False
    pronoun = before[-1] == "her" and len(before) > 1 and before[-2] in _MAKES
    return pronoun or before[-1] in _GOALS


def _worn(tokens: Sequence[Token], start: int, noun: int) -> range:
    """Return the places of what a person wears: "make the man with glasses smile".

    Only when more follows, or something stood before: "add glasses to the man with the beard".
    """
    begin = noun + 1
    if begin >= len(tokens) or tokens[begin].text not in _WEARS:
        return range(0)
    at, end, kinds = begin, begin, _BESIDES | {"clause", "negation"}
    while True:
        while at < len(tokens) and tokens[at].kind in kinds and tokens[at].text not in ORDERS:
            at += 1
        if at >= len(tokens) or tokens[at].kind not in ("thing", "impossible"):
            break
        end, kinds = at + 1, _BESIDES
        end += [token.text for token in tokens[end : end + 1]] == ["hair"]  # "with long hair"
        if end >= len(tokens) or tokens[end].kind != "joint":
            break
        at = end + 1
    place = start >= 3 and tokens[start - 2].text in _PLACES and tokens[start - 3].kind in ITEMS
    rest = [token for token in tokens[end:] if token.kind != "filler"]
    goes_on = rest and (rest[0].kind in _GOES_ON or rest[0].text in _LOOKS)
    return range(begin, end) if end > begin and (place or goes_on) else range(0)


def _shaved(tokens: Sequence[Token]) -> list[Token]:
    """Return the tokens with "shave the old man" as the beard that goes."""
    out = list(tokens)
    for at, token in enumerate(tokens):
        if token.text in _SHAVES and token.kind == "negation":
            end = at + 1
            while end < len(tokens) and (
                _is_state(tokens[end]) or tokens[end].kind in ("article", "filler")
            ):
                end += 1
            waits = at and tokens[at - 1].kind == "negation"  # "don't shave the man"
            if end < len(tokens) and tokens[end].kind == "noun" and not waits:
                out[at] = Token("thing", token.text, "beard", -1.0)
    return out
