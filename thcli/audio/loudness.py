"""Loudness of a sound, and the gain that brings recordings to one loudness."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import scipy  # whose signal is imported on first use: it takes 0.4 s

from thcli.audio.read import RATE
from thcli.core.types import Array, Array32

ABSOLUTE_GATE = -70.0  # LUFS; blocks below it are ignored
MAX_GAIN = 30.0  # dB; more would amplify room noise to the level of speech
_STEPS_PER_BLOCK = 4  # steps of 100 ms in a block of 400 ms
_RELATIVE_GATE = 10.0  # LU below the mean of all blocks; blocks below it (pauses) are ignored
_OFFSET = -0.691  # gives a 997 Hz sine at full scale in one channel -3.01 LUFS


def loudness(samples: Array32, rate: int = RATE) -> float:
    """Return the gated integrated loudness of one channel in LUFS; -inf for silence.

    ITU-R BS.1770-4 / EBU R 128. A sound shorter than 400 ms counts as one block.

    Args:
        samples: (N,) samples.
        rate: samples per second.
    """
    return loudness_of_blocks([samples], rate)


def loudness_of_blocks(blocks: Iterable[Array32], rate: int = RATE) -> float:
    """Return the `loudness` of a sound in blocks of any size; keeps ten numbers per second."""

    sections = k_weighting(rate)
    state = np.zeros((len(sections), 2))
    step = rate // 10
    remainder = np.zeros(0)
    powers: list[Array] = []
    for block in filter(len, blocks):
        filtered, state = scipy.signal.sosfilt(sections, np.asarray(block, np.float64), zi=state)
        remainder = np.concatenate([remainder, np.square(filtered)])
        step_count = len(remainder) // step
        powers.append(remainder[: step_count * step].reshape(step_count, step).mean(axis=1))
        remainder = remainder[step_count * step :]
    steps = np.concatenate([*powers, np.zeros(0)])
    if len(steps) >= _STEPS_PER_BLOCK:
        return _gated_loudness(
            np.convolve(steps, np.full(_STEPS_PER_BLOCK, 1 / _STEPS_PER_BLOCK), mode="valid")
        )
    samples = np.concatenate([np.repeat(steps, step), remainder])
    return _gated_loudness(np.array([samples.mean()])) if len(samples) else -math.inf


def normalising_gain(measured: float, target: float) -> float:
    """Return the factor from `measured` to `target` LUFS, at most 30 dB; 1 for silence."""
    return 10 ** (min(target - measured, MAX_GAIN) / 20) if measured > ABSOLUTE_GATE else 1.0


def k_weighting(rate: int) -> Array:
    """Return the K-weighting filter as (2, 6) second-order sections: shelf, then high pass.

    BS.1770-4, tables 1 and 2, for any sample rate.
    """
    return np.array([_shelf(rate), _high_pass(rate)])


def _shelf(rate: int) -> list[float]:
    """Return the high shelf as one second-order section.

    Bilinear transform of the filter whose coefficients at 48 kHz are in the standard (as in
    Mansbridge et al., AES 132, 2012).
    """
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


def _gated_loudness(powers: Array) -> float:
    """Return the loudness of block powers after the absolute and the relative gate."""
    loud = powers[_lufs(powers) > ABSOLUTE_GATE]
    if not len(loud):
        return -math.inf
    loud = loud[_lufs(loud) > _lufs(loud.mean()) - _RELATIVE_GATE]
    return float(_lufs(loud.mean()))


def _lufs(power: Array) -> Array:
    levels: Array = _OFFSET + 10 * np.log10(np.maximum(power, 1e-30))
    return levels
