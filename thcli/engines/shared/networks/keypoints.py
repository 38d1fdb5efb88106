"""Keypoints relative to a reference frame, as in the first-order model and its descendants.

Points are (..., K, dims) in the networks' [-1, 1]. Source: first-order-model
animate.py:normalize_kp.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import ConvexHull, QhullError

from thcli.core.types import Array32


def hull_extent(points: Array32) -> float:
    """Compute the square root of the convex hull's area (2-D) or, as published, volume (3-D).

    points: (K, dims). Returns 0 when they are degenerate.
    """
    try:
        return float(np.sqrt(ConvexHull(np.asarray(points, np.float64)).volume))
    except QhullError:
        return 0.0


def movement_scale(source: Array32, initial: Array32) -> float:
    """Compute the factor on driving movement: the source's face size over the driver's.

    Args:
        source: (K, dims) source keypoints.
        initial: (K, dims) driving keypoints in the reference frame.

    Returns:
        1 when either has no extent.
    """
    own, driving = hull_extent(source), hull_extent(initial)
    return own / driving if own > 0 and driving > 0 else 1.0


def relative_points(
    driving: Array32, initial: Array32, source: Array32, scale: float = 1.0
) -> Array32:
    """Compute source + scale * (driving - initial), float32."""
    return ((driving - initial) * np.float32(scale) + source).astype(np.float32)


def relative_jacobians(driving: Array32, initial: Array32, source: Array32) -> Array32:
    """Compute (driving @ inverse(initial)) @ source of (..., K, d, d), float32, rounded as in
    torch.
    """
    arrays = (np.ascontiguousarray(a, np.float32) for a in (driving, initial, source))
    current, first, own = (torch.from_numpy(a) for a in arrays)
    return np.asarray((current @ torch.linalg.inv(first)) @ own, np.float32)
