"""Motion of the driver's camera: taken out of the head's, and put into the source's picture.

A row (4,) of a frame holds log zoom, roll in radians (positive tilts the picture clockwise) and a
shift (2) in image heights, about the middle of the image: a point of the scene, as the first frame
of its shot shows it, is seen at frame = zoom * rotation * scene + shift.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.geometry import matrix_from_rotvec, rotvec_from_matrix
from thcli.core.types import Array
from thcli.faces.tracking.head_motion import Similarity
from thcli.motion import limits

MAX_LOG_ZOOM = np.log(1.6)
MAX_ROLL = np.radians(25.0)
MAX_SPREAD = 0.9  # of the head's positions in the scene, over those in the frames
MAX_SHIFT = 1.2  # of the face's height


def pack_camera(frame_from_scene: Similarity, size: tuple[int, int]) -> Array:
    """Return a camera in pixels of frames of a size (width, height) as a row (4,)."""
    a, b, middle = frame_from_scene.a, frame_from_scene.b, _middle(size)
    shift = (b + (a - 1) * middle) / size[1]
    return np.array([np.log(abs(a)), np.angle(a), shift.real, shift.imag])


def unpack_camera(camera: npt.ArrayLike, size: tuple[int, int]) -> Similarity:
    """Invert `pack_camera`."""
    zoom, roll, x, y = (float(value) for value in np.asarray(camera))
    a = np.exp(zoom + 1j * roll)
    return Similarity(complex(a), complex((x + 1j * y) * size[1] - (a - 1) * _middle(size)))


def remove_camera(pose: Array, camera: Array) -> Array:
    """Return poses (T, 7) of `canonical.pack_pose` as the scene's first frame would show them.

    camera: (T, 4).
    """
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


def picture_motion(zoom: Array, roll: Array, shift: Array, pivot: Array, height: float) -> Array:
    """Return the motion of a source's picture, (T, 2, 3) image_from_still matrices in its pixels.

    Zoom and roll are about the pivot. All are limited softly.

    Args:
        zoom, roll: (T,) log zoom and radians.
        shift: (T, 2) pixels.
        pivot: (2,) pixels.
        height: of the source's face in pixels.
    """
    shift = limits.limit_length(shift, MAX_SHIFT * height)
    roll = limits.soft_limit(roll, MAX_ROLL)
    a = np.exp(limits.soft_limit(zoom, MAX_LOG_ZOOM)) * np.exp(1j * roll)
    linear = np.stack([np.stack([a.real, -a.imag], -1), np.stack([a.imag, a.real], -1)], -2)
    return np.concatenate([linear, (pivot + shift - linear @ pivot)[..., None]], -1)


def seen_at(camera: Array, point: Array) -> Array:
    """Return where cameras (T, 4) see a point (2,) of the scene, (T, 2).

    Both are about the middle of the image, in image heights.
    """
    seen = np.exp(camera[:, 0] + 1j * camera[:, 1]) * complex(*point)
    return np.asarray(np.stack([seen.real, seen.imag], -1) + camera[:, 2:])


def _middle(size: tuple[int, int]) -> complex:
    return complex((size[0] - 1) / 2, (size[1] - 1) / 2)
