"""A drawn source that is turned, with an ear, cloth, hair or a hand beside its face."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array32, Crop
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.background.persons import SeenPersons
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.engines.mesh.source_networks import ParsedSource
from thcli.faces.detection.hands import NO_HANDS
from thcli.faces.landmarks.topology import OVAL
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions

SIDE = 320
EAR, CLOTH, HAIR, HELD = (30, 40, 220), (240, 240, 0), (60, 0, 60), (0, 240, 240)
MARK = (0, 255, 0)


@cache
def source(
    angle: float,
    shift: float = 0,
    *,
    hair_on: str = "",
    rim: int = 0,
    collar: float = 0,
    seen: str = "",
    lower: str = "cloth",
) -> MeshSource:
    """Draw a face turned by an angle, an ear beside its near cheek and cloth below that side.

    shift: of the face, shares of the width.  hair_on: "near", from the ear to the picture's edge,
    "far", from the other cheek, or both.  rim: pixels of the cloth that the parser misses.
    collar: face heights by which cloth rises.  seen: "held", a thing above the ear, of the person
    for the matte alone; "no jaw", the parser takes that for background; "masked", it is dark, too;
    "marked", the far cheek's rim is of another colour; "hand", a hand beside the far cheek, "thing"
    if it is not told as one.  lower: region of the cloth.
    """
    mesh = faces.make_target(faces.make_source(SIDE, SIDE), turn=(0, angle, 0)).points
    mesh[:, 0] += shift * SIDE
    image = faces.render_face(mesh, SIDE, SIDE)
    image[(image == (200, 200, 60)).all(-1)] = faces.GROUND
    face = faces.polygon_mask(mesh[OVAL, :2], SIDE, SIDE)
    size, chin = anatomy.face_height(mesh), mesh[anatomy.CHIN]
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    near = 1 if mesh[4, 0] < mesh[OVAL, 0].mean() else -1
    edge = mesh[OVAL, 0].max() if near > 0 else mesh[OVAL, 0].min()
    if seen == "marked":
        inner = faces.polygon_mask(mesh[OVAL, :2], SIDE, SIDE, grow=-7)
        image[face & ~inner & (near * (x - mesh[4, 0]) < 0) & (y > mesh[4, 1])] = MARK
    beside = (abs(x - edge) < 0.12 * size) & (abs(y - mesh[4, 1]) < 0.2 * size) & ~face
    below = (near * (x - chin[0]) > 0) & (y > chin[1] + (0.05 - collar) * size) & ~face
    level = abs(y - mesh[4, 1]) < 0.2 * size
    hair = ("near" in hair_on) & (near * (x - edge) > 0) & level & ~beside & ~face & ~below
    far = (near * (x - mesh[4, 0]) < 0) & level & ~face
    hair |= ("far" in hair_on) & far
    image[beside], image[below], image[hair] = EAR, CLOTH, HAIR
    thing = (
        (seen == "held")
        & (near * (x - edge) > 0.1 * size)
        & (abs(y - mesh[4, 1] + 0.35 * size) < 20)
    )
    hand = np.zeros_like(face)
    low, high = sorted(mesh[4, 0] - near * np.array([0.4, 0.75]) * size)
    if seen in {"hand", "thing"}:
        hand = (x > low) & (x < high) & (abs(y - mesh[4, 1] - 0.1 * size) < 0.12 * size) & ~face
    thing |= hand
    image[thing] = HELD
    person = (face | beside | below | hair | thing).astype(np.float32)
    planes: Array32 = np.zeros((len(CLASSES), SIDE, SIDE), np.float32)
    jaw = face & (y > mesh[4, 1])
    skin = face & ~((seen in {"no jaw", "masked"}) & jaw)
    if seen == "masked":
        image[jaw] //= 6
    planes[0] = (1 - person) + thing + (face & ~skin)
    planes[class_number("skin")] = skin
    planes[class_number("l_ear")] = beside
    missed = np.ones((2 * rim + 1, 2 * rim + 1), np.uint8)
    planes[class_number(lower)] = cv2.erode(below.astype(np.uint8), missed)
    planes[class_number("hair")] = hair
    regions = Regions(Crop(np.eye(3), (SIDE, SIDE)), planes)
    hands = NO_HANDS
    if seen == "hand":
        rows, columns = np.nonzero(hand)
        ends = np.array(
            [(a, b) for a in (columns.min(), columns.max()) for b in (rows.min(), rows.max())]
        )
        hands = np.resize(ends, (1, 21, 2)).astype(np.float64)
    parsed = ParsedSource(regions, regions, hands)
    made_face = faces.make_face(mesh, faces.iris_points(mesh))
    return prepare(image, made_face, SeenPersons(person), parsed=parsed)
