"""Scalars of a clip, read once: time stamps, detections, scene cuts and gaps.

About a hundred bytes per frame are kept; expressions stay on disk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.geometry import matrix_from_rotvec, rotvec_from_matrix
from thcli.core.imaging import smoothstep
from thcli.core.protocols import MotionStore
from thcli.core.types import Array, Motion
from thcli.motion.canonical import mouth_opening, neutral
from thcli.motion.file.windows import windows
from thcli.motion.picture import jumps, visibility
from thcli.motion.picture.camera import discard_unlikely, remove_camera
from thcli.motion.picture.shots import split_shots
from thcli.motion.picture.torso import in_scene

SHORT_GAP = 0.5  # seconds; shorter gaps are interpolated from both sides
FADE = 0.6  # seconds of the fade out in a long gap, and of the fade in before its end
# Seconds over which a change fades beside frames without a free view of the face
HIDDEN_FADE = 0.16
# IOD, log and radians between two frames; a larger change is a cut
JUMP_SHIFT, JUMP_SCALE, JUMP_ANGLE = 0.5, 0.25, 0.6
# Steps beside a jump's, two on each side, and how many times the largest of them it is at least: a
# head that is thrown about moves in several frames, of which some may be repeated ones
BESIDE, SUDDEN = (-2, -1, 1, 2), 5.0

Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class GapInterpolation:
    """Interpolation of unusable frames between usable ones, (T,) each.

    A usable frame is its own neighbour on both sides. At the ends of the clip the nearest usable
    frame is repeated.

    Attributes:
        previous, next: usable frames on both sides.
        blend: weight 0..1 of the next one.
    """

    previous: Ints
    next: Ints
    blend: Array

    def fill(self, rows: Array) -> Array:
        """Return rows (T, ...) with the gaps filled."""
        if not len(rows):
            return rows
        blend = self.blend.reshape(-1, *(1,) * (rows.ndim - 1))
        first = rows[self.previous]
        return np.asarray(np.where(blend == 0, first, first + blend * (rows[self.next] - first)))


@dataclass(frozen=True, slots=True)
class Timeline:
    """Scalars of a clip of T frames.

    Attributes:
        seconds: (T,) times.
        valid: (T,) the face was detected, and does not just leave the frame.
        unoccluded: (T,) the face was detected and not occluded; its expression is reliable.
        seen_eyes: (T,) the face was detected, and its eyes are read, also above what is before it.
        pose: (T, 7) as in the motion file; after a cut as if framed like the longest framing.
        gaze: (T, 2, 2).
        scene: (T,) number of the scene.
        segment: (T,) number of the stretch that a filter may cover (a scene, split at long gaps).
        unseen_gaps: fills frames that are not valid.
        occluded_gaps: fills frames that are not unoccluded.
        weight: (T,) 1 where the motion counts fully, fading to 0 inside long gaps.
        camera: (T, 4) rows of `camera`, removed from `pose`; zeros when not observed.
        shot: (T,) number of the shot, which begins at a cut of the tracker.
        torso: (T, 4) rows of `torso.in_scene`, interpolated where it is not seen; zeros in shots
            that do not show it.
        inside: (T,) what the open mouth shows, see `mouth_inside`; NaN when it was not measured.
    """

    seconds: Array
    valid: Bools
    unoccluded: Bools
    seen_eyes: Bools
    pose: Array
    gaze: Array
    scene: Ints
    segment: Ints
    unseen_gaps: GapInterpolation
    occluded_gaps: GapInterpolation
    weight: Array
    camera: Array
    shot: Ints
    torso: Array
    inside: Array

    def __len__(self) -> int:
        return len(self.seconds)


def read_timeline(store: MotionStore, *, drives: bool = False) -> Timeline:
    """Read a motion of kind "mesh" once, in windows.

    Args:
        store: the motion.
        drives: it moves another face. Frames in which the face leaves the frame are then not valid;
            a video whose own frames are changed keeps them.
    """
    parts = [_read_scalars(window, drives) for window in windows(store)]
    if not parts:
        parts = [_read_scalars(store.window(0, 0), drives)]
    seconds, valid, pose, gaze, track, logit, mouth, cut, camera, beyond, torso, inside = (
        np.concatenate([p[i] for p in parts]) for i in range(12)
    )
    shot = np.cumsum(cut).astype(np.intp)
    if drives:
        valid = visibility.leave_out_cut_off(valid, logit, beyond, shot)
    in_frame = _head_rows(pose, valid)
    camera = discard_unlikely(camera, pose, valid, shot)
    camera = jumps.without_false_starts(camera, in_frame, shot)
    camera = jumps.ease_jumps(camera, in_frame, seconds, shot)
    speed = visibility.head_speeds(valid, pose, shot, seconds)
    pose = remove_camera(pose, camera)
    scene_begins, framing_begins = _find_cuts(valid, pose, track, cut)
    scene = np.cumsum(scene_begins).astype(np.intp)
    unoccluded = visibility.find_unoccluded(valid, logit, pose, mouth, speed, shot)
    unseen_gaps = _interpolate_gaps(seconds, valid)
    # a segment ends with its scene, and at a long gap
    detected = np.flatnonzero(valid)
    after_long_gap = np.zeros(len(valid), np.intp)
    after_long_gap[detected[1:]] = np.diff(seconds[detected]) > SHORT_GAP
    return Timeline(
        seconds,
        valid,
        unoccluded,
        visibility.find_seen_eyes(valid, logit),
        _normalise_framing(valid, pose, np.cumsum(framing_begins).astype(np.intp)),
        gaze,
        scene,
        scene + np.cumsum(after_long_gap),
        unseen_gaps,
        _interpolate_gaps(seconds, unoccluded),
        _motion_weight(seconds, valid, unseen_gaps),
        camera,
        shot,
        jumps.ease_jumps(
            _torso_in_scene(torso, camera, seconds, shot),
            _head_rows(pose, valid),
            seconds,
            shot,
        ),
        inside,
    )


def _read_scalars(
    motion: Motion, drives: bool
) -> tuple[Array, Bools, Array, Array, Ints, Array, Array, Bools, Array, Array, Array, Array]:
    """Return the scalars of one window; what lies beyond the edges is measured for a driver."""
    seconds = motion.pts.astype(np.float64) * float(motion.time_base)
    arrays, zeros, unmoved = motion.arrays, np.zeros(len(motion)), np.zeros((len(motion), 4))
    return (
        seconds,
        np.array(motion.valid),
        np.asarray(arrays["pose"], np.float64),
        np.asarray(arrays["gaze"], np.float64),
        np.asarray(arrays.get("track", zeros), np.intp),
        np.asarray(arrays.get("logit", zeros), np.float64),
        mouth_opening(neutral() + np.asarray(arrays["expression"], np.float64)),
        np.asarray(arrays.get("cut", zeros), bool),
        np.asarray(arrays.get("camera", unmoved), np.float64),
        visibility.share_beyond_edges(motion) if drives else zeros,
        np.asarray(arrays.get("torso", unmoved), np.float64),
        np.asarray(arrays.get("inside", zeros + np.nan), np.float64),
    )


def _head_rows(pose: Array, valid: Bools) -> Array:
    """Return the motion of a head in the picture as rows (T, 4) of `camera`; NaN if not valid."""
    return np.where(valid[:, None], pose[:, [3, 2, 4, 5]], np.nan)


def nearest_usable(usable: Bools) -> tuple[Ints, Ints]:
    """Return the last usable frame up to each frame (-1: none) and the first from it on (T)."""
    frames = np.arange(len(usable))
    if not len(usable):
        return frames, frames
    previous = np.maximum.accumulate(np.where(usable, frames, -1))
    next_ = np.minimum.accumulate(np.where(usable, frames, len(usable))[::-1])[::-1]
    return previous, next_


def frame_visibility(timeline: Timeline) -> Array:
    """Return the share of a change of each frame's face, (T,).

    It fades to 0 beside frames of the same shot in which the face is hidden or not detected.
    """
    weight = timeline.unoccluded.astype(np.float64)
    last = len(weight) - 1
    for near in nearest_usable(~timeline.unoccluded):
        hidden = np.clip(near, 0, last)
        same = (near == hidden) & (timeline.shot[hidden] == timeline.shot)
        distance = np.abs(timeline.seconds - timeline.seconds[hidden])
        weight = np.where(same, np.minimum(weight, smoothstep(0, HIDDEN_FADE, distance)), weight)
    return np.asarray(weight)


def _find_cuts(valid: Bools, pose: Array, track: Ints, cut: Bools) -> tuple[Bools, Bools]:
    """Return the frames at which a scene begins, and those at which the framing changes, (T,) each.

    A scene begins at a detected frame with another track, after a cut of the tracker, or after a
    jump that no head makes: far, from one frame to the next.
    """
    scene, framing = np.zeros(len(valid), bool), np.zeros(len(valid), bool)
    detected = np.flatnonzero(valid)
    if len(detected) < 2:
        return scene, framing
    previous, current = detected[:-1], detected[1:]
    change = pose[current] - pose[previous]
    shift = np.linalg.norm(change[:, 4:6], axis=-1) / np.exp(pose[previous, 3])
    before, after = matrix_from_rotvec(pose[previous, :3]), matrix_from_rotvec(pose[current, :3])
    angle = np.linalg.norm(rotvec_from_matrix(after @ np.swapaxes(before, -1, -2)), axis=-1)
    cut_count = np.cumsum(cut)  # a cut may be on frames without a face
    new_track = track[previous] != track[current]
    separate = new_track | (cut_count[previous] != cut_count[current])
    around = np.pad(np.where(separate, 0, shift), 2)
    quickest = np.max([around[2 + k : len(shift) + 2 + k] for k in BESIDE], 0)
    grows = np.abs(change[:, 3]) > JUMP_SCALE
    far, sudden = (shift > JUMP_SHIFT) | grows, (shift > SUDDEN * quickest) | grows
    adjacent = current == previous + 1
    scene[current] = separate | (((far & sudden) | (angle > JUMP_ANGLE)) & adjacent)
    framing[current] = far & (separate | (sudden & adjacent))
    return scene, framing


def _normalise_framing(valid: Bools, pose: Array, framing: Ints) -> Array:
    """Return poses as if every framing had the median size and position of the longest one.

    Translations are in units of the face; rotations are unchanged.
    """
    if not len(framing) or not framing[-1]:
        return pose
    counts = np.bincount(framing[valid], minlength=int(framing[-1]) + 1)
    medians = np.stack(
        [
            np.median(pose[valid & (framing == k), 3:], 0) if counts[k] else np.zeros(4)
            for k in range(len(counts))
        ]
    )
    longest = int(np.argmax(counts))
    target, current = medians[longest], medians[framing]
    normalised = pose.copy()
    normalised[:, 3] += target[0] - current[:, 0]
    zoom = np.exp(target[0] - current[:, :1])
    normalised[:, 4:] = target[1:] + (pose[:, 4:] - current[:, 1:]) * zoom
    unchanged = ~valid | (framing == longest)
    normalised[unchanged] = pose[unchanged]
    return normalised


def _interpolate_gaps(seconds: Array, usable: Bools) -> GapInterpolation:
    """Return the interpolation of unusable frames by time."""
    count = len(usable)
    previous, next_ = nearest_usable(usable)
    has_previous, has_next = previous >= 0, next_ < count
    first = np.where(has_previous, previous, np.where(has_next, next_, 0))
    last = np.where(has_next, next_, np.where(has_previous, previous, 0))
    length = np.where(last > first, seconds[last] - seconds[first], 1.0) if count else seconds
    progress = (seconds - seconds[first]) / length if count else seconds
    return GapInterpolation(first, last, np.where(last > first, smoothstep(0, 1, progress), 0.0))


def _torso_in_scene(torso: Array, camera: Array, seconds: Array, shot: Ints) -> Array:
    """Return a torso's motion without the camera's, (T, 4), as `Timeline.torso`.

    torso: (T, 4), zero where it is not seen, as on a shot's first frame where it has not moved yet.
    """
    seen = np.asarray(torso.any(1))
    rows = in_scene(np.where(seen[:, None], torso, camera), camera)
    for frames in split_shots(shot):
        known = seen[frames]
        known[:1] |= known[1:2].any()
        if known.any():
            rows[frames] = _interpolate_gaps(seconds[frames], known).fill(rows[frames])
    return rows


def _motion_weight(seconds: Array, valid: Bools, gaps: GapInterpolation) -> Array:
    """Return 1 on detected frames and in short gaps, and a fade out to 0 in long gaps."""
    if not valid.any():
        return np.zeros(len(valid))
    elapsed, remaining = seconds - seconds[gaps.previous], seconds[gaps.next] - seconds
    short = (elapsed > 0) & (remaining > 0) & (elapsed + remaining <= SHORT_GAP)
    # at the clip's ends one of the two is negative: there is no frame on that side
    fading = np.maximum(
        *(np.where(side < 0, 0, 1 - smoothstep(0, FADE, side)) for side in (elapsed, remaining))
    )
    return np.asarray(np.where(valid | short, 1.0, fading))
