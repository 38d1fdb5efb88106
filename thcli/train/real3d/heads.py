"""Known heads: photographs as textures of the 468-point mesh, drawn from any camera.

A head is known exactly, so every view of it is a true view, and every expression has its true PNCC.
differs from Real3D-Portrait sec. 3.1, whose views come from a generator of faces (EG3D) under
NVIDIA's licence, and sec. 3.2, whose motion is that of a licensed face model: here the mesh and its
expressions are this project's own, a face without neck and hair.

Axes and units are those of `faces.model3d.bfm`: x right, y up, z to the camera, decimetres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from thcli import media
from thcli.core.errors import MediaError
from thcli.core.events import Listener, Warned
from thcli.core.options import FaceOptions, RunOptions
from thcli.core.types import Array, Array32, Image
from thcli.evaluate.metrics.tracker import main_face_tracker
from thcli.faces.landmarks import topology
from thcli.faces.model3d.bfm.camera import FOCAL, SIDE, rotation_from_euler
from thcli.faces.model3d.bfm.raster import rasterise
from thcli.media.reading.image import list_images
from thcli.motion.canonical import decompose, neutral
from thcli.motion.sliders import load_slider_shapes

MESH_SUFFIX = ".mesh.npy"  # of a file beside a photograph, (468, 3) pixels
UNIT = 0.95  # decimetres of a canonical unit, the distance of the outer eye corners
TEXTURE = 256  # side of a stored texture in pixels
BLACK = -1.0
TRIANGLES = np.concatenate([topology.TRIANGLES, topology.EYE_TRIANGLES]).astype(np.int64)
OPEN_TRIANGLES = topology.TRIANGLES.astype(np.int64)  # as a PNCC has them, eyes open
ZOOM = (2985.29 / 700) / (FOCAL / SIDE)  # the renderer's focal length over the rasteriser's
HINT = "Give a folder of photographs with one large face each."


@cache
def expression_basis() -> Array32:
    """Return displacements of the mesh by each coefficient at 1, (E, 468, 3) decimetres.

    They are jaw, smile, wide, brow, and principal shapes of speech.
    """
    shapes = load_slider_shapes()
    rows = np.concatenate(
        [np.stack([shapes.jaw, shapes.smile, shapes.wide, shapes.brow]), shapes.speech]
    )
    return _to_model(rows, origin=0)


def random_expression(rng: np.random.Generator) -> Array32:
    """Draw coefficients (E,): an open jaw, a smile, and some speech."""
    sliders = rng.uniform([0, 0, -0.5, 0], [1, 0.7, 0.5, 1])
    speech = rng.normal(0, 0.7, len(expression_basis()) - len(sliders))
    return np.concatenate([sliders, speech]).astype(np.float32)


def _to_model(points: Array, origin: float) -> Array32:
    """Convert canonical points (y down, z away) to the model's axes; `origin` is their middle y."""
    moved = np.asarray(points, np.float64) - np.array([0, origin, 0])
    return np.asarray(moved * np.array([UNIT, -UNIT, -UNIT]), np.float32)


@cache
def _middle() -> float:
    return float(neutral()[:, 1].mean())


@dataclass(frozen=True)
class KnownHead:
    """One head.

    name: of its photograph.  shape: (468, 3) neutral mesh, decimetres.  texture: (T, T, 3) in
    [-1, 1].  places: (468, 2) column and row of each point in the texture's pixels.
    """

    name: str
    shape: Array32
    texture: Array32
    places: Array32

    def posed(self, expression: Array32, euler: Array32, trans: Array32) -> Array32:
        """Return the points (468, 3) in an expression (E,) and a pose, for the rasteriser."""
        shape = self.shape + np.tensordot(expression, expression_basis(), 1)
        return head_points(shape @ rotation_from_euler(euler)[0] + trans)


def head_points(points: Array) -> Array32:
    """Scale posed points (N, 3) so that the rasteriser's camera sees them as the renderer's."""
    return np.asarray(points * np.array([ZOOM, ZOOM, 1.0]), np.float32)


def make_head(name: str, photograph: Image, mesh: Array) -> KnownHead:
    """Make a head from a photograph (H, W, 3) uint8 and its face's mesh (468, 3) in pixels.

    The expression on the photograph is taken for the neutral one.
    """
    low, high = mesh[:, :2].min(0), mesh[:, :2].max(0)
    side = float((high - low).max()) * 1.1
    corner = (low + high - side) / 2
    scale = TEXTURE / side
    to_texture = np.array(
        [[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]], np.float64
    )
    pixels = cv2.warpAffine(
        photograph,
        to_texture,
        (TEXTURE, TEXTURE),
        flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    shape = decompose(mesh).shape
    places = (mesh[:, :2] - corner) * scale
    return KnownHead(
        name,
        _to_model(shape, _middle()),
        pixels.astype(np.float32) / 127.5 - 1,
        places.astype(np.float32),
    )


def read_heads(folder: Path, on: Listener, *, offline: bool = False) -> list[KnownHead]:
    """Make a head from every photograph of a folder.

    A mesh beside the photograph (NAME.mesh.npy) is used if it exists; otherwise the face is found.

    Raises:
        MediaError: the folder has no photograph with a face, or a file cannot be read.
        WeightsError: the weights that find faces are missing.
    """
    if not folder.is_dir():
        raise MediaError(f"{folder} is not a folder of photographs.", HINT)
    heads = []
    tracker = None
    for path in list_images(folder):
        photograph, beside = media.read_image(path), path.with_suffix(MESH_SUFFIX)
        if beside.is_file():
            heads.append(make_head(path.name, photograph, _read_mesh(beside)))
            continue
        tracker = tracker or main_face_tracker(FaceOptions(), RunOptions(offline=offline))
        face = tracker()(photograph)
        if face is None or face.mesh is None:
            on(Warned(f"{path.name} shows no face and is left out."))
            continue
        heads.append(make_head(path.name, photograph, np.asarray(face.mesh, np.float64)))
    if not heads:
        raise MediaError(f"{folder} has no photograph with a face.", HINT)
    return heads


def _read_mesh(path: Path) -> Array:
    try:
        mesh = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as exc:
        raise MediaError(f"{path} is not an array: {exc}.", HINT) from exc
    if mesh.shape != (topology.POINTS, 3) or not np.isfinite(mesh).all():
        raise MediaError(f"{path} is not a mesh of 468 points in pixels.", HINT)
    return np.asarray(mesh, np.float64)


@dataclass(frozen=True)
class View:
    """A head from a camera.

    image: (3, S, S) in [-1, 1], black around.  mask: (1, S, S) 1 on the head.  lips: (1, S, S) 1
    on lips and mouth.
    """

    image: Array32
    mask: Array32
    lips: Array32


def draw_view(
    head: KnownHead, expression: Array32, euler: Array32, trans: Array32, size: int
) -> View:
    """Draw a head in an expression (E,) and a pose, as the volume renderer's camera sees it.

    The camera is that of `bfm.camera.cameras_from_pose`.

    Args:
        head: the head.
        expression: (E,) coefficients.
        euler: (3,) radians.
        trans: (3,) decimetres.
        size: side of the view in pixels.
    """
    posed = head.posed(expression, euler, trans)
    columns = np.concatenate([head.places, _lip_shares()[:, None]], 1).astype(np.float32)
    drawn = rasterise(posed[None], TRIANGLES, columns, size, threads=1)
    mask = np.asarray(drawn.triangles[0] >= 0, np.float32)
    column, row, lips = drawn.colours[0]
    image = cv2.remap(
        head.texture, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).transpose(2, 0, 1)
    image = np.where(mask > 0, image, np.float32(BLACK))
    return View(np.asarray(image, np.float32), mask[None], _mouth(lips)[None])


def _mouth(lips: Array32) -> Array32:
    """Fill the hull of the lips' pixels: (S, S) of 0 and 1."""
    out = np.zeros(lips.shape, np.float32)
    points = np.argwhere(lips > 0.5)[:, ::-1].astype(np.int32)
    if len(points):
        cv2.fillConvexPoly(out, cv2.convexHull(np.ascontiguousarray(points)), 1.0)
    return out


@cache
def _lip_shares() -> Array32:
    shares = np.zeros(topology.POINTS, np.float32)
    for group in (topology.LIPS_OUTER, topology.LIPS_INNER):
        shares[group] = 1
    return shares


def draw_pncc(heads: Sequence[KnownHead], expressions: Array32, size: int) -> Array32:
    """Draw the PNCC image of each head in its expression (B, E): (B, 3, size, size) in [-1, 1].

    Colours are the normalised coordinates of the neutral mean mesh; the pose is frontal.
    """
    mean = _to_model(neutral(), _middle())
    low, high = mean.min(0), mean.max(0)
    colours = (2 * (mean - low) / (high - low) - 1).astype(np.float32)
    shapes = np.stack([head.shape for head in heads])
    vertices = shapes + np.tensordot(expressions, expression_basis(), 1)
    drawn = rasterise(vertices.astype(np.float32), OPEN_TRIANGLES, colours, size, threads=1)
    return np.where(drawn.triangles[:, None] >= 0, drawn.colours, np.float32(BLACK))
