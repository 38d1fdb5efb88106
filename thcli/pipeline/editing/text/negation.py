"""Negations in descriptions: what "without glasses or a beard, older" takes away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from thcli.pipeline.editing.text.known_words import LASTING, REMOVALS, VERBS
from thcli.pipeline.editing.text.tokens import ITEMS, Token

_ALTERNATIVES = frozenset(("or", "nor"))  # a negation goes on behind them
_ALWAYS = frozenset(("who", "but"))  # end also a negation that waits for its thing
_BESIDES = frozenset(("article", "filler", "adjective", "adverb", "shape"))  # stand before a thing


@dataclass(slots=True)
class Negation:
    """Reach of the last negation.

    word: it begins with this one, "" for none.
    holds: it negates what follows.
    had: what it negated last, "thing" or "state", or "".
    paused: it held before a clause of which nothing was read ("the glasses he wears and a beard").
    joined: "and" stands behind what it negated last.
    listed: the next item is one of a list that ends in "or", of which it negates states too.
    unclear: whether it negates the next thing cannot be told.
    """

    word: str = ""
    holds: bool = False
    had: Literal["", "thing", "state"] = ""
    paused: bool = False
    joined: bool = False
    listed: bool = False
    unclear: bool = False

    @property
    def waits(self) -> bool:
        """True before it has read what it negates."""
        return self.holds and not self.had

    @staticmethod
    def opened_by(word: str) -> Negation:
        """Return the negation that a word begins."""
        return Negation(word, holds=True)

    def read_clause(self, word: str) -> None:
        """Read a word that begins a clause."""
        if word in _ALWAYS:
            self._end()
        elif not self.waits:
            self.holds, self.paused = False, self.holds or self.paused
        self.unclear = False

    def read_joint(self, tokens: Sequence[Token], at: int) -> None:
        """Read "and", "or" or "nor" at a position: it goes on.

        But not to "no glasses and a hat" and "take off the glasses and smile".

        tokens: of the whole text.
        """
        joint = tokens[at].text
        self.holds, self.paused = self.holds or self.paused, False
        self.joined = joint == "and"
        if joint in _ALTERNATIVES and self.had:
            self.holds, self.had, self.listed = True, "", True
        elif self.joined and self.word == "no" and self.had and _is_article(tokens, at + 1):
            self._end()
        elif self.joined and self.word in REMOVALS and self.had and _is_order(tokens, at + 1):
            self.unclear = self.word != "take"  # nobody takes off a smile
            if not self.unclear:
                self._end()

    def read_comma(self, tokens: Sequence[Token], at: int) -> None:
        """Read a comma: a list goes on to its "and" or "or", anything else is a new part.

        A bare thing behind "no glasses," or "without glasses," may be meant either way.

        tokens: of the whole text.
        at: of the comma.
        """
        if not self.had:
            return
        joint, indefinite = _closing(tokens, at + 1)
        if joint in _ALTERNATIVES:
            self.holds, self.listed = True, True
            return
        if not self.holds or (joint == "and" and not (self.word == "no" and indefinite)):
            return
        after = _after(tokens, at + 1, frozenset(("filler",)))
        item = _after(tokens, at + 1, _BESIDES)
        removes = self.word in REMOVALS
        if item is None or item.kind not in ITEMS or item.kind == "state":
            return
        before = "" if after is None else after.kind
        described = before in ("adjective", "adverb", "article")
        if removes and _is_order(tokens, at + 1):
            self._end()
        elif removes:
            self.unclear = described or item.coloured
        elif item.coloured or (described and (self.word == "no" or before != "article")):
            self._end()
        else:
            self.unclear = True

    def read_state(self) -> None:
        """Read a state: it ends the negation behind a thing, but not in a list of alternatives."""
        if not self.listed and self.had == "thing":
            self._end()

    def read_hair(self) -> None:
        """Read a colour of hair: it ends the negation behind a thing, unless "and" joins them."""
        if not self.joined:
            self.read_state()

    def applied(self, kind: str) -> None:
        """Note that a thing or state was read, and whether it was negated."""
        self.had = "" if not self.holds else "state" if kind == "state" else "thing"
        self.holds = self.holds and self.word in LASTING
        self.paused = self.joined = self.listed = self.unclear = False

    def _end(self) -> None:
        self.holds, self.paused, self.listed, self.unclear, self.had = (False,) * 4 + ("",)


def _closing(tokens: Sequence[Token], at: int) -> tuple[str, bool]:
    """Return the joint before the last item of a list, "" without one; whether items have "a".

    A list whose last joint is "and" has no states: "no glasses, smiling and older" is none.
    """
    states, indefinite = False, False
    while True:
        indefinite |= _is_article(tokens, at)
        item = _after(tokens, at, _BESIDES | {"joint"})
        if item is None or item.kind not in ITEMS:
            return "", indefinite
        between = tokens[at : tokens.index(item, at)]
        states |= item.kind == "state"
        joint = next((token.text for token in between if token.kind == "joint"), "")
        at = tokens.index(item, at) + 1
        if joint:
            return ("" if joint == "and" and states else joint), indefinite
        if at < len(tokens) and tokens[at].kind == "comma":
            at += 1
        elif at >= len(tokens) or tokens[at].kind != "joint":
            return "", indefinite


def _after(tokens: Sequence[Token], at: int, skipped: frozenset[str]) -> Token | None:
    """Return the first token from a position on that is of no skipped kind."""
    return next((token for token in tokens[at:] if token.kind not in skipped), None)


def _is_order(tokens: Sequence[Token], at: int) -> bool:
    return at < len(tokens) and tokens[at].text in VERBS


def _is_article(tokens: Sequence[Token], at: int) -> bool:
    return at < len(tokens) and tokens[at].kind == "article"
