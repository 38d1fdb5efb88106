"""Frames of a clip in which a face is seen whole, and free of what comes before it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Motion
from thcli.motion.observe import rebuild_driver_meshes
from thcli.motion.picture.shots import split_shots

OCCLUDED_LOGIT_SHARE = 0.72  # of the median logit; below it the face is occluded
# The same of a face that turns away from where it mostly looks, and radians of yaw and pitch by
# which it does
TURNED_LOGIT_SHARE, TURNED_RANGE = 0.55, (np.radians(5.0), np.radians(12.0))
# The same of a mouth that is open, and openings of one that speaks and of one that shouts
WIDE_LOGIT_SHARE, WIDE_RANGE = 0.64, (0.2, 0.4)
# Distances of its eyes a second by which a head moves that is blurred: a logit falls as far then
FAST_RANGE = (1.5, 2.5)
# Above either, the share of the other frames' median below which frames beside such ones count as
# well: a hand comes and goes
COMING_SHARE = 0.18
OCCLUSION_MARGIN = 2  # frames to each side of an occlusion that are not used either
# Share of the face's points beyond the frame's edges, more than the shot's median, and of its
# median logit: landmarks of a face that is cut off turn it towards the edge
CUT_OFF_SHARE, CUT_OFF_LOGIT_SHARE = 0.1, 0.9
# Share of the median logit from which the eyes are read, also where a hand or a cup is before the
# mouth
EYES_LOGIT_SHARE = 0.5

Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]


def share_beyond_edges(motion: Motion) -> Array:
    """Return the share of each face's points that lie outside of the frame, (T,)."""
    points = rebuild_driver_meshes(motion)[..., :2]
    last = np.asarray(motion.constants["size"], np.float64) - 1
    return np.asarray(((points < 0) | (points > last)).any(-1).mean(-1))


def leave_out_cut_off(valid: Bools, logit: Array, beyond: Array, shot: Ints) -> Bools:
    """Return the detected frames (T,) without those in which the face leaves the frame.

    A face that an edge cuts off in most of a shot, as in a close-up, is not left out.
    """
    whole = valid.copy()
    for frames in split_shots(shot):
        seen = frames[valid[frames]]
        median = float(np.median(logit[seen])) if len(seen) else 0.0
        if median <= 0:
            continue
        more = beyond[frames] - np.median(beyond[seen]) > CUT_OFF_SHARE
        whole[frames] &= ~_widen(
            valid[frames] & more & (logit[frames] < CUT_OFF_LOGIT_SHARE * median)
        )
    return whole if whole.any() else valid


def find_unoccluded(
    valid: Bools, logit: Array, pose: Array, mouth: Array, speed: Array, shot: Ints
) -> Bools:
    """Return the frames at least OCCLUSION_MARGIN away from logits far below the clip's median.

    What hides the face in one shot does not in the next. A hand over the mouth lowers the logit by
    a third; speech by up to a quarter, shouts and blur by a third, turns by up to two fifths.

    Args:
        valid: (T,) frames that show a face.
        logit: (T,) of the face's presence.
        pose: (T, 7) of the head, in radians, without the camera's motion.
        mouth: (T,) its opening.
        speed: (T,) of the head, see `head_speeds`.
        shot: (T,) number of each frame's shot.
    """
    median = float(np.median(logit[valid])) if valid.any() else 0.0
    if median <= 0:
        return valid
    away = np.linalg.norm(pose[:, :2], axis=-1)
    turned = smoothstep(*TURNED_RANGE, away - np.median(away[valid]))
    moves, wide = np.maximum(turned, smoothstep(*FAST_RANGE, speed)), smoothstep(*WIDE_RANGE, mouth)
    least = OCCLUDED_LOGIT_SHARE + np.minimum(
        moves * (TURNED_LOGIT_SHARE - OCCLUDED_LOGIT_SHARE),
        wide * (WIDE_LOGIT_SHARE - OCCLUDED_LOGIT_SHARE),
    )
    occluded = valid & (logit < least * median)
    usual = float(np.median(logit[valid & ~occluded])) if (valid & ~occluded).any() else median
    coming = valid & (logit < (least + COMING_SHARE) * usual)
    unoccluded = valid.copy()
    for frames in split_shots(shot):
        unoccluded[frames] &= ~_widen(_reach(occluded[frames], coming[frames]))
    return unoccluded if unoccluded.any() else valid


def head_speeds(valid: Bools, pose: Array, shot: Ints, seconds: Array) -> Array:
    """Return by how many distances of the eyes a second heads move over frames around each, (T,).

    Jitter beside a hand leads nowhere within them.
    """
    frames = np.arange(len(pose))
    before = np.maximum(frames - OCCLUSION_MARGIN, 0)
    after = np.minimum(frames + OCCLUSION_MARGIN, len(pose) - 1)
    moved = np.linalg.norm(pose[after, 4:6] - pose[before, 4:6], axis=-1) / np.exp(pose[:, 3])
    known = valid & valid[before] & valid[after] & (shot[before] == shot[after])
    passed = seconds[after] - seconds[before]
    return np.where(known & (passed > 0), moved / np.where(passed > 0, passed, 1.0), 0.0)


def find_seen_eyes(valid: Bools, logit: Array) -> Bools:
    """Return the detected frames (T,) whose eyes are read, whatever is before the mouth."""
    median = float(np.median(logit[valid])) if valid.any() else 0.0
    return valid & (logit >= EYES_LOGIT_SHARE * median) if median > 0 else valid


def _reach(frames: Bools, coming: Bools) -> Bools:
    """Return the runs of coming frames (T,) in which some of `frames` (T,) lie."""
    numbers = np.cumsum(np.diff(coming, prepend=False))
    return np.asarray(coming & np.isin(numbers, numbers[frames]))


def _widen(frames: Bools) -> Bools:
    """Return frames (T,) and those at most OCCLUSION_MARGIN beside them."""
    # mode "same" would have the kernel's length for a shorter clip
    near = np.convolve(frames, np.ones(2 * OCCLUSION_MARGIN + 1))
    return np.asarray(near[OCCLUSION_MARGIN : OCCLUSION_MARGIN + len(frames)] > 0)
