"""Synthetic wearers of glasses, and what a parser sees of them."""

from __future__ import annotations

import cv2
import numpy as np

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.geometry import matrix_from_rotvec
from thcli.core.types import Array, Crop, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.engines.mesh.source_networks import ParsedSource
from thcli.faces.landmarks.topology import EYES, OVAL
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions

SIDE = 256
MESH = faces.centred_mesh(SIDE, SIDE, 0.6)
SIZE = anatomy.face_height(MESH)
FRAME, STUB = (20, 30, 25), (90, 20, 60)


def turned(mesh: Array, degrees: float) -> Array:
    """Turn a mesh about the neck."""
    middle = MESH.mean(0) + np.array([0, 0, 0.3 * SIZE])
    return np.asarray((mesh - middle) @ matrix_from_rotvec([0, np.radians(degrees), 0]).T + middle)


def lenses(mesh: Array) -> list[Array]:
    """Return the low and the high corner of both lenses, (2, 2) pixels each."""
    half = np.array([0.17, 0.12]) * SIZE
    return [
        np.stack([mesh[ring, :2].mean(0) - half, mesh[ring, :2].mean(0) + half]) for ring in EYES
    ]


def wearer(
    mesh: Array,
    *,
    dark: bool = False,
    frame: tuple[int, int, int] = FRAME,
    hair: tuple[int, int, int] | None = None,
    stub: float = 0,
) -> tuple[Image, ParsedSource]:
    """Draw a face with square glasses, and what a parser sees of it.

    hair: beside the face.  stub: face heights of the temple that is seen on the left.
    """
    image = np.full((SIDE, SIDE, 3), faces.GROUND, np.uint8)
    cv2.fillPoly(image, [np.rint(mesh[OVAL, :2]).astype(np.int32)], faces.SKIN)
    edge = np.abs(np.arange(SIDE) - mesh[168, 0]) > 0.37 * SIZE
    if hair is not None:
        image[:, edge] = hair
    worn = np.zeros((SIDE, SIDE), np.uint8)
    middle = int(mesh[168, 1])
    for low, high in (np.rint(box).astype(int) for box in lenses(mesh)):
        cv2.rectangle(image, low, high, frame, -1 if dark else 4)
        cv2.rectangle(worn, low - 2, high + 2, 1, -1)
    left, right = sorted(int(mesh[ring, 0].mean()) for ring in EYES)
    bridge = [int(v + s * 0.17 * SIZE) for v, s in ((left, 1), (right, -1))]
    for picture, colour in ((image, frame), (worn, 1)):
        cv2.line(picture, (bridge[0], middle), (bridge[1], middle), colour, 4)
    if stub:
        end = min(int(box[0, 0]) for box in lenses(mesh))
        for picture, colour in ((image, STUB), (worn, 1)):
            cv2.line(picture, (end - round(stub * SIZE), middle), (end - 2, middle), colour, 4)
    planes = np.zeros((len(CLASSES), SIDE, SIDE), np.float32)
    inside = faces.polygon_mask(mesh[OVAL, :2], SIDE, SIDE)
    planes[class_number("eye_g")] = worn
    planes[class_number("hair")] = edge & (worn == 0) & (hair is not None)
    planes[class_number("skin")] = inside & (worn == 0) & (planes[class_number("hair")] == 0)
    planes[0] = 1 - planes.sum(0)
    regions = Regions(Crop(np.eye(3), (SIDE, SIDE)), planes)
    return image, ParsedSource(regions, regions)


def source(image: Image, parsed: ParsedSource, mesh: Array = MESH) -> MeshSource:
    return prepare(image, faces.make_face(mesh), None, parsed=parsed)
