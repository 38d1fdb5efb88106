"""Conversion of HDR and wide-gamut frames to BT.709 in standard dynamic range (--hdr tonemap).

1. Display light of the signal: PQ (SMPTE ST 2084), HLG with the system gamma of a 1,000 cd/m2
   display (ITU-R BT.2100), or BT.1886.
2. HDR: the curve of ITU-R BT.2390-10 section 5.4.1 (Hermite roll-off in PQ) on the largest of the
   three channels, from 1,000 to 203 cd/m2, the reference white of ITU-R BT.2408. All channels are
   scaled alike, so that hues stay.
3. BT.709 primaries; what is outside of the gamut is clipped (ITU-R BT.2407 section 2).
4. BT.1886 signal of 8 bits.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np

from thcli.core.device import resolve_device
from thcli.core.types import Array, Array32, Image
from thcli.media.info import Colour

Samples = np.ndarray[Any, Any]

SDR = Colour(matrix=1, range=1, primaries=1, transfer=1)
PEAK, WHITE = 1000.0, 203.0  # cd/m2
PQ, HLG, _LINEAR = 16, 18, 8
ENCODING_GAMMA = 2.4  # of BT.1886
SYSTEM_GAMMA = 1.2  # of HLG at 1,000 cd/m2
_STEPS = 65536
_ROW_BLOCK = 64  # rows per block: its floats stay in the processor's cache
# chromaticity of red, green, blue and white by code point of the primaries (ISO/IEC 23091-2)
_D65 = (0.3127, 0.3290)
_PRIMARIES = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
}
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073


def is_mapped(colour: Colour) -> bool:
    """Return True for colours that --hdr tonemap converts: HDR, BT.2020 and P3."""
    return colour.is_hdr or colour.primaries in (9, 12)


def pq_signal(light: Array) -> Array:
    """Return the PQ signal 0..1 of display light in cd/m2 (ST 2084, inverse EOTF)."""
    power = np.power(np.clip(light, 0, None) / 10000, 2610 / 16384)
    return np.asarray(
        np.power((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power), 2523 / 32)
    )


def pq_light(signal: Array) -> Array:
    """Return the display light in cd/m2 of a PQ signal 0..1 (ST 2084, EOTF)."""
    power = np.power(np.clip(signal, 0, 1), 32 / 2523)
    ratio = np.clip(power - 3424 / 4096, 0, None) / (2413 / 128 - 2392 / 128 * power)
    return np.asarray(10000 * np.power(ratio, 16384 / 2610))


def hlg_scene(signal: Array) -> Array:
    """Return the scene light 0..1 of an HLG signal 0..1 (BT.2100, inverse OETF)."""
    low = signal * signal / 3
    high = (np.exp((signal - _HLG_C) / _HLG_A) + _HLG_B) / 12
    return np.asarray(np.where(signal <= 0.5, low, high))


def hlg_signal(scene: Array) -> Array:
    """Return the HLG signal 0..1 of scene light 0..1 (BT.2100, OETF)."""
    high = _HLG_A * np.log(np.maximum(12 * scene - _HLG_B, 1e-9)) + _HLG_C
    return np.asarray(np.where(scene <= 1 / 12, np.sqrt(3 * scene), high))


def roll_off(light: Array) -> Array:
    """Map display light of 0..1000 cd/m2 to 0..203 cd/m2 (BT.2390-10 section 5.4.1, black at 0)."""
    top = float(pq_signal(np.array(PEAK)))
    largest = float(pq_signal(np.array(WHITE))) / top
    knee = 1.5 * largest - 0.5
    e1 = np.clip(pq_signal(light) / top, 0, 1)
    t = (e1 - knee) / (1 - knee)
    curve = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * largest
    )
    return pq_light(np.where(e1 < knee, e1, curve) * top)


def source_primaries(colour: Colour) -> int:
    """Return the code point of a stream's primaries; HDR without them is BT.2020."""
    return 9 if colour.primaries == 2 and colour.is_hdr else colour.primaries


def luma_weights(primaries: int) -> Array32:
    """Return the luminance of red, green and blue, (3,); unknown primaries count as BT.709."""
    known = primaries if primaries in _PRIMARIES else 1
    return np.asarray(_xyz_from_rgb(known)[1], np.float32)


def bt709_from_primaries(primaries: int) -> Array:
    """Return the matrix between linear RGB of two sets of primaries, (3, 3).

    primaries: code point; an unknown one counts as BT.709.
    """
    known = primaries if primaries in _PRIMARIES else 1
    return np.asarray(np.linalg.inv(_xyz_from_rgb(1)) @ _xyz_from_rgb(known))


def _xyz_from_rgb(primaries: int) -> Array:
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in _PRIMARIES[primaries]]).T
    return np.asarray(columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3]))


class ToneMapper:
    """Converter of one stream's frames to BT.709, 8 bits.

    colour: tags of the stream.
    device: a --device value; NumPy computes on the CPU, torch on CUDA.
    """

    def __init__(self, colour: Colour, device: str = "cpu") -> None:
        self._cuda = None if device == "cpu" else _cuda_device(device)
        self._transfer = colour.transfer
        primaries = source_primaries(colour)
        self._matrix = bt709_from_primaries(primaries).astype(np.float32)
        self._luma = luma_weights(primaries)
        self._tables: dict[Any, dict[str, Any]] = {}

    def __call__(self, pixels: Samples) -> Image:
        """Convert a frame.

        Args:
            pixels: (H, W, 3) RGB signal, uint8 or uint16, full range of the type.

        Returns:
            (H, W, 3) uint8.
        """
        codes = pixels if pixels.dtype == np.uint16 else pixels.astype(np.uint16) * 257
        if self._cuda is not None:
            return self.map_by_torch(codes, self._cuda)
        out = np.empty(codes.shape, np.uint8)
        for row in range(0, len(codes), _ROW_BLOCK):
            rows = slice(row, row + _ROW_BLOCK)
            out[rows] = self._map_rows(codes[rows])
        return out

    def map_by_torch(self, codes: Samples, device: Any) -> Image:
        """Convert a frame on a torch device, with the tables and steps of the CPU.

        Args:
            codes: (H, W, 3) uint16, which cross the bus once; bytes come back.
            device: torch.device.
        """
        import torch

        def pick(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
            return values.index_select(0, rows.reshape(-1)).reshape(rows.shape)

        def row(linear: torch.Tensor) -> torch.Tensor:
            return (linear.sqrt() * (_STEPS - 1) + 0.5).int()

        tables = self._tables_on(device)
        host = torch.from_numpy(np.ascontiguousarray(codes).view(np.int16))
        light = pick(tables["light"], host.to(device).int() & 0xFFFF)
        if self._transfer == HLG:
            luminance = (light * tables["luma"]).sum(-1, keepdim=True)
            light = light * luminance.clamp(min=1e-9) ** (SYSTEM_GAMMA - 1)
        if self._transfer in (PQ, HLG):
            largest = light.amax(-1, keepdim=True).clamp(max=1)
            light = light * pick(tables["gain"], row(largest))
        linear = (light @ tables["matrix"].T).clamp(0, 1)
        return np.asarray(pick(tables["signal"], row(linear)).cpu().numpy(), np.uint8)

    def _tables_on(self, device: Any) -> dict[str, Any]:
        """Return the tables as tensors on a device, where they stay."""
        if device not in self._tables:
            import torch

            values = {
                "light": _light_table(self._transfer),
                "gain": _gain_table(),
                "signal": _signal_table(),
                "matrix": self._matrix,
                "luma": self._luma,
            }
            self._tables[device] = {
                name: torch.tensor(table).to(device) for name, table in values.items()
            }
        return self._tables[device]

    def _map_rows(self, codes: Samples) -> Image:
        light = _light_table(self._transfer)[codes]
        if self._transfer == HLG:
            luminance = cv2.transform(light, self._luma[None])
            gain = np.power(np.maximum(luminance, 1e-9), SYSTEM_GAMMA - 1)
            light = light * gain.reshape(*light.shape[:2], 1)
        if self._transfer in (PQ, HLG):
            largest = np.minimum(light.max(2), 1)
            light = light * _gain_table()[_index(np.asarray(largest, np.float32))][..., None]
        linear = np.clip(cv2.transform(light, self._matrix), 0, 1).astype(np.float32, copy=False)
        return np.asarray(_signal_table()[_index(linear)], np.uint8)


def _cuda_device(device: str) -> Any:
    """Return the torch.device of a --device value, None where it is not CUDA."""
    found = resolve_device(device)
    return found if found.type == "cuda" else None


def _index(linear: Array32) -> Samples:
    """Return rows of the tables below: square roots, as fine in the dark as the signal is."""
    return np.asarray(np.sqrt(linear) * (_STEPS - 1) + np.float32(0.5)).astype(np.uint16)


@cache
def _light_table(transfer: int) -> Array32:
    """Return light by 16-bit code: of PQ and HLG 1 is the peak, of others the white."""
    signal = np.linspace(0, 1, _STEPS)
    if transfer == PQ:
        light = np.minimum(pq_light(signal) / PEAK, 1)
    elif transfer == HLG:
        light = hlg_scene(signal)
    else:
        light = signal if transfer == _LINEAR else signal**ENCODING_GAMMA
    return np.asarray(light, np.float32)


@cache
def _gain_table() -> Array32:
    """Return the factor that turns light, 1 at 1,000 cd/m2, into light that is 1 at 203 cd/m2."""
    light = np.linspace(0, 1, _STEPS) ** 2
    light[0] = light[1]
    return np.asarray(roll_off(light * PEAK) / WHITE / light, np.float32)


@cache
def _signal_table() -> Image:
    """Return the BT.1886 signal of linear light."""
    return np.asarray(
        np.rint(255 * (np.linspace(0, 1, _STEPS) ** 2) ** (1 / ENCODING_GAMMA)), np.uint8
    )
