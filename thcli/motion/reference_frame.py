"""Which driving frame stands for the source: the frame that looks most like it, or the driver's neutral face.

Both are found in one pass over the clip that keeps a few numbers a frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.errors import NoFaceError
from thcli.core.geometry import matrix_from_rotvec, rotvec_from_matrix
from thcli.core.imaging import smoothstep
from thcli.core.protocols import MotionStore
from thcli.core.types import Array
from thcli.motion.canonical import Posed, eye_openings, mouth_opening, neutral, rigid_fit
from thcli.motion.timeline import WINDOW, Bools, Timeline

SHUT = 0.05  # lid gap / eye width of a shut eye
SHUT_GLASSES = 0.10  # the same behind glasses
OPEN = 0.12  # an eye opens by at least this much between shut and open
EYE_USUAL = 0.1  # part by which the opening of waking eyes varies
BEST = 24  # frames that the driver's neutral face is averaged from
NEUTRAL_TURN = np.radians(20.0)


@dataclass(frozen=True, slots=True)
class Measures:
    """Per frame of the clip. eyes: (T, 2) lid gap / width.  mouth: (T,).  unlike: (T,) how unlike the source each frame is (inf: not seen)."""

    eyes: Array
    mouth: Array
    unlike: Array

    def eye_median(self, clear: Bools) -> float:
        """The usual opening of both eyes together."""
        return max(float(np.median(self.eyes[clear].mean(-1))), 1e-6)

    def shut(self, clear: Bools) -> float:
        """What counts as shut in this clip: glasses hold the lids of the mesh apart."""
        low = float(np.quantile(self.eyes[clear].mean(-1), 0.02))
        return SHUT + (SHUT_GLASSES - SHUT) * float(smoothstep(0.06, 0.09, low))


def measure(store: MotionStore, line: Timeline, source: Posed, gaze: Array) -> Measures:
    """Reads the clip through and compares each frame with the source: pose, shape, eyes, mouth (MESH.md section 3) and gaze (2, 2).

    Raises NoFaceError when no frame shows a face.
    """
    if not line.valid.any():
        raise NoFaceError(
            "The driving motion shows no face in any frame.",
            "Choose another driving clip, or --face N.",
        )
    parts = [_measures(store, line, source, i) for i in range(0, len(line), WINDOW)]
    eyes, mouth, apart = (np.concatenate([p[k] for p in parts]) for k in range(3))
    both = eyes.mean(-1)
    median = max(float(np.median(both[line.clear])), 1e-6)
    # eyes as open as usual are all alike; a blink is worse than a stare
    ratio = both / median
    blink = 3 * np.maximum(1 - EYE_USUAL - ratio, 0) + np.maximum(ratio - 1 - EYE_USUAL, 0)
    # differs from MESH.md: a reference that glances aside would turn the eyes of every other frame the other way
    glance = np.linalg.norm((line.gaze - gaze).mean(1), axis=-1)
    unlike = apart + blink + 3 * np.abs(mouth - mouth_opening(source.shape)) + 3 * glance
    return Measures(eyes, mouth, np.where(line.clear, unlike, np.inf))


def _measures(
    store: MotionStore, line: Timeline, source: Posed, start: int
) -> tuple[Array, Array, Array]:
    expression = np.asarray(store.window(start, start + WINDOW).arrays["expression"], np.float64)
    shape = neutral() + expression
    turned = matrix_from_rotvec(line.pose[start : start + WINDOW, :3])
    scale, rotation, shift = rigid_fit(shape, source.shape)
    there = scale[:, None, None] * shape @ np.swapaxes(rotation, -1, -2) + shift[:, None]
    rms = np.sqrt(((there - source.shape) ** 2)[..., :2].sum(-1).mean(-1))
    # from the driver's picture axes to the source's
    relative = source.rotation @ rotation @ np.swapaxes(turned, -1, -2)
    angle = np.linalg.norm(rotvec_from_matrix(relative), axis=-1)
    return eye_openings(shape), mouth_opening(shape), angle / np.radians(30) + 4 * rms


def neutral_frames(line: Timeline, measures: Measures) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """The frames nearest to a frontal face with open eyes and a closed mouth, at most BEST, in order."""
    both = measures.eyes.mean(-1)
    median = measures.eye_median(line.clear)
    turn = np.linalg.norm(line.pose[:, :2], axis=-1) / NEUTRAL_TURN
    score = turn + 2 * np.abs(both / median - 1) + 6 * measures.mouth
    score = np.where(line.clear, score, np.inf)
    best = np.argsort(score, kind="stable")[: min(BEST, int(line.clear.sum()))]
    return np.sort(best)
