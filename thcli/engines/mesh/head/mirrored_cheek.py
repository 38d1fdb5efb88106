"""Mirrored texture for the hidden half of a turned source.

Where the far cheek of the source comes into view, it takes the colour of the near one. Points that
the source hides are found by the cosine between surface and view. They take the colour of their
mirror points, matched in tone. See docs/mesh-engine.md, "Background".
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Image
from thcli.engines.mesh import anatomy, compose, raster
from thcli.engines.mesh.head.steep_texture import COUNT, normals, sum_at_points, turned_cosines
from thcli.engines.mesh.sampling import box_mean, remap
from thcli.engines.mesh.warp import TEAR, WarpMap
from thcli.faces.landmarks.topology import PAIRS, TRIANGLES

MIN_WEIGHT = 0.05  # largest weight below which nothing is rendered
SPREAD_STEPS = 3  # times that the weights are spread over neighbouring triangles
GAIN_RANGE = (0.5, 1.6)  # of the colour gain


@dataclass(frozen=True, slots=True)
class MirroredCheek:
    """The source's hidden points and the colours of their mirror points.

    normals: (468, 3) unit vectors, outwards.  hidden: (468,) 0..1, how far a point may be
    replaced.  ratio: (468, 3) colour of each point over that of its mirror point.
    """

    normals: Array
    hidden: Array
    ratio: Array


def prepare(image: Image, mesh: Array) -> MirroredCheek | None:
    """Find the hidden half of a source; None when the source shows both cheeks."""
    normal = normals(mesh)
    cosine = normal[:, 2]
    hidden = (1 - smoothstep(0.2, 0.5, cosine)) * smoothstep(0.1, 0.3, cosine[PAIRS] - cosine)
    if hidden.max() < MIN_WEIGHT:
        return None
    reach = max(1, round(0.05 * anatomy.face_height(mesh)))
    points = mesh[None, :, :2].astype(np.float32)
    colour = remap(box_mean(image, reach), points)[0].astype(np.float64) + 1
    return MirroredCheek(normal, hidden, colour / colour[PAIRS])


def render(
    out: Image,
    image: Image,
    cheek: MirroredCheek,
    mesh: Array,
    target: Array,
    warp_map: WarpMap,
) -> None:
    """Render the mirrored texture where the target shows a hidden part of the source, in place.

    Args:
        out: (H, W, 3) uint8 frame.
        image: (H, W, 3) uint8 source image.
        cheek: hidden points of the source.
        mesh, target: (468, 3) source and target meshes.
        warp_map: the frame's map.
    """
    cosine = turned_cosines(cheek.normals, mesh, target)
    weight = cheek.hidden * smoothstep(0.05, 0.2, cosine - cheek.normals[:, 2])
    if weight.max() < MIN_WEIGHT:
        return
    weight = _spread(weight)
    gain = np.clip(np.median(cheek.ratio[weight > 0.5 * weight.max()], 0), *GAIN_RANGE)
    values = np.concatenate([mesh[PAIRS, :2] - target[:, :2], weight[:, None]], 1)
    maps = raster.linear_maps(target, values, anatomy.TRIANGLES)
    samples = raster.sample_maps(warp_map.ids, maps, warp_map.face)
    samples[..., 2] *= warp_map.mesh_weight
    smooth = box_mean(samples, 3)
    jumps = np.abs(samples - smooth)[..., :2].max(-1)
    torn = (jumps > TEAR * warp_map.face.step).astype(np.uint8)
    samples[torn > 0, :2] = smooth[torn > 0, :2]
    # where the nose's edge covers the cheek, two shadings would meet
    intact = 1 - cv2.dilate(torn, np.ones((5, 5), np.uint8))
    samples[..., 2] = box_mean(samples[..., 2] * intact, 5)
    x, y = warp_map.face.pixel_axes()
    samples[..., 0] += x
    samples[..., 1] += y[:, None]
    window = compose.upsample_window(samples, warp_map.face, (out.shape[1], out.shape[0]))
    if window is None:
        return
    region, values_full = window
    texture = remap(image, np.ascontiguousarray(values_full[..., :2]))
    tinted = np.minimum(texture * gain.astype(np.float32), np.float32(255))
    shown = out[region]
    share = values_full[..., 2:]
    shown[:] = (shown + share * (tinted - shown) + np.float32(0.5)).astype(np.uint8)


def _spread(weight: npt.NDArray[np.floating]) -> Array:
    """Spread weights (468,) over neighbouring triangles, so that no triangle has a hard border."""
    out = np.asarray(weight, np.float64)
    for _ in range(SPREAD_STEPS):
        out = np.maximum(out, sum_at_points(out[TRIANGLES].mean(1)) / COUNT)
    return out
