"""One frame of the mesh engine, layer upon layer. See docs/mesh-engine.md."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.types import Array, Image
from thcli.engines.mesh import compose, picture, warp
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.background import still_ground
from thcli.engines.mesh.background.moved_map import move_map
from thcli.engines.mesh.eyes import layer as eye_layer
from thcli.engines.mesh.eyes import lid_skin, stand_ins
from thcli.engines.mesh.head import corner_shades, drawn_out, folds, hidden_eyes
from thcli.engines.mesh.head.cheeks import sides
from thcli.engines.mesh.head.corner_shades import ShownCorners
from thcli.engines.mesh.head.glasses import layer as glasses_layer
from thcli.engines.mesh.head.shoulders import Shoulders
from thcli.engines.mesh.mouth import closed_lips, driver_mouth, mouth_interior
from thcli.engines.mesh.prepared_source import MeshSource
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


def render_without_border(source: MeshSource, target: RenderTarget, driving: Image | None) -> Image:
    """Render one frame as `render_frame` does, without the picture's border."""
    placed = source.place(target.points)
    points = placed.held
    visible = eye_layer.visibilities(source.eyes, points) if source.eyes else []
    shown = sides.find(source, points)
    strips = (
        eye_layer.strip_sources(source.mesh, source.eyes, visible)
        if visible
        else source.mesh[:, :2].copy()
    )
    strips[LIPS] = shown.texture[LIPS]
    texture = warp.TexturePositions(shown.texture, strips)
    if source.parted_lips is not None:
        texture = closed_lips.hide_inside(texture, source.parted_lips, source.mesh, points)
    shoulders = None if source.layers is None else Shoulders.of(target.torso, points)
    warp_map = warp.build_map(
        source.mesh, source.surroundings, points, texture, source.size, source.step, shoulders
    )
    if warp_map is None:
        out = source.image.copy()
        if source.glasses is not None:
            glasses_layer.render(out, source.glasses, source.mesh, None, None)
        layers = source.layers
        if layers is None or not layers.cut:
            return out
        opaque = np.asarray(cv2.extractChannel(layers.person, 3), np.uint8)
        return picture.finish_cut_out(out, opaque, layers, None)
    whole, body, free = picture.whole_move(source.layers, target.body), target.body, target.points
    if whole is not None:
        body = None
        if any(whole):
            warp_map = move_map(warp_map, whole, source.size)
            by = np.array([*whole, 0])
            points, free = points + by, free + by
    moving = picture.person_to_move(source.layers, body, warp_map)
    alpha = None if moving is None else moving.alpha
    out = compose.render(source.image, source.layers, warp_map, alpha)
    if source.ground is not None:
        still_ground.hold(out, source.image, source.ground, warp_map)
    is_cut = source.layers is not None and source.layers.cut
    drawn_out.soften(out, warp_map, alpha if is_cut else None)
    folded = None if source.folds is None else folds.find(source.folds, placed.free)
    corners = _show_corners(source, points, 0.0 if folded is None else folded.relaxed)
    corner_shades.render(out, corners, warp_map)
    sides.render(out, alpha, source, shown, points, warp_map, corners)
    if folded is not None:
        folds.render(out, folded, points, warp_map)
    textures = source.eyes
    driver = target.driver if driving is not None else None
    if driving is not None and driver is not None and has_shut_eyes(source):
        textures = stand_ins.substitute_from_driver(textures, driving, driver, source.tone)
    before_eyes = hidden_eyes.find(out, points, warp_map) if textures else []
    if source.lid_skins:
        lid_skin.render(out, source.image, source.lid_skins, points)
    if textures:
        eye_layer.render_lash_lines(out, textures, visible, points, source.step)
        eye_layer.render_eyes(out, textures, visible, points, target.gaze)
    if source.parted_lips is not None:
        closed_lips.render(out, source.image, source.parted_lips, points)
    if source.shut_lips is not None:
        closed_lips.render_parting(out, source.image, source.shut_lips, points)
    inside, interior = None if target.drawn_mouth else driver, source.interior
    if not source.mouth_hidden and driving is not None and inside is not None:
        if source.parted_lips is not None:
            made = closed_lips.made_share(source.parted_lips, points)
            driver_mouth.render_seam(out, points, inside, driving, made, interior.natural)
        driver_mouth.render(out, interior, points, inside, driving)
    elif not source.mouth_hidden:
        own, seen = source.mesh, source.seen_mouths
        drawn = mouth_interior.render(out, source.image, interior, own, free, seen)
        if source.mouth_painter is not None and drawn is not None:
            source.mouth_painter.paint(out, free, interior, drawn)
    if source.painter is not None and not (source.has_drawn_eyes or has_shut_eyes(source)):
        source.painter.paint_eyes(out, free, target.gaze)
    for skin in before_eyes:
        skin.cover(out)
    if source.glasses is not None:
        glasses_layer.render(out, source.glasses, points, alpha, warp_map)
    if source.layers is not None and source.layers.cut and alpha is not None:
        return picture.finish_cut_out(out, alpha, source.layers, body)
    return picture.move_person(out, moving, body)


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
