"""Paste-back and tone mapping by torch beside the CPU's: equal pixels and speed (`thcli bench`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np

from thcli.core.device import convert_out_of_memory, prepare_device
from thcli.core.options import PasteOptions, RunOptions
from thcli.core.options.faces import Blend
from thcli.core.types import Crop
from thcli.faces.compositing.paste import PasteContext, paste
from thcli.faces.compositing.pixel_ops import OPENCV, PixelOps
from thcli.faces.compositing.torch_pixels import TorchPixels
from thcli.faces.crops.crop import crop
from thcli.media.info import Colour
from thcli.media.tone_mapping import ToneMapper

LIMIT = 1  # levels of 255 by which a pixel may differ from the CPU's
FRAME, SMALL_FRAME = (1920, 1080), (480, 270)
HEAD = ["pixels", "max difference", "frames/s CPU", "frames/s device", "equal"]
_FACE = 0.55  # side of the pasted crop in the frame over the frame's height
_SIDE = 512  # pixels of the crop

Pixels = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class PixelResult:
    """One step on the device, beside OpenCV or NumPy with one thread.

    levels: largest difference of a pixel in levels of 255.
    cpu_rate, rate: frames a second, the copies to and from the device included.
    """

    name: str
    levels: int
    cpu_rate: float
    rate: float

    @property
    def equal(self) -> bool:
        """True when no pixel differs by more than rounding."""
        return self.levels <= LIMIT

    def as_json(self) -> dict[str, Any]:
        """Return all values for JSON."""
        return {
            "pixels": self.name,
            "max_difference": self.levels,
            "bar": LIMIT,
            "equal": self.equal,
            "frames_per_second_cpu": round(self.cpu_rate, 3),
            "frames_per_second": round(self.rate, 3),
        }


def pixel_table(results: Sequence[PixelResult]) -> tuple[list[str], list[list[str]]]:
    """Return the heading and a line for each step."""
    return HEAD, [
        [
            one.name,
            str(one.levels),
            f"{one.cpu_rate:.1f}",
            f"{one.rate:.1f}",
            "yes" if one.equal else "NO",
        ]
        for one in results
    ]


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Let OpenCV compute with one thread, as long as the context is open."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


@_one_opencv_thread()
def compare_pixels(run: RunOptions, repeat: int = 3) -> list[PixelResult]:
    """Paste a crop and map HDR frames by torch on a device, and on the CPU without torch.

    Frames have 1920 x 1080 pixels; 480 x 270 where the device is the CPU.

    Raises:
        DeviceError: the device does not exist, or its memory does not suffice.
    """
    device = prepare_device(run.device, run.threads)
    width, height = FRAME if device.type != "cpu" else SMALL_FRAME
    frame, changed = (_picture(*size, run.seed) for size in ((width, height), (_SIDE, _SIDE)))
    scale = _SIDE / (_FACE * height)
    x, y = 0.3 * width, 0.2 * height
    matrix = np.array([[scale, 0, -scale * x], [0, scale, -scale * y], [0, 0, 1]])
    placement = Crop(matrix, (_SIDE, _SIDE))
    original = crop(frame, placement)
    torch_ops = TorchPixels(device)

    def pasted(mode: Blend, ops: PixelOps) -> Pixels:
        context = PasteContext(original=original)
        options = PasteOptions(blend=mode)
        return paste(frame, changed, placement, context=context, options=options, ops=ops)

    results = []
    modes: tuple[Blend, ...] = ("feather", "laplacian", "poisson")
    for mode in modes:
        slow, fast = (_timed(partial(pasted, mode, ops), repeat) for ops in (OPENCV, torch_ops))
        results.append(_result(f"paste {mode}", slow, fast))
    deep = frame.astype(np.uint16) * 257
    mapper = ToneMapper(Colour(matrix=9, range=1, primaries=9, transfer=18))
    with convert_out_of_memory(device, "to map HDR frames"):
        fast = _timed(lambda: mapper.map_by_torch(deep, device), repeat)
    return [*results, _result("tone mapping (HLG)", _timed(lambda: mapper(deep), repeat), fast)]


def _result(name: str, slow: tuple[Pixels, float], fast: tuple[Pixels, float]) -> PixelResult:
    levels = np.abs(slow[0].astype(np.int64) - fast[0]).max()
    return PixelResult(name, int(levels), 1 / slow[1], 1 / fast[1])


def _timed(work: Callable[[], Pixels], repeat: int) -> tuple[Pixels, float]:
    """Return the result and the seconds of the fastest of `repeat` calls after a first one."""
    out, best = work(), float("inf")
    for _ in range(repeat):
        began = time.perf_counter()
        work()
        best = min(best, max(time.perf_counter() - began, 1e-9))
    return out, best


def _picture(width: int, height: int, seed: int) -> Pixels:
    """Return a picture with detail of four pixels, (height, width, 3) uint8."""
    rng = np.random.default_rng([seed, width])
    small = rng.integers(0, 256, (height // 4, width // 4, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))
