"""Negations in descriptions: what "without glasses or a beard, older" takes away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thcli.editors.clip.vocabulary import split_words

NEGATIONS = frozenset(
    split_words("without no not remove minus never take neither dont doesnt shouldnt isnt")
)
_LASTING = frozenset(
    split_words("without no remove minus take neither dont doesnt shouldnt")
)  # up to the next "with", "who" or noun
_ALWAYS = frozenset(("who", "but"))  # end also a negation that waits for its thing
RESETS = _ALWAYS | frozenset(
    split_words(
        "with has have having is add wear wears wearing make makes give put he she they looks"
    )
)
"""Words that begin a clause, which a negation does not reach."""
_STATES = frozenset(
    split_words(
        "smiling happy cheerful laughing grinning serious unsmiling young younger youthful old "
        "older elderly aged wrinkled tanned suntanned pale tired bearded unshaven shaved shaven "
        "moustached brunette redheaded chubby plump fat thin slim masculine feminine "
        "attractive pretty handsome beautiful bespectacled smiles laughs"
    )
)
"""Words that say what somebody is like: "no glasses, older" takes only the glasses away."""
_ALTERNATIVES = frozenset(("or", "nor"))  # a negation goes on behind them
_JOINTS = _ALTERNATIVES | {"and"}


@dataclass(slots=True)
class Negation:
    """Reach of the last negation.

    holds: it negates what follows.
    lasts: up to the next "with", "who" or noun, not only the next meaning.
    had: what it negated last, "thing" or "state", or "".
    paused: it held before a clause of which nothing was read ("the glasses he wears and a beard").
    joined: "and" stands behind what it negated last.
    """

    holds: bool = False
    lasts: bool = False
    had: Literal["", "thing", "state"] = ""
    paused: bool = False
    joined: bool = False

    @property
    def waits(self) -> bool:
        """True before it has read what it negates."""
        return self.holds and not self.had

    @staticmethod
    def opened_by(word: str) -> Negation:
        """Return the negation that a word begins."""
        return Negation(holds=True, lasts=word in _LASTING)

    def reset(self, word: str) -> None:
        """Read a word of `RESETS`."""
        if word in _ALWAYS:
            self.holds, self.paused, self.had = False, False, ""
        elif not self.waits:
            self.holds, self.paused = False, self.holds or self.paused

    def before(self, word: str) -> None:
        """Read the next word: a state ends it behind a thing, "or" carries it on."""
        if word in _JOINTS:
            self.holds, self.paused = self.holds or self.paused, False
            self.joined = word == "and"
        if word in _ALTERNATIVES and self.had:
            self.holds, self.had = True, ""
        elif word in _STATES:
            self._end_behind_thing()

    def before_hair(self) -> None:
        """Read a colour of hair: it ends the negation behind a thing, unless "and" joins them."""
        if not self.joined:
            self._end_behind_thing()

    def applied(self, word: str) -> None:
        """Note that a thing or state was read, and whether it was negated."""
        self.had = "" if not self.holds else "state" if word in _STATES else "thing"
        self.holds = self.holds and self.lasts
        self.paused = self.joined = False

    def _end_behind_thing(self) -> None:
        if self.had == "thing":
            self.holds, self.lasts, self.had = False, False, ""
