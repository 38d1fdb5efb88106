"""One frame of the mesh engine, layer upon layer. See docs/mesh-engine.md."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.types import Array, Image
from thcli.engines.mesh import compose, picture, warp
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.background import still_ground
from thcli.engines.mesh.background.moved_map import move_map
from thcli.engines.mesh.eyes import hanging_lashes, lid_skin, stand_ins
from thcli.engines.mesh.eyes import layer as eye_layer
from thcli.engines.mesh.head import back_layer, drawn_out, hidden_eyes
from thcli.engines.mesh.head.cheeks import sides
from thcli.engines.mesh.head.cheeks.sides import Sides
from thcli.engines.mesh.head.glasses import layer as glasses_layer
from thcli.engines.mesh.head.shades import corner_shades, folds, turned_light
from thcli.engines.mesh.head.shades.corner_shades import ShownCorners
from thcli.engines.mesh.head.shades.folds import ShownFolds
from thcli.engines.mesh.head.shoulders import Shoulders
from thcli.engines.mesh.mouth import closed_lips, driver_mouth, mouth_interior
from thcli.engines.mesh.picture import MovingPerson
from thcli.engines.mesh.prepared_source import MeshSource
from thcli.engines.mesh.warp import WarpMap
from thcli.motion import canonical
from thcli.motion.canonical import PosedShape
from thcli.motion.render_target import RenderTarget


def render_frame(source: MeshSource, target: RenderTarget, driving: Image | None) -> Image:
    """Render one frame of a picture that does not move as a whole.

    Args:
        source: prepared source.
        target: geometry of the frame.
        driving: (h, w, 3) uint8 driving frame, or None for a synthetic inside of the mouth.

    Returns:
        (H, W, 3) uint8 of the source's size; (H, W, 4), premultiplied colour and alpha, of a source
        that is cut out.
    """
    out = render_without_border(source, target, driving)
    lay_border(out, source)
    return out


def lay_border(out: Image, source: MeshSource) -> None:
    """Lay the picture's border over a frame, or clear it of one that is cut out, in place."""
    if source.border is not None and out.shape[2] == 3:
        source.border.render(out)
    elif source.border is not None:
        source.border.clear(out)


@dataclass(frozen=True, slots=True)
class _Placed:
    """Placement of the face of a frame.

    asked, points: (468, 3) target mesh, which eyes and mouth are painted for, and its skin.
    posed: the same skin as if nothing held it, of a person who does not move; None of a source
    whose skin is not shaded.
    lids: how much of each eyeball shows, 0..1.
    shown: sides of the head.
    warp_map: of the frame.
    person: who moves over the plate by `shift`, (2,) pixels; each None without.
    """

    asked: Array
    points: Array
    posed: PosedShape | None
    lids: list[float]
    shown: Sides
    warp_map: WarpMap
    person: MovingPerson | None
    shift: Array | None

    @property
    def alpha(self) -> Image | None:
        """Opacity (H, W) uint8 of the person; what renders the frame writes on it."""
        return None if self.person is None else self.person.alpha


def render_without_border(source: MeshSource, target: RenderTarget, driving: Image | None) -> Image:
    """Render one frame as `render_frame` does, without the picture's border."""
    placed = _place(source, target)
    if placed is None:
        return _leave_still(source)
    out = _warp(source, placed)
    _shade_skin(out, source, placed)
    _lay_eyes(out, source, placed, target, driving)
    _close_lips(out, source, placed.points)
    _light_head(out, source, placed)
    _lay_mouth(out, source, placed, target, driving)
    alpha = placed.alpha
    if source.glasses is not None:
        glasses_layer.render(out, source.glasses, placed.points, alpha, placed.warp_map)
    if source.layers is not None and source.layers.cut and alpha is not None:
        return picture.finish_cut_out(out, alpha, source.layers, placed.shift)
    return picture.move_person(out, placed.person, placed.shift)


def _place(source: MeshSource, target: RenderTarget) -> _Placed | None:
    """Place the face of a frame; None where it is off the picture."""
    skin = source.place(target.points)
    asked, points, shift = target.points, skin.held, target.body
    lids = eye_layer.visibilities(source.eyes, points) if source.eyes else []
    shown = sides.find(source, points)
    strips = source.mesh[:, :2].copy()
    if lids:
        strips = eye_layer.strip_sources(source.mesh, source.eyes, lids)
    strips[LIPS] = shown.texture[LIPS]
    skin_texture = shown.texture
    if source.eyes:
        lashes = [eye.hanging for eye in source.eyes]
        skin_texture, strips = (
            hanging_lashes.carry(each, lashes, points) for each in (skin_texture, strips)
        )
    texture = warp.TexturePositions(skin_texture, strips)
    if source.parted_lips is not None:
        texture = closed_lips.hide_inside(texture, source.parted_lips, source.mesh, points)
    shoulders = None if source.layers is None else Shoulders.of(target.torso, points)
    warp_map = warp.build_map(
        source.mesh, source.surroundings, points, texture, source.size, source.step, shoulders
    )
    if warp_map is None:
        return None
    whole = picture.whole_move(source.layers, shift)
    if whole is not None:
        shift = None
        if any(whole):
            warp_map = move_map(warp_map, whole, source.size)
            by = np.array([*whole, 0])
            asked, points = asked + by, points + by
    person = picture.person_to_move(source.layers, shift, warp_map)
    posed = None if source.folds is None else canonical.decompose(skin.free)
    return _Placed(asked, points, posed, lids, shown, warp_map, person, shift)


def _leave_still(source: MeshSource) -> Image:
    """Return the frame (H, W, 3 or 4) of a face that is off the picture."""
    out, layers = source.image.copy(), source.layers
    if source.glasses is not None:
        glasses_layer.render(out, source.glasses, source.mesh, None, None)
    if layers is None or not layers.cut:
        return out
    opaque = np.asarray(cv2.extractChannel(layers.person, 3), np.uint8)
    return picture.finish_cut_out(out, opaque, layers, None)


def _warp(source: MeshSource, placed: _Placed) -> Image:
    """Warp the picture, (H, W, 3), and keep its background where it is."""
    layers, warp_map = source.layers, placed.warp_map
    out = compose.render(source.image, layers, warp_map, placed.alpha)
    if source.back is not None and layers is not None:
        meshes = source.mesh, placed.points
        back_layer.render((out, placed.alpha), source.back, layers, meshes, warp_map)
    if source.ground is not None:
        still_ground.hold(out, source.image, source.ground, warp_map)
    is_cut = layers is not None and layers.cut
    drawn_out.soften(out, warp_map, placed.alpha if is_cut else None)
    return out


def _shade_skin(out: Image, source: MeshSource, placed: _Placed) -> None:
    """Show what turns into view, and fold the skin as the target does, in place."""
    points, warp_map = placed.points, placed.warp_map
    folded: ShownFolds | None = None
    if source.folds is not None and placed.posed is not None:
        folded = folds.find(source.folds, placed.posed.shape)
    corners = _show_corners(source, points, 0.0 if folded is None else folded.relaxed)
    corner_shades.render(out, corners, warp_map)
    sides.render(out, placed.alpha, source, placed.shown, points, warp_map, corners)
    if folded is not None:
        folds.render(out, folded, points, warp_map)


def _lay_eyes(
    out: Image, source: MeshSource, placed: _Placed, target: RenderTarget, driving: Image | None
) -> None:
    """Lay eyeballs and lids over the skin, and over them what was before the eyes, in place."""
    textures, points, lids = source.eyes, placed.points, placed.lids
    if not textures:
        return
    drawn = has_shut_eyes(source)
    if drawn:
        if driving is not None and target.driver is not None:
            textures = stand_ins.substitute_from_driver(
                textures, driving, target.driver, source.tone
            )
        textures = stand_ins.tint_eyes(textures, source.tone, source.interior.natural)
    before_eyes = hidden_eyes.find(out, points, placed.warp_map)
    if source.lid_skins:
        lid_skin.render(out, source.image, source.lid_skins, points)
    eye_layer.render_lash_lines(out, textures, lids, points, source.step)
    eye_layer.render_eyes(out, textures, lids, points, target.gaze)
    if source.painter is not None and not (source.has_drawn_eyes or drawn):
        source.painter.paint_eyes(out, placed.asked, target.gaze)
    for skin in before_eyes:
        skin.cover(out)


def _close_lips(out: Image, source: MeshSource, points: Array) -> None:
    """Close or part the lips as those of a target mesh (468, 3), in place."""
    if source.parted_lips is not None:
        closed_lips.render(out, source.image, source.parted_lips, points)
    if source.shut_lips is not None:
        closed_lips.render_parting(out, source.image, source.shut_lips, points)


def _light_head(out: Image, source: MeshSource, placed: _Placed) -> None:
    """Light the head as the target turns it, in place."""
    if source.light is not None and placed.posed is not None:
        rotation, points = placed.posed.rotation, placed.points
        turned_light.render(out, source.light, rotation, points, placed.warp_map)


def _lay_mouth(
    out: Image, source: MeshSource, placed: _Placed, target: RenderTarget, driving: Image | None
) -> None:
    """Show the driver's mouth, which has its own light, or one that is made, in place."""
    points, interior = placed.points, source.interior
    if source.mouth_hidden:
        return
    inside = None if target.drawn_mouth or driving is None else target.driver
    if driving is not None and inside is not None:
        if source.parted_lips is not None:
            made = closed_lips.made_share(source.parted_lips, points)
            driver_mouth.render_seam(out, points, inside, driving, made, interior.natural)
        driver_mouth.render(out, interior, points, inside, driving)
        return
    own, seen = source.mesh, source.seen_mouths
    drawn = mouth_interior.render(out, source.image, interior, own, placed.asked, seen)
    if source.mouth_painter is not None and drawn is not None:
        source.mouth_painter.paint(out, placed.asked, interior, drawn)


def _show_corners(source: MeshSource, points: Array, relaxed: float) -> ShownCorners:
    """Return the picture as the corners of a target's mouth show it.

    Args:
        source: prepared source.
        points: (468, 3) target mesh.
        relaxed: share of the source's own smile that is gone, 0..1.
    """
    if source.corner_shades is None:
        return ShownCorners(source.image, None, 0.0)
    share = max(relaxed, corner_shades.share(source.corner_shades, points))
    return ShownCorners(source.image, source.corner_shades, share)


def has_shut_eyes(source: MeshSource) -> bool:
    """Return whether both eyes are shut in the source, and others take their place.

    The networks, which know a source's own eyes, leave them alone. Eyes that something covers are
    neither.
    """
    seen = [eye for eye in source.eyes if not eye.is_covered]
    return bool(seen) and not any(eye.is_own for eye in seen)
