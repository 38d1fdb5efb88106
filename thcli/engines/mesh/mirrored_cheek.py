"""The hidden half of a turned source: where the other cheek comes into view, the texture of the near one, mirrored.

The surface's cosine to the view says which points the source does not show (MESH.md section 5); they take the colour of their
mirror images, matched in tone.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Image
from thcli.engines.mesh import anatomy, compose, raster
from thcli.engines.mesh.sampling import look_up, mean
from thcli.engines.mesh.surroundings import head
from thcli.engines.mesh.warp import JUMP, Map
from thcli.faces.landmarks.topology import FRONT_SIGNS, PAIRS, POINTS, TRIANGLES

LEAST = 0.05  # of the weight: below, nothing is drawn
SPREADS = 3
GAIN = (0.5, 1.6)


@dataclass(frozen=True, slots=True)
class Mirror:
    """Of the source. normals: (468, 3) unit, out of the face.  hidden: (468,) 0..1 how much a point may be replaced.

    ratio: (468, 3) colour of each point over that of its mirror image.
    """

    normals: Array
    hidden: Array
    ratio: Array


_CORNERS = TRIANGLES.T.ravel()
_COUNT = np.maximum(np.bincount(_CORNERS, minlength=POINTS), 1)


def normals(mesh: Array) -> Array:
    """(468, 3) unit normals; z is the cosine to the view: 1 towards the camera, negative away."""
    a, b, c = (mesh[TRIANGLES[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a) * FRONT_SIGNS[:, None]
    total = np.stack([_gathered(normal[:, k]) for k in range(3)], 1)
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9))


def _gathered(values: Array) -> Array:
    """(468,) sums over each point's triangles of (852,) values."""
    return np.asarray(np.bincount(_CORNERS, np.tile(values, 3), POINTS), np.float64)


def prepare(picture: Image, mesh: Array) -> Mirror | None:
    """None for a source that shows both its cheeks."""
    normal = normals(mesh)
    own = normal[:, 2]
    hidden = (1 - smoothstep(0.2, 0.5, own)) * smoothstep(0.1, 0.3, own[PAIRS] - own)
    if hidden.max() < LEAST:
        return None
    reach = max(1, round(0.05 * anatomy.height(mesh)))
    at = mesh[None, :, :2].astype(np.float32)
    colour = look_up(mean(picture, reach), at)[0].astype(np.float64) + 1
    return Mirror(normal, hidden, colour / colour[PAIRS])


def draw(out: Image, picture: Image, mirror: Mirror, mesh: Array, target: Array, way: Map) -> None:
    """Draws the mirrored texture on a rendered picture, in place, where the target shows what the source hides."""
    # as the head turns, not as the face moves: a smile hides no cheek
    view = head(mesh, target)[0][:, 2]
    turned = mirror.normals @ (view / max(float(np.linalg.norm(view)), 1e-9))
    weight = mirror.hidden * smoothstep(0.05, 0.2, turned - mirror.normals[:, 2])
    if weight.max() < LEAST:
        return
    weight = _spread(weight)
    gain = np.clip(np.median(mirror.ratio[weight > 0.5 * weight.max()], 0), *GAIN)
    values = np.concatenate([mesh[PAIRS, :2] - target[:, :2], weight[:, None]], 1)
    maps = raster.linear_maps(target, values, anatomy.TRIANGLES)
    samples = raster.sample(way.ids, maps, way.face)
    samples[..., 2] *= way.inside
    smooth = mean(samples, 3)
    torn = (np.abs(samples - smooth)[..., :2].max(-1) > JUMP * way.face.step).astype(np.uint8)
    samples[torn > 0, :2] = smooth[torn > 0, :2]
    # where the nose's edge covers the cheek, two shadings would meet
    samples[..., 2] = mean(samples[..., 2] * (1 - cv2.dilate(torn, np.ones((5, 5), np.uint8))), 5)
    x, y = way.face.axes()
    samples[..., 0] += x
    samples[..., 1] += y[:, None]
    full = compose.window(samples, way.face, (out.shape[1], out.shape[0]))
    if full is None:
        return
    where, values_full = full
    texture = look_up(picture, np.ascontiguousarray(values_full[..., :2]))
    tinted = np.minimum(texture * gain.astype(np.float32), np.float32(255))
    shown = out[where]
    share = values_full[..., 2:]
    shown[:] = (shown + share * (tinted - shown) + np.float32(0.5)).astype(np.uint8)


def _spread(weight: npt.NDArray[np.floating]) -> Array:
    """Each triangle's corners take its greatest weight, softened, SPREADS times: no hard border inside of a triangle."""
    out = np.asarray(weight, np.float64)
    for _ in range(SPREADS):
        out = np.maximum(out, _gathered(out[TRIANGLES].mean(1)) / _COUNT)
    return out
