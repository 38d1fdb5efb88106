"""Motion of the driver's torso, apart from head and camera, for the shoulders of a source.

`PictureMotion` holds it with the motion of the camera that the source's picture follows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array
from thcli.motion import limits
from thcli.motion.picture.camera import PicturePlace, picture_motion

MAX_LOG_ZOOM = np.log(1.2)
MAX_ROLL = np.radians(12.0)
# log zoom of a torso over that of its head at most, and what it may zoom besides
ZOOM_RATIO, FREE_ZOOM = 1.5, 0.02
SHOULDERS = 1.0  # face heights from the middle of the face down to the shoulders
HALF_WIDTH = 1.0  # face heights from their middle to their ends
# Face heights by which the shoulders move: the noise of a still torso, and all of it motion.
STILL, MOVING = 0.03, 0.06


def in_scene(torso: Array, camera: Array) -> Array:
    """Return a torso's motion without the camera's.

    Args:
        torso, camera: (T, 4) rows of `camera`.
    """
    zoom, roll = (torso - camera)[:, :2].T
    shift = _complex(torso[:, 2:] - camera[:, 2:]) * np.exp(-camera[:, 0] - 1j * camera[:, 1])
    return np.stack([zoom, roll, shift.real, shift.imag], -1)


def shoulder_motion(
    torso: Array, base: Array, gain: Array, place: PicturePlace, head_zoom: Array
) -> Array:
    """Return the motion of a source's shoulders, (T, 2, 3) image_from_still matrices in its pixels.

    Args:
        torso, base: (T, 4) from `in_scene`; the base is that of the source's own place.
        gain: (T,).
        place: of the source.
        head_zoom: (T,) log zoom of the head. A torso that zooms otherwise is a hand before it.
    """
    zoom, roll = ((torso - base)[:, :2] * gain[:, None]).T
    likely = ZOOM_RATIO * head_zoom
    zoom = np.clip(zoom, np.minimum(likely, 0) - FREE_ZOOM, np.maximum(likely, 0) + FREE_ZOOM)
    down = np.array([0, SHOULDERS * place.face_height])
    seen = complex(*(place.scene_pivot + down / place.height_ratio))
    moved = np.exp(torso[:, 0] + 1j * torso[:, 1]) * (
        (seen - _complex(base[:, 2:])) * np.exp(-base[:, 0] - 1j * base[:, 1])
    )
    moved += _complex(torso[:, 2:]) - seen
    shift = np.stack([moved.real, moved.imag], -1) * (place.height_ratio * gain)[:, None]
    shift = limits.limit_length(shift, limits.MAX_SHIFT * place.face_height)
    a = np.exp(limits.soft_limit(zoom, MAX_LOG_ZOOM) + 1j * limits.soft_limit(roll, MAX_ROLL))
    length = np.linalg.norm(shift, axis=-1) / place.face_height + HALF_WIDTH * np.abs(a - 1)
    moves = smoothstep(STILL, MOVING, length)
    a, shift = 1 + moves * (a - 1), moves[:, None] * shift
    linear = np.stack([np.stack([a.real, -a.imag], -1), np.stack([a.imag, a.real], -1)], -2)
    shoulders = place.pivot + down
    return np.concatenate([linear, (shoulders + shift - linear @ shoulders)[..., None]], -1)


@dataclass(frozen=True, slots=True)
class PictureMotion:
    """Motion of a source's picture with the driver's camera, and of its shoulders with its torso.

    Attributes:
        camera, torso: (T, 4) rows of the clip, the torso's from `in_scene`.
        camera_base, torso_base: (T, 4) of the source's own place.
        place: of the source.
    """

    camera: Array
    camera_base: Array
    torso: Array
    torso_base: Array
    place: PicturePlace

    def window(
        self, start: int, gain: Array, head_zoom: Array, shift: Array
    ) -> tuple[Array, Array, Array]:
        """Return picture and shoulders from a frame on, and the shifts of the head in it.

        A camera that follows a head keeps it in view. Where the picture stays behind its camera,
        head and shoulders do not leave the place in the frame at which the camera shows them.

        Args:
            start: first frame.
            gain: (T,).
            head_zoom: (T,) see `shoulder_motion`.
            shift: (T, 3) source pixels by which the head moves in the scene.

        Returns:
            image_from_still matrices (T, 2, 3) of both in source pixels, and shifts (T, 3).
        """
        frames, place = slice(start, start + len(gain)), self.place
        camera, base = self.camera[frames], self.camera_base[frames]
        shoulders = shoulder_motion(
            self.torso[frames], self.torso_base[frames], gain, place, head_zoom
        )
        picture = picture_motion(camera, base, gain, place)
        if place.bounds is None:
            return picture, shoulders, shift
        free = picture_motion(camera, base, gain, replace(place, bounds=None))
        seen = np.insert(place.pivot + shift[:, :2], 2, 1, -1)
        apart = np.einsum("tij,tj->ti", free - picture, seen)
        missing = np.linalg.solve(picture[:, :, :2], apart[..., None])[..., 0]
        kept = shift.copy()
        kept[:, :2] += limits.opposing(missing, shift[:, :2])
        carried = shoulders @ [*place.pivot, 1] - place.pivot
        shoulders[..., 2] += limits.opposing(missing, carried)
        return picture, shoulders, kept


def _complex(shift: Array) -> Array:
    return shift[:, 0] + 1j * shift[:, 1]
