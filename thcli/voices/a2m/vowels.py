"""Front vowels told apart: i narrows and spreads the lips, e opens them.

The likeliest motion moves the jaw for them but has nearly the same lips. The phones that were
recognised say which of the two it is, as far as one outweighs the other; lips that are not spread
(o, u, consonants between them) stay as they are.
"""

from __future__ import annotations

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.motion import anatomy
from thcli.voices.a2m.heard import smoothed_posterior
from thcli.voices.a2m.mouth import lip_features

NARROW, OPEN = ("IY", "Y"), ("EH", "AE", "EY", "AY")
DOUBT = 0.15  # posterior that neither has
SMOOTH = 9  # rows of sound over which the posteriors are averaged
SPREAD_FROM, SPREAD_TO = -0.035, 0.015  # lips wider than at rest by that count as spread
OPENING = 0.25  # of the opening, less for a certain i and more for a certain e
WIDER = 0.03  # canonical units, for a certain i


class FrontVowels:
    """Lips of i and e for a basis (K, 468, 3) of mouth shapes."""

    def __init__(self, basis: Array32) -> None:
        shapes = basis.astype(np.float64)
        features = lip_features(shapes)
        self._width = features[0]
        # least coefficients that widen the lips by 1 and move neither jaw nor lips forward
        jaw = shapes[:, anatomy.CHIN, 1]
        self._wider = np.linalg.pinv(np.stack([*features, jaw]))[:, 0]

    def separate(self, rows: Array32, inputs: Array32) -> Array32:
        """Return the rows (T, K + 1) with the lips of i and e apart.

        Args:
            rows: of the network, the opening last.
            inputs: (T * AUDIO_STRIDE, INPUT_COLUMNS) of the network.
        """
        spread = smoothstep(SPREAD_FROM, SPREAD_TO, rows[:, :-1].astype(np.float64) @ self._width)
        shares = spread * narrow_shares(inputs)
        shapes = rows[:, :-1] + WIDER * np.maximum(shares, 0)[:, None] * self._wider
        return np.column_stack([shapes, rows[:, -1] * (1 - OPENING * shares)]).astype(np.float32)


def narrow_shares(inputs: Array32) -> Array:
    """Return -1 (surely e) to 1 (surely i) for each row of motion, (T,)."""
    narrow, open_ = (smoothed_posterior(inputs, names, SMOOTH) for names in (NARROW, OPEN))
    return np.asarray((narrow - open_) / (narrow + open_ + DOUBT))
