"""The attributes that a user may name: what each means in CelebA's words, what it touches, what it contradicts, and what can do it.

A way is one editor or painter of `backends`, or several that each do a share. Strength 1 is plainly visible; negative ones remove.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal

from thcli import weights
from thcli.core.errors import UsageError, WeightsError
from thcli.editors.backends import EDITORS, PAINTERS
from thcli.weights.backend import Backend

Way = tuple[tuple[str, float], ...]
"""Backends, each with its share of the strength."""
Touches = Literal["face", "hair", "all"]
ADDS = frozenset({"drawn"})  # what can only lay things on
ORDER = (
    "atlas",
    "atlas-free",
    "drawn",
)  # editors come first: they make the face that painters draw on
FURTHEST = 3.0  # strength either way

_IDENTITY: tuple[Way, ...] = ((("dva-s", 1.0),), (("dva", 1.0),))
_ATLAS: Way = (("atlas", 1.0),)
_FREE: Way = (("atlas-free", 1.0),)
_DRAWN: Way = (("drawn", 1.0),)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One row. celeba: CelebA's label behind it, and sign: whether it means that label (1), its absence (-1) or what the face is not (0).

    touches: what of the picture may change.  ways: those that can do it, the one that "auto" takes first.  opposite: the attribute that
    a negative strength means, if it has a name.  excludes: those that cannot be seen together with it.
    """

    name: str
    about: str
    celeba: str
    sign: int
    touches: Touches
    ways: tuple[Way, ...]
    aliases: tuple[str, ...] = ()
    opposite: str = ""
    excludes: tuple[str, ...] = ()


_HAIR_COLOURS = ("blond", "black_hair", "brown_hair", "gray_hair", "bald")


def _row(
    name: str,
    about: str,
    celeba: str,
    touches: Touches,
    first: Sequence[Way],
    *aliases: str,
    sign: int = 1,
    opposite: str = "",
    excludes: Iterable[str] = (),
) -> Attribute:
    ways = (*first, *_IDENTITY)
    return Attribute(
        name,
        about,
        celeba,
        sign,
        touches,
        ways,
        aliases,
        opposite,
        tuple(e for e in excludes if e != name),
    )


ROWS: tuple[Attribute, ...] = (
    _row("smiling", "smiles", "Smiling", "face", (_ATLAS, _FREE), "smile", "happy"),
    _row(
        "mouth_open",
        "lips apart (weak)",
        "Mouth_Slightly_Open",
        "face",
        (),
        "open_mouth",
        "mouth_slightly_open",
    ),
    _row("young", "younger", "Young", "all", (_ATLAS,), "younger", "youth", opposite="old"),
    _row(
        "old", "older", "Young", "all", (_ATLAS,), "older", "aged", "age", sign=-1, opposite="young"
    ),
    _row(
        "gender",
        "the other one: a man's face as a woman's, or the reverse",
        "Male",
        "all",
        (_ATLAS,),
        "other_gender",
        sign=0,
        excludes=("male", "female"),
    ),
    _row(
        "male",
        "looks like a man",
        "Male",
        "all",
        (_ATLAS,),
        "man",
        "masculine",
        opposite="female",
        excludes=("gender",),
    ),
    _row(
        "female",
        "looks like a woman",
        "Male",
        "all",
        (_ATLAS,),
        "woman",
        "feminine",
        sign=-1,
        opposite="male",
        excludes=("gender",),
    ),
    _row(
        "beard",
        "a full beard",
        "No_Beard",
        "face",
        (_DRAWN, _ATLAS),
        "bearded",
        "full_beard",
        sign=-1,
        excludes=("stubble",),
    ),
    _row("moustache", "hair on the upper lip", "Mustache", "face", (_DRAWN, _ATLAS), "mustache"),
    _row("goatee", "a beard on the chin", "Goatee", "face", (_DRAWN, _ATLAS)),
    _row(
        "stubble",
        "some days without a razor",
        "5_o_Clock_Shadow",
        "face",
        (_DRAWN, _ATLAS),
        "5_o_clock_shadow",
        "five_o_clock_shadow",
        "shadow",
        excludes=("beard",),
    ),
    _row("sideburns", "hair down the cheeks", "Sideburns", "face", (_DRAWN, _ATLAS)),
    _row(
        "eyeglasses",
        "glasses",
        "Eyeglasses",
        "all",
        (_DRAWN,),
        "glasses",
        "spectacles",
        excludes=("sunglasses",),
    ),
    _row(
        "sunglasses",
        "dark glasses",
        "Eyeglasses",
        "all",
        (_DRAWN,),
        "shades",
        "dark_glasses",
        excludes=("eyeglasses",),
    ),
    _row("makeup", "made up", "Heavy_Makeup", "face", (_DRAWN, _ATLAS), "make_up", "heavy_makeup"),
    _row(
        "lipstick",
        "red lips",
        "Wearing_Lipstick",
        "face",
        (_DRAWN, _ATLAS),
        "wearing_lipstick",
        "red_lips",
    ),
    _row("rosy_cheeks", "blush", "Rosy_Cheeks", "face", (_DRAWN, _ATLAS), "rosy", "blush"),
    _row("pale", "pale skin", "Pale_Skin", "all", (_DRAWN, _ATLAS), "pale_skin"),
    _row(
        "blond",
        "fair hair",
        "Blond_Hair",
        "hair",
        (_DRAWN,),
        "blonde",
        "blond_hair",
        "blonde_hair",
        excludes=_HAIR_COLOURS,
    ),
    _row(
        "black_hair",
        "black hair",
        "Black_Hair",
        "hair",
        (_DRAWN,),
        "black",
        "dark_hair",
        excludes=_HAIR_COLOURS,
    ),
    _row(
        "brown_hair",
        "brown hair",
        "Brown_Hair",
        "hair",
        (_DRAWN,),
        "brown",
        "brunette",
        excludes=_HAIR_COLOURS,
    ),
    _row(
        "gray_hair",
        "grey hair",
        "Gray_Hair",
        "hair",
        (_DRAWN,),
        "grey_hair",
        "gray",
        "grey",
        "white_hair",
        excludes=_HAIR_COLOURS,
    ),
    _row(
        "bald",
        "no hair (weak)",
        "Bald",
        "all",
        (),
        "no_hair",
        excludes=(*_HAIR_COLOURS, "bangs", "wavy_hair", "straight_hair", "receding_hairline"),
    ),
    _row(
        "bangs",
        "hair over the forehead",
        "Bangs",
        "all",
        (),
        "fringe",
        excludes=("bald", "receding_hairline"),
    ),
    _row(
        "receding_hairline",
        "a high forehead",
        "Receding_Hairline",
        "all",
        (),
        excludes=("bald", "bangs"),
    ),
    _row(
        "wavy_hair",
        "wavy hair (weak)",
        "Wavy_Hair",
        "all",
        (),
        "wavy",
        "curly_hair",
        excludes=("bald", "straight_hair"),
    ),
    _row(
        "straight_hair",
        "straight hair (weak)",
        "Straight_Hair",
        "all",
        (),
        "straight",
        excludes=("bald", "wavy_hair"),
    ),
    _row(
        "bushy_eyebrows",
        "thick brows",
        "Bushy_Eyebrows",
        "face",
        (_DRAWN, _ATLAS),
        "thick_brows",
        "bushy_brows",
    ),
    _row("arched_eyebrows", "arched brows", "Arched_Eyebrows", "face", (_ATLAS,), "arched_brows"),
    _row("big_nose", "a broad nose", "Big_Nose", "face", (_ATLAS,)),
    _row("pointy_nose", "a narrow nose", "Pointy_Nose", "face", (_ATLAS,)),
    _row("big_lips", "full lips", "Big_Lips", "face", (_ATLAS,), "full_lips"),
    _row("narrow_eyes", "narrow eyes", "Narrow_Eyes", "face", (_ATLAS,)),
    _row("high_cheekbones", "high cheekbones", "High_Cheekbones", "face", (_ATLAS,), "cheekbones"),
    _row("chubby", "a fuller face", "Chubby", "all", (_ATLAS,), "fat", "plump"),
    _row("double_chin", "a double chin", "Double_Chin", "all", (_ATLAS,)),
    _row("oval_face", "an oval face", "Oval_Face", "all", (_ATLAS,), "oval"),
    _row(
        "bags_under_eyes",
        "bags under the eyes",
        "Bags_Under_Eyes",
        "face",
        (_ATLAS,),
        "eye_bags",
        "tired",
    ),
    _row(
        "attractive",
        "as CelebA's labels mean it",
        "Attractive",
        "face",
        (_ATLAS,),
        "pretty",
        "handsome",
    ),
    _row("hat", "a hat (weak)", "Wearing_Hat", "all", (), "wearing_hat"),
    _row("earrings", "earrings (weak)", "Wearing_Earrings", "all", (), "wearing_earrings"),
)
BY_NAME: Mapping[str, Attribute] = MappingProxyType({row.name: row for row in ROWS})
NAMES: Mapping[str, str] = MappingProxyType(
    {word: row.name for row in ROWS for word in (row.name, *row.aliases)}
    | {
        row.celeba.lower(): row.name
        for row in ROWS
        if row.sign > 0 and row.name not in ("sunglasses",)
    }
)
"""Every word that is understood -> the attribute's own name. CelebA's own labels are among them."""


def understood(words: Iterable[str]) -> dict[str, float]:
    """What NAME and NAME=S mean: attribute -> strength, in the order given; one that is named twice is as strong as both together.

    Names are told apart neither by case nor by - and _. Raises UsageError for a name that there is not (the nearest are offered), a
    strength that is no number within -3..3, and for two that contradict each other.
    """
    out: dict[str, float] = {}
    for word in words:
        name, _, number = word.partition("=")
        row = find(name)
        strength = _strength(word, number) if "=" in word else 1.0
        if row.name in out and out[row.name] * strength < 0:
            raise UsageError(f"{row.name} is asked for and taken away at once.", "Name it once.")
        out[row.name] = out.get(row.name, 0.0) + strength
    _agree(out)
    return out


def find(name: str) -> Attribute:
    """The row of a name or an alias. Raises UsageError with the nearest names."""
    plain = name.strip().lower().replace("-", "_").replace(" ", "_")
    if plain in NAMES:
        return BY_NAME[NAMES[plain]]
    near = dict.fromkeys(NAMES[word] for word in get_close_matches(plain, NAMES, n=5, cutoff=0.5))
    hint = f"Near it: {', '.join(list(near)[:3])}." if near else ""
    raise UsageError(
        f"There is no attribute {name.strip()!r}.",
        f"{hint} 'thcli list attributes' shows all.".strip(),
    )


def ways_of(
    row: Attribute, engine: str, licence: Literal["any", "free"], strength: float = 1.0
) -> Way:
    """What does an attribute: the engine that is named, or for "auto" the row's first way that the licence and the strength's sign allow.

    Raises WeightsError when the licence allows none, UsageError for an engine that there is not or that cannot take things off.
    """
    if engine != "auto":
        stage_of(engine)
        if strength < 0 and engine in ADDS:
            raise UsageError(f"{engine} cannot take {row.name} off a face.", "Take --engine auto.")
        named = next((way for way in row.ways if len(way) == 1 and way[0][0] == engine), None)
        return named or ((engine, 1.0),)
    able = [
        way
        for way in row.ways
        if all(_is_there(name) and (strength >= 0 or name not in ADDS) for name, _ in way)
    ]
    for way in able:
        if licence == "any" or all(is_free(name) for name, _ in way):
            return way
    raise WeightsError(
        f"{row.name} can be done only with weights that are for research alone ({', '.join(engines(row))}).",
        "Use --licence any if their terms fit your use ('thcli list attributes' shows which are free).",
    )


def planned(
    asked: Mapping[str, float], engine: str, licence: Literal["any", "free"]
) -> dict[str, dict[str, float]]:
    """Who does how much of what: backend -> attribute -> strength, in the order in which they work. Raises as `ways_of` does."""
    out: dict[str, dict[str, float]] = {}
    for name, strength in asked.items():
        for backend, share in ways_of(BY_NAME[name], engine, licence, strength):
            out.setdefault(backend, {})[name] = strength * share
    return dict(sorted(out.items(), key=lambda item: _place(item[0])))


def meant(label: str, affirmed: bool) -> tuple[str, float] | None:
    """The attribute, and its strength, that a CelebA label affirmed or denied stands for; None where none does."""
    rows = [row for row in ROWS if row.celeba == label and row.sign and row.name != "sunglasses"]
    exact = next((row for row in rows if (row.sign > 0) is affirmed), None)
    if exact is not None:
        return exact.name, 1.0
    return (rows[0].name, -1.0) if rows else None


def stage_of(backend: str) -> str:
    """Whether a backend is an editor or a painter. Raises UsageError naming those that there are."""
    for stage in (EDITORS, PAINTERS):
        if backend in stage.all():
            return stage.name
    there = [*EDITORS.all(), *PAINTERS.all()]
    raise UsageError(
        f"There is no engine {backend!r} that edits faces.", f"There are: auto, {', '.join(there)}."
    )


def engines(row: Attribute) -> list[str]:
    """All that can do an attribute, the best first."""
    return list(dict.fromkeys(name for way in row.ways for name, _ in way if _is_there(name)))


def is_free(backend: str) -> bool:
    """Whether all weights of a backend may be used for anything."""
    entries = weights.registry()
    return all(entries[name].commercial for name in _backend(backend).weights)


def _backend(backend: str) -> Backend:
    return (EDITORS if stage_of(backend) == EDITORS.name else PAINTERS).backend(backend)


def _is_there(backend: str) -> bool:
    return backend in EDITORS.rows or backend in PAINTERS.rows


def _place(backend: str) -> int:
    return (
        ORDER.index(backend) + 1
        if backend in ORDER
        else 0
        if stage_of(backend) == "editor"
        else len(ORDER) + 1
    )


def _strength(word: str, number: str) -> float:
    try:
        strength = float(number)
    except ValueError:
        strength = FURTHEST + 1
    if not -FURTHEST <= strength <= FURTHEST or strength == 0:
        raise UsageError(
            f"--attr {word}: the strength must be a number within -3..3 and not 0.",
            "1 is plainly visible, -1 takes away.",
        )
    return strength


def _agree(asked: Mapping[str, float]) -> None:
    """Raises UsageError for two that cannot be had together."""
    for name, strength in asked.items():
        row = BY_NAME[name]
        against = (
            [row.opposite] if row.opposite and asked.get(row.opposite, 0) * strength > 0 else []
        )
        against += [other for other in row.excludes if strength > 0 and asked.get(other, 0) > 0]
        if against:
            raise UsageError(
                f"{name} and {against[0]} contradict each other.", "Ask for one of them."
            )


def measured() -> Mapping[str, Any]:
    """What `thcli eval edit --strengths` noted: command, clips, and of each attribute by what it was done, and how likely it was before and after."""
    found: dict[str, Any] = json.loads(
        files("thcli.editors").joinpath("measured.json").read_text("utf-8")
    )
    return found
