"""Light that stays where it is while a head turns in it.

The light of a picture is part of its texture, and would turn along with the head: a cheek that
comes into view stays as dark as it was seen from the side, and the face looks flat. Log brightness
of bare skin is taken as linear in the surface's normal (`surface.fit_light`), and where the target
turns a normal, the skin changes by that slope. The normals are those of the mean face; beyond it
those of its border go on over the rest of the head. Nothing is learned, and cast shadows, such as
the nose's, turn along.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np

from thcli.core.geometry import bounding_box
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Crop, Image
from thcli.engines.mesh import anatomy, raster
from thcli.engines.mesh.background.windows import iterate_windows
from thcli.engines.mesh.compose import source_positions
from thcli.engines.mesh.head.shades.folds import LEAST_LEVEL, SourceFolds
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import box_mean, distance_to, nearest_to, odd_size, remap, shift
from thcli.engines.mesh.warp import WarpMap, drawing_order
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop, transform_landmarks
from thcli.faces.landmarks import surface, topology
from thcli.faces.parsing.classes import GLASSES, HAIR, HEAD, class_number
from thcli.faces.parsing.crops import Regions
from thcli.motion import canonical

SIDE, SCALE = 192, 2.0  # pixels of the crop that is measured, and its side over the mesh's box
LEAST_COSINE = 0.15  # of surface and view from which skin tells the light
RIDGE = 0.01  # see `surface.fit_light`
OUTLIER = 0.25  # log brightness off the fit at which a point counts half: stubble, gleams, shadows
FIT_ROUNDS = 3
PATTERN_REACH = 0.1  # canonical units around brows, eyes and lips, whose colours are not light's
FADING = 0.35  # face heights over which the light ends beyond the mesh
REACH = 0.6  # of a target beyond its mesh that is lit, in face heights
BORDER_WIDTH = 0.1  # face heights from the mesh's border to normals that are as they are
SOFT_NORMALS = 0.08  # face heights over which they are evened at that border and beyond
SOFT_HEAD = 0.04  # face heights over which the head's outline is softened
HAIR_SHARE = 0.4  # of the change in hair, whose strands face everywhere
MOST_CHANGE = 0.5  # log brightness that no change reaches, however hard the light is
LEAST_CHANGE = 0.0025  # log brightness, less than one level

_HEAD = HEAD | GLASSES | {class_number("hat")}


@dataclass(frozen=True, slots=True)
class TurnedLight:
    """Light of a source.

    rotation: (3, 3) of its head (`motion.canonical`).  slope: (3,) log brightness of skin along its
    inward normal, image axes.  placement: of the field in the source.  field: (S, S, 4) float32 in
    its pixels: inward normals of the head in canonical axes, and how far it changes, 0..1.
    change: (3,) of the log brightness of its channels, over that of their mean.
    """

    rotation: Array
    slope: Array
    placement: Crop
    field: Array32
    change: Array


@cache
def _neutral_normals() -> Array:
    return surface.inward_normals(canonical.neutral())


@cache
def _plain_skin() -> Array:
    """Return the points (468,) without brows, eyes and lips around them, 0 or 1."""
    patterns = (*topology.BROWS, *topology.EYES, topology.LIPS_OUTER, topology.LIPS_INNER)
    away = [canonical.neutral_distances(ring) > PATTERN_REACH for ring in patterns]
    return np.asarray(np.all(away, axis=0), np.float64)


def prepare(
    image: Image,
    mesh: Array,
    folds: SourceFolds,
    body: Regions | None,
    target: Array | None = None,
) -> TurnedLight | None:
    """Measure the light of a source.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        folds: its skin.
        body: regions of its head; None lights the middle of the face alone.
        target: (468, 3), the only one for a frame of a video; None for any.

    Returns:
        None for plain colours, in which nothing is lit, and for a target that is hardly turned.
    """
    if folds.skin.max() <= 0:
        return None
    placement = align.square(bounding_box(mesh[:, :2]), SIDE, SCALE)
    placed = transform_landmarks(mesh, placement.crop_from_frame)
    grey = box_mean(np.asarray(crop(image, placement).mean(-1), np.float32), 3)
    brightness = remap(grey, placed[None, :, :2].astype(np.float32))[0]
    levels = np.log(brightness.astype(np.float64) + LEAST_LEVEL)
    rotation = canonical.decompose(mesh).rotation
    slope = _fit(levels, _neutral_normals() @ rotation.T, folds.shown * _plain_skin())
    if target is not None:
        turned = _turned(rotation, slope, canonical.decompose(target).rotation)
        if np.linalg.norm(turned) < LEAST_CHANGE:
            return None
    field = _field(placed, folds.skin, None if body is None else _head_of(body, placement, placed))
    return TurnedLight(rotation, slope, placement, field, folds.change)


def _fit(levels: Array, normals: Array, shown: Array) -> Array:
    """Fit the slope (3,) of log brightness (468,) along inward normals (468, 3); shown: (468,)."""
    weight = told = shown * np.clip(normals[:, 2] - LEAST_COSINE, 0, 1)
    fit = np.zeros(4)
    for _ in range(FIT_ROUNDS):
        fit = surface.fit_light(levels, normals, weight, RIDGE)
        weight = told / (1 + ((levels - fit[0] - normals @ fit[1:]) / OUTLIER) ** 2)
    return fit[1:]


def _head_of(body: Regions, placement: Crop, placed: Array) -> Array32:
    """Return how far pixels of the field are lit as part of the head, (S, S) in 0..1."""
    lit = body.mask_in(placement, _HEAD) - (1 - HAIR_SHARE) * body.mask_in(placement, HAIR)
    return box_mean(lit, odd_size(SOFT_HEAD * anatomy.face_height(placed)))


def _field(placed: Array, skin: Array, head: Array32 | None) -> Array32:
    """Return the field of `TurnedLight`.

    Args:
        placed: (468, 3) mesh in its pixels.
        skin: (468,) how far a point shows skin.
        head: from `_head_of`.
    """
    grid = SampleGrid(0, 0, 1, SIDE, SIDE)
    height = anatomy.face_height(placed)
    ids = raster.rasterize(placed, anatomy.TRIANGLES, drawing_order(placed), grid)
    maps = raster.linear_maps(
        placed, np.column_stack([_neutral_normals(), skin]), anatomy.TRIANGLES
    )
    values = raster.sample_maps(ids, maps, grid)
    on_mesh = ids >= 0
    away, nearest = nearest_to(on_mesh)
    values = values.reshape(-1, 4)[nearest]
    size = odd_size(SOFT_NORMALS * height)
    within = smoothstep(0.0, BORDER_WIDTH * height, distance_to(~on_mesh))
    even = box_mean(box_mean(values, size), size)
    values = even + within[..., None] * (values - even)
    share = within
    if head is not None:
        fading = 1 - smoothstep(0.0, FADING * height, away)
        share = np.where(on_mesh, np.maximum(head, within), head) * fading
    values[..., 3] *= share
    return np.asarray(values, np.float32)


def render(
    out: Image, light: TurnedLight, rotation: Array, target: Array, warp_map: WarpMap
) -> None:
    """Light a frame as its head is turned, in place.

    Args:
        out: (H, W, 3) uint8 frame.
        light: of the source.
        rotation: (3, 3) of the target's head.
        target: (468, 3) target mesh.
        warp_map: the frame's map.
    """
    turned = _turned(light.rotation, light.slope, rotation)
    if np.linalg.norm(turned) < LEAST_CHANGE:
        return
    reach = round(REACH * anatomy.face_height(target) / warp_map.grid.step)
    near = _around_face(warp_map, reach)
    matrix = light.placement.crop_from_frame
    at = shift(source_positions(near) * np.float32(matrix[0, 0]), matrix[:2, 2])
    factors = remap(_factors(light, turned), at)  # at the field's rim they are 1
    changed = np.abs(cv2.extractChannel(factors, 1) - 1) > LEAST_CHANGE
    size = out.shape[1], out.shape[0]
    for region, factor in iterate_windows(factors, changed.astype(np.float32), near.grid, size):
        out[region] = cv2.multiply(out[region], factor, dtype=cv2.CV_8U)


def _turned(own: Array, slope: Array, rotation: Array) -> Array:
    """Return the change of a slope (3,) in a head, canonical axes; own, rotation: (3, 3)."""
    return np.asarray((rotation - own).T @ slope)


def _factors(light: TurnedLight, turned: Array) -> Array32:
    """Return the factors of red, green and blue in pixels of the field, (S, S, 3).

    turned: (3,) change of the slope, canonical axes.
    """
    change = cv2.transform(light.field, np.array([[*turned, 0]], np.float32))
    change = np.float32(MOST_CHANGE) * np.tanh(change / np.float32(MOST_CHANGE))
    change = cv2.multiply(change, cv2.extractChannel(light.field, 3))
    return np.asarray(cv2.merge([cv2.exp(change * by) for by in light.change]), np.float32)


def _around_face(warp_map: WarpMap, reach: int) -> WarpMap:
    """Return the part of a map around its face; reach: samples beyond it."""
    grid = warp_map.grid
    rows, columns = warp_map.face.within(grid)
    rows = slice(max(rows.start - reach, 0), min(rows.stop + reach, grid.rows))
    columns = slice(max(columns.start - reach, 0), min(columns.stop + reach, grid.columns))
    displacement = warp_map.displacement[rows, columns]
    return replace(warp_map, grid=grid.part(rows, columns), displacement=displacement)
