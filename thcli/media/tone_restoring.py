"""Return of changes of a tone-mapped frame to the HDR signal that it was mapped from (--hdr keep).

Faces are found and changed in the frames that `tone_mapping` makes, and written as PQ or HLG. The
steps of the tone map are inverted in reverse order, before and after the change, and the difference
of the two signals is added to the frame's own. Pixels without a change keep their code, bit for
bit. What the tone map lost (light above 1,000 cd/m2, colours outside of BT.709, less than a step of
8 bits) stays where little changes, and fades out where the change is large.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from thcli.core.imaging import smoothstep, to_uint8
from thcli.core.types import Array, Array32, Image
from thcli.media.info import Colour
from thcli.media.tone_mapping import (
    ENCODING_GAMMA,
    HLG,
    PEAK,
    SYSTEM_GAMMA,
    WHITE,
    bt709_from_primaries,
    hlg_signal,
    luma_weights,
    pq_light,
    pq_signal,
    roll_off,
    source_primaries,
)

Samples = np.ndarray[Any, Any]

_STEPS = 65536
_ROW_BLOCK = 64  # rows per block, which bounds the memory
# Levels of 255 by which a pixel changes: what the tone map lost stays up to the first, and is gone
# from the second on.
_LOSS_KEPT, _LOSS_GONE = 24, 96
# Level of 255 from which the inverse continues as a tangent, in PQ: the roll-off is flat there, and
# a level would be 60 steps of 10 bits. White returns as 585 cd/m2, which is mapped to 254.
_STEEP = 252


class ToneRestorer:
    """The inverse of a stream's `ToneMapper`.

    colour: tags of the stream, PQ or HLG.
    """

    def __init__(self, colour: Colour) -> None:
        self._transfer = colour.transfer
        primaries = source_primaries(colour)
        self._matrix = np.linalg.inv(bt709_from_primaries(primaries)).astype(np.float32)
        self._luma = luma_weights(primaries)

    def signal(self, pixels: Image) -> Array32:
        """Return the HDR signal that is mapped to these pixels, (..., 3) in 0..1.

        pixels: (..., 3) uint8, BT.709 with the signal of BT.1886.
        """
        light = _linear_table()[pixels] @ self._matrix.T
        rows = _index(light.max(-1).clip(0, 1))
        light = light * _gain_table()[rows][..., None]
        if self._transfer == HLG:
            luminance = np.maximum(light @ self._luma, np.float32(1e-9))
            light = light * (luminance ** np.float32(1 / SYSTEM_GAMMA - 1))[..., None]
        return np.asarray(_signal_table(self._transfer)[_index(light.clip(0, 1))], np.float32)


@dataclass(frozen=True, slots=True)
class KeptSignal:
    """The HDR signal of a frame that is tone-mapped, a `core.types.Signal`.

    codes: (H, W, 3) uint8 or uint16, full range of the type.
    mapped: (H, W, 3) uint8, the same frame tone-mapped.
    restorer: inverse of the map.
    """

    codes: Samples
    mapped: Image
    restorer: ToneRestorer

    @property
    def nbytes(self) -> int:
        """Bytes of the codes."""
        return int(self.codes.nbytes)

    def restore(self, pixels: Samples) -> Samples:
        """Return the signal of the changed frame.

        Args:
            pixels: (H, W, 3) uint8, or uint16 of which 8 bits count, of the frame after a change;
                an image of another size has no pixels of the frame, and is mapped back as it is.

        Returns:
            As `codes`, which it equals, bit for bit, where `pixels` are `mapped`.
        """
        after = to_uint8(pixels)
        top = float(np.iinfo(self.codes.dtype).max)
        out = self.codes.copy()
        if after.shape != out.shape:
            out = np.empty(after.shape, self.codes.dtype)
            for row in range(0, len(out), _ROW_BLOCK):
                rows = slice(row, row + _ROW_BLOCK)
                out[rows] = np.rint(self.restorer.signal(after[rows]) * top)
            return out
        for row in range(0, len(out), _ROW_BLOCK):
            old, new, codes = (image[row : row + _ROW_BLOCK] for image in (self.mapped, after, out))
            changed = (old != new).any(-1)
            if changed.any():
                codes[changed] = self._restore_pixels(codes[changed], old[changed], new[changed])
        return out

    def _restore_pixels(self, codes: Samples, old: Image, new: Image) -> Samples:
        """Return the codes of (N, 3) changed pixels."""
        top = float(np.iinfo(codes.dtype).max)
        lost = codes / np.float32(top) - self.restorer.signal(old)
        change = np.abs(new.astype(np.int16) - old).max(-1, keepdims=True)
        kept = lost * (1 - smoothstep(_LOSS_KEPT, _LOSS_GONE, change.astype(np.float32)))
        signal = self.restorer.signal(new) + kept
        return np.asarray(np.rint(signal.clip(0, 1) * top), codes.dtype)


def _index(light: Samples) -> Samples:
    """Return rows of the tables of light below: square roots, fine in the dark."""
    return np.asarray(np.sqrt(light) * (_STEPS - 1) + np.float32(0.5)).astype(np.uint16)


@cache
def _linear_table() -> Array32:
    """Return light, 1 at 203 cd/m2, by BT.1886 signal of 8 bits."""
    return np.asarray((np.arange(256) / 255) ** ENCODING_GAMMA, np.float32)


@cache
def _gain_table() -> Array32:
    """Return the factor that turns light, 1 at 203 cd/m2, into light that is 1 at 1,000 cd/m2."""
    mapped: Array = np.linspace(0, 1, _STEPS) ** 2
    mapped[0] = mapped[1]
    light = np.linspace(0, 1, _STEPS) ** 2
    inverse = np.interp(mapped, roll_off(light * PEAK) / WHITE, light)
    level, signal = 255 * mapped ** (1 / ENCODING_GAMMA), pq_signal(inverse * PEAK)
    at, step = (np.interp(_STEEP + by, level, signal) for by in (0, -1))
    tangent = at + (level - _STEEP) * (at - step)
    inverse = np.where(level > _STEEP, pq_light(tangent) / PEAK, inverse)
    return np.asarray(inverse / mapped, np.float32)


@cache
def _signal_table(transfer: int) -> Array32:
    """Return the signal by light: of PQ by display light, of HLG by scene light."""
    light = np.linspace(0, 1, _STEPS) ** 2
    return np.asarray(hlg_signal(light) if transfer == HLG else pq_signal(light * PEAK), np.float32)
