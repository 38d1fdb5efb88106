"""Catalogue of facial attributes: names and strengths as given, and the backends that apply them.

Strength 1 is natural, 2 strong; a negative strength removes the attribute.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher, get_close_matches
from importlib.resources import files
from typing import Any, Literal

from thcli import weights
from thcli.core.errors import UsageError, WeightsError
from thcli.editors.backends import EDITORS, PAINTERS
from thcli.editors.shared.attribute import Attribute, BackendShares
from thcli.editors.shared.attribute_table import ATTRIBUTES, BY_NAME, NAME_BY_WORD
from thcli.editors.shared.keys import (
    base_name,
    parse_colour,
    split_colour,
    split_shape,
    with_colour,
    with_shape,
)
from thcli.weights.backend import Backend

ADDITIVE_BACKENDS = frozenset({"drawn"})  # these can add an attribute but not remove it
SHAPING_BACKENDS = frozenset({"drawn"})  # these give an attribute a colour or a shape
# Painters run in this order, after editors: editors replace the face that painters draw on.
PAINTER_ORDER = ("removers", "atlas", "atlas-free", "drawn")
MAX_STRENGTH = 3.0  # of either sign
MAX_VARIANTS = 8  # strengths of one attribute in one run
_NEAR, _NEARLY = 0.6, 0.1  # least likeness of a word that is offered; below the likest one's


def attribute_of(name: str) -> Attribute:
    """Return the row of a catalogue name, or of a name with a colour, "hair#8a2be2"."""
    row = BY_NAME[base_name(name)]
    return row if row.name == name else replace(row, name=name)


def parse_attributes(words: Iterable[str]) -> dict[str, float]:
    """Parse NAME, NAME=S and NAME=COLOUR into attribute -> strength, in the given order.

    NAME may have a shape, NAME:SHAPE.

    Strengths of an attribute that is named twice add up. Case, "-" and "_" do not matter. A colour
    becomes part of the name, "hair#8a2be2".

    Raises:
        UsageError: for an unknown name (the nearest are offered), a strength that is not a number
            within -3..3, a colour of something that has none, and two attributes that contradict
            each other.
    """
    out: dict[str, float] = {}
    for word in words:
        name, _, value = word.partition("=")
        attribute = find_attribute(name)
        key, strength = attribute.name, 1.0
        colour = parse_colour(value) if "=" in word else ""
        if colour:
            if not attribute.coloured:
                able = ", ".join(row.name for row in ATTRIBUTES if row.coloured)
                raise UsageError(
                    f"--attr {word}: {attribute.name} has no colour.", f"These have: {able}."
                )
            key = with_colour(attribute.name, colour)
        elif attribute.name == "hair":
            raise UsageError(
                f"--attr {word}: hair needs a colour.", "Give hair=#8a2be2 or hair=purple."
            )
        elif "=" in word:
            strength = _strength(word, value)
            if strength < 0:
                key = base_name(key)  # takes any shape away
        if key in out and out[key] * strength < 0:
            raise UsageError(
                f"{attribute.name} is given with a positive and a negative strength.",
                "Name it once.",
            )
        out[key] = out.get(key, 0.0) + strength
    _check_contradictions(out)
    return out


def parse_variants(words: Sequence[str]) -> list[dict[str, float]]:
    """Parse attributes with several strengths, NAME=S,S,S: one dictionary for each of them.

    Raises:
        UsageError: as `parse_attributes`; for lists of different lengths or more than 8 strengths.
    """
    lists = [word.partition("=")[2].split(",") for word in words]
    count = max(map(len, lists), default=1)
    if any(len(values) not in (1, count) for values in lists) or count > MAX_VARIANTS:
        raise UsageError(
            "--attr: lists of strengths must be equally long.",
            f"Give each attribute one strength, or {count} ({MAX_VARIANTS} at most).",
        )
    return [
        parse_attributes(
            f"{word.partition('=')[0]}={values[min(n, len(values) - 1)]}" if "=" in word else word
            for word, values in zip(words, lists, strict=True)
        )
        for n in range(count)
    ]


def find_attribute(name: str) -> Attribute:
    """Return the attribute of a name or alias. Raises UsageError that offers the nearest names."""
    plain = name.strip().lower().replace("-", "_").replace(" ", "_")
    uncoloured, colour = split_colour(plain)
    base, shape = split_shape(uncoloured)
    if base in NAME_BY_WORD and (not colour or parse_colour(f"#{colour}")):
        row = BY_NAME[NAME_BY_WORD[base]]
        _check_shape(row, uncoloured)
        key = with_shape(row.name, shape) if shape else row.name
        return replace(row, name=with_colour(key, colour)) if colour else replace(row, name=key)
    close = get_close_matches(plain, NAME_BY_WORD, n=5, cutoff=_NEAR)
    least = max((_ratio(plain, word) for word in close), default=0.0) - _NEARLY
    near = dict.fromkeys(NAME_BY_WORD[word] for word in close if _ratio(plain, word) >= least)
    hint = f"Did you mean {', '.join(list(near)[:3])}?" if near else ""
    raise UsageError(
        f"There is no attribute {name.strip()!r}.",
        f"{hint} 'thcli list attributes' shows all.".strip(),
    )


def _check_shape(row: Attribute, name: str) -> None:
    """Raise UsageError for a shape that an attribute does not have."""
    _, shape = split_shape(name)
    if name.endswith(":") or (shape and shape not in row.shapes):
        able = [f"{row.name}:{own}" for row in ATTRIBUTES for own in row.shapes]
        raise UsageError(f"There is no attribute {name!r}.", f"Shapes are {', '.join(able)}.")


def _ratio(one: str, other: str) -> float:
    """Return the share 0..1 of letters that two words have in common, in their order."""
    return SequenceMatcher(None, other, one).ratio()


def choose_backends(
    attribute: Attribute, engine: str, licence: Literal["any", "free"], strength: float = 1.0
) -> BackendShares:
    """Return the backends that apply an attribute, with their shares of the strength.

    Args:
        attribute: attribute to apply.
        engine: name of one backend, or "auto" for the first painter that the licence and the sign
            of the strength allow.
        licence: "free" excludes weights for research only.
        strength: negative to remove the attribute.

    Raises:
        WeightsError: when the licence allows no alternative.
        UsageError: for an unknown engine, one that cannot remove attributes, one that gives no
            colour or shape to an attribute with one, and with "auto" for what no painter can do
            believably.
    """
    if engine != "auto":
        stage_of(engine)
        if attribute.name != base_name(attribute.name) and engine not in SHAPING_BACKENDS:
            raise UsageError(
                f"{engine} gives {base_name(attribute.name)} no colour and no shape.",
                "Use --engine auto, or name the attribute alone.",
            )
        able = attribute.removal if strength < 0 else attribute.alternatives
        if strength < 0 and engine in ADDITIVE_BACKENDS and ((engine, 1.0),) not in able:
            raise UsageError(
                f"{engine} cannot remove {attribute.name} from a face.", "Use --engine auto."
            )
        named = [shares for shares in able if _is_only(shares, engine)]
        return named[0] if named else ((engine, 1.0),)
    painters = believable(attribute, strength)
    if not painters:
        verb = "remove" if strength < 0 else "add"
        raise UsageError(
            f"No engine can {verb} {attribute.name} believably.",
            f"{attribute.instead} --engine dva-s tries it as an experiment.".strip(),
        )
    for shares in painters:
        if licence == "any" or all(is_free(name) for name, _ in shares):
            return shares
    names = dict.fromkeys(name for shares in painters for name, _ in shares)
    raise WeightsError(
        f"{attribute.name} needs weights that are for research only ({', '.join(names)}).",
        "Use --licence any if their terms fit your use "
        "('thcli list attributes' shows which are free).",
    )


def believable(attribute: Attribute, strength: float = 1.0) -> list[BackendShares]:
    """Return the painters that add an attribute, or remove it, the best first; none: refused."""
    rows = attribute.removal if strength < 0 else attribute.alternatives
    return [shares for shares in rows if all(name in PAINTERS.rows for name, _ in shares)]


def _is_only(shares: BackendShares, engine: str) -> bool:
    return len(shares) == 1 and shares[0][0] == engine


def plan_backends(
    requested: Mapping[str, float], engine: str, licence: Literal["any", "free"]
) -> dict[str, dict[str, float]]:
    """Return backend -> attribute -> strength, in the order in which the backends run.

    Raises as `choose_backends`.
    """
    out: dict[str, dict[str, float]] = {}
    for name, strength in requested.items():
        for backend, share in choose_backends(attribute_of(name), engine, licence, strength):
            out.setdefault(backend, {})[name] = strength * share
    return dict(sorted(out.items(), key=lambda item: _work_order(item[0])))


def resolve_label(label: str, affirmed: bool) -> tuple[str, float] | None:
    """Return the attribute and strength of an affirmed or denied CelebA label, or None.

    Sunglasses share the label Eyeglasses and are never returned.
    """
    candidates = [
        attribute
        for attribute in ATTRIBUTES
        if attribute.celeba == label and attribute.sign and attribute.name != "sunglasses"
    ]
    exact = next((one for one in candidates if (one.sign > 0) is affirmed), None)
    if exact is not None:
        return exact.name, 1.0
    return (candidates[0].name, -1.0) if candidates else None


def stage_of(backend: str) -> str:
    """Return the stage of a backend: "editor" or "painter". Raises UsageError for others."""
    for stage in (EDITORS, PAINTERS):
        if backend in stage.all():
            return stage.name
    known = [*EDITORS.all(), *PAINTERS.all()]
    raise UsageError(
        f"There is no engine {backend!r} that edits faces.", f"Use auto, {', '.join(known)}."
    )


def engines_for(attribute: Attribute) -> list[str]:
    """Return the names of all backends that can apply an attribute, the best first."""
    names = (name for shares in attribute.alternatives for name, _ in shares)
    return list(dict.fromkeys(name for name in names if _exists(name)))


def is_free(backend: str) -> bool:
    """Return True when all weights of a backend may be used commercially."""
    entries = weights.registry()
    return all(entries[name].commercial for name in _backend(backend).weights)


def _backend(backend: str) -> Backend:
    return (EDITORS if stage_of(backend) == EDITORS.name else PAINTERS).backend(backend)


def _exists(backend: str) -> bool:
    return backend in EDITORS.rows or backend in PAINTERS.rows


def _work_order(backend: str) -> int:
    if backend in PAINTER_ORDER:
        return PAINTER_ORDER.index(backend) + 1
    return 0 if stage_of(backend) == "editor" else len(PAINTER_ORDER) + 1


def _strength(word: str, number: str) -> float:
    try:
        strength = float(number)
    except ValueError:
        strength = MAX_STRENGTH + 1
    if not -MAX_STRENGTH <= strength <= MAX_STRENGTH or strength == 0:
        raise UsageError(
            f"--attr {word}: the strength must be a number within -3..3 and not 0.",
            "1 is plainly visible, -1 removes the attribute.",
        )
    return strength


def _check_contradictions(requested: Mapping[str, float]) -> None:
    """Raise UsageError for two attributes that contradict each other."""
    for name, strength in requested.items():
        attribute = attribute_of(name)
        against = []
        if attribute.opposite and requested.get(attribute.opposite, 0) * strength > 0:
            against.append(attribute.opposite)
        if strength > 0:
            same = (base_name(name), *attribute.excludes)
            against += [
                other
                for other, own in requested.items()
                if other != name and own > 0 and base_name(other) in same
            ]
        if against:
            raise UsageError(f"{name} and {against[0]} contradict each other.", "Name one of them.")


def load_measured_strengths() -> Mapping[str, Any]:
    """Return the bundled report of `thcli eval edit --strengths`.

    It holds the command, the clips and, for each attribute, the backends and the classifier's
    probability before and after the edit.
    """
    found: dict[str, Any] = json.loads(
        files("thcli.editors").joinpath("measured.json").read_text("utf-8")
    )
    return found
