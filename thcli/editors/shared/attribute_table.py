"""Table of the facial attributes: CelebA label, affected region, exclusions and backends of each.

An attribute is applied by one editor or painter, or by several that share it. What no painter does
believably has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from thcli.editors.shared.attribute import AffectedRegion, Attribute, BackendShares

_IDENTITY: tuple[BackendShares, ...] = ((("dva-s", 1.0),), (("dva", 1.0),))
_ATLAS: BackendShares = (("atlas", 1.0),)
_FAINT_ATLAS: BackendShares = (("atlas", 0.4),)  # all of it turns cheeks yellow
_FREE: BackendShares = (("atlas-free", 1.0),)
_DRAWN: BackendShares = (("drawn", 1.0),)
_REMOVERS: BackendShares = (("removers", 1.0),)
_SHAVED: BackendShares = (("removers", 1.0), ("atlas", 1.0))  # a woman's face has no beard


def _attribute(
    name: str,
    about: str,
    celeba: str,
    affected_region: AffectedRegion,
    first: Sequence[BackendShares],
    *aliases: str,
    **more: Any,
) -> Attribute:
    """Return a row. more: sign, opposite, removal, instead, coloured, shapes.

    What nothing is drawn for can be taken away by the painters that add it.
    """
    painters = tuple(shares for shares in first if shares != _DRAWN)
    settings = {"sign": 1, "removal": painters, **more}
    return Attribute(
        name,
        about,
        celeba,
        affected_region=affected_region,
        aliases=aliases,
        alternatives=(*first, *_IDENTITY),
        **settings,
    )


def _hair(name: str, about: str, celeba: str, *aliases: str, **more: Any) -> Attribute:
    """Return a row of a hair colour."""
    instead = "Name the colour that the hair gets: hair=#RRGGBB, black_hair, blond, ..."
    return _attribute(
        name, about, celeba, "hair", (_DRAWN,), *aliases, removal=(), instead=instead, **more
    )


_REMOVED: Mapping[str, Any] = {"removal": (_REMOVERS,)}
_FAINTLY_REMOVED: Mapping[str, Any] = {
    "removal": (),
    "instead": "--engine removers fades it a little.",
}
_FRAMES = ("round", "square", "aviator")
_NO_HAIR_SHAPE = (
    "Colours of the hair can be edited: black_hair, blond, hair=#RRGGBB. Its shape cannot."
)

ATTRIBUTES: tuple[Attribute, ...] = (
    _attribute("smiling", "smiles", "Smiling", "face", (_ATLAS, _FREE), "smile", "happy"),
    _attribute(
        "mouth_open",
        "lips apart",
        "Mouth_Slightly_Open",
        "face",
        (),
        "open_mouth",
        "mouth_slightly_open",
        instead="smiling parts the lips of many faces; 'thcli speak' opens the mouth.",
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
        (_SHAVED, _ATLAS),
        "other_gender",
        sign=0,
    ),
    _attribute(
        "male",
        "looks like a man",
        "Male",
        "all",
        (_ATLAS,),
        "man",
        "masculine",
        opposite="female",
        removal=(_SHAVED, _ATLAS),
    ),
    _attribute(
        "female",
        "looks like a woman",
        "Male",
        "all",
        (_SHAVED, _ATLAS),
        "woman",
        "feminine",
        sign=-1,
        opposite="male",
        removal=(_ATLAS,),
    ),
    _attribute(
        "beard",
        "a full beard",
        "No_Beard",
        "face",
        (_DRAWN, _ATLAS),
        "bearded",
        "full_beard",
        "facial_hair",
        sign=-1,
        coloured=True,
        **_REMOVED,
    ),
    _attribute(
        "moustache",
        "hair on the upper lip",
        "Mustache",
        "face",
        (_DRAWN, _ATLAS),
        "mustache",
        coloured=True,
        **_REMOVED,
    ),
    _attribute(
        "goatee",
        "a beard on the chin",
        "Goatee",
        "face",
        (_DRAWN, _ATLAS),
        coloured=True,
        **_REMOVED,
    ),
    _attribute(
        "stubble",
        "a few days of beard growth",
        "5_o_Clock_Shadow",
        "face",
        (_DRAWN, _ATLAS),
        "5_o_clock_shadow",
        "five_o_clock_shadow",
        "shadow",
        **_REMOVED,
    ),
    _attribute(
        "sideburns",
        "hair down the cheeks",
        "Sideburns",
        "face",
        (_DRAWN, _ATLAS),
        removal=(),
        instead="beard=-1 removes the hair below them.",
    ),
    _attribute(
        "eyeglasses",
        "glasses",
        "Eyeglasses",
        "all",
        (_DRAWN,),
        "glasses",
        "spectacles",
        coloured=True,
        shapes=_FRAMES,
        **_REMOVED,
    ),
    _attribute(
        "sunglasses",
        "dark glasses",
        "Eyeglasses",
        "all",
        (_DRAWN,),
        "shades",
        "dark_glasses",
        shapes=_FRAMES,
        removal=(),
        instead="The eyes behind dark glasses are not visible. Clear ones: eyeglasses=-1.",
    ),
    _attribute(
        "makeup",
        "wears make-up",
        "Heavy_Makeup",
        "face",
        (_DRAWN, _ATLAS),
        "make_up",
        "heavy_makeup",
        **_FAINTLY_REMOVED,
    ),
    _attribute(
        "lipstick",
        "red lips",
        "Wearing_Lipstick",
        "face",
        (_DRAWN, _ATLAS),
        "wearing_lipstick",
        "red_lips",
        coloured=True,
        **_FAINTLY_REMOVED,
    ),
    _attribute(
        "rosy_cheeks",
        "blush",
        "Rosy_Cheeks",
        "face",
        (_DRAWN, _ATLAS),
        "rosy",
        "blush",
        removal=(_FAINT_ATLAS,),
    ),
    _attribute(
        "pale",
        "pale skin; -1: tanned",
        "Pale_Skin",
        "all",
        (_DRAWN, _ATLAS),
        "pale_skin",
        removal=(_DRAWN, _ATLAS),
    ),
    _hair(
        "hair", "hair of any colour: hair=#8a2be2, hair=purple", "Brown_Hair", sign=0, coloured=True
    ),
    _hair("blond", "fair hair", "Blond_Hair", "blonde", "blond_hair", "blonde_hair", "fair_hair"),
    _hair("black_hair", "black hair", "Black_Hair", "black", "dark_hair"),
    _hair("brown_hair", "brown hair", "Brown_Hair", "brown", "brunette"),
    _hair("gray_hair", "grey hair", "Gray_Hair", "grey_hair", "gray", "grey", "white_hair"),
    _hair("red_hair", "red hair", "Brown_Hair", "ginger", "ginger_hair", "redhead", sign=0),
    _attribute("bald", "no hair", "Bald", "all", (), "no_hair", instead=_NO_HAIR_SHAPE),
    _attribute(
        "bangs", "hair over the forehead", "Bangs", "all", (), "fringe", instead=_NO_HAIR_SHAPE
    ),
    _attribute(
        "receding_hairline",
        "a high forehead",
        "Receding_Hairline",
        "all",
        (),
        instead=_NO_HAIR_SHAPE,
    ),
    _attribute(
        "wavy_hair",
        "wavy hair",
        "Wavy_Hair",
        "all",
        (),
        "wavy",
        "curly_hair",
        instead=_NO_HAIR_SHAPE,
    ),
    _attribute(
        "straight_hair",
        "straight hair",
        "Straight_Hair",
        "all",
        (),
        "straight",
        instead=_NO_HAIR_SHAPE,
    ),
    _attribute(
        "bushy_eyebrows",
        "thick brows",
        "Bushy_Eyebrows",
        "face",
        (_DRAWN, _ATLAS),
        "thick_brows",
        "thick_eyebrows",
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
    _attribute(
        "hat",
        "a hat",
        "Wearing_Hat",
        "all",
        (),
        "wearing_hat",
        instead="What can be put on: eyeglasses, sunglasses, beard, make-up.",
    ),
    _attribute(
        "earrings",
        "earrings",
        "Wearing_Earrings",
        "all",
        (),
        "wearing_earrings",
        instead="What can be put on: eyeglasses, sunglasses, beard, make-up.",
    ),
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
        if attribute.sign > 0 and attribute.name != "sunglasses"
    }
)
"""Accepted word (attribute name, alias or CelebA label) -> attribute name."""
