"""The paste-back by torch, as on a GPU, against OpenCV's on the CPU."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.devices.fake_cuda import CUDA, fake_cuda
from thcli.core.errors import DeviceMemoryError
from thcli.core.options import PasteOptions
from thcli.core.options.faces import Blend
from thcli.core.types import Crop
from thcli.faces.compositing import torch_pixels
from thcli.faces.compositing.paste import PasteContext, paste
from thcli.faces.compositing.pixel_device import pixel_ops
from thcli.faces.compositing.pixel_ops import OPENCV, PixelOps
from thcli.faces.compositing.torch_pixels import TorchPixels
from thcli.faces.crops.crop import crop

TORCH = TorchPixels(torch.device("cpu"))
MODES: tuple[Blend, ...] = ("feather", "laplacian", "poisson")


def smooth_noise(height: int, width: int, seed: int) -> Any:
    """Return an image with detail of four pixels, as sharp as a photograph."""
    small = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3))
    coarse = small.astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


def placed(x: float, y: float, side: float, angle: float, size: tuple[int, int]) -> Crop:
    """Return a crop of `size` that covers `side` pixels of the frame from x, y on."""
    scale = size[0] / side
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return Crop(np.array([[c, -s, -scale * x], [s, c, -scale * y], [0, 0, 1]]), size)


def occluder(size: tuple[int, int]) -> Any:
    mask = np.zeros(size[::-1], np.float32)
    mask[size[1] // 3 : size[1] // 2, : size[0] // 2] = 1
    return cv2.GaussianBlur(mask, (0, 0), 1.5)


def composited(ops: PixelOps, placement: Crop, deep: bool, mode: Blend, change: bool) -> Any:
    """Paste noise into noise by all that `paste` can do."""
    frame = smooth_noise(143, 181, 1).astype(np.uint16 if deep else np.uint8)
    frame *= 257 if deep else 1
    new = smooth_noise(*placement.size[::-1], 2)
    original = crop(frame, placement) if change else None
    context = PasteContext(
        original=original,
        occlusion_mask=occluder(placement.size) if change else None,
        grain_key=(0, 3),
        previous_frame=frame[::-1].copy(),
    )
    return paste(frame, new, placement, context=context, options=PasteOptions(blend=mode), ops=ops)


@settings(max_examples=20, deadline=None)
@given(
    st.tuples(st.floats(-60, 200), st.floats(-60, 160), st.floats(25, 260), st.floats(-3.2, 3.2)),
    st.tuples(st.integers(33, 90), st.integers(33, 90)),
    st.booleans(),
    st.sampled_from(MODES),
    st.booleans(),
)
@example((0.0, 0.0, 64.0, 0.0), (64, 64), False, "feather", True)
@example((150.3, -20.2, 31.0, 1.0), (89, 57), True, "poisson", True)
@example((-40.0, -40.0, 260.0, 0.3), (33, 90), True, "laplacian", False)
@example((500.0, 500.0, 30.0, 0.0), (40, 40), False, "feather", False)
def test_torch_composites_as_opencv_does(
    place: tuple[float, float, float, float],
    size: tuple[int, int],
    deep: bool,
    mode: Blend,
    change: bool,
) -> None:
    placement = placed(*place, size)
    expected = composited(OPENCV, placement, deep, mode, change).astype(np.int64)
    found = composited(TORCH, placement, deep, mode, change)
    assert np.abs(found - expected).max() <= (257 if deep else 1)


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0.12, 5),
    st.floats(-3.2, 3.2),
    st.sampled_from(["replicate", "black"]),
    st.sampled_from(["cubic", "linear"]),
    st.booleans(),
)
def test_crops_are_sampled_as_opencv_does(
    scale: float, angle: float, border: Any, kernel: Any, colour: bool
) -> None:
    image = smooth_noise(61, 47, 3).astype(np.float32)
    image = image if colour else np.ascontiguousarray(image[..., 0])
    placement = placed(3.3, -5.1, 91 / scale, angle, (91, 70))
    expected = OPENCV.crop(image, placement, border=border, kernel=kernel)
    found = TORCH.fetch(TORCH.crop(TORCH.load(image), placement, border=border, kernel=kernel))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 0.5


def test_a_change_of_nothing_is_the_frame() -> None:
    frame, placement = smooth_noise(90, 120, 4), placed(20, 10, 70, 0.4, (50, 50))
    original = crop(frame, placement)
    options = PasteOptions(colour_match=False)
    context = PasteContext(original=original)
    out = paste(frame, original, placement, context=context, options=options, ops=TORCH)
    assert np.array_equal(out, frame)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("deep", [False, True])
def test_nothing_is_left_on_the_cpu(
    mode: Blend, deep: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every value stays on a fake CUDA device until the frame is stored."""
    stored: list[Tensor] = []
    store = TorchPixels.store

    def note(self: TorchPixels, values: Tensor, top: float, target: Any) -> None:
        stored.append(values)
        store(self, values, top, target)

    monkeypatch.setattr(TorchPixels, "store", note)
    torch_pixels._cubic_weights.cache_clear()
    with fake_cuda(monkeypatch):
        ops = pixel_ops("cuda")
        assert isinstance(ops, TorchPixels)
        composited(ops, placed(30, 20, 60, 0.2, (90, 90)), deep, mode, True)
    assert [value.device for value in stored] == [CUDA]
    assert stored[0].dtype == torch.float32


def test_filters_do_not_round_to_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a host program has set, and whether or not a network was loaded before."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with fake_cuda(monkeypatch):
        pixel_ops("cuda")
    assert not torch.backends.cudnn.allow_tf32


def test_the_cpu_keeps_opencv() -> None:
    assert pixel_ops("cpu") is OPENCV


@pytest.mark.parametrize("operation", ["load", "halve", "double"])
def test_memory_that_is_used_up_names_the_remedy(
    operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **given: Any) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(TorchPixels, operation, full)
    with pytest.raises(DeviceMemoryError, match="enough memory to paste"):
        composited(TORCH, placed(30, 20, 60, 0.2, (90, 90)), False, "laplacian", False)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_pixels_are_loaded_as_a_copy(kind: type) -> None:
    """Read-only ones too, without torch's warning."""
    pixels: Any = np.ones((4, 4, 3), kind)
    TORCH.clip(TORCH.load(pixels), 0, 0.5)
    assert (pixels == 1).all()
    pixels.flags.writeable = False
    assert (TORCH.load(pixels) == 1).all()
