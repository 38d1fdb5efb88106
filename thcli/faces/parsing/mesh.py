"""mesh-parse: face regions from the 468 points, colours and a person matte.

Free for any use, without weights of its own: the matte is MediaPipe's. It has no glasses, hats,
earrings or necklaces, and takes a hand in front of the face for the face. Left is the subject's, as
in `classes`.
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
from thcli.faces.compositing.person_matte import PersonMatte
from thcli.faces.landmarks.topology import BROWS, EYES, LIPS_INNER, LIPS_OUTER, NOSE
from thcli.faces.parsing.appearance import (
    BACKGROUND,
    CLOTH,
    FLESH,
    HAIR,
    face_coordinates,
    segment_regions,
)
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.polygon import polygon_coverage

SIDE = 256
_FOREHEAD, _CHIN_TIP = 10, 152  # mesh points
# The brows of the mesh are too high and too thin, by these parts of the face height.
_BROW_DOWN, _BROW_GROWN = 0.008, 0.007

_DARK_FEATURES = ("r_brow", "l_brow", "r_eye", "l_eye", "u_lip", "mouth", "l_lip")
_LASH_DILATION = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))  # reach of lashes


def _lip_rings() -> tuple[list[int], list[int]]:
    """Return the rings of the upper and the lower lip: the outer edge, and the inner one back."""
    outer, inner = LIPS_OUTER.tolist(), LIPS_INNER.tolist()
    return [*outer[10:], outer[0], inner[0], *inner[:9:-1]], [*outer[:11], *inner[10::-1]]


UPPER_LIP, LOWER_LIP = _lip_rings()


class MeshParser:
    """A `core.protocols.Parser` of faces with a mesh."""

    crop_size = SIDE
    template: Template = "ffhq"

    def __init__(self, matte: PersonMatte) -> None:
        self._matte = matte

    def parse(self, crops: Sequence[Image], faces: Sequence[Face]) -> Array32:
        """Parse crops to (N, 19, 256, 256) float32.

        Raises NoFaceError for a face without a mesh.
        """
        out = np.empty((len(crops), len(CLASSES), SIDE, SIDE), np.float32)
        for target, crop, face in zip(out, crops, faces, strict=True):
            if face.mesh is None:
                raise NoFaceError(
                    "mesh-parse needs the 468 points of a face; this face has none.",
                    "Use --landmarker facemesh, or another --parser.",
                )
            self._parse_one(crop, face.mesh, target)
        return out

    def _parse_one(self, crop: Image, mesh: Array32, out: Array32) -> None:
        coordinates = face_coordinates(mesh, SIDE)
        features = _feature_masks(mesh)
        dark = np.maximum.reduce([features[name] for name in _DARK_FEATURES])
        hidden = np.asarray(cv2.dilate(dark, _LASH_DILATION), np.float32)
        parts = segment_regions(crop, self._matte.probability(crop), hidden, coordinates)
        background, flesh, hair, cloth = (
            _upsample(parts[i]) for i in (BACKGROUND, FLESH, HAIR, CLOTH)
        )
        inside, down, aside, right = (
            _upsample(p)
            for p in (coordinates.inside, coordinates.down, coordinates.out, coordinates.right)
        )
        neck = smoothstep(0, 1, -inside / 0.06) * smoothstep(0, 1, (down - 0.7) / 0.2)
        ear = (
            smoothstep(0, 1, (-inside + 0.005) / 0.04)
            * smoothstep(0, 1, (down - 0.08) / 0.2)
            * smoothstep(0, 1, (aside - 0.87) / 0.12)
        )
        out[:] = 0
        visible = np.ones((SIDE, SIDE), np.float32)  # share not covered by the features so far
        for name, mask in reversed(features.items()):
            share = mask * (1 - hair) * visible  # a fringe stays in front
            out[class_number(name)] = share
            visible -= share
        skin = flesh * visible
        bare = skin * (1 - neck)
        for name, share in (
            ("background", background * visible),
            ("hair", hair * visible),
            ("cloth", cloth * visible),
            ("neck", skin * neck),
            ("l_ear", bare * ear * right),
            ("r_ear", bare * ear * (1 - right)),
            ("skin", bare * (1 - ear)),
        ):
            out[class_number(name)] = share


def _feature_masks(mesh: Array32) -> dict[str, Array32]:
    """Return masks of the features on the skin, bottom layer first, (SIDE, SIDE) 0..1 each."""
    plane = mesh[:, :2]
    down = plane[_CHIN_TIP] - plane[_FOREHEAD]
    face_height = float(np.linalg.norm(down))
    brows = [plane[b] + np.float32(_BROW_DOWN) * down for b in BROWS]
    size = (SIDE, SIDE)
    return {
        "nose": polygon_coverage(plane[NOSE], size),
        "r_brow": polygon_coverage(brows[0], size, _BROW_GROWN * face_height),
        "l_brow": polygon_coverage(brows[1], size, _BROW_GROWN * face_height),
        "r_eye": polygon_coverage(plane[EYES[0]], size),
        "l_eye": polygon_coverage(plane[EYES[1]], size),
        "u_lip": polygon_coverage(plane[UPPER_LIP], size),
        "l_lip": polygon_coverage(plane[LOWER_LIP], size),
        "mouth": polygon_coverage(plane[LIPS_INNER], size),
    }


def _upsample(values: Array32) -> Array32:
    return np.asarray(cv2.resize(values, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.float32)


def load(run: RunOptions) -> MeshParser:
    """Load mesh-parse.

    Raises:
        WeightsError: the weights of the matte are absent.
        DeviceError: LiteRT is not installed.
    """
    return MeshParser(person_matte.load(run))
