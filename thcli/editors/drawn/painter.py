"""`drawn` as a painter: things drawn on the mesh, nothing learnt; see `core.protocols.Painter`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from thcli.core.errors import NoFaceError, UsageError
from thcli.core.options import RunOptions, Template
from thcli.core.types import Array, Array32, Face, Image
from thcli.editors.drawn import beard, brows, glasses, glasses_frame, lens, makeup
from thcli.editors.drawn.appearance import ROW, Look, measure
from thcli.editors.drawn.scene import Scene
from thcli.editors.drawn.tint import DYES, dyed, hair, pale

WHISKERS = ("stubble", "beard", "goatee", "moustache", "sideburns")
ATTRIBUTES = (
    "eyeglasses",
    "sunglasses",
    *WHISKERS,
    "makeup",
    "lipstick",
    "rosy_cheeks",
    "pale",
    *DYES,
    "bushy_eyebrows",
)
SIDE = 512
SKIN = {"pale": pale, "makeup": makeup.full, "rosy_cheeks": makeup.cheeks, "lipstick": makeup.lips}


class Drawn:
    """Stateless: the same picture, face, regions, look and strengths always give the same pixels."""

    crop_size = SIDE
    template: Template = "ffhq"
    attributes: Sequence[str] = ATTRIBUTES

    def look(self, crops: Sequence[Image], faces: Sequence[Face], regions: Array32) -> Array32:
        """(N, L) float32, see `look.Look`. regions: (N, 19, S', S') of any resolution.  Raises NoFaceError for a face without a mesh."""
        out = np.empty((len(crops), ROW), np.float32)
        for row, crop, face, planes in zip(out, crops, faces, regions, strict=True):
            row[:] = measure(crop, _mesh(face), planes).row()
        return out

    def paint(
        self,
        crops: Sequence[Image],
        faces: Sequence[Face],
        regions: Array32,
        look: Array32,
        strengths: Mapping[str, float],
    ) -> list[Image]:
        """The crops with everything drawn. look: (L,), the clip's mean.  strengths: 0 draws nothing.

        Raises UsageError for an attribute that it does not know, or a negative strength of one that cannot be taken off; NoFaceError
        for a face without a mesh.
        """
        _check(strengths)
        of = Look.of_row(look)
        return [
            _painted(Scene(crop, _mesh(face), planes, of), strengths)
            for crop, face, planes in zip(crops, faces, regions, strict=True)
        ]


def _painted(scene: Scene, strengths: Mapping[str, float]) -> Image:
    out = scene.crop.astype(np.float32)
    dye = None
    for name, paint in SKIN.items():
        if strengths.get(name):
            paint(out, scene, strengths[name])
    for name, colour in DYES.items():
        if strengths.get(name):
            hair(out, scene, colour, strengths[name])
            dye = dyed(scene, colour)
    if strengths.get("bushy_eyebrows"):
        brows.draw(out, scene, strengths["bushy_eyebrows"])
    for name in WHISKERS:
        if strengths.get(name):
            beard.draw(out, scene, name, strengths[name], dye)
    if strengths.get("eyeglasses"):
        glasses.draw(out, scene, glasses_frame.READING, lens.CLEAR, strengths["eyeglasses"])
    if strengths.get("sunglasses"):
        glasses.draw(out, scene, glasses_frame.DARK, lens.TINTED, strengths["sunglasses"])
    return np.asarray(np.rint(np.clip(out, 0, 255)), np.uint8)


def _check(strengths: Mapping[str, float]) -> None:
    for name, strength in strengths.items():
        if name not in ATTRIBUTES:
            raise UsageError(
                f"drawn does not know the attribute {name!r}.",
                f"It knows: {', '.join(ATTRIBUTES)}.",
            )
        if strength < 0 and name != "pale":  # the opposite of pale is tanned
            raise UsageError(
                f"drawn cannot take {name} off a face (strength {strength:g}).",
                "An editor that learnt faces tries: --engine dva-s.",
            )


def _mesh(face: Face) -> Array:
    if face.mesh is None:
        raise NoFaceError(
            "drawn needs the 468 points of a face, and this one has none.",
            "Take --landmarker facemesh, or another --engine.",
        )
    return np.asarray(face.mesh, np.float64)


def load(run: RunOptions) -> Drawn:
    """Nothing to load: free under any licence."""
    return Drawn()
