"""The atlas as a painter: attributes laid on a face's own texture and shape, the same for the same place of the face in every frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from thcli.core.errors import NoFaceError
from thcli.core.options import RunOptions, Template
from thcli.core.types import Array, Array32, Face, Image
from thcli.editors.atlas import appearance as looks
from thcli.editors.atlas import layout as plan
from thcli.editors.atlas import sampling, tone
from thcli.editors.atlas.directions import Directions, unpacked
from thcli.editors.atlas.paint import changed
from thcli.faces.adapters.common import check_licence
from thcli.faces.parsing import BROWS, EYES, LIPS, NECK, SKIN, together
from thcli.weights.tensors import load_tensors

NAME, FREE_NAME = "atlas-s", "atlas-free"
SIDE = 512
PAINTED = SKIN | BROWS | EYES | LIPS | NECK
OPPOSITES = {"old": ("young", -1.0), "female": ("male", -1.0)}
"""Attributes that are another one's direction the other way."""
OTHER = "gender"  # male for a woman's face, female for a man's
_SOFT = 1.5  # pixels of half the crop: how far a region's border is trusted


class Atlas:
    """Directions of shape and texture on the 468 points. It looks at the regions to leave hair, hands and glasses as they are."""

    crop_size = SIDE
    template: Template = "ffhq"

    def __init__(self, directions: Directions) -> None:
        self._directions = directions

    @property
    def attributes(self) -> Sequence[str]:
        """What it knows."""
        known = self._directions.names
        turned = tuple(name for name, (opposite, _) in OPPOSITES.items() if opposite in known)
        return (*known, *turned, *((OTHER,) if "male" in known else ()))

    def look(self, crops: Sequence[Image], faces: Sequence[Face], regions: Array32) -> Array32:
        """See `look.NUMBERS`."""
        out = np.zeros((len(crops), looks.NUMBERS), np.float32)
        for n, (crop, face) in enumerate(zip(crops, faces, strict=True)):
            mesh = _mesh(face)
            at = sampling.places(plan.extended(mesh))
            seen = np.ascontiguousarray(together(regions[n], PAINTED))
            weight = sampling.to_atlas(seen, at) * plan.spread(plan.facing(mesh)[:, None])[..., 0]
            texture = tone.logs(sampling.to_atlas(crop, at))
            out[n] = looks.measured(texture, weight)
            out[n, -1] = looks.likeness(looks.coarse(texture, weight), self._directions.man)
        return out

    def paint(
        self,
        crops: Sequence[Image],
        faces: Sequence[Face],
        regions: Array32,
        look: Array32,
        strengths: Mapping[str, float],
    ) -> list[Image]:
        """What is not known of strengths is left out. Raises NoFaceError for a face without its mesh."""
        mean = np.asarray(look, np.float32).reshape(-1, looks.NUMBERS).mean(0)
        opposites = {**OPPOSITES, OTHER: ("male", -1.0 if mean[-1] > 0 else 1.0)}
        wanted: dict[str, float] = {}
        for name, strength in strengths.items():
            own, sign = opposites.get(name, (name, 1.0))
            wanted[own] = wanted.get(own, 0.0) + sign * strength
        change = self._directions.change(wanted, mean)
        return [
            changed(crop, _mesh(face), _visible(region), change)
            for crop, face, region in zip(crops, faces, regions, strict=True)
        ]


def _mesh(face: Face) -> Array:
    if face.mesh is None:
        raise NoFaceError(
            "The face has no mesh.", "Use a landmarker that gives one: --landmarker facemesh."
        )
    return np.asarray(face.mesh, np.float64)


def _visible(regions: Array32) -> Array32:
    """(S / 2, S / 2) 0..1: how much of the painted regions is seen, with a soft border inside of them."""
    size = regions.shape[-1]
    small = cv2.resize(
        together(regions, PAINTED), (size // 2, size // 2), interpolation=cv2.INTER_AREA
    )
    return np.clip(2 * cv2.GaussianBlur(small, (0, 0), _SOFT * size / SIDE) - 1, 0, 1).astype(
        np.float32
    )


def load(run: RunOptions) -> Atlas:
    """The shipped directions. Raises WeightsError when they are absent, others, or refused by --licence."""
    return _load(NAME, run)


def load_free(run: RunOptions) -> Atlas:
    """Those of free recordings alone: smiling. Raises WeightsError when they are absent or others."""
    return _load(FREE_NAME, run)


def load_file(path: Path) -> Atlas:
    """Directions of one's own, as `thcli train atlas` makes them. Raises WeightsError."""
    return Atlas(unpacked(load_tensors(path, "numpy"), str(path)))


def _load(name: str, run: RunOptions) -> Atlas:
    check_licence(name, run.licence)
    return Atlas(unpacked(load_tensors(name, "numpy", offline=run.offline), name))
