"""Batches of unrolled faces that wear something, and of the same faces without it.

An item follows from (seed, step, index) alone. Even updates see the eyes, odd ones the lower face.
One of two things is removed: what hides the skin (glasses, beards), or make-up.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from thcli.core.imaging import smoothstep
from thcli.core.options import RemoverNetwork
from thcli.core.types import Array32
from thcli.editors.atlas import layout, tone
from thcli.editors.atlas.removers.network import network_for
from thcli.editors.atlas.removers.parts import (
    FINE,
    PARTS,
    PartName,
    canonical_places,
    condition_row,
    decode_texture,
    lens_window,
    part_places,
    ring_mask,
)
from thcli.editors.atlas.removers.prior import Priors, beard_zone, learn_prior
from thcli.faces.landmarks.topology import EYES
from thcli.train.data.batches import Batch
from thcli.train.removers import spectacles
from thcli.train.removers.pairs import BARE, BEARDED, GLASSES, StoredPairs

REAL = {"eyeglasses": 0.4, "beard": 0.5}  # share of the items with a real wearer's texture
DRAWN, LENSES = 0.6, 0.4  # shares of the other glasses drawn anew, of real rims that get lenses
ABSENT = 0.1  # share of the items that do not wear what is to be removed
COLOURFUL, HUES = 0.3, 0.35  # share of make-up in other colours, deviation of their logarithms
OTHER = 0.35  # share of the items that also wear what is not to be removed
SAMPLE_STEP = 2**31 - 2  # step number of the sample batch
HELD_OUT = 24  # bare faces, the last ones, that no update sees
_EYE_MARGIN = 0.05  # around eye openings, canonical units
_RIM = 11  # samples; wider structures are no rims
_FEWEST = 25  # samples of each cheek that tell the complexion
# Soft logarithms: below the first a wearer's chin is as bare as the cheeks, above the second hair.
# Faint shadows count, since real ones have no sharp end.
_DARKNESS = (0.0, 0.16)
_MAX_DARK = 0.9  # soft logarithms by which a lens may be darker than the cheeks


@dataclass(frozen=True, slots=True)
class Item:
    """One training item, (height, width, C) float32.

    worn: input. bare: the truth. prior: fit of the prior to the input. weight: visibility.
    """

    worn: Array32
    bare: Array32
    prior: Array32
    weight: Array32
    condition: Array32


class RemoverBatches:
    """Batches of the stored pairs.

    worn, bare, prior: (B, 3, H, W) soft logarithms, at half the size of a part.
    weight: (B, 1, H, W). condition: (B, conditions). place: (B, 2, H, W).
    """

    def __init__(
        self,
        pairs: StoredPairs,
        batch: int,
        seed: int,
        *,
        flip: bool,
        network: RemoverNetwork = "worn",
        priors: Priors | None = None,
        held_out: int | None = None,
    ) -> None:
        """Draw from stored pairs.

        Args:
            pairs: painted faces.
            batch: items per update.
            seed: of the random numbers.
            flip: mirror half of the items.
            network: what is removed.
            priors: of bare faces, None: estimated from the pairs.
            held_out: bare faces, the last ones, that no update sees; None: a few.
        """
        self._pairs, self._batch, self._seed, self._flip = pairs, batch, seed, flip
        self._network = network
        bare = pairs.rows(BARE)
        held = min(HELD_OUT, len(bare) // 4) if held_out is None else held_out
        self._bare, self._held_out = bare[: len(bare) - held], bare[len(bare) - held :]
        self._glasses = np.array(
            [row for row in pairs.rows(GLASSES) if _clear(pairs, row)], np.int64
        )
        self._bearded = pairs.rows(BEARDED)
        self.priors: Priors = priors or {
            part: learn_prior(part, decode_texture(pairs.textures[part][self._bare, 0]))
            for part in PARTS
        }
        """Prior of each part."""

    def __len__(self) -> int:
        return len(self._bare)

    @property
    def fingerprint(self) -> str:
        """Return a text that changes with the faces."""
        digest = hashlib.sha256("\n".join(self._pairs.names).encode())
        digest.update(self._pairs.kinds.tobytes())
        return digest.hexdigest()[:16]

    def batch(self, step: int) -> Batch:
        """Return the batch of an update."""
        part: PartName = "lower" if step % 2 else "eyes"
        items = []
        for index in range(self._batch):
            rng = np.random.default_rng([self._seed, step, index])
            row = int(self._bare[rng.integers(len(self._bare))])
            items.append(self.item(part, row, rng, None))
        return _stack(items, part)

    def sample_batch(self) -> Batch:
        """Return held-out lower faces."""
        return self.held_out_batch("lower", self._removed("lower"), 8)

    def _removed(self, part: PartName) -> str:
        """Return what the trained network takes off a part."""
        return next(one for one in PARTS[part].removes if network_for(one) == self._network)

    @property
    def held_out(self) -> int:
        """Number of faces that `held_out_batch` draws from."""
        return len(self._held_out) or len(self._bare)

    def held_out_batch(self, part: PartName, name: str, count: int, first: int = 0) -> Batch:
        """Return held-out faces that wear what `name` removes, without augmentation of colours.

        Args:
            part: of the face.
            name: what is removed.
            count: faces at most.
            first: number of the first of them.
        """
        rows = self._held_out if len(self._held_out) else self._bare
        items = []
        for index in range(first, min(first + count, len(rows))):
            rng = np.random.default_rng([self._seed, SAMPLE_STEP, index])
            items.append(self.item(part, int(rows[index]), rng, name))
        return _stack(items, part)

    def close(self) -> None:
        """Do nothing: all textures are in memory."""

    def item(self, part: PartName, row: int, rng: np.random.Generator, name: str | None) -> Item:
        """Return one item.

        Args:
            part: of the face.
            row: bare face.
            rng: source of the random numbers.
            name: what is removed, worn for sure and painted; None: at random.
        """
        bare = decode_texture(self._pairs.textures[part][row, 0])
        weight = self._pairs.weights[part][row].astype(np.float32) / 255
        sure = name is not None
        if name is None:
            name = self._removed(part)
        other = next(one for one in PARTS[part].removes if one != name)
        worn = bare
        if sure or rng.random() >= ABSENT:
            worn = bare + self._layer(part, row, name, rng, painted=sure)
        if not sure and rng.random() < OTHER:
            kept = self._layer(part, row, other, rng, painted=True)
            worn, bare = worn + kept, bare + kept
        if not sure:
            worn, bare, weight = _augment(worn, bare, weight, rng, self._flip)
        limits = np.float32(tone.LOW), np.float32(tone.HIGH)
        worn, bare = np.clip(worn, *limits), np.clip(bare, *limits)
        prior = self.priors[part].fit(part, worn, weight, name)
        return Item(worn, bare, prior, weight, condition_row(name))

    def _layer(
        self, part: PartName, row: int, name: str, rng: np.random.Generator, *, painted: bool
    ) -> Array32:
        """Return the change of soft logarithms that puts an attribute on a face."""
        real = not painted and rng.random() < REAL.get(name, 0)
        if real and name == "eyeglasses" and len(self._glasses):
            wearer = int(self._glasses[rng.integers(len(self._glasses))])
            change = _rims(self._pairs, wearer, rng)
            return change + self._drawn(row, rng, rims=False) if rng.random() < LENSES else change
        if real and name == "beard" and len(self._bearded):
            wearer = int(self._bearded[rng.integers(len(self._bearded))])
            return _real_beard(self._pairs, row, wearer, rng)
        if not painted and name == "eyeglasses" and rng.random() < DRAWN:
            return self._drawn(row, rng, rims=True)
        numbers = (
            {"eyeglasses": (1, 2), "makeup": (3, 3)}
            if part == "eyes"
            else {
                "beard": (1, 3),
                "makeup": (4, 5),
            }
        )
        low, high = numbers[name]
        stored = self._pairs.textures[part][row, int(rng.integers(low, high + 1))]
        change = decode_texture(stored) - decode_texture(self._pairs.textures[part][row, 0])
        if painted and not real and name == "eyeglasses":
            return change
        spread = HUES if not painted and name == "makeup" and rng.random() < COLOURFUL else 0.12
        gain = np.exp(rng.normal(0, spread, 3)).astype(np.float32)
        gain *= np.float32(rng.uniform(0.6, 1.1))
        return np.asarray(change * gain, np.float32)

    def _drawn(self, row: int, rng: np.random.Generator, *, rims: bool) -> Array32:
        """Return the change of soft logarithms by glasses that are drawn on a bare face."""
        bare = decode_texture(self._pairs.textures["eyes"][row, 0])
        return np.asarray(spectacles.wear(bare, rng, rims=rims) - bare, np.float32)


def _canonical(part: PartName) -> Array32:
    """Return the canonical position (height, width, 3) of a part's samples, 0 outside the face."""
    return canonical_places()[PARTS[part].window]


@cache
def _beside_eyes() -> Array32:
    """Return (height, width) 0..1, the part around the eyes without their openings."""
    grown = round(_EYE_MARGIN * layout.DENSITY * FINE)
    return np.asarray(1 - ring_mask(EYES, grown, 2.0), np.float32)[PARTS["eyes"].window]


def _clear(pairs: StoredPairs, row: int) -> bool:
    """Return True for glasses whose lenses are clear."""
    luma = decode_texture(pairs.textures["eyes"][row, 0]) @ tone.LUMA
    lens, cheek = (where[PARTS["eyes"].window] for where in lens_window())
    return bool(luma[cheek].mean() - luma[lens].mean() < _MAX_DARK)


def _rims(pairs: StoredPairs, wearer: int, rng: np.random.Generator) -> Array32:
    """Return the rims of a wearer's glasses: what is darker or lighter than its surroundings."""
    stored = pairs.textures["eyes"][wearer, 0]
    around = decode_texture(np.asarray(cv2.medianBlur(stored, 2 * _RIM + 1), np.uint8))
    change = decode_texture(stored) - around
    strong = smoothstep(0.07, 0.16, np.abs(change @ tone.LUMA)).astype(np.float32)
    strong = np.maximum(cv2.GaussianBlur(strong, (0, 0), 1.0), strong)
    place = _canonical("eyes")
    brow = (place[..., 1] < -0.1) & (place[..., 1] > -0.3) & (np.abs(place[..., 0]) > 0.08)
    free = _beside_eyes() * (1 - np.float32(0.6) * brow)
    nose = (np.abs(place[..., 0]) < 0.2) & (place[..., 1] > 0.2)  # nostrils
    free = free * (pairs.weights["eyes"][wearer] > 127) * (1 - nose)
    gain = np.float32(rng.uniform(0.7, 1.2))
    return np.asarray(change * (strong * free * gain)[..., None], np.float32)


def _real_beard(pairs: StoredPairs, row: int, wearer: int, rng: np.random.Generator) -> Array32:
    """Return the change from a bare face to one with a wearer's beard, in its own complexion."""
    bare = decode_texture(pairs.textures["lower"][row, 0])
    other = decode_texture(pairs.textures["lower"][wearer, 0])
    both = (pairs.weights["lower"][[row, wearer]] > 127).all(0)
    place = _canonical("lower")
    across = np.tanh(4 * place[..., 0])
    cheek = both & (place[..., 1] > 0.3) & (place[..., 1] < 0.5) & (np.abs(place[..., 0]) < 0.6)
    left, right = (cheek & (side * across > 0.5) for side in (-1, 1))
    if min(left.sum(), right.sum()) < _FEWEST:
        return np.zeros_like(bare)
    # Complexion and light of the bare face: the shifts of both cheeks, blended across the face.
    low, high = (np.median(bare[one], 0) - np.median(other[one], 0) for one in (left, right))
    share = (0.5 + 0.5 * across)[..., None]
    moved = np.asarray(other + low + share * (high - low), np.float32)
    reference = float(np.median(moved[cheek] @ tone.LUMA))
    dark = cv2.GaussianBlur(reference - moved @ tone.LUMA, (0, 0), 3.0)
    alpha = smoothstep(*_DARKNESS, dark).astype(np.float32) * beard_zone() * both
    alpha = cv2.GaussianBlur(alpha, (0, 0), 1.5) * np.float32(rng.uniform(0.8, 1.0))
    return np.asarray((moved - bare) * alpha[..., None], np.float32)


def _augment(
    worn: Array32, bare: Array32, weight: Array32, rng: np.random.Generator, flip: bool
) -> tuple[Array32, Array32, Array32]:
    """Change light, contrast and sharpness of both textures alike, and mirror half of them."""
    light = np.float32(rng.normal(0, 0.16)) + rng.normal(0, 0.06, 3).astype(np.float32)
    contrast = np.float32(np.exp(rng.normal(0, 0.1)))
    mean = bare.reshape(-1, 3).mean(0)
    worn, bare = ((one - mean) * contrast + mean + light for one in (worn, bare))
    slope = np.linspace(-1, 1, worn.shape[1], dtype=np.float32)[None, :, None]
    slope = slope * np.float32(rng.normal(0, 0.15))
    worn, bare = worn + slope, bare + slope
    if rng.random() < 0.6:
        sigma = rng.uniform(0.3, 1.4)
        worn = np.asarray(cv2.GaussianBlur(worn, (0, 0), sigma), np.float32)
        bare = np.asarray(cv2.GaussianBlur(bare, (0, 0), sigma), np.float32)
    if rng.random() < 0.5:
        noise = rng.standard_normal(worn.shape[:2], np.float32)[..., None]
        worn = worn + noise * np.float32(rng.uniform(0.005, 0.04))
    if flip and rng.random() < 0.5:
        worn, bare, weight = worn[:, ::-1], bare[:, ::-1], weight[:, ::-1]
    return (
        np.ascontiguousarray(worn, np.float32),
        np.ascontiguousarray(bare, np.float32),
        np.ascontiguousarray(weight, np.float32),
    )


def _stack(items: list[Item], part: PartName) -> Batch:
    """Return a batch at half the size, as the network sees it."""

    def planes(values: list[npt.NDArray[np.float32]]) -> torch.Tensor:
        return F.avg_pool2d(torch.from_numpy(np.moveaxis(np.stack(values), -1, 1).copy()), 2)

    place = torch.from_numpy(np.tile(part_places(part)[None], (len(items), 1, 1, 1)))
    return {
        "worn": planes([item.worn for item in items]),
        "bare": planes([item.bare for item in items]),
        "prior": planes([item.prior for item in items]),
        "weight": planes([item.weight[..., None] for item in items]),
        "condition": torch.from_numpy(np.stack([item.condition for item in items])),
        "place": F.avg_pool2d(place, 2),
    }
