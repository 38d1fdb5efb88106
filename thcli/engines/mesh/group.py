"""Several persons of one picture who move, peeled off it from the nearest to the farthest.

Each is separated from the picture that those before it left (its plate), so that what one of them
uncovers is the next one, where that stands behind it, and nobody where nobody does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from thcli.core.protocols import EncodedGroup
from thcli.core.types import Array, Face, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.background.border import find_border
from thcli.engines.mesh.background.close_view import See
from thcli.engines.mesh.background.owners import Owners
from thcli.engines.mesh.background.persons import SeenPersons
from thcli.engines.mesh.prepared_source import MeshSource

SIZE_WEIGHT = 2.0  # usual face heights by which a chin is lower that make up for half the size

Prepare = Callable[[Image, Face, SeenPersons], MeshSource]


def peel(
    image: Image,
    faces: Sequence[Face],
    driven: Sequence[bool],
    see: See,
    prepare: Prepare,
    *,
    cut: bool,
) -> EncodedGroup:
    """Encode the persons of a picture who move as layers; see `GroupEngine.encode_group`.

    Args:
        image: (H, W, 3) uint8.
        faces: every face of the image, each with its mesh.
        driven: whether each of them moves.
        see: see `close_view`.
        prepare: prepares a face of a picture.
        cut: they are cut out, as those who stay are, for another background.
    """
    border = find_border(image, see(image))
    picture = image if border is None else border.extend_inside()
    meshes = [np.asarray(face.mesh, np.float64) for face in faces]
    order = nearest_first(meshes)
    owners = Owners.find(picture, see, [meshes[number] for number in order])
    layers: list[tuple[int, MeshSource]] = []
    for place, number in enumerate(order):
        if not driven[number]:
            continue
        source = prepare(picture, faces[number], owners.persons(place, cut=cut))
        if source.layers is not None and source.layers.behind is not None:
            owners = owners.without(source.layers.person)
            picture = source.layers.behind
            source = replace(source, layers=replace(source.layers, behind=None))
        layers.append((number, replace(source, border=border)))
    if cut:
        picture = owners.cut_out_rest(
            picture, [place for place, n in enumerate(order) if driven[n]]
        )
    elif border is not None:
        picture = picture.copy()
        border.render(picture)
    whole = frozenset(number for number, source in layers if source.layers is None)
    return EncodedGroup(picture, tuple(reversed(layers)), whole)


def nearest_first(meshes: Sequence[Array]) -> list[int]:
    """Return the numbers of meshes (468, 3), from the nearest person to the farthest.

    Who stands in front is larger, or lower in the picture: those behind look over their heads.
    """
    heights = np.array([anatomy.face_height(mesh) for mesh in meshes])
    chins = np.array([mesh[anatomy.CHIN, 1] for mesh in meshes])
    nearness = chins / np.median(heights) + SIZE_WEIGHT * np.log2(heights)
    return [int(number) for number in np.argsort(-nearness, kind="stable")]
