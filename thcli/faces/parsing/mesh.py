"""`mesh-parse`: a face's regions from its 468 points, hair, neck, ears and cloth from colours and MediaPipe's person matte.

Free for any use, without weights of its own. It has no glasses, hats, earrings or necklaces, and takes a hand before the face for
the face. Left is the subject's, as in `classes`.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from thcli.core.errors import NoFaceError
from thcli.core.imaging import smoothstep
from thcli.core.options import RunOptions, Template
from thcli.core.types import Array32, Face, Image
from thcli.faces.compositing import person_matte
from thcli.faces.compositing.person_matte import Selfie
from thcli.faces.landmarks.topology import EYES, LIPS_INNER, LIPS_OUTER
from thcli.faces.parsing.appearance import BACKGROUND, CLOTH, FLESH, HAIR, around, divide
from thcli.faces.parsing.classes import CLASSES, number
from thcli.faces.parsing.polygon import coverage

SIDE = 256
_TOP, _CHIN = 10, 152
# The bridge from between the eyes, down one flank to the wing, along the base and up again.
NOSE = (
    168,
    193,
    245,
    188,
    174,
    217,
    126,
    142,
    129,
    98,
    97,
    2,
    326,
    327,
    358,
    371,
    355,
    437,
    399,
    412,
    465,
    417,
)
BROWS = (
    (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
)
# The mesh draws brows a little high and thin: in face heights.
_BROW_DOWN, _BROW_GROWN = 0.008, 0.007


_DARK = ("r_brow", "l_brow", "r_eye", "l_eye", "u_lip", "mouth", "l_lip")
_DISC = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))  # lashes reach this far from the lids


def _lips() -> tuple[list[int], list[int]]:
    """Rings of the upper and the lower lip, corner to corner along the outer edge and back along the inner one."""
    outer, inner = LIPS_OUTER.tolist(), LIPS_INNER.tolist()
    return [*outer[10:], outer[0], inner[0], *inner[:9:-1]], [*outer[:11], *inner[10::-1]]


UPPER_LIP, LOWER_LIP = _lips()


class MeshParser:
    """See `core.protocols.Parser`. Not safe to share between threads."""

    crop_size = SIDE
    template: Template = "ffhq"

    def __init__(self, matte: Selfie) -> None:
        self._matte = matte

    def parse(self, crops: Sequence[Image], faces: Sequence[Face]) -> Array32:
        """(N, 19, 256, 256) float32. Raises NoFaceError for a face without a mesh."""
        out = np.empty((len(crops), len(CLASSES), SIDE, SIDE), np.float32)
        for target, crop, face in zip(out, crops, faces, strict=True):
            if face.mesh is None:
                raise NoFaceError(
                    "mesh-parse needs the 468 points of a face, and this one has none.",
                    "Take --landmarker facemesh, or another --parser.",
                )
            self._one(crop, face.mesh, target)
        return out

    def _one(self, crop: Image, mesh: Array32, out: Array32) -> None:
        place = around(mesh, SIDE)
        features = _features(mesh)
        dark = np.maximum.reduce([features[name] for name in _DARK])
        hidden = np.asarray(cv2.dilate(dark, _DISC), np.float32)
        parts = divide(crop, self._matte.probability(crop), hidden, place)
        background, flesh, hair, cloth = (
            _enlarged(parts[i]) for i in (BACKGROUND, FLESH, HAIR, CLOTH)
        )
        inside, down, aside, right = (
            _enlarged(p) for p in (place.inside, place.down, place.out, place.right)
        )
        neck = smoothstep(0, 1, -inside / 0.06) * smoothstep(0, 1, (down - 0.7) / 0.2)
        ear = (
            smoothstep(0, 1, (-inside + 0.005) / 0.04)
            * smoothstep(0, 1, (down - 0.08) / 0.2)
            * smoothstep(0, 1, (aside - 0.87) / 0.12)
        )
        out[:] = 0
        seen = np.ones((SIDE, SIDE), np.float32)  # of what lies below the features that are done
        for name, mask in reversed(features.items()):
            share = mask * (1 - hair) * seen  # a fringe stays in front
            out[number(name)] = share
            seen -= share
        skin = flesh * seen
        bare = skin * (1 - neck)
        for name, share in (
            ("background", background * seen),
            ("hair", hair * seen),
            ("cloth", cloth * seen),
            ("neck", skin * neck),
            ("l_ear", bare * ear * right),
            ("r_ear", bare * ear * (1 - right)),
            ("skin", bare * (1 - ear)),
        ):
            out[number(name)] = share


def _features(mesh: Array32) -> dict[str, Array32]:
    """What lies on the skin, in the order in which it covers it, (SIDE, SIDE) 0..1 each."""
    plane = mesh[:, :2]
    down = plane[_CHIN] - plane[_TOP]
    tall = float(np.linalg.norm(down))
    brows = [plane[list(b)] + np.float32(_BROW_DOWN) * down for b in BROWS]
    size = (SIDE, SIDE)
    return {
        "nose": coverage(plane[list(NOSE)], size),
        "r_brow": coverage(brows[0], size, _BROW_GROWN * tall),
        "l_brow": coverage(brows[1], size, _BROW_GROWN * tall),
        "r_eye": coverage(plane[EYES[0]], size),
        "l_eye": coverage(plane[EYES[1]], size),
        "u_lip": coverage(plane[UPPER_LIP], size),
        "l_lip": coverage(plane[LOWER_LIP], size),
        "mouth": coverage(plane[LIPS_INNER], size),
    }


def _enlarged(values: Array32) -> Array32:
    return np.asarray(cv2.resize(values, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.float32)


def load(run: RunOptions) -> MeshParser:
    """Raises WeightsError when the matte's weights are absent, DeviceError without LiteRT."""
    return MeshParser(person_matte.load(run))
