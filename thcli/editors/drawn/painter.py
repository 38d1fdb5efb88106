"""Backend drawn: a painter that renders attributes on the mesh; see `core.protocols.Painter`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from thcli.core.errors import UsageError
from thcli.core.options import RunOptions, Template
from thcli.core.types import Array, Array32, Face, Image, Painted
from thcli.editors.drawn import beard, brows, glasses, glasses_frame, lens, makeup
from thcli.editors.drawn.appearance import APPEARANCE_SIZE, Appearance, measure
from thcli.editors.drawn.beard_form import BeardForm, form_of
from thcli.editors.drawn.scene import Scene
from thcli.editors.drawn.tint import DYES, dye_colour, dye_hair, dye_of, lighten_skin
from thcli.editors.shared.face_mesh import mesh_of
from thcli.editors.shared.keys import levels_of, split_colour, split_shape

FACIAL_HAIR = ("stubble", "beard", "goatee", "moustache", "sideburns")
ATTRIBUTES = (
    "eyeglasses",
    "sunglasses",
    *FACIAL_HAIR,
    "makeup",
    "lipstick",
    "rosy_cheeks",
    "pale",
    "hair",
    *DYES,
    "bushy_eyebrows",
)
COLOURED = ("hair", "lipstick", "beard", "moustache", "goatee", "eyeglasses")
"""Attributes whose name may have a colour: "hair#8a2be2"."""
SIDE = 512
SKIN_EFFECTS = {
    "pale": lighten_skin,
    "makeup": makeup.apply_full_makeup,
    "rosy_cheeks": makeup.apply_blush,
}


@dataclass(frozen=True, slots=True)
class DrawnEdit:
    """Edit of a clip: its appearance; attribute -> strength, (3,) RGB and shape of glasses;
    the form of a beard.
    """

    appearance: Appearance
    strengths: Mapping[str, float]
    colours: Mapping[str, Array]
    shapes: Mapping[str, str]
    form: BeardForm


class DrawnPainter:
    """Stateless painter: equal inputs give equal pixels."""

    crop_size = SIDE
    template: Template = "ffhq"
    averaged_only = False
    attributes: Sequence[str] = ATTRIBUTES

    def __init__(self, seed: int = 0) -> None:
        """Use a seed, of the forms of beards."""
        self._seed = seed

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
            row[:] = measure(crop, mesh_of(face), planes).to_array()
        return out

    def prepare(self, appearance: Array32, strengths: Mapping[str, float]) -> DrawnEdit:
        """Check the strengths.

        Args:
            appearance: (L,), the clip's mean.
            strengths: attribute -> strength; 0 renders nothing.

        Raises:
            UsageError: for an unknown attribute, or a negative strength of one that cannot be
                removed.
        """
        plain: dict[str, float] = {}
        colours: dict[str, Array] = {}
        shapes: dict[str, str] = {}
        for key, strength in strengths.items():
            shaped, colour = split_colour(key)
            name, shape = split_shape(shaped)
            plain[name] = plain.get(name, 0.0) + strength
            if shape:
                shapes[name] = shape
            if colour:
                colours[name] = np.array(levels_of(colour), float)
        _check(plain, colours)
        measured = Appearance.from_array(appearance)
        bearded = any(plain.get(name) for name in FACIAL_HAIR)
        form = form_of(measured, self._seed) if bearded else BeardForm()
        return DrawnEdit(measured, plain, colours, shapes, form)

    def paint(
        self,
        crops: Sequence[Image],
        faces: Sequence[Face],
        regions: Array32,
        prepared: DrawnEdit,
    ) -> list[Painted]:
        """Return the crops with all attributes rendered.

        Args:
            crops: N crops.
            faces: one per crop, in its pixels.
            regions: (N, 19, S', S') probabilities.
            prepared: result of `prepare`.

        Raises:
            NoFaceError: for a face without a mesh.
        """
        return [
            _paint(Scene(crop, mesh_of(face), planes, prepared.appearance), prepared)
            for crop, face, planes in zip(crops, faces, regions, strict=True)
        ]


def _paint(scene: Scene, edit: DrawnEdit) -> Painted:
    out = scene.crop.astype(np.float32)
    strengths, colours = edit.strengths, edit.colours
    dyed = None
    for name, apply_effect in SKIN_EFFECTS.items():
        if strengths.get(name):
            apply_effect(out, scene, strengths[name])
    if strengths.get("lipstick"):
        makeup.apply_lipstick(out, scene, strengths["lipstick"], colours.get("lipstick"))
    dyes = {**DYES, **({"hair": dye_of(colours["hair"])} if "hair" in colours else {})}
    for name, dye in dyes.items():
        if strengths.get(name):
            dye_hair(out, scene, dye, strengths[name])
            dyed = dye_colour(scene, dye)
    if strengths.get("bushy_eyebrows"):
        brows.draw(out, scene, strengths["bushy_eyebrows"])
    for name in FACIAL_HAIR:
        if strengths.get(name):
            colour = beard.dyed_beard(scene, colours[name]) if name in colours else None
            own = dyed if colour is None else colour
            beard.draw(out, scene, name, strengths[name], edit.form, own)
    worn: list[Array32 | None] = []
    if strengths.get("eyeglasses"):
        style = glasses_frame.shaped(glasses_frame.READING, edit.shapes.get("eyeglasses", ""))
        if "eyeglasses" in colours:
            red, green, blue = (float(level) for level in colours["eyeglasses"] * 0.8)
            style = replace(style, colour=(red, green, blue))
        worn.append(glasses.draw(out, scene, style, lens.CLEAR, strengths["eyeglasses"]))
    if strengths.get("sunglasses"):
        dark = glasses_frame.shaped(glasses_frame.DARK, edit.shapes.get("sunglasses", ""))
        worn.append(glasses.draw(out, scene, dark, lens.TINTED, strengths["sunglasses"]))
    beside = [plane for plane in worn if plane is not None and plane.any()]
    image = np.asarray(np.rint(np.clip(out, 0, 255)), np.uint8)
    return Painted(image, np.maximum.reduce(beside) if beside else None)


def _check(strengths: Mapping[str, float], colours: Mapping[str, Array]) -> None:
    for name, strength in strengths.items():
        if name not in ATTRIBUTES:
            raise UsageError(
                f"drawn does not know the attribute {name!r}.",
                f"It knows: {', '.join(ATTRIBUTES)}.",
            )
        if strength < 0 and name != "pale":  # the opposite of pale is tanned
            raise UsageError(
                f"drawn cannot remove {name} from a face (strength {strength:g}).",
                "Use --engine auto.",
            )
        if name in colours and name not in COLOURED:
            raise UsageError(f"{name} has no colour.", f"These have: {', '.join(COLOURED)}.")
    if strengths.get("hair") and "hair" not in colours:
        raise UsageError("hair needs a colour.", "Give hair=#8a2be2 or hair=purple.")


def load(run: RunOptions) -> DrawnPainter:
    """Return the painter; it has no weights and is free under any licence."""
    return DrawnPainter(run.seed)
