"""How loud a sound is to an ear, and the gain that brings a quiet recording and a loud one to the same."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from scipy import signal

from thcli.audio.read import RATE
from thcli.core.types import Array, Array32

QUIETEST = -70.0  # LUFS: what is softer does not count (the standard's absolute gate)
MOST_GAIN = 30.0  # dB: more would make speech of the noise of a silent room
_STEPS = 4  # of 100 ms in a block of 400 ms
_BELOW = 10.0  # LU under the mean of all blocks: the pauses, which do not count (the relative gate)
_OFFSET = -0.691  # so that a sine of 997 Hz at full scale in one channel has -3.01 LUFS


def loudness(samples: Array32, rate: int = RATE) -> float:
    """Integrated loudness in LUFS of one channel, gated; -inf for silence.  ITU-R BS.1770-4 / EBU R 128.

    samples: (N,).  A sound shorter than 400 ms counts as one block.
    """
    return loudness_of([samples], rate)


def loudness_of(blocks: Iterable[Array32], rate: int = RATE) -> float:
    """`loudness` of a sound that comes in blocks of any size; keeps ten numbers a second."""
    sections = k_weighting(rate)
    state = np.zeros((len(sections), 2))
    step = rate // 10
    rest = np.zeros(0)
    powers: list[Array] = []
    for block in filter(len, blocks):
        filtered, state = signal.sosfilt(sections, np.asarray(block, np.float64), zi=state)
        rest = np.concatenate([rest, np.square(filtered)])
        whole = len(rest) // step
        powers.append(rest[: whole * step].reshape(whole, step).mean(axis=1))
        rest = rest[whole * step :]
    steps = np.concatenate([*powers, np.zeros(0)])
    if len(steps) >= _STEPS:
        return _gated(np.convolve(steps, np.full(_STEPS, 1 / _STEPS), mode="valid"))
    heard = np.concatenate([np.repeat(steps, step), rest])
    return _gated(np.array([heard.mean()])) if len(heard) else -math.inf


def gain(found: float, wanted: float) -> float:
    """The factor for samples of `found` LUFS; at most 30 dB, and 1 for silence."""
    return 10 ** (min(wanted - found, MOST_GAIN) / 20) if found > QUIETEST else 1.0


def k_weighting(rate: int) -> Array:
    """(2, 6) second-order sections: the head's shelf, then the high pass.  BS.1770-4 tables 1 and 2, for any sample rate."""
    return np.array([_shelf(rate), _high_pass(rate)])


def _shelf(rate: int) -> list[float]:
    """The bilinear transform of the filter whose coefficients at 48 kHz the standard gives (as in Mansbridge et al., AES 132, 2012)."""
    k, q = math.tan(math.pi * 1681.974450955533 / rate), 0.7071752369554196
    high = 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    scale = 1 + k / q + k * k
    return [
        (high + band * k / q + k * k) / scale,
        2 * (k * k - high) / scale,
        (high - band * k / q + k * k) / scale,
        1.0,
        2 * (k * k - 1) / scale,
        (1 - k / q + k * k) / scale,
    ]


def _high_pass(rate: int) -> list[float]:
    k, q = math.tan(math.pi * 38.13547087602444 / rate), 0.5003270373238773
    scale = 1 + k / q + k * k
    return [1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / scale, (1 - k / q + k * k) / scale]


def _gated(powers: Array) -> float:
    """The mean of the blocks that count."""
    loud = powers[_lufs(powers) > QUIETEST]
    if not len(loud):
        return -math.inf
    loud = loud[_lufs(loud) > _lufs(loud.mean()) - _BELOW]
    return float(_lufs(loud.mean()))


def _lufs(power: Array) -> Array:
    levels: Array = _OFFSET + 10 * np.log10(np.maximum(power, 1e-30))
    return levels
