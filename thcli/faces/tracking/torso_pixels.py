"""Pixels of a torso, which tell whether a motion of it is true."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.faces.tracking.head_motion import Similarity
from thcli.faces.tracking.reduced_frame import Grey

# Difference of the torso's pixels with its motion over that at rest: all of it counts, none does
TRUSTED, DOUBTED = 0.9, 1.0
MOVES = 0.02  # widths of the face's box; a torso that moves by less needs no trust
# Widths of the face's box beside its middle and below its edge, of the pixels that are compared
REACH, BELOW = 1.9, (0.1, 2.0)
SAMPLES, MIN_SAMPLES = 800, 60
MAX_DIFFERENCE = 40.0  # levels of 255; larger ones are hands and what the body uncovers
# Mean difference above which neither explains the pixels: they say something, they say nothing
TELLING, SILENT = 12.0, 18.0


@dataclass(frozen=True, slots=True)
class TorsoPixels:
    """Pixels of a torso in a reduced frame: places (N, 2) and levels (N,) of 255.

    middle: (2,) of its shoulders.  unit: width of the face's box.
    """

    places: Array32
    levels: Array32
    middle: Array
    unit: float

    @staticmethod
    def of(grey: Grey, people: Grey, box: Array) -> TorsoPixels:
        """Return the pixels of the people (h, w) below a face's box (4,)."""
        unit = max(float(box[2] - box[0]), 1.0)
        y, x = np.nonzero(people)
        below, beside = (y - box[3]) / unit, np.abs(x - box[::2].mean())
        near = (below > BELOW[0]) & (below < BELOW[1]) & (beside < REACH * unit)
        few = np.flatnonzero(near)[:: max(1, int(near.sum()) // SAMPLES)]
        places = np.stack([x[few], y[few]], -1).astype(np.float32)
        levels = np.asarray(grey[y[few], x[few]], np.float32)
        return TorsoPixels(places, levels, np.array([box[::2].mean(), box[3] + unit / 2]), unit)

    def judge(self, grey: Grey, motion: Similarity, rest: Similarity) -> tuple[float, float]:
        """Return how far a frame shows the torso moved rather than at rest, and how surely, 0..1.

        A torso that hardly moves is trusted: it cannot be told from one at rest.
        """
        away = motion.apply(self.middle) - rest.apply(self.middle)
        if np.hypot(*away) + self.unit * abs(motion.a - rest.a) < MOVES * self.unit:
            return 1.0, 1.0
        if len(self.places) < MIN_SAMPLES:
            return 0.0, 0.0
        bottom, right = grey.shape[0] - 1, grey.shape[1] - 1
        shown, inside = [], np.ones(len(self.places), np.bool_)
        for one in (motion, rest):
            a, b = complex(one.a), complex(one.b)
            linear = np.array([[a.real, a.imag], [-a.imag, a.real]], np.float32)
            at = self.places @ linear + np.array([b.real, b.imag], np.float32)
            inside &= (at[:, 0] >= 0) & (at[:, 1] >= 0) & (at[:, 0] <= right) & (at[:, 1] <= bottom)
            shown.append(cv2.remap(grey, at[:, None, 0], at[:, None, 1], cv2.INTER_LINEAR)[:, 0])
        if inside.sum() < MIN_SAMPLES:
            return 0.0, 0.0
        moved, still = (
            float(np.minimum(np.abs(values - self.levels)[inside], MAX_DIFFERENCE).mean())
            for values in shown
        )
        trust = 1 - smoothstep(TRUSTED, DOUBTED, moved / max(still, 1e-6))
        return float(trust), 1 - float(smoothstep(TELLING, SILENT, min(moved, still)))
