"""Which regression makes each direction: whose label it is, and what it may bring along."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32
from thcli.editors.atlas import appearance as looks
from thcli.editors.atlas.regions import Area
from thcli.editors.shared.celeba import CELEBA
from thcli.motion.canonical import mouth_opening

HAIRY = ("No_Beard", "Mustache", "Goatee", "Sideburns", "5_o_Clock_Shadow")
MADE_UP = ("Heavy_Makeup", "Wearing_Lipstick", "Rosy_Cheeks")
AGE = (
    "Gray_Hair",
    "Bags_Under_Eyes",
    "Double_Chin",
    "Chubby",
    "Receding_Hairline",
    "Bald",
    "Attractive",
    "High_Cheekbones",
    "Oval_Face",
    "Narrow_Eyes",
    "Big_Nose",
    "Big_Lips",
)
GENDER = (
    *HAIRY,
    *MADE_UP,
    "Arched_Eyebrows",
    "Bushy_Eyebrows",
    "Big_Nose",
    "Pointy_Nose",
    "Oval_Face",
    "Attractive",
    "High_Cheekbones",
    "Big_Lips",
    "Wearing_Earrings",
    "Wearing_Necklace",
    "Wearing_Necktie",
)
SKIN, BROWS = "look_light", "look_brows"
_COLOURS = ("look_red", "look_green", "look_blue")


@dataclass(frozen=True, slots=True)
class Edit:
    """label: of CelebA.  sign: 1, or -1 for its absence.  brings: labels that may change with it (left out of the regression).

    area: of the atlas, where its texture is meant.  depends: on which numbers of a look the texture depends.  complexion: whether the skin's colour is held.
    texture, shape, detail: how much of each is meant at strength 1, in differences between faces with and without it.
    """

    label: str
    brings: tuple[str, ...] = ()
    sign: int = 1
    depends: tuple[str, ...] = ()
    complexion: bool = True
    area: Area = "all"
    texture: float = 1.0
    shape: float = 1.0
    detail: float = 1.0


EDITS: dict[str, Edit] = {
    "smiling": Edit(
        "Smiling",
        (
            "High_Cheekbones",
            "Narrow_Eyes",
            "Attractive",
            "Bags_Under_Eyes",
            "Rosy_Cheeks",
            "Double_Chin",
            "Oval_Face",
        ),
    ),
    "young": Edit("Young", AGE, depends=(SKIN,), texture=1.8, shape=2.0, detail=1.8),
    "male": Edit("Male", GENDER, depends=(SKIN, BROWS)),
    "beard": Edit("No_Beard", HAIRY, sign=-1, depends=(SKIN, BROWS), area="lower", texture=1.7),
    "moustache": Edit("Mustache", ("No_Beard",), area="upper_lip", texture=2.0),
    "goatee": Edit("Goatee", ("No_Beard",), area="lower", texture=2.0),
    "stubble": Edit(
        "No_Beard", ("5_o_Clock_Shadow",), sign=-1, depends=(SKIN, BROWS), area="lower", texture=2.4
    ),
    "sideburns": Edit("Sideburns", ("No_Beard",), texture=1.3),
    "makeup": Edit(
        "Heavy_Makeup",
        ("Wearing_Lipstick", "Rosy_Cheeks", "Arched_Eyebrows", "Attractive"),
        depends=(SKIN,),
        texture=1.6,
    ),
    "lipstick": Edit(
        "Wearing_Lipstick",
        ("Attractive", "Heavy_Makeup"),
        depends=(SKIN,),
        area="lips",
        texture=2.0,
        shape=0.0,
    ),
    "rosy_cheeks": Edit("Rosy_Cheeks", complexion=False, area="cheeks", texture=2.0, shape=0.0),
    "pale": Edit("Pale_Skin", complexion=False, texture=0.65, shape=0.0, detail=0.0),
    "bushy_eyebrows": Edit("Bushy_Eyebrows", depends=(SKIN,), area="brows", texture=1.2, shape=1.5),
    "arched_eyebrows": Edit("Arched_Eyebrows", area="brows", texture=1.5, shape=2.5),
    "big_nose": Edit("Big_Nose", area="nose", texture=2.0, shape=6.0),
    "pointy_nose": Edit("Pointy_Nose", area="nose", texture=2.0, shape=6.0),
    "big_lips": Edit("Big_Lips", area="lips", shape=4.5),
    "narrow_eyes": Edit("Narrow_Eyes", area="eyes", shape=2.2),
    "high_cheekbones": Edit("High_Cheekbones", texture=2.0, shape=1.5),
    "chubby": Edit(
        "Chubby", ("Double_Chin", "Attractive", "Oval_Face"), area="lower", texture=2.0, shape=4.0
    ),
    "double_chin": Edit(
        "Double_Chin", ("Chubby", "Attractive", "Oval_Face"), area="lower", texture=2.5, shape=3.0
    ),
    "oval_face": Edit("Oval_Face", texture=1.5, shape=4.0),
    "bags_under_eyes": Edit(
        "Bags_Under_Eyes", ("Attractive",), area="eyes", texture=2.0, shape=1.5, detail=1.5
    ),
    "attractive": Edit("Attractive", texture=2.2, shape=2.5, detail=1.5),
}

SMILE = Edit("Smiling", texture=1.2, shape=1.2, detail=1.2)
"""Of pairs of pictures, posed."""


def columns(
    labels: npt.NDArray[np.bool_], angles: Array, shapes: Array, found: Array32
) -> tuple[Array32, list[str]]:
    """What explains a picture, (N, P), the first column 1, and the columns' names.

    labels: (N, 40).  angles: (N, 3) degrees of pitch, yaw and roll.  shapes: (N, 468, 3).  found: (N, look.NUMBERS).
    """
    names, out = ["1"], [np.ones(len(labels))]
    for place, name in enumerate(CELEBA):
        names.append(name)
        out.append(labels[:, place].astype(np.float64))
    pitch, yaw = angles[:, 0] / 10, angles[:, 1] / 10
    pose = {"pitch": pitch, "pitch2": pitch**2, "yaw2": yaw**2, "open": 5 * mouth_opening(shapes)}
    colour = {name: standard(found[:, place]) for place, name in enumerate(_COLOURS)}
    light, brows = looks.leanings(found).T
    own = {SKIN: standard(light), BROWS: standard(brows)}
    for name, values in {**pose, **colour, BROWS: own[BROWS]}.items():
        names.append(name)
        out.append(values)
    for edit in EDITS.values():
        for number in edit.depends:
            name = f"{edit.label} x {number}"
            if name not in names:
                names.append(name)
                out.append((labels[:, CELEBA.index(edit.label)] - 0.5) * own[number])
    return np.stack(out, 1).astype(np.float32), names


def standard(values: Array32) -> Array:
    """Less its mean, over its spread, within 2.5 of it."""
    return np.asarray(
        np.clip((values - values.mean()) / max(float(values.std()), 1e-6), -2.5, 2.5), np.float64
    )


def used(edit: Edit, names: list[str]) -> list[int]:
    """The columns of an edit's regression."""
    left = set(edit.brings) - {edit.label}
    if not edit.complexion:
        left |= {*_COLOURS, BROWS}
    if BROWS not in edit.depends:
        left.add(BROWS)
    own = {f"{edit.label} x {number}" for number in edit.depends}
    return [
        i for i, name in enumerate(names) if name not in left and (" x " not in name or name in own)
    ]
