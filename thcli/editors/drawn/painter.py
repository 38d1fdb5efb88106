"""Backend drawn: a painter that renders attributes on the mesh; see `core.protocols.Painter`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from thcli.core.errors import NoFaceError, UsageError
from thcli.core.options import RunOptions, Template
from thcli.core.types import Array, Array32, Face, Image
from thcli.editors.drawn import beard, brows, glasses, glasses_frame, lens, makeup
from thcli.editors.drawn.appearance import APPEARANCE_SIZE, Appearance, measure
from thcli.editors.drawn.scene import Scene
from thcli.editors.drawn.tint import DYES, dye_colour, dye_hair, lighten_skin

FACIAL_HAIR = ("stubble", "beard", "goatee", "moustache", "sideburns")
ATTRIBUTES = (
    "eyeglasses",
    "sunglasses",
    *FACIAL_HAIR,
    "makeup",
    "lipstick",
    "rosy_cheeks",
    "pale",
    *DYES,
    "bushy_eyebrows",
)
SIDE = 512
SKIN_EFFECTS = {
    "pale": lighten_skin,
    "makeup": makeup.apply_full_makeup,
    "rosy_cheeks": makeup.apply_blush,
    "lipstick": makeup.apply_lipstick,
}


class DrawnPainter:
    """Stateless painter: equal inputs give equal pixels."""

    crop_size = SIDE
    template: Template = "ffhq"
    attributes: Sequence[str] = ATTRIBUTES

    def measure_appearance(
        self, crops: Sequence[Image], faces: Sequence[Face], regions: Array32
    ) -> Array32:
        """Measure each face: (N, L) float32, see `appearance.Appearance`.

        Args:
            crops: N crops.
            faces: one per crop, in its pixels.
            regions: (N, 19, S', S') probabilities of any resolution.

        Raises:
            NoFaceError: for a face without a mesh.
        """
        out = np.empty((len(crops), APPEARANCE_SIZE), np.float32)
        for row, crop, face, planes in zip(out, crops, faces, regions, strict=True):
            row[:] = measure(crop, _mesh(face), planes).to_array()
        return out

    def paint(
        self,
        crops: Sequence[Image],
        faces: Sequence[Face],
        regions: Array32,
        appearance: Array32,
        strengths: Mapping[str, float],
    ) -> list[Image]:
        """Return the crops with all attributes rendered.

        Args:
            crops: N crops.
            faces: one per crop, in its pixels.
            regions: (N, 19, S', S') probabilities.
            appearance: (L,), the clip's mean.
            strengths: attribute -> strength; 0 renders nothing.

        Raises:
            UsageError: for an unknown attribute, or a negative strength of one that cannot be
                removed.
            NoFaceError: for a face without a mesh.
        """
        _check(strengths)
        measured = Appearance.from_array(appearance)
        return [
            _paint(Scene(crop, _mesh(face), planes, measured), strengths)
            for crop, face, planes in zip(crops, faces, regions, strict=True)
        ]


def _paint(scene: Scene, strengths: Mapping[str, float]) -> Image:
    out = scene.crop.astype(np.float32)
    dyed = None
    for name, apply_effect in SKIN_EFFECTS.items():
        if strengths.get(name):
            apply_effect(out, scene, strengths[name])
    for name, dye in DYES.items():
        if strengths.get(name):
            dye_hair(out, scene, dye, strengths[name])
            dyed = dye_colour(scene, dye)
    if strengths.get("bushy_eyebrows"):
        brows.draw(out, scene, strengths["bushy_eyebrows"])
    for name in FACIAL_HAIR:
        if strengths.get(name):
            beard.draw(out, scene, name, strengths[name], dyed)
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
                f"drawn cannot remove {name} from a face (strength {strength:g}).",
                "Use an editor: --engine dva-s.",
            )


def _mesh(face: Face) -> Array:
    if face.mesh is None:
        raise NoFaceError(
            "drawn needs the 468 points of a face, and this one has none.",
            "Use --landmarker facemesh, or another --engine.",
        )
    return np.asarray(face.mesh, np.float64)


def load(run: RunOptions) -> DrawnPainter:
    """Return the painter; it has no weights and is free under any licence."""
    return DrawnPainter()
