"""Image operations of the paste-back, by OpenCV here and by torch on a GPU (`torch_pixels`).

`paste`, `blend`, `detail` and `colour_match` are written once, over these operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep, three_channels
from thcli.core.types import Array32, Crop
from thcli.faces.crops.crop import Border, Kernel, crop

Values = Any
"""Float32 image of one PixelOps: (h, w) or (h, w, 3), a NumPy array or a tensor of its device."""

Resampling = Literal["area", "linear", "cubic"]
_RESAMPLING = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
_CROSS = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32)
_ROW_BLOCK = 128  # rows per block: its floats stay in the processor's cache


class PixelOps(Protocol):
    """Operations on float32 images of one device; sums and products are the values' own."""

    def memory_errors(self) -> AbstractContextManager[None]:
        """Convert the block's errors of used-up device memory into a DeviceMemoryError."""

    def load(self, pixels: npt.NDArray[Any], scale: float = 1.0) -> Values:
        """Return pixels of the host as float32 values, times `scale`."""

    def fetch(self, values: Values) -> Array32:
        """Return values on the host."""

    def store(self, values: Values, top: float, target: npt.NDArray[Any]) -> None:
        """Write values into integer pixels of the host, rounded and clipped to 0..top."""

    def crop(
        self, image: Values, placement: Crop, *, border: Border, kernel: Kernel = "linear"
    ) -> Values:
        """Sample a crop, see `faces.crops.crop.crop`."""

    def resize(self, image: Values, size: tuple[int, int], how: Resampling) -> Values:
        """Resample to (width, height); area only shrinks."""

    def blur(self, image: Values, sigma: float) -> Values:
        """Convolve with a Gaussian; the border is mirrored."""

    def halve(self, image: Values) -> Values:
        """Reduce to the next level of a Gaussian pyramid."""

    def double(self, image: Values, size: tuple[int, int]) -> Values:
        """Enlarge a level of a Gaussian pyramid to the (width, height) below it."""

    def sum_of_neighbours(self, image: Values) -> Values:
        """Sum the four neighbours of each pixel; the border is replicated."""

    def grey(self, image: Values) -> Values:
        """Return the mean of the three channels, (h, w)."""

    def three(self, mask: Values) -> Values:
        """Make a factor of (h, w, 3) images out of (h, w)."""

    def times(self, image: Values, factors: Sequence[float] | Array32) -> Values:
        """Multiply the three channels by a factor each."""

    def clip(self, image: Values, low: float, high: float) -> Values:
        """Limit values, in place."""

    def maximum(self, image: Values, low: float) -> Values:
        """Raise values to `low` where they are below it."""

    def exp(self, image: Values) -> Values:
        """Return e to the power of each value."""

    def smoothstep(self, low: float, high: float, image: Values) -> Values:
        """Apply `core.imaging.smoothstep`."""

    def rim_median(self, image: Values, weight: Values) -> Values:
        """Return the median of each channel where the weight is above .3 of its largest, (3,).

        It is 0 where no weight is above 0.
        """

    def largest_channel(self, image: Values) -> Values:
        """Return the largest absolute value of the three channels, (h, w)."""

    def select(self, condition: Values, image: Values) -> Values:
        """Return the image where the condition holds, else 0."""

    def is_all(self, condition: Values) -> bool:
        """Return True where a condition holds everywhere, which saves work.

        A GPU answers False: to wait for it would take longer than the work.
        """


class OpenCvPixels:
    """Operations of the CPU, see `PixelOps`."""

    def memory_errors(self) -> AbstractContextManager[None]:
        """Return a context that converts nothing: a job names the host's errors."""
        return nullcontext()

    def load(self, pixels: npt.NDArray[Any], scale: float = 1.0) -> Array32:
        """See `PixelOps`."""
        values = pixels.astype(np.float32)
        return values if scale == 1.0 else np.asarray(values * np.float32(scale))

    def fetch(self, values: Array32) -> Array32:
        """See `PixelOps`."""
        return values

    def store(self, values: Array32, top: float, target: npt.NDArray[Any]) -> None:
        """See `PixelOps`."""
        for row in range(0, len(target), _ROW_BLOCK):
            rows = slice(row, row + _ROW_BLOCK)
            target[rows] = np.rint(np.clip(values[rows], 0, top))

    def crop(
        self, image: Array32, placement: Crop, *, border: Border, kernel: Kernel = "linear"
    ) -> Array32:
        """See `PixelOps`."""
        return np.asarray(crop(image, placement, border=border, kernel=kernel), np.float32)

    def resize(self, image: Array32, size: tuple[int, int], how: Resampling) -> Array32:
        """See `PixelOps`."""
        return _as_float32(cv2.resize(image, size, interpolation=_RESAMPLING[how]))

    def blur(self, image: Array32, sigma: float) -> Array32:
        """See `PixelOps`."""
        return _as_float32(cv2.GaussianBlur(image, (0, 0), sigma))

    def halve(self, image: Array32) -> Array32:
        """See `PixelOps`."""
        return _as_float32(cv2.pyrDown(image))

    def double(self, image: Array32, size: tuple[int, int]) -> Array32:
        """See `PixelOps`."""
        return _as_float32(cv2.pyrUp(image, dstsize=size))

    def sum_of_neighbours(self, image: Array32) -> Array32:
        """See `PixelOps`."""
        return _as_float32(cv2.filter2D(image, -1, _CROSS, borderType=cv2.BORDER_REPLICATE))

    def grey(self, image: Array32) -> Array32:
        """See `PixelOps`."""
        return _as_float32(cv2.transform(image, np.full((1, 3), 1 / 3, np.float32)))

    def three(self, mask: Array32) -> Array32:
        """See `PixelOps`."""
        return three_channels(mask)

    def times(self, image: Array32, factors: Sequence[float] | Array32) -> Array32:
        """See `PixelOps`."""
        # Long rows: numpy is slow at broadcasting over a last axis of 3.
        height, width = image.shape[:2]
        rows = np.ascontiguousarray(image).reshape(height, -1) * np.tile(factors, width)
        return _as_float32(rows).reshape(image.shape)

    def clip(self, image: Array32, low: float, high: float) -> Array32:
        """See `PixelOps`."""
        return np.clip(image, low, high, out=image)

    def maximum(self, image: Array32, low: float) -> Array32:
        """See `PixelOps`."""
        return _as_float32(np.maximum(image, np.float32(low)))

    def exp(self, image: Array32) -> Array32:
        """See `PixelOps`."""
        return _as_float32(np.exp(image))

    def smoothstep(self, low: float, high: float, image: Array32) -> Array32:
        """See `PixelOps`."""
        return _as_float32(smoothstep(low, high, image))

    def rim_median(self, image: Array32, weight: Array32) -> Array32:
        """See `PixelOps`."""
        counted = weight > 0.3 * weight.max()
        if not counted.any():
            return np.zeros(3, np.float32)
        return _as_float32(np.median(image[counted], axis=0))

    def largest_channel(self, image: Array32) -> Array32:
        """See `PixelOps`."""
        return _as_float32(np.abs(image).max(-1))

    def select(self, condition: npt.NDArray[np.bool_], image: Array32) -> Array32:
        """See `PixelOps`."""
        return np.asarray(np.where(condition, image, 0), np.float32)

    def is_all(self, condition: npt.NDArray[np.bool_]) -> bool:
        """See `PixelOps`."""
        return bool(condition.all())


OPENCV: PixelOps = OpenCvPixels()


def _as_float32(pixels: npt.NDArray[Any]) -> Array32:
    """Return OpenCV's result with the type that its stubs do not give."""
    return np.asarray(pixels, np.float32)
