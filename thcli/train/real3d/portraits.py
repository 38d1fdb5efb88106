"""Known portraits: a known head on a made body before a made background.

differs from Real3D-Portrait, which learns torso and background from videos: neck and shoulders are
one surface of a plain colour and a pattern, both drawn from the head's texture as random numbers.
They follow the head's translation and a share of its rotation, as shoulders do.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.types import Array, Array32, Image
from thcli.engines.real3d.pictures.segments import BACKGROUND, BODY_SKIN, CLOTHES, FACE_SKIN
from thcli.faces.landmarks.landmarks68 import landmarks68
from thcli.faces.model3d.bfm.camera import rotation_from_euler
from thcli.faces.model3d.bfm.model import Indices
from thcli.faces.model3d.bfm.raster import project_pixels, rasterise
from thcli.train.real3d.heads import KnownHead, View, draw_view, head_points

FOLLOW = 0.3  # share of the head's rotation that the body has
ROWS, COLUMNS = 28, 33
TOP, COLLAR, SLOPE_END, BOTTOM = 0.4, -0.15, -0.5, -1.6  # decimetres above the chin
NECK, SHOULDERS = 0.55, 1.9  # half widths in those of the face
FLAT = 0.6  # half depth over half width
PATTERN = 6  # cells of a pattern's side
SKIN_BAND = slice(96, 160)  # rows and columns of a texture that show skin


@dataclass(frozen=True)
class KnownBody:
    """Neck, shoulders and background of a head.

    vertices: (N, 3) decimetres, in the head's axes.  triangles: (F, 3).  colours: (N, 4), clothes
    as RGB in [-1, 1] and 1 where they are, 0 on the neck.  skin: (3,) of the neck.  backdrop:
    (P, P, 3) uint8 pattern.
    """

    vertices: Array32
    triangles: Indices
    colours: Array32
    skin: Array32
    backdrop: Image


@dataclass(frozen=True)
class Portrait:
    """A portrait from a camera.

    image: (S, S, 3) uint8.  segments: (S, S) uint8 of `engines.real3d.pictures`.  head: the head
    alone.  keypoints: (68, 3) landmarks in [-1, 1], z 0.
    """

    image: Image
    segments: Image
    head: View
    keypoints: Array32


def make_body(head: KnownHead) -> KnownBody:
    """Make the body of a head; it follows from the head's texture alone."""
    digest = hashlib.sha256(head.texture.tobytes()).digest()
    rng = np.random.default_rng(list(digest[:8]))
    low, high = head.shape.min(0), head.shape.max(0)
    chin, half, back = float(low[1]), float(high[0] - low[0]) / 2, float(low[2])
    height = np.linspace(TOP, BOTTOM, ROWS)
    spread = np.clip((COLLAR - height) / (COLLAR - SLOPE_END), 0, 1)
    width = half * (NECK + (SHOULDERS - NECK) * spread**2 * (3 - 2 * spread))
    angle = np.linspace(-np.pi / 2, np.pi / 2, COLUMNS)
    grid = np.stack(
        [
            width[:, None] * np.sin(angle),
            np.repeat((chin + height)[:, None], COLUMNS, 1),
            back + FLAT * width[:, None] * np.cos(angle),
        ],
        -1,
    )
    pattern = _pattern(rng, (COLUMNS, ROWS))
    clothed = np.repeat((height < COLLAR)[:, None, None], COLUMNS, 1)
    colours = np.concatenate([pattern, clothed], -1).astype(np.float32)
    skin = np.median(head.texture[SKIN_BAND, SKIN_BAND].reshape(-1, 3), 0)
    backdrop = rng.integers(0, 256, (PATTERN, PATTERN, 3)).astype(np.uint8)
    return KnownBody(
        grid.reshape(-1, 3).astype(np.float32),
        _grid_triangles(ROWS, COLUMNS),
        colours.reshape(-1, 4),
        np.asarray(skin, np.float32),
        backdrop,
    )


def _pattern(rng: np.random.Generator, size: tuple[int, int]) -> Array:
    """Draw a smooth pattern (rows, columns, 3) in [-1, 1]; `size` is columns and rows."""
    cells = rng.uniform(-1, 1, (PATTERN, PATTERN, 3))
    return np.asarray(cv2.resize(cells, size, interpolation=cv2.INTER_LINEAR), np.float64)


def _grid_triangles(rows: int, columns: int) -> Indices:
    """Return the triangles (F, 3) of a grid of vertices."""
    first = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    upper = np.stack([first, first + 1, first + columns], 1)
    lower = np.stack([first + 1, first + columns + 1, first + columns], 1)
    return np.concatenate([upper, lower]).astype(np.int64)


def draw_portrait(
    head: KnownHead,
    body: KnownBody,
    expression: Array32,
    pose: tuple[Array32, Array32],
    size: int,
) -> Portrait:
    """Draw a head and its body, as the volume renderer's camera sees the head.

    Args:
        head: the head.
        body: its body.
        expression: (E,) coefficients.
        pose: (3,) angles in radians and (3,) decimetres, of the head.
        size: side of the image in pixels.
    """
    euler, trans = pose
    view = draw_view(head, expression, euler, trans, size)
    turned = body.vertices @ rotation_from_euler(FOLLOW * euler)[0] + trans
    drawn = rasterise(head_points(turned)[None], body.triangles, body.colours, size, threads=1)
    seen, clothed = drawn.triangles[0] >= 0, drawn.colours[0, 3] > 0.5
    torso = np.where(clothed[..., None], drawn.colours[0, :3].transpose(1, 2, 0), body.skin)
    behind = cv2.resize(body.backdrop, (size, size), interpolation=cv2.INTER_CUBIC)
    image = np.where(seen[..., None], _to_pixels(torso), behind)
    on_head = (view.mask[0] > 0) | (view.lips[0] > 0)  # an open mouth is dark inside
    image = np.where(on_head[..., None], _to_pixels(view.image.transpose(1, 2, 0)), image)
    segments = np.where(seen, np.where(clothed, CLOTHES, BODY_SKIN), BACKGROUND)
    segments = np.where(on_head, FACE_SKIN, segments)
    return Portrait(
        np.ascontiguousarray(image),
        np.asarray(segments, np.uint8),
        view,
        _keypoints(head, expression, pose, size),
    )


def _to_pixels(values: Array32) -> Image:
    return np.asarray(np.clip(np.round((values + 1) * 127.5), 0, 255), np.uint8)


def _keypoints(
    head: KnownHead, expression: Array32, pose: tuple[Array32, Array32], size: int
) -> Array32:
    """Return the landmarks (68, 3) of a drawn head in [-1, 1], z 0, limited as the engine's are."""
    column, row, _ = project_pixels(head.posed(expression, *pose), size)
    mesh = np.stack([column, row, np.zeros_like(column)], 1)
    places = (2 * landmarks68(mesh) + 1) / size - 1
    places[:, 2] = 0
    return np.asarray(np.clip(places, -1, 1), np.float32)
