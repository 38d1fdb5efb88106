"""Transfer of Monkey-Net's variances to the source, in numpy.

Source: monkey-net transfer.py:normalize_kp.
"""

from __future__ import annotations

import numpy as np

from thcli.core.types import Array32


def adapt_variances(driving: Array32, initial: Array32, source: Array32) -> Array32:
    """Compute driving @ inverse(initial) @ source, symmetric and positive definite.

    Eigenvalues that are not positive become 1e-6. All arguments are (..., K, 2, 2).
    """
    raw = (driving @ np.linalg.inv(initial)) @ source
    values, vectors = np.linalg.eigh((raw + np.swapaxes(raw, -1, -2)) / 2)
    values = np.where(values <= 0, np.float32(1e-6), values)
    return np.asarray((vectors * values[..., None, :]) @ np.swapaxes(vectors, -1, -2), np.float32)
