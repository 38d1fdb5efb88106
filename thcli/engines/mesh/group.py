"""Several persons of one picture who move, peeled off it from the nearest to the farthest.

Each is separated from the picture that those before it left (its plate), so that what one of them
uncovers is the next one, where that stands behind it, and nobody where nobody does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from thcli.core.protocols import EncodedGroup
from thcli.core.types import Array32, Face, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.background.border import find_border
from thcli.engines.mesh.background.owners import Owners
from thcli.engines.mesh.background.persons import SeenPersons
from thcli.engines.mesh.prepared_source import MeshSource

# Doublings of a face's size that count as much as a chin that is lower by one usual face height
SIZE_WEIGHT = 2.0

Prepare = Callable[[Image, Face, SeenPersons], MeshSource]


def peel(
    image: Image,
    faces: Sequence[Face],
    driven: Sequence[bool],
    see: Callable[[Image], Array32],
    prepare: Prepare,
) -> EncodedGroup:
    """Encode the persons of a picture who move as layers; see `GroupEngine.encode_group`.

    Args:
        image: (H, W, 3) uint8.
        faces: every face of the image, each with its mesh.
        driven: whether each of them moves.
        see: gives the probability (h, w) of a person in 0..1 in a picture.
        prepare: prepares a face of a picture.
    """
    border = find_border(image, see(image))
    picture = image if border is None else border.extend_inside()
    order = nearest_first(faces)
    meshes = [np.asarray(faces[number].mesh, np.float64) for number in order]
    owners = Owners.find(picture, see, meshes)
    layers: list[tuple[int, MeshSource]] = []
    for place, number in enumerate(order):
        if not driven[number]:
            continue
        persons = SeenPersons(
            owners.seen[place], owners.share(place), fill=partial(owners.fill, place)
        )
        source = prepare(picture, faces[number], persons)
        if source.layers is not None:
            owners = owners.without(source.layers.person)
            picture, source = source.layers.plate, _alone(source)
        layers.append((number, replace(source, border=border)))
    if border is not None:
        picture = picture.copy()
        border.render(picture)
    return EncodedGroup(picture, tuple(reversed(layers)))


def nearest_first(faces: Sequence[Face]) -> list[int]:
    """Return the numbers of faces (each with a mesh), from the nearest person to the farthest.

    Who stands in front is larger, or lower in the picture: those behind look over their heads.
    """
    meshes = [np.asarray(face.mesh, np.float64) for face in faces]
    heights = np.array([anatomy.face_height(mesh) for mesh in meshes])
    chins = np.array([mesh[anatomy.CHIN, 1] for mesh in meshes])
    nearness = chins / np.median(heights) + SIZE_WEIGHT * np.log2(heights)
    return [int(number) for number in np.argsort(-nearness, kind="stable")]


def _alone(source: MeshSource) -> MeshSource:
    """Return a source whose frames show its person alone, with its alpha."""
    layers = source.layers
    assert layers is not None
    alone = replace(layers, plate=np.zeros_like(layers.plate), cut=True)
    return replace(source, image=np.ascontiguousarray(layers.person[..., :3]), layers=alone)
