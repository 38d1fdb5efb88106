"""The edits of the atlas and the regression that estimates each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32
from thcli.editors.atlas import appearance
from thcli.editors.atlas.regions import RegionName
from thcli.editors.shared.celeba import CELEBA
from thcli.motion.canonical import mouth_opening

FACIAL_HAIR = ("No_Beard", "Mustache", "Goatee", "Sideburns", "5_o_Clock_Shadow")
MAKEUP = ("Heavy_Makeup", "Wearing_Lipstick", "Rosy_Cheeks")
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
    *FACIAL_HAIR,
    *MAKEUP,
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
class AtlasEdit:
    """One edit of the atlas.

    label: attribute of CelebA. brings: correlated labels that may change with it, left out of the
    regression. sign: 1, or -1 for the absence of the label. depends: covariates that the texture
    depends on. complexion: hold the skin colour fixed. area: region of the texture.
    texture, shape, detail: strengths at 1, in units of the difference between faces with and
    without the label.
    """

    label: str
    brings: tuple[str, ...] = ()
    sign: int = 1
    depends: tuple[str, ...] = ()
    complexion: bool = True
    area: RegionName = "all"
    texture: float = 1.0
    shape: float = 1.0
    detail: float = 1.0


EDITS: dict[str, AtlasEdit] = {
    "smiling": AtlasEdit(
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
    "young": AtlasEdit("Young", AGE, depends=(SKIN,), texture=1.8, shape=2.0, detail=1.8),
    "male": AtlasEdit("Male", GENDER, depends=(SKIN, BROWS)),
    "beard": AtlasEdit(
        "No_Beard", FACIAL_HAIR, sign=-1, depends=(SKIN, BROWS), area="lower", texture=1.7
    ),
    "moustache": AtlasEdit("Mustache", ("No_Beard",), area="upper_lip", texture=2.0),
    "goatee": AtlasEdit("Goatee", ("No_Beard",), area="lower", texture=2.0),
    "stubble": AtlasEdit(
        "No_Beard", ("5_o_Clock_Shadow",), sign=-1, depends=(SKIN, BROWS), area="lower", texture=2.4
    ),
    "sideburns": AtlasEdit("Sideburns", ("No_Beard",), texture=1.3),
    "makeup": AtlasEdit(
        "Heavy_Makeup",
        ("Wearing_Lipstick", "Rosy_Cheeks", "Arched_Eyebrows", "Attractive"),
        depends=(SKIN,),
        texture=1.6,
    ),
    "lipstick": AtlasEdit(
        "Wearing_Lipstick",
        ("Attractive", "Heavy_Makeup"),
        depends=(SKIN,),
        area="lips",
        texture=2.0,
        shape=0.0,
    ),
    "rosy_cheeks": AtlasEdit(
        "Rosy_Cheeks", complexion=False, area="cheeks", texture=2.0, shape=0.0
    ),
    "pale": AtlasEdit("Pale_Skin", complexion=False, texture=0.65, shape=0.0, detail=0.0),
    "bushy_eyebrows": AtlasEdit(
        "Bushy_Eyebrows", depends=(SKIN,), area="brows", texture=1.2, shape=1.5
    ),
    "arched_eyebrows": AtlasEdit("Arched_Eyebrows", area="brows", texture=1.5, shape=2.5),
    "big_nose": AtlasEdit("Big_Nose", area="nose", texture=2.0, shape=6.0),
    "pointy_nose": AtlasEdit("Pointy_Nose", area="nose", texture=2.0, shape=6.0),
    "big_lips": AtlasEdit("Big_Lips", area="lips", shape=4.5),
    "narrow_eyes": AtlasEdit("Narrow_Eyes", area="eyes", shape=2.2),
    "high_cheekbones": AtlasEdit("High_Cheekbones", texture=2.0, shape=1.5),
    "chubby": AtlasEdit(
        "Chubby", ("Double_Chin", "Attractive", "Oval_Face"), area="lower", texture=2.0, shape=4.0
    ),
    "double_chin": AtlasEdit(
        "Double_Chin", ("Chubby", "Attractive", "Oval_Face"), area="lower", texture=2.5, shape=3.0
    ),
    "oval_face": AtlasEdit("Oval_Face", texture=1.5, shape=4.0),
    "bags_under_eyes": AtlasEdit(
        "Bags_Under_Eyes", ("Attractive",), area="eyes", texture=2.0, shape=1.5, detail=1.5
    ),
    "attractive": AtlasEdit("Attractive", texture=2.2, shape=2.5, detail=1.5),
}

SMILE = AtlasEdit("Smiling", texture=1.2, shape=1.2, detail=1.2)
"""The smile estimated from pairs of posed images."""


def design_matrix(
    labels: npt.NDArray[np.bool_], angles: Array, shapes: Array, numbers: Array32
) -> tuple[Array32, list[str]]:
    """Build the design matrix of the regressions.

    Args:
        labels: (N, 40).
        angles: (N, 3) degrees of pitch, yaw and roll.
        shapes: (N, 468, 3) canonical.
        numbers: Appearance numbers, (N, 5).

    Returns:
        The matrix (N, P), whose first column is 1, and the names of the columns.
    """
    names, columns = ["1"], [np.ones(len(labels))]
    for index, name in enumerate(CELEBA):
        names.append(name)
        columns.append(labels[:, index].astype(np.float64))
    pitch, yaw = angles[:, 0] / 10, angles[:, 1] / 10
    pose = {"pitch": pitch, "pitch2": pitch**2, "yaw2": yaw**2, "open": 5 * mouth_opening(shapes)}
    colour = {name: standardize(numbers[:, index]) for index, name in enumerate(_COLOURS)}
    light, brows = appearance.covariates(numbers).T
    covariates = {SKIN: standardize(light), BROWS: standardize(brows)}
    for name, values in {**pose, **colour, BROWS: covariates[BROWS]}.items():
        names.append(name)
        columns.append(values)
    for edit in EDITS.values():
        for covariate in edit.depends:
            name = f"{edit.label} x {covariate}"
            if name not in names:
                names.append(name)
                label = labels[:, CELEBA.index(edit.label)] - 0.5
                columns.append(label * covariates[covariate])
    return np.stack(columns, 1).astype(np.float32), names


def standardize(values: Array32) -> Array:
    """Subtract the mean, divide by the standard deviation and clamp to +-2.5."""
    return np.asarray(
        np.clip((values - values.mean()) / max(float(values.std()), 1e-6), -2.5, 2.5), np.float64
    )


def regression_columns(edit: AtlasEdit, names: list[str]) -> list[int]:
    """Return the columns of the design matrix that an edit's regression uses."""
    excluded = set(edit.brings) - {edit.label}
    if not edit.complexion:
        excluded |= {*_COLOURS, BROWS}
    if BROWS not in edit.depends:
        excluded.add(BROWS)
    interactions = {f"{edit.label} x {covariate}" for covariate in edit.depends}
    return [
        i
        for i, name in enumerate(names)
        if name not in excluded and (" x " not in name or name in interactions)
    ]
