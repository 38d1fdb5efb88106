"""The 19 regions of a parsed face: names, numbers, colours, groups.

The order is CelebAMask-HQ's (Lee et al. 2020, switchablenorms/CelebAMask-HQ: face_parsing). "l" is
the subject's own left, the right side of the image. Label images hold the number. Objects in front
of the face (a hand, a microphone) are background.
"""

from __future__ import annotations

import json
from importlib.resources import files
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

ClassGroup = frozenset[int]


def class_number(name: str) -> int:
    """Return the number of a region. Raises UsageError that lists the regions."""
    if name not in CLASSES:
        raise UsageError(
            f"There is no face region named {name!r}.", f"There are: {', '.join(CLASSES)}."
        )
    return CLASSES.index(name)


def _group(*names: str) -> ClassGroup:
    return frozenset(class_number(name) for name in names)


SKIN = _group("skin", "nose")
EYES = _group("l_eye", "r_eye")
BROWS = _group("l_brow", "r_brow")
LIPS = _group("u_lip", "l_lip")
MOUTH = LIPS | _group("mouth")  # lips and the part between them
EARS = _group("l_ear", "r_ear")
HAIR = _group("hair")
NECK = _group("neck")
GLASSES = _group("eye_g")
FACE = SKIN | EYES | BROWS | MOUTH  # carries expression and identity; without ears
HEAD = FACE | EARS | HAIR
ACCESSORIES = GLASSES | _group("ear_r", "neck_l")
WORN = ACCESSORIES | _group("hat", "cloth")  # not the person's own body

_SIDES = ("eye", "brow", "ear")
_MIRRORED = {f"{a}_{name}": f"{b}_{name}" for name in _SIDES for a, b in ("lr", "rl")}

GROUPS: MappingProxyType[str, ClassGroup] = MappingProxyType(
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

FLIP = tuple(CLASSES.index(_MIRRORED.get(name, name)) for name in CLASSES)
"""(19,) region of each region in a mirrored image: left and right change places."""


def _read_palette() -> Image:
    text = files("thcli.faces.parsing").joinpath("palette.json").read_text("utf-8")
    colours: dict[str, list[int]] = json.loads(text)
    palette = np.array([colours[name] for name in CLASSES], np.uint8)
    palette.flags.writeable = False
    return palette


PALETTE = _read_palette()
"""(19, 3) RGB colours of label images and overlays."""


def group_probability(probabilities: Array32, group: ClassGroup) -> Array32:
    """Return the probability of a group at each pixel, (..., H, W) float32 0..1.

    probabilities: (..., 19, H, W).
    """
    chosen = np.asarray(probabilities)[..., sorted(group), :, :]
    return np.asarray(np.clip(chosen.sum(-3, dtype=np.float32), 0.0, 1.0))
