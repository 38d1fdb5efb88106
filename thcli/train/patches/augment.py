"""Augmentation of the pairs of patches-s: colour, light and sharpness, alike in all patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32, Image

GREY_SHARE, DEFOCUS_SHARE, DIM_SHARE = 0.1, 0.25, 0.15  # of the pairs
DEFOCUS_RANGE, DIM_RANGE = (0.3, 1.3), (0.35, 0.75)  # standard deviation in pixels; brightness
IMAGES = ("coarse_eyes", "true_eyes", "source_eyes")


@dataclass(frozen=True, slots=True)
class Photometry:
    """Change of light and sharpness.

    gain: (3,) factor per colour.  gamma: exponent of the values in 0..1.  grey: 0..1, share of the
    saturation that is removed.  sigma: blur in patch pixels, 0 for none.
    """

    gain: Array32
    gamma: float
    grey: float
    sigma: float

    @classmethod
    def draw(cls, jitter: float, rng: np.random.Generator) -> Photometry:
        """Draw a random change. jitter: see `TrainOptions`."""
        gain = rng.uniform(1 - jitter, 1 + jitter, 3) * rng.uniform(1 - jitter, 1 + jitter)
        if rng.random() < DIM_SHARE:
            gain = gain * rng.uniform(*DIM_RANGE)
        grey = 1.0 if rng.random() < GREY_SHARE else float(rng.uniform(0, 4 * jitter))
        sigma = float(rng.uniform(*DEFOCUS_RANGE)) if rng.random() < DEFOCUS_SHARE else 0.0
        gamma = float(np.exp(rng.uniform(-2, 2) * jitter))
        return cls(gain.astype(np.float32), gamma, min(grey, 1.0), sigma)

    def apply(self, image: Image) -> Image:
        """Change an image (h, w, 3) uint8."""
        values = (image.astype(np.float32) / 255) ** np.float32(self.gamma)
        values += np.float32(self.grey) * (values.mean(-1, keepdims=True) - values)
        values *= self.gain
        if self.sigma > 0:
            values = np.asarray(cv2.GaussianBlur(values, (0, 0), self.sigma), np.float32)
        return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)


def change_photometry(pair: dict[str, npt.NDArray[Any]], change: Photometry) -> None:
    """Change the images of a pair alike, and its skin tone, in place."""
    for name in IMAGES:
        images = pair[name]
        flat = images.reshape(-1, *images.shape[-3:])
        pair[name] = np.stack([change.apply(image) for image in flat]).reshape(images.shape)
    tone = np.clip(pair["tone"], 0, 255)[None, None].astype(np.uint8)
    pair["tone"] = Photometry.apply(change, tone)[0, 0].astype(np.float32)
