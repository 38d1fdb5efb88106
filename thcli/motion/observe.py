"""From tracked faces to motion of kind "mesh": one row a frame, each by itself, so that windows of any size give the same file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thcli.core.types import AnyArray, Face, Frame, Motion
from thcli.faces.landmarks.topology import POINTS
from thcli.motion.canonical import decompose, gaze, neutral, pack

KIND = "mesh"


def observe(
    frames: Sequence[Frame], faces: Sequence[Face | None], cuts: Sequence[bool] | None = None
) -> Motion:
    """The motion of one window. None (or a face without a mesh) is a frame whose face was not seen: valid is False, its row is zero.
    cuts: whether each frame begins a new scene, as the tracker saw it (a jump of the head is noticed without it).

    Arrays (docs/motion-file.md): pose (T, 7) float64, expression (T, 468, 3) float32, gaze (T, 2, 2) float32, logit (T,) float32,
    track (T,) int32, cut (T,) bool. Constants: neutral (468, 3), size (width, height).
    Raises ValueError for an empty window or when the lists differ in length.
    """
    if not frames or len(frames) != len(faces) or (cuts is not None and len(cuts) != len(frames)):
        raise ValueError(f"{len(frames)} frames and {len(faces)} faces are no window")
    count, size = len(frames), frames[0].size
    seen = [i for i, face in enumerate(faces) if face is not None and face.mesh is not None]
    valid = np.zeros(count, bool)
    pose = np.zeros((count, 7))
    expression = np.zeros((count, POINTS, 3), np.float32)
    looks = np.zeros((count, 2, 2), np.float32)
    logit = np.zeros(count, np.float32)
    track = np.full(count, -1, np.int32)
    if seen:
        there = [face for face in faces if face is not None and face.mesh is not None]
        mesh = np.stack([np.asarray(face.mesh, np.float64) for face in there])
        posed = decompose(mesh)
        valid[seen] = True
        pose[seen] = pack(posed, size)
        expression[seen] = posed.shape - neutral()
        logit[seen] = [face.logit for face in there]
        track[seen] = [face.track for face in there]
        for i, face, points in zip(seen, there, mesh, strict=True):
            if face.iris is not None:
                looks[i] = gaze(points, face.iris)
    pts = np.array([frame.pts for frame in frames], np.int64)
    arrays: dict[str, AnyArray] = {
        "pose": pose,
        "expression": expression,
        "gaze": looks,
        "logit": logit,
        "track": track,
        "cut": np.zeros(count, bool) if cuts is None else np.array(cuts, bool),
    }
    constants = {"neutral": neutral(), "size": np.array(size, np.int64)}
    return Motion(KIND, pts, frames[0].time_base, valid, arrays, constants)
