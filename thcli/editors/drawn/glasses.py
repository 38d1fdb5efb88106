"""Glasses: a lit 3-D frame, slightly reflecting lenses, and their shadow on the skin."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32
from thcli.editors.drawn import glasses_frame as frames
from thcli.editors.drawn.glasses_frame import FrameStyle, GlassesFrame
from thcli.editors.drawn.lens import LensMaterial, render_lenses
from thcli.editors.drawn.light import light_direction, sample_plane
from thcli.editors.drawn.scene import STEP, Scene
from thcli.faces.parsing.classes import EARS, HAIR, class_number

_FINE = 3  # samples per pixel in each direction
_AT_EAR = 0.8  # position of the ear along a temple
_EAR = 0.15  # half size of an ear, canonical units
_CLEARANCE = 0.05  # depth behind the tracked surface up to which the frame is visible, canonical
_MARGIN = 0.26  # around the frame, for its shadow, canonical units
_RIM = 0.08  # heights of the face: as near to its outline it may not reach as far as the mesh
_BACKGROUND = class_number("background")
_COVERING = (*HAIR, class_number("hat"), class_number("cloth"))  # may be before glasses
_SHADE_HUE = np.array([0.72, 1.0, 1.08], np.float32)  # share of each channel: skin glows red
_SURE = 8.0  # inverse of the coverage from which glasses are shown beside the face in full


def draw(
    out: Array32, scene: Scene, style: FrameStyle, glass: LensMaterial, strength: float
) -> Array32 | None:
    """Render glasses on (S, S, 3) float32 0..255, in place.

    Args:
        out: image.
        scene: crop to draw on.
        style: of the frame.
        glass: of the lenses.
        strength: 0 for nothing, 1 for plainly visible; more makes rims thicker.

    Returns:
        (S, S) 0..1, where glasses stand out beside the face, None when all are out of the crop.
    """
    shown = min(strength / 0.5, 1.0)
    thick = float(np.clip(strength, 0.45, 2.0)) ** 0.7
    frame = frames.fit_frame(style, scene.appearance.anchors, thick=thick)
    quads, lenses = scene.to_pixels(frame.quads), scene.to_pixels(frame.lenses)
    box = _box(quads.reshape(-1, 3), scene)
    if box is None:
        return None
    x0, y0, x1, y1 = box
    window = (slice(y0, y1), slice(x0, x1))
    blur = max(float(scene.appearance.blur[0]) * 1.05, 0.6)
    beside, behind = _beside(scene, frame, quads, blur, box)
    free = 1 - scene.occlusion[window] * (1 - beside * behind)
    rims = _surfaces(scene, frame, quads, style, box)
    rims = np.asarray(cv2.GaussianBlur(rims, (0, 0), blur), np.float32)
    cover = rims[..., 3] * (free * np.float32(shown))
    transmission, reflection, lens = render_lenses(scene, lenses, glass, box, blur)
    part = out[window]
    shade = _shadow(scene, rims[..., 3], box) * (free * np.float32(shown))
    part *= 1 - shade[..., None] * _SHADE_HUE
    lens_cover = (lens * free * np.float32(shown))[..., None]
    part *= 1 - lens_cover * (1 - transmission)
    part += lens_cover * reflection
    part += cover[..., None] * (rims[..., :3] / np.maximum(rims[..., 3:], 1e-4) - part)
    shown_beside = np.zeros(out.shape[:2], np.float32)
    shows = np.minimum(np.float32(_SURE) * np.maximum(cover, lens_cover[..., 0]), 1)
    shown_beside[window] = shows * beside
    return shown_beside


def _box(points: Array, scene: Scene) -> tuple[int, int, int, int] | None:
    margin = int(_MARGIN * scene.pose[0])
    low = np.maximum(np.floor(points[:, :2].min(0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(points[:, :2].max(0)).astype(int) + margin, scene.side)
    return (int(low[0]), int(low[1]), int(high[0]), int(high[1])) if (high > low).all() else None


def _beside(
    scene: Scene, frame: GlassesFrame, quads: Array, blur: float, box: tuple[int, int, int, int]
) -> tuple[Array32, Array32]:
    """Return where glasses stand out beside the face, and where what the parser sees is behind.

    On the far side of a turned head, background, hair, hat and cloth are behind rims and lenses.
    The mesh may reach further than the face there, so a strip within its outline counts as beside.

    Returns:
        (h, w) 0..1: beside the face, on the front of the glasses; and background or what else is
        behind them on the far side.
    """
    x0, y0, x1, y1 = box
    front = quads[frame.along == 0].reshape(-1, 3)[:, :2] - (x0, y0)
    corners = np.rint(16 * cv2.convexHull(front.astype(np.float32))).astype(np.int32)
    covered = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillConvexPoly(covered, corners, 255, cv2.LINE_AA, 4)
    wide = 2 * int(np.ceil(2 * blur)) + 1
    covered = np.asarray(cv2.dilate(covered, np.ones((wide, wide), np.uint8)), np.uint8)
    window = (slice(y0, y1), slice(x0, x1))
    outside = np.minimum(2 * (1 - scene.inside(_RIM)[window]), 1)
    outside *= covered.astype(np.float32) / np.float32(255)
    far = _far(scene, np.arange(x0, x1) - x0 > front[:, 0].mean()).astype(np.float32)
    hair = scene.region_mask(*_COVERING)[window]
    behind = np.minimum(2 * far * (scene.region_mask(_BACKGROUND)[window] + hair), 1)
    return outside * (1 - np.minimum(2 * (1 - far) * hair, 1)), behind


def _surfaces(
    scene: Scene,
    frame: GlassesFrame,
    quads: Array,
    style: FrameStyle,
    box: tuple[int, int, int, int],
) -> Array32:
    """Render the frame: (h, w, 4) float32, colour 0..255 times coverage, and coverage 0..1."""
    first, second = quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1]
    normal = np.cross(first, second)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    colour = _lit(normal, scene, style)
    alpha = _visible(scene, frame, quads)
    chosen = np.flatnonzero((normal[:, 2] < 0) & (alpha > 0.01))
    order = chosen[np.argsort(-quads[chosen, :, 2].mean(1), kind="stable")]
    x0, y0, x1, y1 = box
    canvas = np.zeros(((y1 - y0) * _FINE, (x1 - x0) * _FINE, 4), np.uint8)
    corners = np.rint(((quads[..., :2] - (x0, y0) + 0.5) * _FINE - 0.5) * 16).astype(np.int32)
    painted = np.concatenate([colour * alpha[:, None], 255 * alpha[:, None]], 1)
    for index in order.tolist():
        cv2.fillConvexPoly(canvas, corners[index], painted[index].tolist(), cv2.LINE_8, 4)
    small = cv2.resize(canvas, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA).astype(np.float32)
    small[..., 3] /= 255
    return small


def _lit(normal: Array, scene: Scene, style: FrameStyle) -> Array:
    """Return the colour (Q, 3) of surfaces: dull and dark, with a specular highlight."""
    towards = light_direction(scene.appearance.light)
    half = towards + np.array([0.0, 0, -1])
    half /= np.linalg.norm(half)
    bright = float(scene.appearance.skin.mean()) / 165.0
    dull = 0.55 + 0.75 * np.clip(normal @ towards, 0, 1)
    grazing = (1 - np.clip(-normal[:, 2], 0, 1)) ** 3
    sheen = 58 * np.clip(normal @ half, 0, 1) ** 18 + 22 * grazing * (normal[:, 1] < 0)
    tint = scene.appearance.skin / max(float(scene.appearance.skin.mean()), 1.0)
    colour = bright * (dull[:, None] * style.colour + sheen[:, None]) * tint**0.4
    return np.asarray(np.clip(colour, 0, 235))


def _visible(scene: Scene, frame: GlassesFrame, quads: Array) -> Array:
    """Return (Q,) 0..1, visibility of surfaces behind the face, hair or an ear."""
    scale = scene.pose[0]
    middle = quads.mean(1)
    depth = np.where(np.isinf(scene.depth), np.float32(1e4), scene.depth)
    clear = _CLEARANCE * scale
    wide = 2 * int(clear / STEP) + 1  # the head continues behind its outline
    around = np.asarray(cv2.erode(depth, np.ones((wide, wide), np.uint8)), np.float32)
    at = ((middle[:, :2] + 0.5) / STEP - 0.5).astype(np.float32)
    surface = np.where(frame.along > 0.05, _nearest(around, at), _nearest(depth, at))
    seen = np.clip(1 - (middle[:, 2] - surface - clear) / clear, 0, 1)
    right = frame.quads[..., 0].mean(1) > frame.centres[:, 0].mean()
    temple, beyond = frame.along > 0, surface > 1e3
    far = _far(scene, right)  # where hair is behind the rim
    bare_ears = (
        0.9 * _bare_ear(scene, middle[temple & side], frame.along[temple & side])
        for side in (right, ~right)
    )
    over = np.where(right, *bare_ears)
    hair = sample_plane(scene.region_mask(*HAIR), middle, scene.side) * (1 - over)
    hair = hair * np.where(temple, 1, (1 - far) * beyond)
    ear = sample_plane(scene.region_mask(*EARS), middle, scene.side) * (frame.along > _AT_EAR)
    seen *= 1 - np.clip((np.maximum(hair, ear) - 0.3) / 0.4, 0, 1)
    return np.asarray(seen * np.clip((1 - frame.along) / 0.08, 0, 1))


def _far(scene: Scene, right: npt.NDArray[np.bool_]) -> Array:
    """Return 0..1, how far the head turns places in the image's right half, or left, away."""
    nose = -scene.pose[1][0, 2]  # sine of the turn to the image's right
    return np.asarray(np.clip((np.where(right, nose, -nose) - 0.05) / 0.15, 0, 1))


def _nearest(plane: Array32, at: Array32) -> Array32:
    found = cv2.remap(
        plane, at[:, None], None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=1e4
    )  # type: ignore[call-overload]  # the stub does not know that the second map may be absent
    return np.asarray(found[:, 0], np.float32)


def _bare_ear(scene: Scene, temple: Array, along: Array) -> float:
    """Return 0..1, how far the ear at the end of a temple is visible.

    A visible ear means that hair is short or tucked back, so the temple lies over it.
    """
    wide = 2 * max(int(_EAR * scene.pose[0]), 1) + 1
    ears = np.asarray(cv2.blur(scene.region_mask(*EARS), (wide, wide)), np.float32)
    below = temple[along > _AT_EAR].mean(0) + scene.pose[1] @ (0, _EAR * scene.pose[0], 0)
    return float(np.clip(sample_plane(ears, below[None], scene.side)[0] / 0.15, 0, 1))


def _shadow(scene: Scene, cover: Array32, box: tuple[int, int, int, int]) -> Array32:
    """Return (h, w) share of the light that the frame takes from the face."""
    x0, y0, x1, y1 = box
    scale = scene.pose[0]
    towards = light_direction(scene.appearance.light)
    shift = -towards[:2] * 0.07 * scale / max(-towards[2], 0.5)
    move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
    size = (x1 - x0, y1 - y0)
    cast = cv2.warpAffine(cover, move, size)
    umbra = 0.38 * cv2.GaussianBlur(cast, (0, 0), 0.02 * scale + 0.5)
    soft = umbra + 0.3 * cv2.GaussianBlur(cast, (0, 0), 0.06 * scale)
    contact = 0.25 * cv2.GaussianBlur(cover, (0, 0), 0.015 * scale + 0.5)
    return np.asarray((soft + contact) * scene.face_mask[y0:y1, x0:x1], np.float32)
