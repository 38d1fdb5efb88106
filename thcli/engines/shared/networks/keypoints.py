"""Keypoints relative to a reference frame, as the first-order model and its descendants carry motion over.

Points are (..., K, dims) in the networks' [-1, 1].  Source: first-order-model animate.py:normalize_kp.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import ConvexHull, QhullError

from thcli.core.types import Array32


def spread(points: Array32) -> float:
    """Square root of the convex hull's area (2-D) or, as published, of its volume (3-D) of (K, dims) points; 0 when they are flat."""
    try:
        return float(np.sqrt(ConvexHull(np.asarray(points, np.float64)).volume))
    except QhullError:
        return 0.0


def movement_scale(source: Array32, initial: Array32) -> float:
    """How much larger the source's face is than the driver's in its reference frame: what driving movement is multiplied with.

    source, initial: (K, dims).  1 when either has no extent.
    """
    mine, theirs = spread(source), spread(initial)
    return mine / theirs if mine > 0 and theirs > 0 else 1.0


def relative_points(
    driving: Array32, initial: Array32, source: Array32, scale: float = 1.0
) -> Array32:
    """source + scale * (driving - initial), float32."""
    return ((driving - initial) * np.float32(scale) + source).astype(np.float32)


def relative_jacobians(driving: Array32, initial: Array32, source: Array32) -> Array32:
    """(driving @ inverse(initial)) @ source of (..., K, d, d), float32, rounded as torch does."""
    moved, first, own = (
        torch.from_numpy(np.ascontiguousarray(a, np.float32)) for a in (driving, initial, source)
    )
    return np.asarray((moved @ torch.linalg.inv(first)) @ own, np.float32)
