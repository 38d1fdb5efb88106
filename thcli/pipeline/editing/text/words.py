"""Descriptions in words, read as attributes with strengths and colours.

    "a smiling old man with red hair and sunglasses"
    -> smiling 1, old 1, red_hair 1, sunglasses 1

Words that no rule knows, and things that no painter can do, are reported; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from thcli.editors.catalogue import MAX_STRENGTH, attribute_of, believable
from thcli.editors.shared.attribute_table import BY_NAME
from thcli.editors.shared.keys import (
    COLOURS,
    base_name,
    split_colour,
    split_shape,
    with_colour,
    with_shape,
)
from thcli.pipeline.editing.text.changes import DETERMINERS
from thcli.pipeline.editing.text.known_words import (
    BODY,
    IMPOSSIBLE,
    NOUNS,
    ORDERS,
    REMOVALS,
    Meaning,
)
from thcli.pipeline.editing.text.negation import Negation
from thcli.pipeline.editing.text.source import without_source
from thcli.pipeline.editing.text.tokens import ITEMS, Token, phrases, read_tokens

_BECOMES = frozenset(("like", "into"))
_IS = frozenset(("is", "are"))  # "the beard is gone"
_MAKES = frozenset(("make", "makes", "making", "turn"))
_PRONOUNS: Mapping[str, tuple[Meaning, ...]] = {
    "him": (("male", 1.0),),
    "her": (("female", 1.0),),
    "them": (),
    "me": (),
    "it": (),
}
_DEFINITE = frozenset(("the", "this", "that"))
_FOND = frozenset(("little", "natural"))  # say nothing about a person
_DESCRIBES = frozenset(("adjective", "adverb", "article", "shape", "state"))  # stand before a noun
_BEFORE_ITEMS = frozenset(("adjective", "article", "filler", "noun")) | ITEMS


@dataclass(slots=True)
class Description:
    """Content of a text.

    attributes: attribute, with its colour where it has one -> strength.
    noun: what the noun means, which is an edit only where nothing else is said.
    unknown: words that no rule knows.
    impossible: things that no engine does, with what can be done instead.
    contradictory: attributes that it both adds and takes away.
    unclear: what stands behind a negation that may be meant either way ("don't remove", "not a
        man", "not very old", "no glasses, beard").
    """

    attributes: dict[str, float] = field(default_factory=dict)
    noun: dict[str, float] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    impossible: list[str] = field(default_factory=list)
    contradictory: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)


def describe(text: str) -> Description:
    """Read a text. Nothing is refused here; see `Description`."""
    reading = _Reading(without_source(read_tokens(text)))
    return reading.description()


class _Reading:
    """Reads tokens from the first to the last.

    said: attributes in the order of the text, each with its strength.
    """

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._negation = Negation()
        self._degree = 1.0
        self._shape = ""
        self._said: list[tuple[str, float]] = []
        self._out = Description()

    def description(self) -> Description:
        """Return the content of the text."""
        for at, token in enumerate(self._tokens):
            self._read(at, token)
        for name, strength in self._said:
            _add(self._out, name, strength)
        self._out.attributes = _once(self._out.attributes)
        return self._out

    def _read(self, at: int, token: Token) -> None:
        negation = self._negation
        if token.kind in ITEMS:
            self._read_item(token)
        elif token.kind == "adjective":
            self._read_adjective(at, token)
        elif token.kind == "shape":
            self._shape = token.name
        elif token.kind == "adverb":
            self._read_adverb(at, token)
        elif token.kind == "noun":
            if negation.waits or (negation.holds and self._is_goal(at)):
                self._out.unclear.append(token.text)  # "don't make him look like the old man"
            self._read_noun(at, token)
            self._negation = Negation()
        elif token.kind == "negation":
            if negation.waits:
                self._out.unclear.append(token.text)
            self._negation = Negation.opened_by(token.text)
        elif token.kind == "clause":
            if negation.waits and negation.word in REMOVALS and token.text in ORDERS:
                self._out.unclear.append(token.text)  # "take him and make him smile"
            negation.read_clause(token.text)
        elif token.kind == "comma":
            negation.read_comma(self._tokens, at)
        elif token.kind == "joint":
            negation.read_joint(self._tokens, at)
        elif token.kind == "off":
            self._read_off(at)
        elif token.kind == "unknown":
            self._out.unknown.append(token.text)

    def _read_noun(self, at: int, token: Token) -> None:
        """Read what names the person, or says what the person becomes."""
        meanings, person = NOUNS.get(token.text, ()), self._person_made(at)
        if person is not None:
            self._said.extend(meaning for meaning in meanings if meaning not in person)
        elif self._is_goal(at):
            known = self._out.noun.items() if self._said else ()  # a man who becomes an old man
            self._said.extend(meaning for meaning in meanings if meaning not in known)
        else:
            genders = {name for name, _ in meanings} | {*self._out.noun}
            if genders >= {"male", "female"}:
                self._out.impossible.append(f"{token.text} beside another person (Name one)")
            self._out.noun.update(meanings)

    def _person_made(self, at: int) -> tuple[Meaning, ...] | None:
        """Return who becomes a noun in "make him a woman" or "make this man a woman", or None."""
        tokens, end = self._tokens, at
        while end and (tokens[end - 1].kind in _DESCRIBES or tokens[end - 1].text in _DEFINITE):
            end -= 1
        person = tokens[end - 1] if end else None
        before = tokens[end:at]
        if person is None or all(
            token.kind != "article" and token.text not in _DEFINITE for token in before
        ):
            return None
        start = end - 1
        while start and tokens[start - 1].kind in ("filler", "adjective", "state"):
            start -= 1
        if not start or tokens[start - 1].text not in _MAKES:
            return None
        if person.kind == "noun":
            return NOUNS.get(person.text, ())
        return _PRONOUNS.get(person.text)

    def _is_goal(self, at: int) -> bool:
        """Return True for a noun that says what the person becomes: "look like an old man"."""
        before = (
            token
            for token in reversed(self._tokens[:at])
            if token.kind not in _DESCRIBES and token.text not in DETERMINERS
        )
        last = next(before, None)
        return last is not None and last.text in _BECOMES

    def _read_item(self, token: Token) -> None:
        negation = self._negation
        if token.kind == "state":
            negation.read_state()
        elif token.name and attribute_of(token.name).affected_region == "hair":
            negation.read_hair()
        if negation.unclear:
            self._out.unclear.append(token.text)
        if self._is_gone(token):
            self._shape = ""
            return
        if token.kind == "impossible":
            hint = IMPOSSIBLE.get(token.text, IMPOSSIBLE.get(token.text.split(" ")[-1], ""))
            phrase = f"without {token.text}" if negation.holds else token.text
            self._out.impossible.append(f"{phrase} ({hint.rstrip('.')})" if hint else phrase)
        else:
            strength = token.strength * self._degree
            name = self._of_glasses(token)
            name = with_shape(name, self._shape) if self._shape else name
            self._said.append((name, -strength if negation.holds else strength))
        self._degree, self._shape = 1.0, ""
        negation.applied(token.kind)

    def _is_gone(self, token: Token) -> bool:
        """Return True for frames of glasses that go: "remove the glasses with round frames"."""
        last, strength = self._said[-1] if self._said else ("", 0.0)
        glasses = base_name(last) in ("eyeglasses", "sunglasses") if last else False
        return glasses and strength < 0 and token.text.split(" ")[-1] == "frames"

    def _of_glasses(self, token: Token) -> str:
        """Return the name of a thing; frames beside sunglasses are theirs."""
        dark = any(base_name(other.name) == "sunglasses" for other in self._tokens if other.name)
        if not dark or token.text.split(" ")[-1] != "frames":
            return token.name
        if "#" in token.name:
            self._out.impossible.append(f"{token.text} of sunglasses")
        return "sunglasses"

    def _read_adjective(self, at: int, token: Token) -> None:
        """Read a degree of a thing; before a person it is about the body: "a big man"."""
        rest = self._tokens[at + 1 :]
        person = next((other for other in rest if other.kind not in ("adjective", "state")), None)
        if person is None or person.kind != "noun":
            holds = self._negation.holds
            self._degree = 1.0 if holds else _combined(self._degree, token.strength)
        elif token.text not in _FOND:
            self._out.impossible.append(f"{token.text} {person.text} ({BODY.rstrip('.')})")

    def _read_adverb(self, at: int, token: Token) -> None:
        """Read a degree, of what follows or, at the end of a part, of what was said last."""
        if self._negation.waits and token.text != "more":
            self._out.unclear.append(token.text)
        rest = (other.kind for other in self._tokens[at + 1 :] if other.kind != "adverb")
        doubled = [other.kind for other in self._tokens[at + 1 : at + 2]] == ["adverb"]
        if doubled or next(rest, "") in _BEFORE_ITEMS:
            self._degree = _combined(self._degree, token.strength)
        elif self._said:
            name, strength = self._said[-1]
            self._said[-1] = name, strength * _combined(self._degree, token.strength)
            self._degree = 1.0
        else:
            self._out.unknown.append(token.text)

    def _read_off(self, at: int) -> None:
        """Read "off" behind a thing: "glasses off" takes them away, "take them off" did it."""
        tokens = reversed(self._tokens[:at])
        before = (one for one in tokens if one.kind != "filler" and one.text not in _IS)
        last = next(before, None)
        if self._negation.had or self._negation.waits:
            return
        if last is not None and last.kind == "thing" and self._said:
            name, strength = self._said[-1]
            self._said[-1] = name, -abs(strength)
        else:
            self._out.unclear.append(self._tokens[at].text)


def _combined(degree: float, strength: float) -> float:
    """Return a degree times the next one: "very" deepens what is less, "very faint"."""
    return strength / degree if degree > 1 and 0 < strength < 1 else degree * strength


def _add(out: Description, name: str, strength: float) -> None:
    row = attribute_of(name)
    strength = min(max(strength, -MAX_STRENGTH), MAX_STRENGTH)
    if strength < 0 and row.opposite and not believable(row, strength):
        name, strength, row = row.opposite, -strength, attribute_of(row.opposite)
    if not believable(row, strength):
        verb = "without " if strength < 0 else ""
        what = base_name(name).replace("_", " ")
        out.impossible.append(f"{verb}{what} ({row.instead.rstrip('.')})")
        return
    for other, before in out.attributes.items():
        if base_name(other) == row.name and before * strength < 0:
            out.contradictory.append(row.name.replace("_", " "))
    if strength > 0 and any(name == base_name(other) != other for other in out.attributes):
        return  # "red frames on his glasses"
    for other in list(out.attributes):
        both = _merged(other, name)
        if strength > 0 and both:
            name, strength = both, out.attributes.pop(other) * strength
    if strength > 0 and out.attributes.get(base_name(name), 0) > 0:
        del out.attributes[base_name(name)]  # "glasses with red frames"
    out.attributes[base_name(name) if strength < 0 else name] = strength


def _merged(one: str, other: str) -> str:
    """Return the shape and the colour of two names of one thing as one name, "" for others."""
    (name, digits), (name_2, digits_2) = split_colour(one), split_colour(other)
    (base, shape), (base_2, shape_2) = split_shape(name), split_shape(name_2)
    if base != base_2 or one == other or (shape and shape_2) or (digits and digits_2):
        return ""
    if not ((shape and digits_2) or (shape_2 and digits)):
        return ""
    return with_colour(with_shape(base, shape or shape_2), digits or digits_2)


def _once(attributes: dict[str, float]) -> dict[str, float]:
    """Return attributes without what goes when its opposite comes: "young" replaced by "old"."""
    return {
        name: strength
        for name, strength in attributes.items()
        if strength > 0 or attributes.get(attribute_of(name).opposite, 0) <= 0
    }


def possible_words() -> Iterator[str]:
    """Yield the names of all attributes that a painter adds or removes believably."""
    yield from (row.name for row in BY_NAME.values() if believable(row) and row.name != "hair")


def nearest_words(word: str) -> list[str]:
    """Return up to three known words that are spelled like an unknown one."""
    known = {part for phrase in phrases() for part in phrase} | set(COLOURS) | set(NOUNS)
    return get_close_matches(word, sorted(known - {word}), n=3, cutoff=0.6)
