"""What the renderer needs to know of a source, found once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.errors import NoFaceError
from thcli.core.types import Array, Array32, Face, Image
from thcli.engines.mesh import eyes, matte, mirrored_cheek, mouth, mouth_interior
from thcli.engines.mesh.eyes import Eye
from thcli.engines.mesh.matte import Cut
from thcli.engines.mesh.mirrored_cheek import Mirror
from thcli.engines.mesh.mouth_interior import Inside
from thcli.engines.mesh.surroundings import Surroundings, pushed_oval
from thcli.engines.mesh.warp import step_for

PARTED = 0.02  # gap / width of lips that show what lies between them


@dataclass(frozen=True, slots=True)
class MeshSource:
    """A source picture and all that is known of it. Read-only: threads may share it.

    picture: (H, W, 3) uint8.  face: with its mesh, in pixels of the picture.  mesh: (468, 3) float64.  step: source pixels a sample
    of the map.  cut: person and plate, or None.  hidden: the mirrored half, or None when both are seen.  tone: (3,) skin colour.
    inside: of the mouth.  seam: (3,) colour of the line between the lips once they close, None when they are closed.
    """

    picture: Image
    face: Face
    mesh: Array
    step: int
    around: Surroundings
    cut: Cut | None
    eyes: tuple[Eye, ...]
    hidden: Mirror | None
    tone: Array
    inside: Inside
    seam: Array | None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.picture.shape[1], self.picture.shape[0]


def prepare(picture: Image, face: Face, person: Array32 | None) -> MeshSource:
    """Looks at a source picture (H, W, 3) uint8.

    person: (h, w) 0..1, how likely each pixel belongs to a person; None leaves the background on the mesh's own map.
    Raises NoFaceError when the face has no mesh.
    """
    if face.mesh is None:
        raise NoFaceError(
            "The source's face has no mesh.", "Choose another picture, or another landmarker."
        )
    mesh = np.asarray(face.mesh, np.float64)
    picture = np.ascontiguousarray(picture)
    found = None if person is None else matte.cut(picture, person, mesh)
    tone = mouth.tone(picture, mesh)
    inside = mouth_interior.prepare(mesh, tone)
    oval, edge = pushed_oval(mesh), float(picture.shape[0] - 1)
    around = (
        Surroundings(oval, edge, False)
        if found is None
        else Surroundings(oval, edge, True, found[1], found[2])
    )
    return MeshSource(
        picture,
        face,
        mesh,
        step_for(mesh),
        around,
        None if found is None else found[0],
        eyes.of_face(picture, mesh, face.iris, tone),
        mirrored_cheek.prepare(picture, mesh),
        tone,
        inside,
        mouth.seam(picture, mesh) if inside.lips.gap > PARTED else None,
    )
