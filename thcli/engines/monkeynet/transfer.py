"""How Monkey-Net carries keypoints from the driver to the source, in numpy.

Means are (..., K, 2), variances (..., K, 2, 2).  Source: monkey-net transfer.py:normalize_kp.
"""

from __future__ import annotations

import numpy as np

from thcli.core.types import Array32


def adapted_variances(driving: Array32, initial: Array32, source: Array32) -> Array32:
    """driving @ inverse(initial) @ source, made symmetric and positive: eigenvalues that are not become 1e-6."""
    raw = (driving @ np.linalg.inv(initial)) @ source
    values, vectors = np.linalg.eigh((raw + np.swapaxes(raw, -1, -2)) / 2)
    values = np.where(values <= 0, np.float32(1e-6), values)
    return np.asarray((vectors * values[..., None, :]) @ np.swapaxes(vectors, -1, -2), np.float32)
