"""Choice of the paste-back's operations: the only place where the device decides."""

from __future__ import annotations

from thcli.core.device import prepare_device
from thcli.faces.compositing.pixel_ops import OPENCV, PixelOps


def pixel_ops(device: str) -> PixelOps:
    """Return the operations of a --device value: torch's on CUDA, OpenCV's elsewhere.

    Raises:
        DeviceError: the device does not exist.
    """
    if device == "cpu":
        return OPENCV
    found = prepare_device(device, 0)  # without TF32: its ten bits show in pixels
    if found.type != "cuda":
        return OPENCV
    from thcli.faces.compositing.torch_pixels import TorchPixels

    return TorchPixels(found)
