"""A clip's small scalars, read once: when its frames are, where its face was seen, where scenes change, what fills the gaps.

About a hundred bytes a frame are kept; expressions stay on disk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.geometry import matrix_from_rotvec, rotvec_from_matrix
from thcli.core.imaging import smoothstep
from thcli.core.protocols import MotionStore
from thcli.core.types import Array, Motion

WINDOW = 64  # frames read at a time
SHORT_GAP = 0.5  # seconds: up to here a lost face is interpolated from both sides
EASE = 0.6  # seconds in which the motion fades out in a long gap, and in again before its end
COVERED = 0.72  # of the usual certainty of the mesh network: below it something covers the face
COVERED_MARGIN = 2  # frames to each side that a cover spoils as well
JUMP_SHIFT, JUMP_SCALE, JUMP_TURN = (
    0.5,
    0.25,
    0.6,
)  # IOD, log and radians between two frames: more is a cut

Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Gaps:
    """What stands in for frames that cannot be used: between frame `before` and frame `after`, `mix` (0..1) of the way. (T,) each.

    A usable frame is its own neighbour on both sides; at the clip's ends the nearest usable frame holds.
    """

    before: Ints
    after: Ints
    mix: Array

    def fill(self, rows: Array) -> Array:
        """Rows (T, ...) with the gaps filled."""
        if not len(rows):
            return rows
        mix = self.mix.reshape(-1, *(1,) * (rows.ndim - 1))
        first = rows[self.before]
        return np.asarray(np.where(mix == 0, first, first + mix * (rows[self.after] - first)))


@dataclass(frozen=True, slots=True)
class Timeline:
    """Per frame of a clip of T frames.

    seconds: (T,).  valid: (T,) the face was seen.  clear: (T,) and nothing covered it: its expression can be trusted.
    pose: (T, 7) as in the motion file, after a cut as if framed like the longest scene.  gaze: (T, 2, 2).  shot: (T,) number of the
    scene.  run: (T,) number of the stretch that a filter may look across (scenes, and the parts between long gaps).
    lost: fills frames that are not valid; covered: those that are not clear.
    weight: (T,) 1 where the motion counts fully, fading to 0 inside long gaps.
    """

    seconds: Array
    valid: Bools
    clear: Bools
    pose: Array
    gaze: Array
    shot: Ints
    run: Ints
    lost: Gaps
    covered: Gaps
    weight: Array

    def __len__(self) -> int:
        return len(self.seconds)


def scan(store: MotionStore) -> Timeline:
    """Reads a motion of kind "mesh" through once, in windows."""
    parts = [_small(store.window(i, i + WINDOW)) for i in range(0, len(store), WINDOW)]
    if not parts:
        parts = [_small(store.window(0, 0))]
    seconds, valid, pose, gaze, track, logit, cut = (
        np.concatenate([p[i] for p in parts]) for i in range(7)
    )
    new_shot, new_scene = _cuts(valid, pose, track, cut)
    shot = np.cumsum(new_shot).astype(np.intp)
    clear = _clear(valid, logit)
    lost = _gaps(seconds, valid)
    # a stretch ends with its scene, and with a long gap
    seen = np.flatnonzero(valid)
    long_gap = np.zeros(len(valid), np.intp)
    long_gap[seen[1:]] = np.diff(seconds[seen]) > SHORT_GAP
    return Timeline(
        seconds,
        valid,
        clear,
        _one_framing(valid, pose, np.cumsum(new_scene).astype(np.intp)),
        gaze,
        shot,
        shot + np.cumsum(long_gap),
        lost,
        _gaps(seconds, clear),
        _weight(seconds, valid, lost),
    )


def _small(motion: Motion) -> tuple[Array, Bools, Array, Array, Ints, Array, Bools]:
    seconds = motion.pts.astype(np.float64) * float(motion.time_base)
    a, none = motion.arrays, np.zeros(len(motion))
    return (
        seconds,
        np.array(motion.valid),
        np.asarray(a["pose"], np.float64),
        np.asarray(a["gaze"], np.float64),
        np.asarray(a.get("track", none), np.intp),
        np.asarray(a.get("logit", none), np.float64),
        np.asarray(a.get("cut", none), bool),
    )


def _clear(valid: Bools, logit: Array) -> Bools:
    """Frames whose face nothing covers: the network's certainty there is not far below the clip's median, nor in a neighbour.

    A hand over the mouth takes a third of the certainty, speech and turns up to a quarter.
    """
    usual = float(np.median(logit[valid])) if valid.any() else 0.0
    if usual <= 0:
        return valid
    doubtful = valid & (logit < COVERED * usual)
    # not "same": that has the kernel's length when the clip is shorter
    wide = (
        np.convolve(doubtful, np.ones(2 * COVERED_MARGIN + 1))[
            COVERED_MARGIN : COVERED_MARGIN + len(valid)
        ]
        > 0
    )
    clear = valid & ~wide
    return clear if clear.any() else valid


def _neighbours(valid: Bools) -> tuple[Ints, Ints]:
    """For each frame the last seen one at or before it (-1: none) and the first at or after it (T: none)."""
    at = np.arange(len(valid))
    before = np.maximum.accumulate(np.where(valid, at, -1)) if len(valid) else at
    after = np.minimum.accumulate(np.where(valid, at, len(valid))[::-1])[::-1] if len(valid) else at
    return before, after


def _cuts(valid: Bools, pose: Array, track: Ints, cut: Bools) -> tuple[Bools, Bools]:
    """Where a filter must stop (T,): on a seen frame with another track or beyond a cut, or after a jump that no head makes. Where the framing changed (T,)."""
    shot, scene = np.zeros(len(valid), bool), np.zeros(len(valid), bool)
    seen = np.flatnonzero(valid)
    if len(seen) < 2:
        return shot, scene
    a, b = seen[:-1], seen[1:]
    shift = np.linalg.norm(pose[b, 4:6] - pose[a, 4:6], axis=-1) / np.exp(pose[a, 3])
    between = matrix_from_rotvec(pose[b, :3]) @ np.swapaxes(matrix_from_rotvec(pose[a, :3]), -1, -2)
    turn = np.linalg.norm(rotvec_from_matrix(between), axis=-1)
    moved = (shift > JUMP_SHIFT) | (np.abs(pose[b, 3] - pose[a, 3]) > JUMP_SCALE)
    passed = np.cumsum(cut)  # a cut may fall on frames without the face
    next_to, other = b == a + 1, (track[a] != track[b]) | (passed[a] != passed[b])
    shot[b] = other | ((moved | (turn > JUMP_TURN)) & next_to)
    scene[b] = moved & (next_to | other)
    return shot, scene


def _one_framing(valid: Bools, pose: Array, scene: Ints) -> Array:
    """Poses as if every scene were framed like the longest: its median size and place, movements in units of the face. Directions stay."""
    if not len(scene) or not scene[-1]:
        return pose
    counts = np.bincount(scene[valid], minlength=int(scene[-1]) + 1)
    middles = np.stack(
        [
            np.median(pose[valid & (scene == k), 3:], 0) if counts[k] else np.zeros(4)
            for k in range(len(counts))
        ]
    )
    longest = int(np.argmax(counts))
    base, own = middles[longest], middles[scene]
    out = pose.copy()
    out[:, 3] += base[0] - own[:, 0]
    out[:, 4:] = base[1:] + (pose[:, 4:] - own[:, 1:]) * np.exp(base[0] - own[:, :1])
    stays = ~valid | (scene == longest)
    out[stays] = pose[stays]
    return out


def _gaps(seconds: Array, usable: Bools) -> Gaps:
    count = len(usable)
    before, after = _neighbours(usable)
    has_before, has_after = before >= 0, after < count
    first = np.where(has_before, before, np.where(has_after, after, 0))
    last = np.where(has_after, after, np.where(has_before, before, 0))
    length = np.where(last > first, seconds[last] - seconds[first], 1.0) if count else seconds
    way = (seconds - seconds[first]) / length if count else seconds
    return Gaps(first, last, np.where(last > first, smoothstep(0, 1, way), 0.0))


def _weight(seconds: Array, valid: Bools, gaps: Gaps) -> Array:
    """1 on seen frames and in short gaps between two of them; fading with the distance from seen frames in others."""
    if not valid.any():
        return np.zeros(len(valid))
    since, until = seconds - seconds[gaps.before], seconds[gaps.after] - seconds
    short = (since > 0) & (until > 0) & (since + until <= SHORT_GAP)
    # at the clip's ends one of the two is negative: there is nothing on that side
    fading = np.maximum(
        *(np.where(side < 0, 0, 1 - smoothstep(0, EASE, side)) for side in (since, until))
    )
    return np.asarray(np.where(valid | short, 1.0, fading))
