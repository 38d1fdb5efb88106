"""Source image with everything that the renderer derives from it once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from thcli.core.errors import NoFaceError
from thcli.core.types import Array, Face, Image
from thcli.engines.mesh.anatomy import face_height
from thcli.engines.mesh.background import beyond_sides, cut_out, matte
from thcli.engines.mesh.background.border import Border, find_border
from thcli.engines.mesh.background.hair import parsed_cloth, parsed_neck
from thcli.engines.mesh.background.matte import MatteLayers
from thcli.engines.mesh.background.persons import SeenPersons
from thcli.engines.mesh.background.still_ground import StillGround
from thcli.engines.mesh.eyes import drawn_eyes, lid_skin
from thcli.engines.mesh.eyes.extract import extract_eyes
from thcli.engines.mesh.eyes.lid_skin import LidSkin
from thcli.engines.mesh.eyes.reading import read_eyes
from thcli.engines.mesh.eyes.texture import EyeTexture
from thcli.engines.mesh.head import back_of_head, covering, crown
from thcli.engines.mesh.head.back_of_head import BackOfHead
from thcli.engines.mesh.head.cheeks import far_side, grown_cheek, mirrored_cheek
from thcli.engines.mesh.head.cheeks.far_side import FarSide
from thcli.engines.mesh.head.cheeks.grown_cheek import GrownCheek
from thcli.engines.mesh.head.cheeks.mirrored_cheek import MirroredCheek
from thcli.engines.mesh.head.cheeks.near_side import NearSide
from thcli.engines.mesh.head.covered_points import NO_COVERS, find_covers
from thcli.engines.mesh.head.glasses import held as held_glasses
from thcli.engines.mesh.head.glasses import layer as glasses_layer
from thcli.engines.mesh.head.glasses.layer import Glasses
from thcli.engines.mesh.head.outline import find_outline
from thcli.engines.mesh.head.shades import brow_lines, corner_shades, folds, turned_light
from thcli.engines.mesh.head.shades.corner_shades import CornerShades
from thcli.engines.mesh.head.shades.folds import SourceFolds
from thcli.engines.mesh.head.shades.turned_light import TurnedLight
from thcli.engines.mesh.head.steep_texture import NO_HAIR, BorderHair
from thcli.engines.mesh.mouth import (
    closed_lips,
    colours,
    drawn_line,
    lip_rims,
    mouth_corners,
    mouth_interior,
    wide_jaw,
)
from thcli.engines.mesh.mouth.closed_lips import PartedLips, ShutLips
from thcli.engines.mesh.mouth.drawn_inside import MouthInterior
from thcli.engines.mesh.mouth.seen_mouths import SeenMouths
from thcli.engines.mesh.sampling import to_samples
from thcli.engines.mesh.source_networks import ParsedSource
from thcli.engines.mesh.surroundings import Surroundings, bare_beside
from thcli.engines.mesh.unfold import follow_corners, unfold_skin
from thcli.engines.mesh.warp import map_step
from thcli.faces.detection.hands import NO_HANDS
from thcli.faces.landmarks.surface import inward_normals
from thcli.faces.landmarks.topology import OVAL

if TYPE_CHECKING:
    from thcli.engines.mesh.patches.inside_painter import InsidePainter
    from thcli.engines.mesh.patches.painter import PatchPainter, SourcePainter

# Deviation, in widths of an eye, from which eyes are not painted by networks, which know sharp
# ones: enlarged thumbnails have .04 to .07, other pictures at most .016 (tools/measure_blur.py)
MOST_BLUR = 0.024


@dataclass(frozen=True, slots=True)
class PlacedSkin:
    """Skin of a source in a frame.

    free: (468, 3) as the target moves it.  held: the same, but what is rigid moves with the head.
    """

    free: Array
    held: Array


@dataclass(frozen=True, slots=True)
class MeshSource:
    """A source image prepared for rendering. Read-only, so threads may share it.

    image: (H, W, 3) uint8.  face: with its mesh, in pixels of the image, and its
    inner lips where the image shows them.  mesh: (468, 3)
    float64.  normals: (468, 3) of the mesh.  step: source pixels per sample of the warp map.
    near_side: widths of the face's sides.
    layers: person and plate, or None.  eyes: none where they are skin like the rest.
    hidden_cheek: None when both cheeks are seen.
    tone: (3,) skin colour.  parted_lips: to be closed; None when they are closed in the source.
    lid_skins: skin above the eyes that is drawn out in a band; none where eyes are skin.
    shut_lips: to be parted; None when they are open in it, or no dark line is between them.
    seen_mouths: the mouth in other frames of a clip.
    painter: paints eyes into rendered frames; None leaves them as they are.
    corner_shades: of its mouth; None leaves the corners as they are.
    mouth_painter: paints a drawn inside of the mouth; None leaves it as it is drawn.
    folds: of a smile, and light in which the head turns; None leaves the skin's brightness as it
    is.
    border: of the picture, which `image` does without; None if it has none.
    grown_cheek: skin for the sides of the cheeks; None leaves them as they are stretched.
    rigid: (468,) how far a point is part of glasses, or of an object before the mouth; None without
    any.  mouth_hidden: there is such an object.
    glasses: that the person wears, or that are laid over each frame; None without any.
    border_hair: hair at the mesh's border.
    has_drawn_eyes: see `drawn_eyes`; the networks, which know persons, leave them alone.
    ground: background of a frame of a video; None where it moves with the person, or is a plate.
    far_side: mirror image of a turned source; None when both sides are seen, or without layers or
    regions.
    back: of the head, which a turn shows behind its ears; None where none is seen, or without
    layers or regions.
    """

    image: Image
    face: Face
    mesh: Array
    normals: Array
    step: int
    near_side: NearSide
    surroundings: Surroundings
    layers: MatteLayers | None
    eyes: tuple[EyeTexture, ...]
    hidden_cheek: MirroredCheek | None
    tone: Array
    interior: MouthInterior
    parted_lips: PartedLips | None
    lid_skins: tuple[LidSkin | None, ...] = ()
    seen_mouths: SeenMouths | None = None
    shut_lips: ShutLips | None = None
    painter: SourcePainter | None = None
    mouth_painter: InsidePainter | None = None
    folds: SourceFolds | None = None
    light: TurnedLight | None = None
    border: Border | None = None
    grown_cheek: GrownCheek | None = None
    rigid: Array | None = None
    far_side: FarSide | None = None
    mouth_hidden: bool = False
    glasses: Glasses | None = None
    border_hair: BorderHair = NO_HAIR
    corner_shades: CornerShades | None = None
    has_drawn_eyes: bool = False
    ground: StillGround | None = None
    back: BackOfHead | None = None

    @property
    def first(self) -> MeshSource:
        """The picture that is animated: itself, as no others are given."""
        return self

    @property
    def pictures(self) -> tuple[MeshSource, ...]:
        """All pictures: itself."""
        return (self,)

    @property
    def size(self) -> tuple[int, int]:
        """Size of the image and of every frame, (width, height) in pixels."""
        return self.image.shape[1], self.image.shape[0]

    def place(self, target: Array) -> PlacedSkin:
        """Return where a frame shows the skin; target: (468, 3) mesh."""
        free = self.near_side.narrow(follow_corners(self.mesh, unfold_skin(self.mesh, target)))
        if self.rigid is None:
            return PlacedSkin(free, free)
        return PlacedSkin(free, held_glasses.hold(self.rigid, self.mesh, free))


def prepare(
    image: Image,
    face: Face,
    persons: SeenPersons | None,
    painter: PatchPainter | None = None,
    *,
    with_folds: bool = False,
    parsed: ParsedSource | None = None,
) -> MeshSource:
    """Prepare a source image.

    Args:
        image: (H, W, 3) uint8.
        face: the face to animate, with its mesh in pixels of the image.
        persons: that the image shows; None warps the background with the person.
        painter: networks of eyes and mouth, or None.
        with_folds: the skin folds where the target smiles.
        parsed: regions of the face; None wears no glasses, and its hair is found by colours.

    Raises:
        NoFaceError: the face has no mesh.
    """
    if face.mesh is None:
        raise NoFaceError(
            "The source's face has no mesh.", "Choose another image or another landmarker."
        )
    refined = drawn_eyes.refine(image, face)
    has_drawn_eyes = refined is not face
    if has_drawn_eyes:
        refined = drawn_line.refine(image, refined)
    face = wide_jaw.refine(lip_rims.refine(image, refined))
    mesh = np.asarray(face.mesh, np.float64)
    covered = None if parsed is None else covering.find(image, parsed.face, mesh, parsed.hands)
    if covered is None:
        face = mouth_corners.refine(image, face)
        mesh = np.asarray(face.mesh, np.float64)
    border = find_border(image, None if persons is None else persons.probability)
    image = np.ascontiguousarray(image if border is None else border.extend_inside())
    body = None if parsed is None else parsed.body
    bare = None if covered is None else covered.bare
    tone = colours.skin_tone(image, mesh, bare)
    seen_eyes = read_eyes(image, mesh, tone)
    natural = colours.natural_colour(image, mesh, tone)
    covers = NO_COVERS if parsed is None else find_covers(parsed.face, mesh)
    are_dark = "glasses" in covers
    worn = None if parsed is None else held_glasses.find(parsed.face, mesh, are_dark=are_dark)
    glasses: Glasses | None = None
    if worn is not None and parsed is not None:
        image, glasses = glasses_layer.take_off(image, mesh, parsed.face, worn, tone)
    separated = None
    if persons is not None:
        separated = matte.separate_within(image, persons, mesh, body)
    interior = mouth_interior.measure(image, mesh, tone, seen_eyes, natural)
    is_parted = interior.lips.gap > lip_rims.PARTED_GAP
    if is_parted:
        interior = replace(interior, shows=lip_rims.shows_inside(image, mesh))
        interior = mouth_interior.with_seen_teeth(interior, image, mesh)
    blur = 0.0 if seen_eyes is None else seen_eyes.share
    is_blurred = blur > MOST_BLUR
    outline, lower_edge = find_outline(mesh), float(image.shape[0] - 1)
    if persons is None or separated is None:
        layers, surroundings = None, Surroundings(outline, lower_edge, False)
    else:
        layers, hair, hair_step = separated
        if persons.layered:
            layers = layers.alone()
        if persons.cut:
            alone = cut_out.cut_out(image, persons, mesh, body)
            strangers = None if persons.layered else alone.strangers
            layers = replace(alone, strangers=strangers, behind=layers.behind)
        oval = to_samples(mesh[OVAL, :2], hair_step)
        cloth = None if body is None else parsed_cloth(body, hair.shape, oval, hair_step)
        neck = None if body is None else parsed_neck(body, hair.shape, oval, hair_step)
        wide = beyond_sides.continue_person(layers.person, mesh, hair, cloth)
        layers = replace(layers, wide=wide)
        surroundings = Surroundings(
            outline,
            lower_edge,
            True,
            hair,
            hair_step,
            cloth,
            neck,
            crown.find(wide.person, mesh, wide.left),
            wide.serves,
            bare=bare_beside(layers.person, outline, face_height(mesh)),
        )
    normals = inward_normals(mesh)
    no_skin = None if covered is None else covered.no_skin
    held = None if covered is None else covered.rigid
    rigid = [weight for weight in (worn, held) if weight is not None]
    regions = None if parsed is None else parsed.face
    border_hair = BorderHair.find(normals, mesh, regions)
    hands = NO_HANDS if parsed is None else parsed.hands
    cheek = mirrored_cheek.prepare(image, mesh, regions, border_hair, hands)
    if cheek is not None:  # hair would lie on the mirrored skin
        border_hair = replace(border_hair, beside=border_hair.beside * (1 - cheek.hidden))
    far: FarSide | None = None
    is_masked = covered is not None and covered.over_nose  # a mirrored mask does not meet its half
    if cheek is not None and layers is not None and parsed is not None and not is_masked:
        far = far_side.prepare(cheek, mesh, layers, surroundings, parsed.body, parsed.hands)
    back: BackOfHead | None = None
    if layers is not None and parsed is not None:
        back = back_of_head.prepare(image, mesh, parsed.body)
    eyes = extract_eyes(
        image,
        mesh,
        face.iris,
        tone,
        blur if is_blurred else 0.0,
        are_drawn=has_drawn_eyes,
        covers=covers,
    )
    corners = corner_shades.prepare(image, mesh) if covered is None else None
    folded: SourceFolds | None = None
    if with_folds:
        lines = brow_lines.prepare(image, mesh, blur, worn)
        folded = folds.prepare(image, mesh, lines, natural, no_skin, corners)
    return MeshSource(
        image if layers is None or not layers.cut else np.ascontiguousarray(layers.person[..., :3]),
        face,
        mesh,
        normals,
        map_step(mesh),
        NearSide.of(mesh),
        surroundings,
        layers,
        eyes,
        cheek,
        tone,
        interior,
        closed_lips.prepare(image, mesh, blur=interior.blur)
        if is_parted and covered is None
        else None,
        lid_skins=lid_skin.extract(image, mesh, eyes, bare=bare, are_drawn=has_drawn_eyes),
        shut_lips=closed_lips.prepare_shut(image, mesh)
        if not is_parted and covered is None
        else None,
        painter=None
        if painter is None or is_blurred
        else painter.bind(image, mesh, face, interior, [cover != "none" for cover in covers]),
        mouth_painter=None if painter is None or is_blurred or has_drawn_eyes else painter.mouth,
        folds=folded,
        light=None if folded is None else turned_light.prepare(image, mesh, folded, body),
        border=border,
        grown_cheek=grown_cheek.prepare(
            image,
            mesh,
            normals,
            None if glasses is None or glasses.pieces else worn,
            regions,
        )
        if covered is None
        else None,
        rigid=np.max(rigid, 0) if rigid else None,
        far_side=far,
        mouth_hidden=covered is not None,
        glasses=glasses,
        border_hair=border_hair,
        corner_shades=corners,
        has_drawn_eyes=has_drawn_eyes,
        back=back,
    )
