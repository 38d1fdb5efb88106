"""Synthetic sources and targets for the renderer's tests.

One source is the mean face drawn as flat polygons, the other is scikit-image's astronaut with her
stored mesh.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.geometry import bounding_box, matrix_from_rotvec
from thcli.core.types import Array, Array32, Face, Image
from thcli.engines.mesh import prepared_source
from thcli.engines.mesh.anatomy import CHIN, EYES, FOREHEAD, LIPS
from thcli.engines.mesh.background.persons import SeenPersons
from thcli.engines.mesh.opening import fit_opening
from thcli.faces.landmarks import topology
from thcli.motion.canonical import neutral
from thcli.motion.render_target import RenderTarget

SKIN, INSIDE, WHITE, IRIS, GROUND = (
    (205, 160, 140),
    (250, 250, 245),
    (235, 235, 230),
    (40, 60, 90),
    (60, 110, 70),
)


def centred_mesh(width: int, height: int, share: float = 0.45) -> Array:
    """Place the mean face, eyes open and lips together, in the middle of an image.

    share: height of the face over that of the image.
    """
    face = neutral()
    scale = share * height / float(np.linalg.norm(face[FOREHEAD] - face[CHIN]))
    return np.asarray(face * scale + ((width - 1) / 2, (height - 1) / 2, 0.0))


def iris_points(mesh: Array) -> Array:
    """Place (2, 5, 2) iris points in the middle of each eye, with a radius of 0.2 eye widths."""
    out = []
    for ring in EYES:
        middle, width = (
            mesh[ring, :2].mean(0),
            np.linalg.norm(mesh[ring[8], :2] - mesh[ring[0], :2]),
        )
        out.append(middle + 0.2 * width * np.array([[0, 0], [1, 0], [0, -1], [-1, 0], [0, 1]]))
    return np.stack(out)


def make_face(mesh: Array, iris: npt.NDArray[np.floating] | None = None) -> Face:
    return Face(
        bounding_box(mesh),
        1.0,
        None,
        mesh.astype(np.float32),
        None if iris is None else iris.astype(np.float32),
        25.0,
    )


def render_face(mesh: Array, width: int, height: int, *, plain: bool = False) -> Image:
    """Draw a mesh: skin, eyes and lips as flat polygons over a ground with lines, none at an edge.

    plain: skin colour only.
    """
    if plain:
        return np.full((height, width, 3), SKIN, np.uint8)
    out = np.full((height, width, 3), GROUND, np.uint8)
    step = max(8, height // 16)
    out[step // 2 :: step] = (200, 200, 60)

    def fill(ring: npt.NDArray[np.integer], colour: tuple[int, int, int]) -> None:
        cv2.fillPoly(out, [np.rint(mesh[ring, :2] * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)

    fill(topology.OVAL, SKIN)
    fill(topology.LIPS_OUTER, (170, 80, 80))
    fill(LIPS, INSIDE)
    for ring, iris in zip(EYES, iris_points(mesh), strict=True):
        fill(ring, WHITE)
        radius = float(np.linalg.norm(iris[1] - iris[0]))
        ball = out.copy()
        cv2.circle(
            ball,
            tuple(int(v) for v in np.rint(iris[0] * 16)),
            round(radius * 16),
            IRIS,
            -1,
            cv2.LINE_AA,
            4,
        )
        inside = polygon_mask(mesh[ring, :2], width, height)
        out[inside] = ball[inside]
    return out


def add_relief(image: Image) -> Image:
    """Return an image with the grain and the uneven light of a photograph, unlike drawings."""
    grain = np.random.default_rng(1).normal(0, 1, image.shape[:2])
    uneven = cv2.GaussianBlur(grain, (0, 0), image.shape[1] / 40)
    relief = np.exp(0.05 * grain + 0.06 * uneven / uneven.std())
    return np.asarray(np.clip(relief[..., None] * image, 0, 255), np.uint8)


def polygon_mask(points: Array, width: int, height: int, grow: int = 0) -> npt.NDArray[np.bool_]:
    """Fill a polygon, dilated (or eroded) by `grow` pixels: (height, width) bool."""
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.rint(points * 16).astype(np.int32)], (1,), cv2.LINE_8, 4)
    if grow:
        size = (2 * abs(grow) + 1,) * 2
        mask = np.asarray(
            (cv2.dilate if grow > 0 else cv2.erode)(mask, np.ones(size, np.uint8)), np.uint8
        )
    return np.asarray(mask > 0)


def make_source(
    width: int = 256,
    height: int = 256,
    *,
    plain: bool = False,
    person: Array32 | None = None,
    share: float = 0.45,
) -> prepared_source.MeshSource:
    """Draw and prepare a source; one without a person is prepared once, and must not be changed."""
    if person is None:
        return _source_alone(width, height, plain=plain, share=share)
    return _prepare_drawn(width, height, plain=plain, person=person, share=share)


@cache
def _source_alone(
    width: int, height: int, *, plain: bool, share: float
) -> prepared_source.MeshSource:
    source = _prepare_drawn(width, height, plain=plain, person=None, share=share)
    for array in (source.image, source.mesh):
        array.flags.writeable = False
    return source


def _prepare_drawn(
    width: int, height: int, *, plain: bool, person: Array32 | None, share: float
) -> prepared_source.MeshSource:
    mesh = centred_mesh(width, height, share)
    seen = None if person is None else SeenPersons(person)
    return prepared_source.prepare(
        render_face(mesh, width, height, plain=plain), make_face(mesh, iris_points(mesh)), seen
    )


@cache
def astronaut(matte: bool = True, *, cut: bool = False) -> prepared_source.MeshSource:
    from skimage import data

    image = np.asarray(data.astronaut(), np.uint8)  # type: ignore[no-untyped-call]  # untyped

    with np.load(Path(__file__).parent / "astronaut.npz") as known:
        person = known["person"].astype(np.float32) / 255
        face = make_face(known["mesh"].astype(np.float64), known["iris"])
    persons = SeenPersons(person, cut=cut) if matte else None
    return prepared_source.prepare(image, face, persons)


def rest_target(source: prepared_source.MeshSource) -> RenderTarget:
    return RenderTarget(source.mesh, np.zeros((2, 2)), np.ones(2))


def make_target(
    source: prepared_source.MeshSource,
    *,
    turn: tuple[float, float, float] = (0, 0, 0),
    grow: float = 1.0,
    shift: tuple[float, float] = (0, 0),
    mouth: float = 0.0,
    lids: float = 1.0,
    gaze: float = 0.0,
) -> RenderTarget:
    """Create a target of a source.

    Args:
        turn: degrees about x (nod), y and z.
        grow: scale.
        shift: right and down, in face heights.
        mouth: gap in lip widths.
        lids: gap over the source's own.
        gaze: shift of the irises along the eye, in eye widths.
    """
    mesh = source.mesh.copy()
    face_size = float(np.linalg.norm(mesh[FOREHEAD, :2] - mesh[CHIN, :2]))
    wide = float(np.linalg.norm(mesh[LIPS[10], :2] - mesh[LIPS[0], :2]))
    lower, upper = topology.LIPS.lower, topology.LIPS.upper
    profile = np.sin(np.linspace(0.3, np.pi - 0.3, len(lower)))
    drop = mouth * wide * profile - (mesh[lower, 1] - mesh[upper, 1])
    mesh[lower, 1] += drop
    # the points below follow, most of all in the middle
    middle = source.mesh[LIPS, :2].mean(0)
    below = (source.mesh[:, 1] > middle[1]) & ~np.isin(np.arange(len(mesh)), LIPS)
    mesh[below, 1] += drop[4] * np.exp(-(((source.mesh[below, 0] - middle[0]) / (0.7 * wide)) ** 2))
    for lid in topology.LIDS:
        mesh[lid.upper] = mesh[lid.lower] + lids * (mesh[lid.upper] - mesh[lid.lower])
    pivot = source.mesh.mean(0)
    rotation = matrix_from_rotvec(np.radians(turn))
    mesh = (mesh - pivot) @ rotation.T * grow + pivot
    mesh[:, :2] += np.array(shift) * face_size
    return RenderTarget(mesh, np.full((2, 2), (gaze, 0.0)), np.full(2, lids))


def purse(mesh: Array, ratio: float) -> Array:
    """Return a mesh whose mouth has a share of its width, with the skin around it."""
    lips = fit_opening(mesh, LIPS)
    local = lips.to_local(mesh[:, :2])
    near = np.exp(-(np.abs(local[:, 1]) ** 2) / 0.4)
    moved = mesh.copy()
    shift = (ratio - 1) * (local[:, 0] - 0.5) * near * (np.abs(local[:, 0] - 0.5) < 0.8)
    moved[:, :2] += shift[:, None] * lips.axes[0]
    return moved
