"""How alike two faces are by the shape of their meshes: a weak measure of identity that needs no further weights.

Measured on frames of 40 speakers: two frames of one clip are closer than two people's with probability 0.96, two clips of one
person with 0.91. Good enough to choose among a few faces, not to recognise somebody.
"""

from __future__ import annotations

import numpy as np

from thcli.core.geometry import fit_similarity
from thcli.core.types import Array32
from thcli.faces.landmarks.topology import EYE_OUTER, RIGID_WEIGHTS, UPPER

# Shares of pairs that are closer:    one clip    two clips of one person    two people
SAME_SURELY = 0.012  #                 66 %           25 %                       0.3 %
SAME_LIKELY = 0.020  #                 92 %           80 %                       14 %
SAME_AT_ALL = 0.030  #                 99 %           99 %                       57 %

_RIGID = np.flatnonzero(RIGID_WEIGHTS)


def shape_distance(a: Array32, b: Array32) -> float:
    """RMS distance of the upper faces of two meshes (468, 3) in pixels, pose and size taken out, in outer eye distances of `a`."""
    scale, rotation, shift = fit_similarity(b[_RIGID], a[_RIGID], RIGID_WEIGHTS[_RIGID])
    moved = scale * b[UPPER] @ rotation.T + shift
    unit = float(np.linalg.norm(a[EYE_OUTER[0]] - a[EYE_OUTER[1]]))
    return float(np.sqrt(((moved - a[UPPER]) ** 2).sum(-1).mean())) / max(unit, 1e-6)
