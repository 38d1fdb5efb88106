"""One crop changed: colour and detail where they lie on the face, then the shape, by one sampling of the crop."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.types import Array, Array32, Image
from thcli.editors.atlas import layout as plan
from thcli.editors.atlas import tone
from thcli.editors.atlas.directions import Change
from thcli.editors.atlas.sampling import STEP, Pinned, full, pin, to_atlas
from thcli.editors.atlas.wrinkles import FINER, lines
from thcli.engines.mesh.sampling import look_up, mean, resized
from thcli.faces.landmarks.topology import OVAL
from thcli.motion.canonical import decompose

FOLLOWS = (
    1.0,
    0.6,
    0.0,
)  # how much of the outline's motion the pushed outline and the two rings take
BANDS = (2.4, 6.0)  # pixels of a crop of 512: as `train.atlas.measure` has them
STRONG = 0.10  # of full scale: detail as strong as this is an edge, not a wrinkle
_ROUNDS = 4  # of turning the motion round
_STILL = 1e-6


def changed(crop: Image, mesh: Array, visible: Array32, change: Change) -> Image:
    """crop: (S, S, 3).  mesh: (468, 3) in its pixels.  visible: (S / 2, S / 2) 0..1, where the face is not hidden."""
    size = crop.shape[0]
    points = plan.extended(mesh)
    pinned = pin(mesh, points, size)
    shown = visible * resized(mean(pinned.shows * pinned.covered, 3), (size // 2, size // 2))
    pixels = crop.astype(np.float32) / np.float32(255)
    if np.abs(change.detail).max() > _STILL:
        pixels += _detail(pixels, pinned, shown, change.detail)
    if np.abs(change.texture).max() > _STILL:
        gain = _gain(pinned, shown, change, size)
        pixels = (pixels + np.float32(tone.FLOOR)) * gain - np.float32(tone.FLOOR)
    out: Image = np.clip(pixels * np.float32(255) + np.float32(0.5), 0, 255).astype(np.uint8)
    if np.abs(change.shape).max() > _STILL:
        out = _moved(out, mesh, points, pinned, change.shape)
    return out


def _gain(pinned: Pinned, shown: Array32, change: Change, size: int) -> Array32:
    """(S, S, 3) what the colours are multiplied with."""
    half = (size // 2, size // 2)
    places = resized(pinned.places, half)
    logs = to_atlas(change.texture, places)
    if change.lines > 0:
        fine = (places + np.float32(0.5)) * np.float32(FINER) - np.float32(0.5)
        logs += to_atlas(lines(), fine) * np.float32(change.lines)
    gain = cv2.exp(np.asarray(logs, np.float32) * shown[..., None])
    return resized(np.asarray(gain, np.float32), (size, size))


def _detail(pixels: Array32, pinned: Pinned, shown: Array32, detail: Array32) -> Array32:
    """(S, S, 3) what is added to the pixels so that fine and middling detail are as much stronger or weaker as is wanted."""
    size = pixels.shape[0]
    half = (size // 2, size // 2)
    share = np.exp(pinned.lift(detail)) - np.float32(1)
    share = resized(np.ascontiguousarray(share), half) * shown[..., None]
    wide = resized(pixels, half, shrink=True)
    scale = size / 512
    fine = pixels - cv2.GaussianBlur(pixels, (0, 0), BANDS[0] * scale)
    low, high = (cv2.GaussianBlur(wide, (0, 0), sigma * scale / 2) for sigma in BANDS)
    middle = _soft(low - high) * share[..., 1:]
    added = resized(np.asarray(middle, np.float32), (size, size))
    added += _soft(fine) * resized(np.ascontiguousarray(share[..., 0]), (size, size))[..., None]
    return added


def _soft(band: Array32) -> Array32:
    """Detail without what is an edge."""
    strength = np.abs(band).max(-1, keepdims=True) * np.float32(1 / STRONG)
    return np.asarray(band / (1 + strength**4), np.float32)


def _moved(picture: Image, mesh: Array, points: Array, pinned: Pinned, shape: Array) -> Image:
    """The picture with the points moved by canonical displacements (468, 3) of the face's own frame."""
    posed = decompose(mesh)
    turn = np.exp(posed.log_scale) * posed.rotation
    motion = shape @ turn.T
    outline = motion[OVAL]
    steps = np.concatenate([motion, *(outline * share for share in FOLLOWS)])[:, :2]
    size = picture.shape[0]
    way = mean(pinned.carried(points, steps), 3)
    grid = pinned.grid
    x, y = grid.axes()
    here = np.stack(np.broadcast_arrays(x[None], y[:, None]), -1).astype(np.float32)
    source = here
    for _ in range(_ROUNDS):
        at = (source + np.float32(0.5)) / np.float32(grid.step) - np.float32(0.5)
        source = here - look_up(way, np.ascontiguousarray(at))
    shift = source - here
    big = full(shift, STEP)
    rows = np.arange(size, dtype=np.float32)
    big[..., 0] += rows[None]
    big[..., 1] += rows[:, None]
    # The stub does not know that the second map may be absent.
    warped = cv2.remap(  # type: ignore[call-overload]
        picture, big, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(warped, np.uint8)
