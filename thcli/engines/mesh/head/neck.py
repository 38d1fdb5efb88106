"""Neck of a turned head: a layer behind the jaw, with a map of its own.

The chin lies in front of the neck, so that a turn moves it further. The face is laid over the neck
along the jaw (`warp.Cut`); what the source's jaw hides there is the mirror image of the neck below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.engines.mesh.anatomy import CHIN, FOREHEAD, RIGID, RIGID_WEIGHTS, face_axes, face_height
from thcli.engines.mesh.sampling import remap, to_samples

DEPTH = 0.3  # face heights from the middle of the face back to the neck
PASSES = 2  # times that the neck is looked for where its own motion has moved it
JAW = slice(9, 28)  # of the oval, from one ear below the chin to the other
MARGIN = 0.05  # face heights below the source's jaw line that are the face's, not the neck's
MOST_HIDDEN = 0.3  # face heights above that line that show a mirror image
PARTED = (0.02, 0.06)  # face heights by which the neck parts from the chin: no layer, a layer
LOWER_FACE = (0.0, 0.1)  # face heights below the middle of the face from which there is a neck
# Sine of the turn upwards by which the underside of the chin comes into view: none, all. It shows
# the source's neck, stretched, by less than the first below the jaw line, half of it where the
# position lies as far above the line as the second, face heights.
RAISED, UNDER_CHIN = (0.15, 0.35), (0.2, 0.3)
CHIN_RIM = (0.03, 0.12)  # face heights above that line: the jaw goes on there, a second chin
BENEATH = 0.06  # face heights below what is shown in which no cloth may be
JAW_ENDS = 0.05  # face heights over which the mirror image ends towards the ears


@dataclass(frozen=True, slots=True)
class NeckMotion:
    """Motion of a neck apart from its head at the N samples of a map.

    shift: (2, N) pixels of the source.  parted: (N,) 0..1, how far it is a layer of its own.
    raised: 0..1, how far the underside of a turned chin comes into view.
    """

    shift: Array32
    parted: Array32
    raised: float


def find_motion(
    neck: Array32,
    step: int,
    meshes: tuple[Array, Array],
    matrix: Array32,
    head: tuple[Array32, Array32],
) -> NeckMotion:
    """Find how a neck moves sideways less than the head.

    Args:
        neck: (h, w) mask of it, `step` source pixels per sample.
        step: see neck.
        meshes: (468, 3) of source and target.
        matrix: (3, 3) source from target, of the rigid head.
        head: (2, N) source pixels that a rigid head shows, and its depth (N,) in the target.
    """
    source, target = meshes
    shown, depth = head
    size = face_height(target)
    plane = np.float32(RIGID_WEIGHTS @ target[RIGID, 2] + DEPTH * size)
    across, down = face_axes(source).astype(np.float32)
    sideways, lift = float(matrix[:2, 2] @ across), float(matrix[:2, 2] @ down)
    further = sideways * np.maximum(plane - depth, 0)
    share = _sample(neck, shown, step)
    for _ in range(PASSES):
        shift = across[:, None] * (further * share)
        share = np.maximum(share, _sample(neck, shown + shift, step))
    shift = across[:, None] * (further * share)
    chin = abs(sideways) * max(float(plane - target[CHIN, 2]), 0.0) / size
    turned = float(smoothstep(*PARTED, chin))
    raised = turned * float(smoothstep(*RAISED, -lift))
    return NeckMotion(np.asarray(shift, np.float32), share * np.float32(turned), raised)


def hidden_by_jaw(
    source: Array,
    oval: Array32,
    positions: Array32,
    motion: NeckMotion,
    below_chin: Array32,
    cloth: tuple[Array32, int] | None,
) -> Array32:
    """Return how far positions within the source's face move down to the neck.

    Args:
        source: (468, 3) source mesh.
        oval: (2, 36) outline of its face.
        positions: (2, N) source pixels.
        motion: of the neck.
        below_chin: (N,) how far a sample lies below the target's chin, 0..1.
        cloth: mask of it (h, w) and its source pixels per sample; None without any.

    Returns:
        (2, N) float32 pixels.
    """
    size = np.float32(face_height(source))
    across, down = face_axes(source).astype(np.float32)
    middle = ((source[FOREHEAD, :2] + source[CHIN, :2]) / 2).astype(np.float32)
    jaw = oval[:, JAW] - middle[:, None]
    beside, below = across @ (positions - middle[:, None]), down @ (positions - middle[:, None])
    jaw_beside, jaw_below = across @ jaw, down @ jaw
    line = np.interp(beside, *_outer_line(jaw_beside, jaw_below)) + MARGIN * size
    inside = np.maximum(line - below, 0)
    room = np.minimum(beside - jaw_beside.min(), jaw_beside.max() - beside)
    ends = smoothstep(*LOWER_FACE, below / size) * smoothstep(0, JAW_ENDS, room / size)
    moved = 2 * np.minimum(inside, MOST_HIDDEN * size) * ends * motion.parted
    if motion.raised > 0:
        lowest, half = np.float32(UNDER_CHIN[0] * size), np.float32(UNDER_CHIN[1] * size)
        pushed = (inside + lowest * inside / (inside + half)) * ends
        share = np.float32(motion.raised) * below_chin * smoothstep(*CHIN_RIM, inside / size)
        if cloth is not None:
            lower = down[:, None] * (pushed + BENEATH * size)
            share *= 1 - _sample(cloth[0], positions + lower, cloth[1])
        moved += share * (pushed - moved)
    return np.asarray(down[:, None] * moved, np.float32)


def _outer_line(beside: Array32, below: Array32) -> tuple[Array32, Array32]:
    """Return the points of a jaw line that lie further out than all between them and the chin.

    In a profile the far half of the jaw folds back behind the chin; one height for each place
    across the face is left.

    Args:
        beside: (19,) pixels to the right of the middle of the face, from the right to the left ear.
        below: (19,) pixels below it.

    Returns:
        Both from the left to the right, beside in rising order.
    """
    chin = len(beside) // 2
    left, right = -beside[chin:], beside[chin::-1]
    out_left, out_right = (
        np.concatenate([[True], half[1:] > np.maximum.accumulate(half)[:-1]])
        for half in (left, right)
    )
    kept = np.concatenate([out_right[:0:-1], out_left])[::-1]
    return beside[::-1][kept], below[::-1][kept]


def _sample(mask: Array32, positions: Array32, step: int) -> Array32:
    samples = to_samples(positions.T[None], step)
    return np.asarray(remap(mask, np.ascontiguousarray(samples, np.float32))[0])
