"""Transfer of a driver's heads to the source: what the renderer draws in each frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from thcli.core.options import MotionOptions, ViewOptions
from thcli.core.types import AnyArray, Array32, Motion
from thcli.engines.real3d.driving.track import HeadState, HeadTrack
from thcli.engines.real3d.driving.view import euler_from_degrees
from thcli.engines.shared.motion_rows import transfer_gains
from thcli.faces.model3d.bfm.camera import (
    cameras_from_pose,
    freeze_depth,
    keypoints_from_landmarks,
    project,
    smooth_cameras,
    smooth_keypoints,
)
from thcli.faces.model3d.bfm.model import FaceModel3D
from thcli.motion.control.poses import PoseCurve, added_angles

TARGET_KIND = "real3d-target"
BLOCK = 512  # frames whose landmarks are computed at a time


@dataclass(frozen=True, slots=True)
class TargetMotion:
    """A MotionStore of what is drawn; all of it is in memory, about 1 KB a frame."""

    motion: Motion

    @property
    def kind(self) -> str:
        return self.motion.kind

    def __len__(self) -> int:
        return len(self.motion)

    def window(self, start: int, stop: int) -> Motion:
        """Return frames start..stop, limited to the clip.

        Arrays: expression (T, 64), camera (T, 25), keypoints (T, 68, 2), blink (T,), frame (T,)
        number of the frame; constant: source_expression (64,), which the source PNCC is drawn with.
        """
        return self.motion[max(start, 0) : max(stop, start, 0)]


def transfer_heads(
    model: FaceModel3D,
    identity: Array32,
    source: HeadState,
    track: HeadTrack,
    options: MotionOptions,
    view: ViewOptions,
) -> TargetMotion:
    """Transfer the driver's heads to the source.

    Relative: the driver's pose moves the source's own pose by its change since the reference, and
    the source PNCC is drawn with the reference's expression, as published. Absolute: the pose is
    the driver's, and the source PNCC has the source's own expression. The distance from the camera
    does not change (REAL3D_VIDEO sections 8 and 9).

    Args:
        model: 3-D face model.
        identity: (80,) of the source.
        source: the source's head.
        track: the driver's heads.
        options: mode, region, gains, smoothing.
        view: further head rotation.

    Raises:
        MediaError: the pose file is not valid.
        UsageError: a region that the engine cannot move alone.
    """
    pose_gain, face_gain = transfer_gains(options, "real3d", separable=True)
    relative = options.mode == "relative"
    heads, first = track.heads, track.reference
    base = first.expression if relative else source.expression
    expression = base + np.float32(face_gain) * (heads.expression - base)
    euler, translation = heads.euler, freeze_depth(heads.translation)
    seconds = track.seconds
    if view.pose_file is not None:
        curve = PoseCurve.read(view.pose_file)
        euler = euler_from_degrees(curve.sample(seconds))
        translation = np.broadcast_to(source.translation, translation.shape)
        first = replace(first, euler=euler[0], translation=source.translation)
    if relative:
        euler = source.euler + np.float32(pose_gain) * (euler - first.euler)
        translation = source.translation + np.float32(pose_gain) * (translation - first.translation)
        translation[:, 2] = source.translation[2]
    else:
        euler = source.euler + np.float32(pose_gain) * (euler - source.euler)
        translation = source.translation + np.float32(pose_gain) * (
            translation - source.translation
        )
    euler = euler + euler_from_degrees(added_angles(view, seconds, float(seconds[-1])))
    cameras = cameras_from_pose(euler, translation)
    posed = HeadState(expression.astype(np.float32), euler.astype(np.float32), translation)
    keypoints = source_keypoints(model, identity, posed)
    if options.smooth > 0 and not options.causal:
        cameras, keypoints = smooth_cameras(cameras), smooth_keypoints(keypoints)
    arrays: dict[str, AnyArray] = {
        "expression": posed.expression,
        "camera": cameras,
        "keypoints": keypoints,
        "blink": track.blink * np.float32(face_gain > 0),
        "frame": np.arange(len(track), dtype=np.int64),
    }
    constants: dict[str, AnyArray] = {"source_expression": base.astype(np.float32)}
    motion = replace(track.stamps, kind=TARGET_KIND, arrays=arrays, constants=constants)
    return TargetMotion(motion)


def source_keypoints(model: FaceModel3D, identity: Array32, heads: HeadState) -> Array32:
    """Return the torso's keypoints (T, 68, 2) in -1..1 of heads with an identity (80,)."""
    parts = []
    for start in range(0, len(heads.euler), BLOCK):
        chosen = slice(start, start + BLOCK)
        points = model.landmarks68(identity, heads.expression[chosen], torso=True)
        parts.append(project(points, heads.euler[chosen], heads.translation[chosen]))
    return keypoints_from_landmarks(np.concatenate(parts))
