"""Shoulders that follow the driver's torso: what the head moves against.

A target is first seen as if the shoulders were still: the torso's motion is taken out of its mesh
and of its pixels. It fades towards the hips, so that a standing person keeps their feet, and away
from the person, where others may be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.engines.mesh.anatomy import CHIN, FOREHEAD, face_height
from thcli.faces.landmarks.topology import OVAL

# Face heights from the middle of the face over which the motion fades: down to the hips, beside
# the arms, and above the hair, where other persons and raised arms may be.
DOWN, ASIDE, UP = (1.6, 4.5), (2.2, 3.2), (1.4, 2.1)


@dataclass(frozen=True, slots=True)
class Shoulders:
    """Motion of shoulders in one frame.

    still_from_shown: (2, 3) of pixels.  middle: (2,) of the target's face in pixels.  down: (2,)
    along the face, of the length of 1 / face height.  lowest: y of the target's chin in pixels.
    """

    still_from_shown: Array
    middle: Array
    down: Array
    lowest: float

    @staticmethod
    def of(image_from_still: Array | None, target: Array) -> Shoulders | None:
        """Return the motion of a frame's shoulders, None where they are still.

        Args:
            image_from_still: (2, 3) of pixels, or None.
            target: (468, 3) target mesh, which has followed them.
        """
        if image_from_still is None or (image_from_still == np.eye(3)[:2]).all():
            return None
        inverse = np.linalg.inv(np.concatenate([image_from_still, [[0, 0, 1]]]))[:2]
        middle = (target[FOREHEAD, :2] + target[CHIN, :2]) / 2
        down = (target[CHIN, :2] - target[FOREHEAD, :2]) / face_height(target) ** 2
        return Shoulders(inverse, middle, down, float(target[OVAL, 1].max()))

    def shift(self, right: float) -> Shoulders:
        """Return the same motion in a picture that lies `right` pixels further to the right."""
        offset = np.array([right, 0.0])
        matrix = self.still_from_shown.copy()
        matrix[:, 2] += offset - matrix[:, :2] @ offset
        return replace(self, still_from_shown=matrix, middle=self.middle + offset)

    def still(self, target: Array) -> Array:
        """Return a target mesh (468, 3) as if the shoulders were still."""
        linear = self.still_from_shown[:, :2]
        scale = float(np.sqrt(max(np.linalg.det(linear), 1e-9)))
        flat = target[:, :2] @ linear.T + self.still_from_shown[:, 2]
        return np.concatenate([flat, scale * target[:, 2:]], 1)

    def displacement(self, points: Array32, lower_edge: float) -> Array32:
        """Return how far pixels lie from where they are when the shoulders are still, (2, N).

        Where the picture's lower edge cuts a body off that rises, it is stretched below the chin:
        its outline would lie inside of the still face, else, as a second one.

        Args:
            points: (2, N) pixels.
            lower_edge: y of the picture's last row.
        """
        moved = self.still_from_shown[:, :2] @ points + self.still_from_shown[:, 2:] - points
        offset = points - self.middle[:, None]
        across = np.array([-self.down[1], self.down[0]])
        below = self.down @ offset
        fade = np.clip((DOWN[1] - below) / (DOWN[1] - DOWN[0]), 0, 1)
        fade *= 1 - smoothstep(*ASIDE, np.abs(across @ offset))
        fade *= 1 - smoothstep(*UP, -below)
        moved *= fade
        rise, room = np.maximum(moved[1], 0), np.maximum(lower_edge - points[1], 0)
        # room * bend / (room + bend) is the whole rise at the chin, and nothing at the edge
        whole = max(lower_edge - self.lowest, 1.0)
        bend = rise * whole / np.maximum(whole - rise, 1e-3)
        stretched = room * bend / np.maximum(room + bend, 1e-6) + np.maximum(rise - whole, 0)
        moved[1] += np.minimum(stretched - rise, 0)
        return np.asarray(moved, np.float32)

    def reach(self) -> tuple[Array, Array]:
        """Return the corners (2,) of the box of pixels that the motion moves."""
        size = 1 / float(np.linalg.norm(self.down))
        down, across = self.down * size**2, np.array([-self.down[1], self.down[0]]) * size**2
        ends = [
            self.middle + end * down + side * ASIDE[1] * across
            for end in (DOWN[1], -UP[1])
            for side in (-1, 1)
        ]
        return np.min(ends, 0), np.max(ends, 0)
