"""Catalogue of facial attributes: CelebA label, affected region, exclusions and backends of each.

An attribute is applied by one editor or painter of `backends`, or by several that share it.
Strength 1 is plainly visible; a negative strength removes the attribute.
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

BackendShares = tuple[tuple[str, float], ...]
"""Names of backends, each with its share of the strength."""
AffectedRegion = Literal["face", "hair", "all"]
ADDITIVE_BACKENDS = frozenset({"drawn"})  # these can add an attribute but not remove it
# Painters run in this order, after editors: editors replace the face that painters draw on.
PAINTER_ORDER = ("atlas", "atlas-free", "drawn")
MAX_STRENGTH = 3.0  # of either sign

_IDENTITY: tuple[BackendShares, ...] = ((("dva-s", 1.0),), (("dva", 1.0),))
_ATLAS: BackendShares = (("atlas", 1.0),)
_FREE: BackendShares = (("atlas-free", 1.0),)
_DRAWN: BackendShares = (("drawn", 1.0),)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of the catalogue.

    celeba: its CelebA label.
    sign: 1 for the label, -1 for its absence, 0 for the opposite of the face's own value.
    affected_region: part of the image that may change.
    alternatives: backends that can apply it; "auto" takes the first that is allowed.
    opposite: name of the attribute that a negative strength gives, or "".
    """

    name: str
    about: str
    celeba: str
    sign: int
    affected_region: AffectedRegion
    alternatives: tuple[BackendShares, ...]
    aliases: tuple[str, ...] = ()
    opposite: str = ""

    @property
    def excludes(self) -> tuple[str, ...]:
        """Return the names of the attributes that contradict it."""
        groups = (group for group in EXCLUSIVE_GROUPS if self.name in group)
        return tuple(dict.fromkeys(name for group in groups for name in group if name != self.name))


EXCLUSIVE_GROUPS = (
    ("gender", "male"),
    ("gender", "female"),
    ("beard", "stubble"),
    ("eyeglasses", "sunglasses"),
    ("blond", "black_hair", "brown_hair", "gray_hair", "bald"),
    ("bald", "bangs"),
    ("bald", "wavy_hair", "straight_hair"),
    ("bald", "bangs", "receding_hairline"),
)
"""Groups of attributes of which a face can have one only."""


def _attribute(
    name: str,
    about: str,
    celeba: str,
    affected_region: AffectedRegion,
    first: Sequence[BackendShares],
    *aliases: str,
    sign: int = 1,
    opposite: str = "",
) -> Attribute:
    alternatives = (*first, *_IDENTITY)
    return Attribute(name, about, celeba, sign, affected_region, alternatives, aliases, opposite)


ATTRIBUTES: tuple[Attribute, ...] = (
    _attribute("smiling", "smiles", "Smiling", "face", (_ATLAS, _FREE), "smile", "happy"),
    _attribute(
        "mouth_open",
        "lips apart (weak)",
        "Mouth_Slightly_Open",
        "face",
        (),
        "open_mouth",
        "mouth_slightly_open",
    ),
    _attribute("young", "younger", "Young", "all", (_ATLAS,), "younger", "youth", opposite="old"),
    _attribute(
        "old", "older", "Young", "all", (_ATLAS,), "older", "aged", "age", sign=-1, opposite="young"
    ),
    _attribute(
        "gender",
        "the other gender: a man's face as a woman's, or the reverse",
        "Male",
        "all",
        (_ATLAS,),
        "other_gender",
        sign=0,
    ),
    _attribute(
        "male", "looks like a man", "Male", "all", (_ATLAS,), "man", "masculine", opposite="female"
    ),
    _attribute(
        "female",
        "looks like a woman",
        "Male",
        "all",
        (_ATLAS,),
        "woman",
        "feminine",
        sign=-1,
        opposite="male",
    ),
    _attribute(
        "beard",
        "a full beard",
        "No_Beard",
        "face",
        (_DRAWN, _ATLAS),
        "bearded",
        "full_beard",
        sign=-1,
    ),
    _attribute(
        "moustache", "hair on the upper lip", "Mustache", "face", (_DRAWN, _ATLAS), "mustache"
    ),
    _attribute("goatee", "a beard on the chin", "Goatee", "face", (_DRAWN, _ATLAS)),
    _attribute(
        "stubble",
        "a few days of beard growth",
        "5_o_Clock_Shadow",
        "face",
        (_DRAWN, _ATLAS),
        "5_o_clock_shadow",
        "five_o_clock_shadow",
        "shadow",
    ),
    _attribute("sideburns", "hair down the cheeks", "Sideburns", "face", (_DRAWN, _ATLAS)),
    _attribute("eyeglasses", "glasses", "Eyeglasses", "all", (_DRAWN,), "glasses", "spectacles"),
    _attribute(
        "sunglasses", "dark glasses", "Eyeglasses", "all", (_DRAWN,), "shades", "dark_glasses"
    ),
    _attribute(
        "makeup",
        "wears make-up",
        "Heavy_Makeup",
        "face",
        (_DRAWN, _ATLAS),
        "make_up",
        "heavy_makeup",
    ),
    _attribute(
        "lipstick",
        "red lips",
        "Wearing_Lipstick",
        "face",
        (_DRAWN, _ATLAS),
        "wearing_lipstick",
        "red_lips",
    ),
    _attribute("rosy_cheeks", "blush", "Rosy_Cheeks", "face", (_DRAWN, _ATLAS), "rosy", "blush"),
    _attribute("pale", "pale skin", "Pale_Skin", "all", (_DRAWN, _ATLAS), "pale_skin"),
    _attribute(
        "blond", "fair hair", "Blond_Hair", "hair", (_DRAWN,), "blonde", "blond_hair", "blonde_hair"
    ),
    _attribute("black_hair", "black hair", "Black_Hair", "hair", (_DRAWN,), "black", "dark_hair"),
    _attribute("brown_hair", "brown hair", "Brown_Hair", "hair", (_DRAWN,), "brown", "brunette"),
    _attribute(
        "gray_hair",
        "grey hair",
        "Gray_Hair",
        "hair",
        (_DRAWN,),
        "grey_hair",
        "gray",
        "grey",
        "white_hair",
    ),
    _attribute("bald", "no hair (weak)", "Bald", "all", (), "no_hair"),
    _attribute("bangs", "hair over the forehead", "Bangs", "all", (), "fringe"),
    _attribute("receding_hairline", "a high forehead", "Receding_Hairline", "all", ()),
    _attribute("wavy_hair", "wavy hair (weak)", "Wavy_Hair", "all", (), "wavy", "curly_hair"),
    _attribute("straight_hair", "straight hair (weak)", "Straight_Hair", "all", (), "straight"),
    _attribute(
        "bushy_eyebrows",
        "thick brows",
        "Bushy_Eyebrows",
        "face",
        (_DRAWN, _ATLAS),
        "thick_brows",
        "bushy_brows",
    ),
    _attribute(
        "arched_eyebrows", "arched brows", "Arched_Eyebrows", "face", (_ATLAS,), "arched_brows"
    ),
    _attribute("big_nose", "a broad nose", "Big_Nose", "face", (_ATLAS,)),
    _attribute("pointy_nose", "a narrow nose", "Pointy_Nose", "face", (_ATLAS,)),
    _attribute("big_lips", "full lips", "Big_Lips", "face", (_ATLAS,), "full_lips"),
    _attribute("narrow_eyes", "narrow eyes", "Narrow_Eyes", "face", (_ATLAS,)),
    _attribute(
        "high_cheekbones", "high cheekbones", "High_Cheekbones", "face", (_ATLAS,), "cheekbones"
    ),
    _attribute("chubby", "a fuller face", "Chubby", "all", (_ATLAS,), "fat", "plump"),
    _attribute("double_chin", "a double chin", "Double_Chin", "all", (_ATLAS,)),
    _attribute("oval_face", "an oval face", "Oval_Face", "all", (_ATLAS,), "oval"),
    _attribute(
        "bags_under_eyes",
        "bags under the eyes",
        "Bags_Under_Eyes",
        "face",
        (_ATLAS,),
        "eye_bags",
        "tired",
    ),
    _attribute(
        "attractive",
        "as CelebA's labels mean it",
        "Attractive",
        "face",
        (_ATLAS,),
        "pretty",
        "handsome",
    ),
    _attribute("hat", "a hat (weak)", "Wearing_Hat", "all", (), "wearing_hat"),
    _attribute("earrings", "earrings (weak)", "Wearing_Earrings", "all", (), "wearing_earrings"),
)
BY_NAME: Mapping[str, Attribute] = MappingProxyType(
    {attribute.name: attribute for attribute in ATTRIBUTES}
)
NAME_BY_WORD: Mapping[str, str] = MappingProxyType(
    {
        word: attribute.name
        for attribute in ATTRIBUTES
        for word in (attribute.name, *attribute.aliases)
    }
    | {
        attribute.celeba.lower(): attribute.name
        for attribute in ATTRIBUTES
        if attribute.sign > 0 and attribute.name not in ("sunglasses",)
    }
)
"""Accepted word (attribute name, alias or CelebA label) -> attribute name."""


def parse_attributes(words: Iterable[str]) -> dict[str, float]:
    """Parse NAME and NAME=S into attribute -> strength, in the given order.

    Strengths of an attribute that is named twice add up. Case, "-" and "_" do not matter.

    Raises:
        UsageError: for an unknown name (the nearest are offered), a strength that is not a number
            within -3..3, and two attributes that contradict each other.
    """
    out: dict[str, float] = {}
    for word in words:
        name, _, number = word.partition("=")
        attribute = find_attribute(name)
        strength = _strength(word, number) if "=" in word else 1.0
        if attribute.name in out and out[attribute.name] * strength < 0:
            raise UsageError(
                f"{attribute.name} is given with a positive and a negative strength.",
                "Name it once.",
            )
        out[attribute.name] = out.get(attribute.name, 0.0) + strength
    _check_contradictions(out)
    return out


def find_attribute(name: str) -> Attribute:
    """Return the attribute of a name or alias. Raises UsageError that offers the nearest names."""
    plain = name.strip().lower().replace("-", "_").replace(" ", "_")
    if plain in NAME_BY_WORD:
        return BY_NAME[NAME_BY_WORD[plain]]
    close = get_close_matches(plain, NAME_BY_WORD, n=5, cutoff=0.5)
    near = dict.fromkeys(NAME_BY_WORD[word] for word in close)
    hint = f"Did you mean {', '.join(list(near)[:3])}?" if near else ""
    raise UsageError(
        f"There is no attribute {name.strip()!r}.",
        f"{hint} 'thcli list attributes' shows all.".strip(),
    )


def choose_backends(
    attribute: Attribute, engine: str, licence: Literal["any", "free"], strength: float = 1.0
) -> BackendShares:
    """Return the backends that apply an attribute, with their shares of the strength.

    Args:
        attribute: attribute to apply.
        engine: name of one backend, or "auto" for the first alternative that the licence and the
            sign of the strength allow.
        licence: "free" excludes weights for research only.
        strength: negative to remove the attribute.

    Raises:
        WeightsError: when the licence allows no alternative.
        UsageError: for an unknown engine, or one that cannot remove attributes.
    """
    if engine != "auto":
        stage_of(engine)
        if strength < 0 and engine in ADDITIVE_BACKENDS:
            raise UsageError(
                f"{engine} cannot remove {attribute.name} from a face.", "Use --engine auto."
            )
        named = [shares for shares in attribute.alternatives if _is_only(shares, engine)]
        return named[0] if named else ((engine, 1.0),)
    for shares in attribute.alternatives:
        names = [name for name, _ in shares]
        able = all(_exists(name) for name in names)
        if strength < 0:
            able = able and not ADDITIVE_BACKENDS.intersection(names)
        if able and (licence == "any" or all(map(is_free, names))):
            return shares
    raise WeightsError(
        f"{attribute.name} needs weights that are for research only "
        f"({', '.join(engines_for(attribute))}).",
        "Use --licence any if their terms fit your use "
        "('thcli list attributes' shows which are free).",
    )


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
        for backend, share in choose_backends(BY_NAME[name], engine, licence, strength):
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
        attribute = BY_NAME[name]
        against = []
        if attribute.opposite and requested.get(attribute.opposite, 0) * strength > 0:
            against.append(attribute.opposite)
        if strength > 0:
            against += [other for other in attribute.excludes if requested.get(other, 0) > 0]
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
