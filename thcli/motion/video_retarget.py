"""Retargeting of a driver to a source video: every frame keeps its own face where it may.

The person's neutral face, the mean of the frames with open eyes and closed lips, takes the driver's
expression as a source image does (see `retarget`). In the region of --region that shape replaces
the frame's own; elsewhere the frame's own shape stays. What is added to a frame's mesh is the
difference of two smoothed shapes, so that jitter of the landmarks moves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from thcli.core.errors import MediaError
from thcli.core.geometry import bounding_box, matrix_from_rotvec, rotvec_from_matrix
from thcli.core.imaging import smoothstep
from thcli.core.options import MotionOptions
from thcli.core.protocols import MotionStore
from thcli.core.types import AnyArray, Array, Face, Motion
from thcli.motion import anatomy, canonical, closure, limits, smooth
from thcli.motion.canonical import RIGID, RIGID_WEIGHTS, PosedShape, neutral
from thcli.motion.file.windows import windows
from thcli.motion.observe import KIND
from thcli.motion.reference.frames import measure_frames, select_neutral_frames
from thcli.motion.retarget import RetargetedMotion
from thcli.motion.sliders import load_slider_shapes
from thcli.motion.timeline import Bools, Ints, Timeline, frame_visibility, read_timeline

VIDEO_KIND = "mesh-video"
OWN_SMOOTH = 1.0  # smoothing of the footage's own motion
# logit of the landmarks over the clip's median: something may be in front of the face below it
DOUBT_RANGE = (0.8, 0.92)
BLINK_RANGE = (0.06, 0.085)  # eye opening in the footage that is a blink, and that is none


class VideoRetargetedMotion:
    """Motion of the frames of a source video as a MotionStore of kind "mesh-video".

    Args:
        own: motion of kind "mesh" of the source video. An array "weight" (T,) in 0..1 is the share
            of the change in each frame; 1 where there is none.
        driving: motion of kind "mesh", sampled at the same time since its beginning. Its last frame
            holds after its end.
        options: of the transfer. The lips alone are always those of the driver's own opening, as
            with --motion absolute.

    Raises:
        MediaError: motion of another kind.
        NoFaceError: no frame of one of them shows a face.
    """

    kind = VIDEO_KIND

    def __init__(self, own: MotionStore, driving: MotionStore, options: MotionOptions) -> None:
        if own.kind != KIND:
            raise MediaError(
                f"The motion of the source is of kind {own.kind!r}, not {KIND!r}.",
                "Observe the video with the engine mesh.",
            )
        self._own, self._options = own, options
        scalars = read_timeline(own)
        parts = list(windows(own))
        pose = np.concatenate([np.asarray(w.arrays["pose"], np.float64) for w in parts])
        share = [np.asarray(w.arrays.get("weight", np.ones(len(w))), np.float64) for w in parts]
        logit = [np.asarray(w.arrays.get("logit", np.ones(len(w))), np.float64) for w in parts]
        # poses of the frames themselves, which cuts and the camera's motion belong to
        self._timeline = replace(scalars, pose=pose)
        self._filter = smooth.create_filter(own, self._timeline, OWN_SMOOTH, options.causal)
        constants = own.window(0, 0).constants
        self._size = int(constants["size"][0]), int(constants["size"][1])
        self._person = neutral_face(own, self._timeline, self._filter)
        if options.region == "lips":
            options = replace(options, mode="absolute")
        self._retargeted = RetargetedMotion(self._person, driving, options)
        self._shape = canonical.decompose(np.asarray(self._person.mesh)).shape
        seconds = self._timeline.seconds
        self._times = DriverTimes(self._retargeted.timeline, seconds - seconds[0])
        self._weight = np.concatenate(share) * frame_visibility(self._timeline)
        self._doubt = occlusion_doubt(np.concatenate(logit), scalars.valid)
        self._gaze = load_slider_shapes().gaze
        given = self._retargeted.controls.moves_eyes
        self._moves_eyes = options.region != "lips" or given

    def __len__(self) -> int:
        return len(self._own)

    def window(self, start: int, stop: int) -> Motion:
        """Return frames start..stop, limited to the clip.

        Arrays: mesh (T, 468, 3), the frame's own, and points (T, 468, 3), where it goes, in pixels
        of the frame; gaze (T, 2, 2), displacement of each iris in eye widths; moves_eyes (T,) bool;
        weight (T,) in 0..1, 0 for a frame that stays as it is; doubt (T,) in 0..1, that something
        may be in front of the face. All float64 but moves_eyes.
        """
        start, stop = max(0, min(start, len(self))), max(0, min(stop, len(self)))
        stop = max(start, stop)
        own = self._own.window(start, stop)
        weight = self._weight[start:stop]
        if start == stop:
            mesh = points = np.zeros((0, 468, 3))
            gaze = np.zeros((0, 2, 2))
        else:
            shape = neutral() + self._filter.expression(start, stop)
            posed = canonical.unpack_pose(self._filter.pose[start:stop], shape, self._size)
            mesh = posed.mesh()
            sample, retargeted = self._times.sample, self._retargeted
            shapes, head, shift = (
                sample(rows, start, stop)
                for rows in (retargeted.shapes, retargeted.head_changes, retargeted.gaze_shift)
            )
            driven = sample(lambda first, last: retargeted.timeline.weight[first:last], start, stop)
            factor = (weight * driven)[:, None, None]
            gain = self._retargeted.region_gain
            change = weight[:, None, None] * (shapes - self._shape)
            change += factor * gain * (self._shape - shape)
            change *= 1 - self._own_blinks(shape)
            moved = change @ np.swapaxes(posed.rotation, -1, -2)
            points = mesh + np.exp(posed.log_scale)[:, None, None] * moved
            if self._retargeted.pose_gain > 0 or self._retargeted.controls.turns:
                points = self._move_heads(points, mesh, head * weight[:, None], posed)
            gaze = weight[:, None, None] * self._gaze_change(start, stop, shift, driven)
        moves_eyes = np.full(len(own), self._moves_eyes)
        arrays: dict[str, AnyArray] = {
            "mesh": mesh,
            "points": points,
            "gaze": gaze,
            "moves_eyes": moves_eyes,
            "weight": weight,
            "doubt": self._doubt[start:stop],
        }
        return Motion(self.kind, own.pts, own.time_base, own.valid, arrays, own.constants)

    def _own_blinks(self, shape: Array) -> Array:
        """Return 1 at the eyes of frames in which they are shut, (T, 468, 1): a blink stays."""
        if not self._moves_eyes:
            return np.zeros((1, 1, 1))
        opening = canonical.eye_openings(shape).mean(-1)
        shut = 1 - smoothstep(*BLINK_RANGE, opening)
        return np.asarray(shut[:, None, None] * closure.region_mask("eyes"))

    def _gaze_change(self, start: int, stop: int, shift: Array, driven: Array) -> Array:
        """Return the displacement of each iris from where the frame has it, (T, 2, 2)."""
        if self._options.region in ("lips", "pose"):
            return shift
        gain = np.minimum(self._retargeted.region_gain.max(), 1.0) * driven
        return np.asarray(
            shift + gain[:, None, None] * (self._gaze - self._filter.gaze[start:stop])
        )

    def _move_heads(self, points: Array, mesh: Array, head: Array, posed: PosedShape) -> Array:
        """Move meshes (T, 468, 3) with the driver's head, within the limits of an image."""
        pivot = np.einsum("k,tkj->tj", RIGID_WEIGHTS, mesh[:, RIGID])
        seen = rotvec_from_matrix(posed.rotation)
        upright = mesh[:, anatomy.FOREHEAD, :2] - mesh[:, anatomy.CHIN, :2]
        height = np.linalg.norm(upright, axis=-1)
        turns = [limits.limit_rotation(r, own) for r, own in zip(head[:, :3], seen, strict=True)]
        shifts = [
            limits.limit_translation(s, float(h)) for s, h in zip(head[:, 4:], height, strict=True)
        ]
        zoom = np.exp(limits.soft_limit(head[:, 3], limits.MAX_LOG_ZOOM))[:, None, None]
        turned = (points - pivot[:, None]) @ np.swapaxes(matrix_from_rotvec(np.stack(turns)), 1, 2)
        return np.asarray(zoom * turned + (pivot + np.stack(shifts))[:, None])


def neutral_face(store: MotionStore, timeline: Timeline, smoothed: smooth.SmoothedMotion) -> Face:
    """Return a clip's mean face with open eyes and closed lips, in the median pose.

    Args:
        store: motion of the clip.
        timeline: of the clip.
        smoothed: its expressions.
    """
    constants = store.window(0, 0).constants
    size = int(constants["size"][0]), int(constants["size"][1])
    frontal = PosedShape(np.eye(3), np.zeros(()), np.zeros(3), neutral())
    measured = measure_frames(store, timeline, frontal, load_slider_shapes().gaze)
    frames = select_neutral_frames(timeline, measured)
    shape = neutral() + np.mean([smoothed.expression(int(i), int(i) + 1)[0] for i in frames], 0)
    pose = np.median(timeline.pose[timeline.unoccluded], 0)
    mesh = canonical.unpack_pose(pose, shape, size).mesh().astype(np.float32)
    return Face(bounding_box(mesh).astype(np.float32), 1.0, mesh=mesh)


class DriverTimes:
    """Frames of a driver at the times of another clip. The last frame holds after its end.

    Args:
        timeline: of the driver.
        wanted: (T,) seconds since its first frame.
    """

    def __init__(self, timeline: Timeline, wanted: Array) -> None:
        times = timeline.seconds - timeline.seconds[0]
        last = len(times) - 1
        found = np.searchsorted(times, wanted + 1e-9, "right") - 1
        self._before = np.asarray(np.clip(found, 0, last), np.intp)
        self._after = np.asarray(np.minimum(self._before + 1, last), np.intp)
        before, after = self._before, self._after
        gap = np.where(after > before, times[after] - times[before], 1.0)
        share = np.clip((wanted - times[before]) / gap, 0, 1)
        share = np.where(timeline.scene[before] == timeline.scene[after], share, np.round(share))
        self._share = np.where(share < 1e-6, 0, share)

    def sample(self, rows: Callable[[int, int], Array], start: int, stop: int) -> Array:
        """Interpolate rows of the driver at the times start..stop, but not across a cut.

        rows: gives those of a range of the driver's frames.
        """
        before, after = self._before[start:stop], self._after[start:stop]
        first = int(before.min())
        read = rows(first, int(after.max()) + 1)
        return _mix(read, before - first, after - first, self._share[start:stop])


def _mix(rows: Array, before: Ints, after: Ints, share: Array) -> Array:
    """Interpolate rows (N, ...) between frames: rows[before] where the share is 0."""
    first, part = rows[before], share.reshape(-1, *(1,) * (rows.ndim - 1))
    return np.asarray(np.where(part == 0, first, first + part * (rows[after] - first)))


def occlusion_doubt(logit: Array, valid: Bools) -> Array:
    """Return how far each frame's logit (T,) is below the clip's own, (T,) in 0..1."""
    median = float(np.median(logit[valid])) if valid.any() else 0.0
    if median <= 0:
        return np.zeros(len(logit))
    return np.asarray(1 - smoothstep(*DOUBT_RANGE, logit / median))
