"""Image operations of the paste-back by torch, equal to OpenCV's but for rounding (`PixelOps`).

Sampling is exact, as in OpenCV 5; OpenCV 4 rounds coordinates to 1/32 pixel. Images are (h, w) or
(h, w, 3); no result is awaited but by `fetch` and `store`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from thcli.core.device import convert_out_of_memory
from thcli.core.types import Array, Array32, Crop
from thcli.faces.compositing.pixel_ops import Resampling
from thcli.faces.crops.crop import Border, Kernel, plan_sampling

_CUBIC = -0.75  # Keys' parameter in OpenCV
_PYRAMID = np.array([1, 4, 6, 4, 1], np.float32) / np.float32(16)
_HINT = "Use --device cpu."


class TorchPixels:
    """Operations of a torch device, see `PixelOps`."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def memory_errors(self) -> AbstractContextManager[None]:
        """See `PixelOps`."""
        return convert_out_of_memory(self.device, "to paste", _HINT)

    def load(self, pixels: npt.NDArray[Any], scale: float = 1.0) -> Tensor:
        """See `PixelOps`. Integers cross the bus as they are, and become floats on the device."""
        host = np.ascontiguousarray(pixels)
        host = host if host.flags.writeable else host.copy()  # torch warns of the others
        deep = host.dtype == np.uint16  # torch has few operations on uint16
        plain = torch.from_numpy(host.view(np.int16) if deep else host)
        values = plain.to(self.device, copy=True).to(torch.int32 if deep else torch.float32)
        values = (values & 0xFFFF).to(torch.float32) if deep else values
        return values if scale == 1.0 else values * scale

    def fetch(self, values: Tensor) -> Array32:
        """See `PixelOps`."""
        return np.asarray(values.cpu().numpy(), np.float32)

    def store(self, values: Tensor, top: float, target: npt.NDArray[Any]) -> None:
        """See `PixelOps`."""
        whole = values.clamp(0, top).round()
        if target.dtype == np.uint8:
            target[:] = whole.to(torch.uint8).cpu().numpy()
        else:
            target[:] = whole.to(torch.int32).to(torch.int16).cpu().numpy().view(np.uint16)

    def crop(
        self, image: Tensor, placement: Crop, *, border: Border, kernel: Kernel = "linear"
    ) -> Tensor:
        """See `PixelOps`."""
        size = (image.shape[1], image.shape[0])
        plan = plan_sampling(placement, size, antialias=True, border=border)
        x0, y0, x1, y1 = plan.rectangle
        part = image[y0:y1, x0:x1]
        if plan.block > 1:
            part = self._block_mean(part, plan.block)
        if plan.kernel is not None:
            part = self._separable(part, plan.kernel, cv2.BORDER_REPLICATE)
        return self._warp(part, plan.crop_from_part, placement.size, border, kernel)

    def resize(self, image: Tensor, size: tuple[int, int], how: Resampling) -> Tensor:
        """See `PixelOps`."""
        rows = self._weights(image.shape[0], size[1], how)
        columns = self._weights(image.shape[1], size[0], how)
        planes = image[..., None] if image.dim() == 2 else image
        out = (rows @ planes.permute(2, 0, 1)) @ columns.T
        return out.permute(1, 2, 0).reshape(size[1], size[0], *image.shape[2:])

    def blur(self, image: Tensor, sigma: float) -> Tensor:
        """See `PixelOps`."""
        taps = round(sigma * 8 + 1) | 1  # the width that OpenCV gives to float images
        kernel = cv2.getGaussianKernel(taps, sigma, cv2.CV_32F)[:, 0]
        return self._separable(image, np.asarray(kernel, np.float32), cv2.BORDER_REFLECT_101)

    def halve(self, image: Tensor) -> Tensor:
        """See `PixelOps`."""
        return self._separable(image, _PYRAMID, cv2.BORDER_REFLECT_101, step=2)

    def double(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """See `PixelOps`. The upper left border is mirrored, the other one replicated."""
        for dim, length in ((0, size[1]), (1, size[0])):
            count = image.shape[dim]
            before = torch.cat([image.narrow(dim, 1, 1), image.narrow(dim, 0, count - 1)], dim)
            after = torch.cat(
                [image.narrow(dim, 1, count - 1), image.narrow(dim, count - 1, 1)], dim
            )
            even, odd = (before + 6 * image + after) / 8, (image + after) / 2
            both = torch.stack([even, odd], dim + 1).flatten(dim, dim + 1)
            image = both.narrow(dim, 0, length)
        return image

    def sum_of_neighbours(self, image: Tensor) -> Tensor:
        """See `PixelOps`."""
        total = torch.zeros_like(image)
        for dim in (0, 1):
            count = image.shape[dim]
            first, last = image.narrow(dim, 0, 1), image.narrow(dim, count - 1, 1)
            total += torch.cat([first, image.narrow(dim, 0, count - 1)], dim)
            total += torch.cat([image.narrow(dim, 1, count - 1), last], dim)
        return total

    def grey(self, image: Tensor) -> Tensor:
        """See `PixelOps`."""
        return image.mean(-1)

    def three(self, mask: Tensor) -> Tensor:
        """See `PixelOps`."""
        return mask[..., None]

    def times(self, image: Tensor, factors: Sequence[float] | Array32) -> Tensor:
        """See `PixelOps`."""
        return image * torch.as_tensor(np.asarray(factors, np.float32)).to(self.device)

    def clip(self, image: Tensor, low: float, high: float) -> Tensor:
        """See `PixelOps`."""
        return image.clamp_(low, high)

    def maximum(self, image: Tensor, low: float) -> Tensor:
        """See `PixelOps`."""
        return image.clamp(min=low)

    def exp(self, image: Tensor) -> Tensor:
        """See `PixelOps`."""
        return image.exp()

    def smoothstep(self, low: float, high: float, image: Tensor) -> Tensor:
        """See `PixelOps`."""
        t = ((image - low) / (high - low)).clamp(0, 1)
        return t * t * (3 - 2 * t)

    def rim_median(self, image: Tensor, weight: Tensor) -> Tensor:
        """See `PixelOps`."""
        counted = weight > 0.3 * weight.max()
        known = torch.where(counted[..., None], image, torch.nan)
        return known.flatten(0, 1).nanquantile(0.5, 0).nan_to_num(0.0)

    def largest_channel(self, image: Tensor) -> Tensor:
        """See `PixelOps`."""
        return image.abs().amax(-1)

    def select(self, condition: Tensor, image: Tensor) -> Tensor:
        """See `PixelOps`."""
        return torch.where(condition, image, 0.0)

    def is_all(self, condition: Tensor) -> bool:
        """See `PixelOps`."""
        return False

    def _weights(self, before: int, after: int, how: Resampling) -> Tensor:
        """Return the weights (after, before) with which one side is resampled."""
        if how == "cubic":
            return torch.as_tensor(_cubic_weights(before, after)).to(self.device)
        pixel = torch.arange(before, device=self.device, dtype=torch.float32)
        new = torch.arange(after, device=self.device, dtype=torch.float32)
        scale = before / after
        if how == "linear":
            at = ((new + 0.5) * scale - 0.5).clamp(0, before - 1)
            return (1 - (at[:, None] - pixel).abs()).clamp(min=0)
        low, high = (new * scale)[:, None], ((new + 1) * scale)[:, None]
        covered = torch.minimum(high, pixel + 1) - torch.maximum(low, pixel)
        return covered.clamp(min=0) / scale

    def _block_mean(self, part: Tensor, side: int) -> Tensor:
        """Return means of blocks; the last row and column are repeated to fill theirs."""
        height, width = part.shape[:2]
        rows = self._positions(np.minimum(np.arange(-(-height // side) * side), height - 1))
        columns = self._positions(np.minimum(np.arange(-(-width // side) * side), width - 1))
        full = part[rows][:, columns]
        down, across = len(rows) // side, len(columns) // side
        return full.reshape(down, side, across, side, *part.shape[2:]).mean((1, 3))

    def _positions(self, numbers: npt.NDArray[Any]) -> Tensor:
        return torch.as_tensor(np.asarray(numbers, np.int64)).to(self.device)

    def _separable(self, image: Tensor, kernel: Array32, border: int, step: int = 1) -> Tensor:
        """Filter along y and x; step: distance of the pixels that are kept."""
        planes = (image[..., None] if image.dim() == 2 else image).permute(2, 0, 1)[:, None]
        weights = torch.as_tensor(kernel).to(self.device)
        reach = len(kernel) // 2
        for dim in (2, 3):
            shape = (1, 1, -1, 1) if dim == 2 else (1, 1, 1, -1)
            source = _border_positions(planes.shape[dim], reach, border)
            planes = planes.index_select(dim, self._positions(source))
            stride = (step, 1) if dim == 2 else (1, step)
            planes = functional.conv2d(planes, weights.reshape(shape), stride=stride)
        out = planes[:, 0].permute(1, 2, 0)
        return out[..., 0] if image.dim() == 2 else out

    def _warp(
        self, part: Tensor, matrix: Array, size: tuple[int, int], border: Border, kernel: Kernel
    ) -> Tensor:
        """Sample `part` at each pixel of the crop; matrix: (2, 3) crop_from_part."""
        inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
        across, down = (torch.arange(n, device=self.device, dtype=torch.float64) for n in size)
        x, y = (a * across + (b * down + c)[:, None] for a, b, c in inverse.tolist())
        left, upper = x.floor(), y.floor()
        columns, rows = (
            self._taps(rest.to(torch.float32), kernel) for rest in (x - left, y - upper)
        )
        left, upper = left.long(), upper.long()
        first = -1 if kernel == "cubic" else 0
        height, width = part.shape[:2]
        flat = part.reshape(height * width, -1)
        out = torch.zeros((*x.shape, flat.shape[1]), device=self.device)
        for j, row in enumerate(rows, first):
            for i, column in enumerate(columns, first):
                at_x, at_y = left + i, upper + j
                weight = row * column
                if border == "black":
                    inside = (at_x >= 0) & (at_x < width) & (at_y >= 0) & (at_y < height)
                    weight = torch.where(inside, weight, 0.0)
                at = at_y.clamp(0, height - 1) * width + at_x.clamp(0, width - 1)
                out += flat[at.reshape(-1)].reshape(out.shape) * weight[..., None]
        return out.reshape(*x.shape, *part.shape[2:])

    @staticmethod
    def _taps(t: Tensor, kernel: Kernel) -> list[Tensor]:
        """Return the weights of the 2 or 4 pixels around a fraction of a pixel."""
        if kernel == "linear":
            return [1 - t, t]
        a = _CUBIC

        def outer(d: Tensor) -> Tensor:
            return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

        def inner(d: Tensor) -> Tensor:
            return ((a + 2) * d - (a + 3)) * d * d + 1

        return [outer(t + 1), inner(t), inner(1 - t), outer(2 - t)]


@lru_cache(maxsize=8)
def _cubic_weights(before: int, after: int) -> Array32:
    identity = np.eye(before, dtype=np.float32)
    weights = cv2.resize(identity, (before, after), interpolation=cv2.INTER_CUBIC)
    return np.asarray(weights, np.float32)


@lru_cache(maxsize=64)
def _border_positions(count: int, reach: int, border: int) -> npt.NDArray[np.int64]:
    """Return the pixel that stands at each position of a padded side."""
    at = [cv2.borderInterpolate(i, count, border) for i in range(-reach, count + reach)]
    return np.array(at, np.int64)
