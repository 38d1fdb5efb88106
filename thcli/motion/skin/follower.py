"""Tracked faces whose landmarks stay on the same skin from frame to frame.

The landmarks of a network are off by half a percent of the eye distance, in another way in each
frame. The pixels of the skin tell where the points of an earlier frame, the template, have gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from thcli.core.types import Array, Face
from thcli.faces.landmarks.topology import EYE_CORNERS
from thcli.motion.canonical import decompose
from thcli.motion.skin.patches import Pixels, SkinPatches, SkinView

# Turn in radians, and log of the size, beyond which a template no longer serves
NEAR_TURN, NEAR_ZOOM = np.radians(12.0), 0.3
MOST_TEMPLATES = 8  # of a face; the one that was not used for longest goes first
MOST_TRACKS = 16  # beyond those that a frame shows
CONFIDENT_LOGIT = 18.0  # of the mesh network, from which a face may be a template


@dataclass(slots=True)
class _Template:
    """Patches of a view, and the head's pose in it."""

    patches: SkinPatches
    rotation: Array
    log_scale: float

    def distance(self, rotation: Array, log_scale: float) -> float:
        """Return how far another pose is from the template's, 1 where it no longer serves."""
        cosine = (float(np.trace(self.rotation.T @ rotation)) - 1) / 2
        turn = float(np.arccos(np.clip(cosine, -1, 1)))
        return float(max(turn / NEAR_TURN, abs(log_scale - self.log_scale) / NEAR_ZOOM))


@dataclass(slots=True)
class SkinFollower:
    """Corrects the meshes of a video's faces, fed frame by frame in display order.

    A face that turns or grows beyond its templates becomes a further one, as corrected by the
    nearest, so that all of them agree. A cut begins anew. Holds some small patches of each face.
    """

    _tracks: dict[int, list[_Template]] = field(default_factory=dict)

    def correct(self, image: Pixels, faces: Sequence[Face], *, cut: bool) -> list[Face]:
        """Return the faces with mesh and irises on the skin of their templates.

        Boxes and keypoints stay as tracked, and so do faces that begin a track.

        Args:
            image: (H, W, 3) RGB uint8 or uint16.
            faces: of the tracker.
            cut: the frame begins a new scene.
        """
        if cut:
            self._tracks.clear()
        present = {face.track for face in faces}
        for track in [track for track in self._tracks if track not in present]:
            if len(self._tracks) <= MOST_TRACKS:
                break
            del self._tracks[track]
        return [self._correct_face(image, face) for face in faces]

    def _correct_face(self, image: Pixels, face: Face) -> Face:
        if face.mesh is None:
            return face
        templates = self._tracks.pop(face.track, [])
        self._tracks[face.track] = templates  # the latest one last
        posed = decompose(face.mesh)
        log_scale = float(posed.log_scale)
        distances = [each.distance(posed.rotation, log_scale) for each in templates]
        view = SkinView.of(image, face.mesh)
        near = np.inf
        if distances:
            nearest = int(np.argmin(distances))
            near = distances[nearest]
            templates.append(templates.pop(nearest))
            face = _shift(face, templates[-1].patches.find(view))
        if near > 1 and face.logit >= CONFIDENT_LOGIT:
            assert face.mesh is not None
            view = SkinView.of(image, face.mesh)
            templates.append(_Template(SkinPatches(view), posed.rotation, log_scale))
            del templates[:-MOST_TEMPLATES]
        return face


def _shift(face: Face, shift: Array) -> Face:
    """Return a face with its mesh moved in the picture plane, and each iris with its eye."""
    assert face.mesh is not None
    mesh = face.mesh.copy()
    mesh[:, :2] += shift.astype(np.float32)
    iris = face.iris
    if iris is not None:
        eyes = np.stack([shift[list(corners)].mean(0) for corners in EYE_CORNERS])
        iris = iris + eyes[:, None].astype(np.float32)
    return replace(face, mesh=mesh, iris=iris)
