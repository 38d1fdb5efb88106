"""The 19 regions of a parsed face: names, numbers, colours, groups.

The order is CelebAMask-HQ's (Lee et al. 2020, switchablenorms/CelebAMask-HQ: face_parsing). "l" is the subject's own left, the
right side of the picture. Label pictures hold the number; what stands before the face (a hand, a microphone) is background.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from thcli.core.errors import UsageError
from thcli.core.types import Array32, Image

CLASSES = (
    "background",
    "skin",
    "nose",
    "eye_g",
    "l_eye",
    "r_eye",
    "l_brow",
    "r_brow",
    "l_ear",
    "r_ear",
    "mouth",
    "u_lip",
    "l_lip",
    "hair",
    "hat",
    "ear_r",
    "neck_l",
    "neck",
    "cloth",
)

Group = frozenset[int]


def number(name: str) -> int:
    """The number of a region. Raises UsageError naming those that there are."""
    if name not in CLASSES:
        raise UsageError(
            f"There is no face region named {name!r}.", f"There are: {', '.join(CLASSES)}."
        )
    return CLASSES.index(name)


def _group(*names: str) -> Group:
    return frozenset(number(name) for name in names)


SKIN = _group("skin", "nose")
EYES = _group("l_eye", "r_eye")
BROWS = _group("l_brow", "r_brow")
LIPS = _group("u_lip", "l_lip")
MOUTH = LIPS | _group("mouth")  # lips and what is between them
EARS = _group("l_ear", "r_ear")
HAIR = _group("hair")
NECK = _group("neck")
FACE = SKIN | EYES | BROWS | MOUTH  # what expression and identity show; the ears are not of it
HEAD = FACE | EARS | HAIR
ACCESSORIES = _group("eye_g", "ear_r", "neck_l")
WORN = ACCESSORIES | _group("hat", "cloth")  # not the person's own body

GROUPS: MappingProxyType[str, Group] = MappingProxyType(
    {
        "skin": SKIN,
        "eyes": EYES,
        "brows": BROWS,
        "lips": LIPS,
        "mouth": MOUTH,
        "ears": EARS,
        "hair": HAIR,
        "neck": NECK,
        "face": FACE,
        "head": HEAD,
        "accessories": ACCESSORIES,
        "worn": WORN,
    }
)

# What each region becomes in a mirrored picture: the left and right ones change places.
FLIP = (0, 1, 2, 3, 5, 4, 7, 6, 9, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18)

PALETTE: Image = np.array(
    [
        (0, 0, 0),
        (238, 188, 160),
        (214, 140, 112),
        (120, 220, 230),
        (40, 90, 220),
        (90, 160, 250),
        (110, 60, 20),
        (170, 110, 50),
        (240, 120, 190),
        (250, 170, 215),
        (90, 10, 30),
        (225, 50, 70),
        (180, 20, 60),
        (150, 90, 200),
        (60, 170, 90),
        (250, 220, 60),
        (200, 250, 120),
        (190, 150, 120),
        (70, 110, 130),
    ],
    np.uint8,
)
"""(19, 3) RGB colours of label pictures and overlays."""
PALETTE.flags.writeable = False


def together(probabilities: Array32, group: Group) -> Array32:
    """How much each pixel belongs to a group: (..., 19, H, W) probabilities -> (..., H, W) float32 0..1."""
    chosen = np.asarray(probabilities)[..., sorted(group), :, :]
    return np.asarray(np.clip(chosen.sum(-3, dtype=np.float32), 0.0, 1.0))
