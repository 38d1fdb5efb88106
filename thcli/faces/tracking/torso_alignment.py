"""Motion of a torso by its pixels, where it has no corners: a close-up, plain clothes.

The pixels of the people below the face are aligned as a whole with those of the scene's first
frame, folds, seams and the shoulders' outline alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array
from thcli.faces.tracking.aligned_pixels import AlignedPixels
from thcli.faces.tracking.head_motion import Similarity
from thcli.faces.tracking.reduced_frame import Grey

# Widths of the face's box below its edge and beside its middle, from which pixels are taken
BELOW, REACH = (0.1, 2.0), 1.9
CELL = 4  # reduced pixels; of each cell the pixel of the largest gradient is taken
MIN_SAMPLES = 60
# Mean square slope across which a torso that can be aligned changes, in its weakest direction, in
# square levels of 255 per square pixel: plain clothes have 0 to 7, folds 10 to 150
LEAST_SLOPE = 8.0
MAX_DIFFERENCE = 6.0  # levels of 255, mean of a motion that counts


@dataclass(frozen=True, slots=True)
class TorsoAlignment:
    """Pixels of a torso in the frame in which it began."""

    pixels: AlignedPixels

    @staticmethod
    def of(
        grey: Grey, people: Grey, box: Array, skin: npt.NDArray[np.bool_]
    ) -> TorsoAlignment | None:
        """Return the pixels of a torso; None of one that shows too little.

        Args:
            grey: (h, w) reduced frame.
            people: (h, w) where people are, 0 or 1.
            box: (4,) of the face in reduced pixels.
            skin: (h, w) what has the face's colour, hands above all.
        """
        width = max(float(box[2] - box[0]), 1.0)
        rows, columns = np.arange(grey.shape[0])[:, None], np.arange(grey.shape[1])[None]
        below, beside = (rows - box[3]) / width, np.abs(columns - box[::2].mean()) / width
        region = (below > BELOW[0]) & (below < BELOW[1]) & (beside < REACH)
        region &= (people > 0) & ~skin
        pixels = AlignedPixels.of(grey, region, CELL, MIN_SAMPLES)
        if pixels is None or pixels.weakest_slope() < LEAST_SLOPE:
            return None
        return TorsoAlignment(pixels)

    def follow(self, grey: Grey, guesses: Sequence[Similarity]) -> Similarity | None:
        """Return the motion to a frame, from the frame in which the torso began; None if lost.

        Args:
            grey: (h, w) the frame.
            guesses: where to begin.
        """
        found = self.pixels.descend(grey, guesses)
        return found[0] if found is not None and found[1] <= MAX_DIFFERENCE else None
