"""Phones that were recognised, in the rows of the motion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thcli.audio.phones import PHONES
from thcli.core.types import Array, Array32
from thcli.voices.a2m.features import PHONE_SPREAD, SOUND_COLUMNS
from thcli.voices.a2m.networks import AUDIO_STRIDE


def smoothed_posterior(inputs: Array32, names: Sequence[str], smooth: int) -> Array:
    """Return the posterior (T,) of some phones together, 0..1.

    Args:
        inputs: (T * AUDIO_STRIDE, INPUT_COLUMNS) of the network.
        names: of the phones.
        smooth: rows of sound over which it is averaged.
    """
    columns = [SOUND_COLUMNS + PHONES.index(name) for name in names]
    posterior = np.exp((inputs[:, columns] - 1) * PHONE_SPREAD).sum(1)
    return np.convolve(posterior, np.ones(smooth) / smooth, "same")[::AUDIO_STRIDE]
