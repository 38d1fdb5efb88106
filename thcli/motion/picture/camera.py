"""Motion of the driver's camera: taken out of the head's, and put into the source's picture.

A row (4,) of a frame holds log zoom, roll in radians (positive tilts the picture clockwise) and a
shift (2) in image heights, about the middle of the image: a point of the scene, as the first frame
of its shot shows it, is seen at frame = zoom * rotation * scene + shift.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.geometry import matrix_from_rotvec, rotvec_from_matrix
from thcli.core.types import Array
from thcli.faces.tracking.head_motion import Similarity
from thcli.motion import limits

MAX_LOG_ZOOM = np.log(1.6)
MAX_ROLL = np.radians(25.0)
MAX_SPREAD = 0.9  # of the head's positions in the scene, over those in the frames
# Face heights by which a picture shifts at most, and beyond the room that its face has in it, if
# that is more; share of the limit up to which it follows the camera fully.
MAX_SHIFT, BEYOND_ROOM = 1.2, 0.5
FREE_SHARE = 0.8
# Share of a picture's side beyond whose edge a frame may show, unless the picture is of the driver:
# what lies there is a guess
MAX_BEYOND = 0.06


def pack_camera(frame_from_scene: Similarity, size: tuple[int, int]) -> Array:
    """Return a camera in pixels of frames of a size (width, height) as a row (4,)."""
    a, b, middle = frame_from_scene.a, frame_from_scene.b, _middle(size)
    shift = (b + (a - 1) * middle) / size[1]
    return np.array([np.log(abs(a)), np.angle(a), shift.real, shift.imag])


def remove_camera(pose: Array, camera: Array) -> Array:
    """Return poses (T, 7) of `canonical.pack_pose` as the scene's first frame would show them.

    camera: (T, 4).
    """
    if not camera.any():
        return pose  # to the last bit
    zoom, roll = camera[:, 0], camera[:, 1]
    rotvec = np.zeros((len(camera), 3))
    rotvec[:, 2] = -roll
    rotation = matrix_from_rotvec(rotvec) @ matrix_from_rotvec(pose[:, :3])
    seen = pose[:, 4] - camera[:, 2] + 1j * (pose[:, 5] - camera[:, 3])
    centre = seen * np.exp(-zoom - 1j * roll)
    return np.concatenate(
        [
            rotvec_from_matrix(rotation),
            (pose[:, 3] - zoom)[:, None],
            np.stack([centre.real, centre.imag, pose[:, 6] * np.exp(-zoom)], -1),
        ],
        -1,
    )


def discard_unlikely(
    camera: Array, pose: Array, valid: npt.NDArray[np.bool_], shot: npt.NDArray[np.intp]
) -> Array:
    """Return the cameras (T, 4), still ones in the shots whose head they do not explain.

    A camera that was measured rightly leaves a head that moves less. Where it moves more, the
    measurement has lost the background, or the camera follows a walking person, whose head stays in
    the picture.

    Args:
        camera: (T, 4).
        pose: (T, 7) poses as the frames show them.
        valid: (T,) frames with a face.
        shot: (T,) numbers of the shots.
    """
    out = camera.copy()
    in_scene = remove_camera(pose, camera)[:, 4:6]
    for number in np.unique(shot[valid]):
        frames = valid & (shot == number)
        if in_scene[frames].std(0).sum() > MAX_SPREAD * pose[frames, 4:6].std(0).sum():
            out[shot == number] = 0
    return out


def find_base(camera: Array, shot: npt.NDArray[np.intp], frame: int | None) -> Array:
    """Return the camera of each frame's shot that shows the source's picture unmoved, (T, 4).

    It is the middle of the shot, so that the picture stays in view.

    Args:
        camera: (T, 4).
        shot: (T,) numbers of the shots.
        frame: frame that is the source itself, whose camera is the base of its shot; or None.
    """
    base = np.zeros_like(camera)
    for number in np.unique(shot):
        base[shot == number] = np.median(camera[shot == number], 0)
    if frame is not None:
        base[shot == shot[frame]] = camera[frame]
    return base


@dataclass(frozen=True, slots=True)
class PicturePlace:
    """Place of a source in the driver's scene.

    scene_pivot: (2,) middle of the driver's face about the middle of its scene, in image heights.
    pivot: (2,) the source's, in pixels.
    height_ratio: source pixels per height of the driver's image.
    face_height: of the source in pixels.
    room: see `limits.room_in_picture`; None where the picture is not known.
    bounds: (width, height) in pixels of the picture beyond whose edges little may show; None
    without such a limit.
    """

    scene_pivot: Array
    pivot: Array
    height_ratio: float
    face_height: float
    room: tuple[Array, Array] | None = None
    bounds: tuple[int, int] | None = None

    def limit(self, shift: Array, scale: Array) -> Array:
        """Limit shifts (T, 2) of the picture, so that half of the face at least stays in it.

        A close-up may move further, by MAX_SHIFT. Where the picture has bounds, no more than
        MAX_BEYOND of the frame lies beyond an edge of it, which it has at a scale (T,).
        """
        least = np.full(2, MAX_SHIFT * self.face_height)
        sides = [
            least if side is None else np.maximum(least, side + BEYOND_ROOM * self.face_height)
            for side in self.room or (None, None)
        ]
        limited = limits.limit_to_room(shift, (sides[0], sides[1]), FREE_SHARE)
        if self.bounds is None:
            return limited
        size = np.asarray(self.bounds, np.float64)
        grown, beyond = (scale - 1)[:, None], MAX_BEYOND * size
        low = beyond + grown * (size - 1 - self.pivot)
        high = beyond + grown * self.pivot
        return limits.limit_to_room(limited, (low, high))

    def limit_zoom(self, zoom: Array) -> Array:
        """Limit log zooms (T,) of the picture."""
        limited = limits.soft_limit(zoom, MAX_LOG_ZOOM)
        if self.bounds is None:
            return limited
        most = -np.log(1 - 2 * MAX_BEYOND)
        return np.where(zoom < 0, limits.soft_limit(limited, most), limited)

    def limit_roll(self, roll: Array) -> Array:
        """Limit rolls (T,) of the picture in radians."""
        most = MAX_ROLL if self.bounds is None else np.arctan(2 * MAX_BEYOND)
        return limits.soft_limit(roll, most)


def picture_motion(camera: Array, base: Array, gain: Array, place: PicturePlace) -> Array:
    """Return the motion of a source's picture, (T, 2, 3) image_from_still matrices in its pixels.

    Zoom, roll and shift are those between two cameras, limited softly.

    Args:
        camera, base: (T, 4); the base shows the picture unmoved.
        gain: (T,).
        place: of the picture.
    """
    zoom, roll = ((camera - base)[:, :2] * gain[:, None]).T
    seen = _seen_at(camera, place.scene_pivot) - _seen_at(base, place.scene_pivot)
    shift = seen * (place.height_ratio * np.exp(-base[:, 0]) * gain)[:, None]
    scale = np.exp(place.limit_zoom(zoom))
    shift = place.limit(shift, scale)
    a = scale * np.exp(1j * place.limit_roll(roll))
    linear = np.stack([np.stack([a.real, -a.imag], -1), np.stack([a.imag, a.real], -1)], -2)
    return np.concatenate([linear, (place.pivot + shift - linear @ place.pivot)[..., None]], -1)


def _seen_at(camera: Array, point: Array) -> Array:
    """Return the place at which cameras (T, 4) see a point (2,) of the scene, (T, 2).

    Both are about the middle of the image, in image heights.
    """
    seen = np.exp(camera[:, 0] + 1j * camera[:, 1]) * complex(*point)
    return np.asarray(np.stack([seen.real, seen.imag], -1) + camera[:, 2:])


def _middle(size: tuple[int, int]) -> complex:
    return complex((size[0] - 1) / 2, (size[1] - 1) / 2)
