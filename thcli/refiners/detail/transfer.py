"""Transfer of a source's fine detail to the coarse crops of a clip.

A band of the coarse crop that is weaker than the source's is replaced by the source's, where both
show the same structure at the scales that both have. Nothing is trained. A band of equal strength
stays, so a real frame hardly changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from thcli.core.imaging import pixel_positions, smoothstep, three_channels
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh.sampling import remap, resize
from thcli.refiners.detail.colour import gains_against, head_mask, measure_drift
from thcli.refiners.detail.steadiness import CropFlows, LinkedCrop, steady
from thcli.refiners.detail.texture import (
    PlacedTexture,
    Texture,
    enlarge_positions,
    place_texture,
)
from thcli.refiners.shared import bands
from thcli.refiners.shared.structure import shared_structure

_SIGMA = 1.0  # frames, of their weights
_MISSING = (0.05, 0.3)  # share of a band's amplitude that the coarse crop lacks
_GAIN = (0.4, 1.4)  # limits of the light in the coarse crop over that in the source
_DARK = 8.0  # levels of 255, added to both lights
_GRID = 64  # samples per side of the energies
_STRENGTH = 0.88  # of the transfer: coarse frames are out of place, which detail shows
_STILL = 0.05  # pixels; a smaller shake is not seen
_NOISE = 0.05  # squared levels of 255: energy of a band without content


@dataclass(frozen=True, slots=True)
class CoarseCrop:
    """A coarse crop with its placed texture.

    image: (N, N, 3) uint8.
    unit: pixels of it for one pixel of a crop of `bands.UNIT` pixels.
    placed: texture over it.
    energies: local energy of each band, (_GRID, _GRID) float32.
    agreement: of the structure with the texture's, (_GRID, _GRID) float32 in 0..1.
    drift: of the colours, see `measure_drift`, (3,) float32.
    scene: number of the scene.
    flows: to the next frame; None where no crop of the scene follows, or before `link`.
    """

    image: Image
    unit: float
    placed: PlacedTexture
    energies: tuple[Array32, ...]
    agreement: Array32
    drift: Array32
    scene: int
    flows: CropFlows | None = None

    def link(self, following: CoarseCrop | None) -> CoarseCrop:
        """Return the crop with the flows to that of the next frame."""
        if following is None or following.scene != self.scene:
            return self
        return replace(self, flows=CropFlows.between(self.placed.reduced, following.placed.reduced))


def analyse(
    image: Image,
    unit: float,
    mesh: Array,
    texture: Texture,
    scene: int,
    frame_from_crop: Array,
) -> CoarseCrop:
    """Place the texture over a coarse crop and measure its bands.

    Args:
        image: (N, N, 3) uint8 crop. N may differ from frame to frame.
        unit: pixels of it for one pixel of a crop of `bands.UNIT` pixels.
        mesh: (468, 3) pixels of the crop.
        texture: of the source.
        scene: number of the scene.
        frame_from_crop: (3, 3) pixels.
    """
    split = bands.split(bands.to_grey(image), unit)
    means = (bands.local_mean(band * band, 2 * bands.WINDOW * unit) for band in split)
    energies = tuple(bands.upsample(mean, _GRID) for mean in means)
    placed = place_texture(texture, image, mesh, frame_from_crop)
    own, other = (bands.to_grey(one) for one in (placed.reduced.image, placed.reduced.texture))
    agreement = shared_structure(own, other)
    drift = measure_drift(placed, texture, agreement)
    return CoarseCrop(image, unit, placed, energies, agreement, drift, scene)


def missing_detail(window: Sequence[CoarseCrop | None], middle: int, texture: Texture) -> Array32:
    """Compute what to add to the crop in the middle of a window.

    That is the missing detail, the way of light and colours to the steady ones and, where much is
    missing, that of the blurred crop below it from its shaken to its steady place.

    Args:
        window: consecutive crops, None where the face was not detected.
        middle: position of the crop.
        texture: of the source.

    Returns:
        (N, N, 3) levels of 255.

    Raises:
        ValueError: there is no crop at the middle.
    """
    crop = window[middle]
    if crop is None:
        raise ValueError("there is no crop in the middle of the window")
    side = crop.image.shape[0]
    unit = crop.unit
    own_energies, agreement, _ = _average(window, middle)
    linked = [None if one is None else LinkedCrop(one.placed.reduced, one.flows) for one in window]
    steadying = steady(linked, middle)
    own = bands.to_grey(crop.image)
    reduced = crop.placed.reduced.positions + steadying.positions
    positions = enlarge_positions(reduced, texture, side)
    other = remap(texture.luma, positions, interpolation=cv2.INTER_LANCZOS4)
    light = _mean(own, unit) + np.float32(_DARK)
    gain = np.clip(light / (_mean(other, unit) + np.float32(_DARK)), *_GAIN).astype(np.float32)
    allowed = resize(remap(texture.weight, reduced) * crop.placed.visibility, (side, side))
    allowed *= bands.upsample(agreement, side) * bands.upsample(steadying.certainty, side)
    large_gain = bands.upsample(gain, side)
    source_bands = bands.split(other, unit)
    shares = []
    for theirs, energy in zip(source_bands, own_energies, strict=True):
        full = bands.local_mean(theirs * theirs, 2 * bands.WINDOW * unit) * gain**2
        own_energy = bands.upsample(energy, full.shape[0])
        missing = 1 - np.sqrt((own_energy + _NOISE) / (full + _NOISE))
        shares.append(bands.upsample(smoothstep(*_MISSING, missing).astype(np.float32), side))
    moved = _move_back(crop.image, steadying.shake, allowed * shares[0])
    grey = np.asarray(cv2.cvtColor(moved, cv2.COLOR_RGB2GRAY), np.float32)
    change = np.subtract(moved, crop.image, out=moved)
    detail = np.zeros_like(own)
    own_bands = bands.split(grey, unit)
    for mine, theirs, share in zip(own_bands, source_bands, shares, strict=True):
        detail += share * (large_gain * theirs - mine)
    detail *= np.float32(_STRENGTH) * allowed
    change += three_channels(detail)
    change += resize(steadying.pulse, (side, side)) * head_mask(side)
    return np.asarray(change, np.float32)


def _move_back(image: Image, shake: Array32, share: Array32) -> Array32:
    """Move an image (N, N, 3) by shares (N, N) of a shake (n, n, 2) of the reduced crop."""
    own = image.astype(np.float32)
    side = image.shape[0]
    scale = side / shake.shape[0]
    few = resize(share, shake.shape[:2], shrink=True)
    moves = few * np.hypot(shake[..., 0], shake[..., 1]) * np.float32(scale) > _STILL
    rows, columns = (np.flatnonzero(moves.any(axis)) for axis in (1, 0))
    if not len(rows):
        return own
    top, left = (int(found[0] * scale) for found in (rows, columns))
    bottom, right = (int(np.ceil((found[-1] + 1) * scale)) for found in (rows, columns))
    part = slice(top, bottom), slice(left, right)
    large = resize(shake, (side, side))[part]
    positions = pixel_positions(side)[part] - large * np.float32(scale)
    moved = remap(own, positions, interpolation=cv2.INTER_CUBIC)
    moved -= own[part]
    moved *= three_channels(share[part])
    own[part] += moved
    return own


def colour_gains(window: Sequence[CoarseCrop | None], middle: int) -> Array32:
    """Return the gain of each channel that gives the crop the texture's colours, (3,) float32."""
    *_, drift = _average(window, middle)
    return gains_against(drift)


def _average(
    window: Sequence[CoarseCrop | None], middle: int
) -> tuple[tuple[Array32, ...], Array32, Array32]:
    """Average energies, agreement and drift over a window, within the scene of its middle."""
    own = window[middle]
    assert own is not None
    total = 1.0
    sums = [values.copy() for values in (*own.energies, own.agreement, own.drift)]
    for direction in (-1, 1):
        for distance in range(1, len(window)):
            at = middle + direction * distance
            other = window[at] if 0 <= at < len(window) else None
            if other is None or other.scene != own.scene:
                break  # nothing beyond a gap or a cut corresponds
            weight = np.float32(np.exp(-0.5 * (distance / _SIGMA) ** 2))
            theirs = (*other.energies, other.agreement, other.drift)
            for values, more in zip(sums, theirs, strict=True):
                values += weight * more
            total += float(weight)
    *energies, agreement, drift = (values / np.float32(total) for values in sums)
    return tuple(energies), agreement, drift


def _mean(grey: Array32, unit: float) -> Array32:
    return bands.local_mean(grey, bands.WINDOW * unit)
