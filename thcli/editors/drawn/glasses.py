"""Glasses on a face: the frame's surfaces lit as the face is, lenses that shine a little, and the shadow of all this on the skin."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.types import Array, Array32
from thcli.editors.drawn import glasses_frame as frames
from thcli.editors.drawn.glasses_frame import Frame, Style
from thcli.editors.drawn.lens import Glass, lenses_of
from thcli.editors.drawn.light import direction, looked_up
from thcli.editors.drawn.scene import STEP, Scene
from thcli.faces.parsing.classes import EARS, HAIR

_FINE = 3  # samples to a pixel, each way
_AT_EAR, _EAR = (
    0.8,
    0.15,
)  # where along a temple the ear is, and half of its size in canonical units
_CLEAR = 0.05  # canonical units that the frame may lie behind the tracked surface and still be seen
_ROOM = 0.26  # canonical units around the frame for its shadow


def draw(out: Array32, scene: Scene, style: Style, glass: Glass, strength: float) -> None:
    """Draws glasses on (S, S, 3) float32 0..255, in place. strength: 0 nothing, 1 plainly there, more is thicker."""
    shown = min(strength / 0.6, 1.0)
    frame = frames.fitted(
        style, scene.look.anchors, thick=float(np.clip(strength, 0.45, 2.0)) ** 0.7
    )
    quads, lenses = scene.placed(frame.quads), scene.placed(frame.lenses)
    box = _box(quads.reshape(-1, 3), scene)
    if box is None:
        return
    x0, y0, x1, y1 = box
    here = (slice(y0, y1), slice(x0, x1))
    free = 1 - scene.before[here]
    rims = _surfaces(scene, frame, quads, style, box)
    blur = max(float(scene.look.blur[0]) * 0.9, 0.5)
    rims = np.asarray(cv2.GaussianBlur(rims, (0, 0), blur), np.float32)
    cover = rims[..., 3] * (free * np.float32(shown))
    through, shine, lens = lenses_of(scene, lenses, glass, box, blur)
    part = out[here]
    part *= 1 - (_shadow(scene, rims[..., 3], box) * (free * np.float32(shown)))[..., None]
    seen = (lens * free * np.float32(shown))[..., None]
    part *= 1 - seen * (1 - through)
    part += seen * shine
    part += cover[..., None] * (rims[..., :3] / np.maximum(rims[..., 3:], 1e-4) - part)


def _box(points: Array, scene: Scene) -> tuple[int, int, int, int] | None:
    room = int(_ROOM * scene.pose[0])
    low = np.maximum(np.floor(points[:, :2].min(0)).astype(int) - room, 0)
    high = np.minimum(np.ceil(points[:, :2].max(0)).astype(int) + room, scene.side)
    return (int(low[0]), int(low[1]), int(high[0]), int(high[1])) if (high > low).all() else None


def _surfaces(
    scene: Scene, frame: Frame, quads: Array, style: Style, box: tuple[int, int, int, int]
) -> Array32:
    """The frame, (h, w, 4) float32: colour 0..255 times cover, and cover 0..1."""
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


def _lit(normal: Array, scene: Scene, style: Style) -> Array:
    """(Q, 3) the colour of surfaces: dull and dark, with a sheen where the light is mirrored."""
    towards = direction(scene.look.light)
    half = towards + np.array([0.0, 0, -1])
    half /= np.linalg.norm(half)
    bright = float(scene.look.skin.mean()) / 165.0
    dull = 0.55 + 0.75 * np.clip(normal @ towards, 0, 1)
    sheen = 58 * np.clip(normal @ half, 0, 1) ** 18 + 22 * (
        1 - np.clip(-normal[:, 2], 0, 1)
    ) ** 3 * (normal[:, 1] < 0)
    tint = scene.look.skin / max(float(scene.look.skin.mean()), 1.0)
    light = tint**0.4
    return np.asarray(
        np.clip(bright * (dull[:, None] * style.colour + sheen[:, None]) * light, 0, 235)
    )


def _visible(scene: Scene, frame: Frame, quads: Array) -> Array:
    """(Q,) 0..1: what lies behind the face, hair or an ear is not seen."""
    scale = scene.pose[0]
    middle = quads.mean(1)
    depth = np.where(np.isinf(scene.depth), np.float32(1e4), scene.depth)
    clear = _CLEAR * scale
    wide = 2 * int(clear / STEP) + 1  # the head goes on behind its outline
    around = np.asarray(cv2.erode(depth, np.ones((wide, wide), np.uint8)), np.float32)
    at = ((middle[:, :2] + 0.5) / STEP - 0.5).astype(np.float32)
    surface = np.where(frame.along > 0.05, _nearest(around, at), _nearest(depth, at))
    seen = np.clip(1 - (middle[:, 2] - surface - clear) / clear, 0, 1)
    right = frame.quads[..., 0].mean(1) > frame.centres[:, 0].mean()
    temple, beyond = frame.along > 0, surface > 1e3
    nose = -scene.pose[1][0, 2]  # how far the face is turned to the picture's right
    far = np.clip(
        (np.where(right, nose, -nose) - 0.05) / 0.15, 0, 1
    )  # hair on the far side lies behind a rim
    over = np.where(
        right,
        *(
            0.9 * _bare_ear(scene, middle[temple & side], frame.along[temple & side])
            for side in (right, ~right)
        ),
    )
    hair = (
        looked_up(scene.region(*HAIR), middle, scene.side)
        * (1 - over)
        * np.where(temple, 1, (1 - far) * beyond)
    )
    ear = looked_up(scene.region(*EARS), middle, scene.side) * (frame.along > _AT_EAR)
    seen *= 1 - np.clip((np.maximum(hair, ear) - 0.3) / 0.4, 0, 1)
    return np.asarray(seen * np.clip((1 - frame.along) / 0.08, 0, 1))


def _nearest(plane: Array32, at: Array32) -> Array32:
    found = cv2.remap(
        plane, at[:, None], None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=1e4
    )  # type: ignore[call-overload]  # the stub does not know that the second map may be absent
    return np.asarray(found[:, 0], np.float32)


def _bare_ear(scene: Scene, temple: Array, along: Array) -> float:
    """0..1 whether the ear at the end of a temple shows: then hair is short or tucked back, and the temple lies over it."""
    wide = 2 * max(int(_EAR * scene.pose[0]), 1) + 1
    ears = np.asarray(cv2.blur(scene.region(*EARS), (wide, wide)), np.float32)
    below = temple[along > _AT_EAR].mean(0) + scene.pose[1] @ (0, _EAR * scene.pose[0], 0)
    return float(np.clip(looked_up(ears, below[None], scene.side)[0] / 0.15, 0, 1))


def _shadow(scene: Scene, cover: Array32, box: tuple[int, int, int, int]) -> Array32:
    """(h, w) share of the light that the frame takes from the face below it."""
    x0, y0, x1, y1 = box
    scale = scene.pose[0]
    towards = direction(scene.look.light)
    shift = -towards[:2] * 0.07 * scale / max(-towards[2], 0.5)
    move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
    size = (x1 - x0, y1 - y0)
    cast = cv2.warpAffine(cover, move, size)
    soft = 0.38 * cv2.GaussianBlur(cast, (0, 0), 0.02 * scale + 0.5) + 0.3 * cv2.GaussianBlur(
        cast, (0, 0), 0.06 * scale
    )
    contact = 0.25 * cv2.GaussianBlur(cover, (0, 0), 0.015 * scale + 0.5)
    return np.asarray((soft + contact) * scene.face[y0:y1, x0:x1], np.float32)
