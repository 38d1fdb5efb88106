"""Linear prior of bare faces: what skin, brows and lips look like below what is removed.

Eigenfaces (Turk and Pentland 1991) of unrolled faces without glasses, beard and make-up. The fit is
robust: samples that the prior cannot explain, such as rims, lose their weight (iteratively
reweighted least squares), and the zone of a beard or of lipstick hardly counts from the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32
from thcli.editors.atlas import tone
from thcli.editors.atlas.regions import region_mask
from thcli.editors.atlas.removers.parts import (
    COLUMNS,
    PARTS,
    ROWS,
    PartName,
    canonical_places,
    ring_mask,
)
from thcli.faces.landmarks.topology import LIPS_OUTER

COARSE = 3  # samples of a part to a sample of the prior
COMPONENTS = 60
_NOISE, _OUTLIER = 0.12, 0.12  # soft logarithms: noise of a sample, deviation of an outlier
_ITERATIONS = 8
# Upper border of beard and moustache: distance from the middle line, and height, canonical.
_BORDER = (
    (0.0, 0.16, 0.3, 0.4, 0.56, 0.66, 0.72, 0.8),
    (0.475, 0.47, 0.55, 0.57, 0.5, 0.37, 0.2, 0.06),
)
_LEAST = 1e-3  # weight of the zone that is removed


@dataclass(frozen=True, slots=True)
class PartPrior:
    """Prior of one part.

    mean: (h * w * 3,) soft logarithms. basis: (K, h * w * 3) orthonormal. spread: (K,) standard
    deviations.
    """

    mean: Array32
    basis: Array32
    spread: Array32

    def fit(self, part: PartName, texture: Array32, weight: Array32, condition: str) -> Array32:
        """Return the bare face (height, width, 3) that explains a texture best.

        Args:
            part: of the face.
            texture: (height, width, 3) soft logarithms.
            weight: (height, width) visibility.
            condition: what is removed.
        """
        kept = weight * (1 - removal_zone(part, condition)) ** 2 + np.float32(_LEAST) * weight
        first = _coarse(kept, part)
        values = _coarse(texture, part)
        offset = values.ravel() - self.mean
        own = first
        fitted = values
        for _ in range(_ITERATIONS):
            weighted = self.basis * np.repeat(own.ravel(), 3)
            left = weighted @ self.basis.T / _NOISE**2 + np.diag(1 / self.spread**2)
            found = np.linalg.solve(left, weighted @ offset / _NOISE**2)
            row = self.mean + found.astype(np.float32) @ self.basis
            fitted = np.asarray(row.reshape(values.shape), np.float32)
            error = (values - fitted) @ tone.LUMA
            own = np.asarray(first / (1 + (error / _OUTLIER) ** 2) ** 2, np.float32)
        spec = PARTS[part]
        size = (spec.width, spec.height)
        return np.asarray(cv2.resize(fitted, size, interpolation=cv2.INTER_CUBIC), np.float32)


Priors = Mapping[PartName, PartPrior]


def learn_prior(part: PartName, textures: npt.NDArray[np.float32]) -> PartPrior:
    """Estimate the prior of a part by principal components.

    Args:
        part: of the face.
        textures: (N, height, width, 3) of bare faces; their mirror images are added.
    """
    small = np.stack([_coarse(texture, part) for texture in textures])
    rows = np.concatenate([small, small[:, :, ::-1]]).reshape(2 * len(small), -1)
    mean = rows.mean(0)
    _, spread, basis = np.linalg.svd(rows - mean, full_matrices=False)
    count = min(COMPONENTS, len(textures))
    return PartPrior(
        mean.astype(np.float32),
        basis[:count].astype(np.float32),
        np.maximum(spread[:count] / np.sqrt(len(rows)), 1e-3).astype(np.float32),
    )


@cache
def removal_zone(part: PartName, condition: str) -> Array32:
    """Return (height, width) 0..1, where it is known beforehand that something is removed."""
    if part == "lower" and condition == "beard":
        return beard_zone()
    if condition == "makeup":
        names = ("lips",) if part == "lower" else ("dark",)
        mask = np.max([region_mask(name) for name in names], 0)
        full = cv2.resize(mask, (COLUMNS, ROWS), interpolation=cv2.INTER_LINEAR)
        return np.asarray(full, np.float32)[PARTS[part].window]
    return np.zeros((PARTS[part].height, PARTS[part].width), np.float32)


@cache
def beard_zone() -> Array32:
    """Return (height, width) 0..1, places of the lower face where a beard may grow."""
    place = canonical_places()[PARTS["lower"].window]
    x, y = np.abs(place[..., 0]), place[..., 1]
    border = np.interp(x, *_BORDER)
    soft = np.interp(x, [0.25, 0.45, 0.7], [0.03, 0.09, 0.12])
    zone = np.clip((y - border) / (2 * soft) + 0.5, 0, 1).astype(np.float32)
    outside = np.abs(place).sum(-1) == 0
    filled = np.where(outside, np.float32(0.9), zone)
    blurred = cv2.GaussianBlur(filled.astype(np.float32), (0, 0), 4)
    mouth = ring_mask((LIPS_OUTER,), 0, 1.5)[PARTS["lower"].window]
    return np.asarray(blurred * (1 - mouth), np.float32)


def coarse_size(part: PartName) -> int:
    """Return the number of values of a part's prior."""
    return 3 * (PARTS[part].width // COARSE) * (PARTS[part].height // COARSE)


def _coarse(plane: Array32, part: PartName) -> Array32:
    size = (PARTS[part].width // COARSE, PARTS[part].height // COARSE)
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)
