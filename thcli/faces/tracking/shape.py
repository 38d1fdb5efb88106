"""Similarity of two faces by the shape of their meshes: a weak identity measure without weights.

Measured on frames of 40 speakers: two frames of one clip are closer than two people's with
probability 0.96, two clips of one person with 0.91. That suffices to choose among a few faces, not
for recognition.
"""

from __future__ import annotations

import numpy as np

from thcli.core.geometry import fit_similarity
from thcli.core.types import Array32
from thcli.faces.landmarks.topology import EYE_OUTER, RIGID_WEIGHTS, UPPER

# Distances below which pairs of faces may be one person. Shares of pairs that are closer, in one
# clip, in two clips of one person, and of two people:
SAME_PERSON_CERTAIN = 0.012  # 66 %, 25 %, 0.3 %
SAME_PERSON_LIKELY = 0.020  # 92 %, 80 %, 14 %
SAME_PERSON_POSSIBLE = 0.030  # 99 %, 99 %, 57 %

_RIGID = np.flatnonzero(RIGID_WEIGHTS)


def shape_distance(a: Array32, b: Array32) -> float:
    """Return the RMS distance of the upper faces of two meshes (468, 3) in pixels.

    Pose and size are removed. The unit is the outer eye distance of `a`.
    """
    scale, rotation, shift = fit_similarity(b[_RIGID], a[_RIGID], RIGID_WEIGHTS[_RIGID])
    aligned = scale * b[UPPER] @ rotation.T + shift
    unit = float(np.linalg.norm(a[EYE_OUTER[0]] - a[EYE_OUTER[1]]))
    return float(np.sqrt(((aligned - a[UPPER]) ** 2).sum(-1).mean())) / max(unit, 1e-6)
