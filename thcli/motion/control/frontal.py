"""A face turned to the front, with its own expression."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from thcli.core.errors import NoFaceError
from thcli.core.geometry import angles_from_matrix
from thcli.core.protocols import MotionStore
from thcli.core.types import Array, Face, Motion
from thcli.motion.canonical import decompose, eye_openings, neutral, unpack_pose
from thcli.motion.control.given import NECK
from thcli.motion.file.windows import windows
from thcli.motion.retarget import TARGET_KIND

# Degrees of yaw and pitch from which the hidden side of a face shows as a mirrored patch: 8 degrees
# of yaw were rated 4 of 5, 19 and more 2.
MAX_YAW, MAX_PITCH = 15.0, 20.0
OPEN_EYES = 0.15  # lid gap over eye width; a frame below it counts as 30 degrees off


def most_frontal_frame(motion: MotionStore) -> int:
    """Return the frame of a motion of kind "mesh" nearest to the front, with open eyes.

    Raises:
        NoFaceError: no frame shows a face.
    """
    scores = []
    for window in windows(motion):
        size = tuple(int(side) for side in window.constants["size"])
        shape = neutral() + np.asarray(window.arrays["expression"], np.float64)
        posed = unpack_pose(window.arrays["pose"], shape, (size[0], size[1]))
        angles = np.abs(angles_from_matrix(posed.rotation))[:, :2].sum(-1)
        shut = eye_openings(shape).mean(-1) < OPEN_EYES
        scores.append(np.where(window.valid, angles + 30.0 * shut, np.inf))
    score = np.concatenate(scores)
    if not np.isfinite(score).any():
        raise NoFaceError("No frame shows a face.", "Give a clip that shows one.")
    return int(np.argmin(score))


def frontal_target(face: Face) -> Motion:
    """Return the motion (one frame, kind "mesh-target") that turns a face to the front.

    Args:
        face: with its mesh, in pixels of the source.

    Raises:
        NoFaceError: the face has no mesh, or is turned too far.
    """
    if face.mesh is None:
        raise NoFaceError("The face has no mesh.", "Use --landmarker facemesh.")
    posed = decompose(face.mesh)
    pitch, yaw, _ = (float(angle) for angle in angles_from_matrix(posed.rotation))
    if abs(yaw) > MAX_YAW or abs(pitch) > MAX_PITCH:
        raise NoFaceError(
            f"The face is turned too far for a frontal picture: yaw {yaw:.0f}, pitch {pitch:.0f} "
            f"degrees; the most are {MAX_YAW:g} and {MAX_PITCH:g}.",
            "Choose a picture in which it looks ahead, or a video that shows it so.",
        )
    scale = np.exp(posed.log_scale)
    neck = posed.centre + scale * posed.rotation @ NECK
    points: Array = scale * (posed.shape - NECK) + neck
    return Motion(
        TARGET_KIND,
        np.zeros(1, np.int64),
        Fraction(1, 25),
        np.ones(1, bool),
        {
            "points": points[None],
            "gaze": np.zeros((1, 2, 2)),
            "opening": np.ones((1, 2)),
            "driver": np.zeros((1, 468, 3)),
            "body": np.zeros((1, 2)),
            "camera": np.eye(3)[None, :2],
            "torso": np.eye(3)[None, :2],
            "weight": np.ones(1),
            "shown": np.zeros(1, bool),
        },
    )
