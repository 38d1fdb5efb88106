"""Tracked faces to motion of kind "mesh", every frame by itself.

The result does not depend on the windows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thcli.core.types import AnyArray, Array, Array32, Face, Frame, Motion
from thcli.faces.landmarks.topology import POINTS
from thcli.faces.tracking.head_motion import Similarity
from thcli.motion.canonical import decompose, gaze, neutral, pack_pose, unpack_pose
from thcli.motion.picture.camera import pack_camera

KIND = "mesh"


def observe(
    frames: Sequence[Frame],
    faces: Sequence[Face | None],
    cuts: Sequence[bool] | None = None,
    surroundings: tuple[Sequence[Similarity], Sequence[Similarity | None]] | None = None,
    insides: Sequence[float] | None = None,
    skin: Sequence[Array32 | None] | None = None,
) -> Motion:
    """Return the motion of one window.

    A face of None, or without a mesh, is an undetected one: valid is False and its rows are zero.

    Args:
        frames: T frames.
        faces: their faces.
        cuts: whether each frame begins a new scene by the tracker (a jump of the head is detected
            without it).
        surroundings: frame_from_scene of camera and torso in each frame, in pixels; None when they
            were not observed. A torso of None is not seen: its row is zero.
        insides: what the open mouth shows, see `mouth_inside`; None when it was not measured.
        skin: (468, 2) pixels by which each mesh was moved onto the skin of earlier frames, and its
            inner lips to the hole of rounded ones, None where no face was detected; None when they
            were not moved.

    Returns:
        Motion (docs/motion-file.md) with the arrays pose (T, 7) float64, expression (T, 468, 3)
        float32, gaze (T, 2, 2) float32, logit (T,) float32, track (T,) int32, cut (T,) bool,
        camera and torso (T, 4) float64 and inside (T,) float32 if they were observed, skin
        (T, 468, 2) float16 in image heights if the meshes were moved, and the constants neutral
        (468, 3) and size (width, height).

    Raises:
        ValueError: the window is empty, or the lists differ in length.
    """
    if not frames or len(frames) != len(faces) or (cuts is not None and len(cuts) != len(frames)):
        raise ValueError(f"{len(frames)} frames and {len(faces)} faces do not form a window")
    count, size = len(frames), frames[0].size
    indices = [i for i, face in enumerate(faces) if face is not None and face.mesh is not None]
    valid = np.zeros(count, bool)
    pose = np.zeros((count, 7))
    expression = np.zeros((count, POINTS, 3), np.float32)
    gazes = np.zeros((count, 2, 2), np.float32)
    logit = np.zeros(count, np.float32)
    track = np.full(count, -1, np.int32)
    if indices:
        detected = [face for face in faces if face is not None and face.mesh is not None]
        mesh = np.stack([np.asarray(face.mesh, np.float64) for face in detected])
        posed = decompose(mesh)
        valid[indices] = True
        pose[indices] = pack_pose(posed, size)
        expression[indices] = posed.shape - neutral()
        logit[indices] = [face.logit for face in detected]
        track[indices] = [face.track for face in detected]
        for i, face, points in zip(indices, detected, mesh, strict=True):
            if face.iris is not None:
                gazes[i] = gaze(points, face.iris)
    pts = np.array([frame.pts for frame in frames], np.int64)
    arrays: dict[str, AnyArray] = {
        "pose": pose,
        "expression": expression,
        "gaze": gazes,
        "logit": logit,
        "track": track,
        "cut": np.zeros(count, bool) if cuts is None else np.array(cuts, bool),
    }
    if surroundings is not None:
        for name, motions in zip(("camera", "torso"), surroundings, strict=True):
            arrays[name] = np.stack(
                [pack_camera(motion or Similarity(), size) for motion in motions]
            )
    if insides is not None:
        arrays["inside"] = np.array(insides, np.float32)
    if skin is not None:
        arrays["skin"] = np.zeros((count, POINTS, 2), np.float16)
        for i in indices:
            arrays["skin"][i] = np.asarray(skin[i], np.float64) / size[1]
    constants = {"neutral": neutral(), "size": np.array(size, np.int64)}
    return Motion(KIND, pts, frames[0].time_base, valid, arrays, constants)


def rebuild_driver_meshes(motion: Motion) -> Array:
    """Return the driver's meshes of a window of kind "mesh", the inverse of `observe`.

    (T, 468, 3) float64 in pixels of the driving frames. Rows of undetected frames are undefined.
    """
    width, height = (int(side) for side in motion.constants["size"])
    shape = neutral() + np.asarray(motion.arrays["expression"], np.float64)
    return unpack_pose(motion.arrays["pose"], shape, (width, height)).mesh()
