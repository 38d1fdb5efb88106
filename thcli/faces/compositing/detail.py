"""Detail transfer: the frame's own texture is kept where the crop's texture was kept."""

from __future__ import annotations

from thcli.faces.compositing.pixel_ops import OPENCV, PixelOps, Values

_FINE_SIGMA = 1.5  # pixels of the crop: finer detail is compared
_MEAN_SIGMA = 4.0  # pixels of the crop over which it is compared
GRID = 4  # pixels of the crop between the values of the gain
REACH = 32  # pixels of the crop beyond a change that its gain can reach
_FLOOR = 2.0 / 255  # of full scale: weaker detail is not texture, and stays
# Gain below which the frame's detail is dropped, and from which it counts in full.
_GAIN_NONE, _GAIN_FULL = 0.15, 0.4
_MAX_GAIN = 1.5  # largest amplification of the frame's detail


def detail_gain(before: Values, after: Values, top: float, ops: PixelOps = OPENCV) -> Values | None:
    """Return the share of the original texture that is left in a changed crop, (h, w) 0..1.5.

    It is the gain with which the original detail is found in the changed one: 0 where it was
    blurred, moved or redrawn, the gain of contrast where it was relit or recoloured.

    Args:
        before: original crop, (h, w, 3) float32 in 0..top.
        after: changed crop, likewise.
        top: full scale.
        ops: of the device that holds them.

    Returns:
        None where the gain is 1 everywhere: the change is smooth.
    """
    height, width = before.shape[:2]
    old, new = (_fine_detail(crop, ops) for crop in (before, after))
    floor = float((_FLOOR * top) ** 2)
    shared, own = (_local_mean(product, ops) + floor for product in (old * new, old * old))
    gain = ops.clip(shared / own, 0, _MAX_GAIN)
    gain = gain * ops.smoothstep(_GAIN_NONE, _GAIN_FULL, gain)
    if ops.is_all(gain == 1):
        return None
    return ops.resize(gain, (width, height), "linear")


def _fine_detail(image: Values, ops: PixelOps) -> Values:
    grey = ops.grey(image)
    return grey - ops.blur(grey, _FINE_SIGMA)


def _local_mean(product: Values, ops: PixelOps) -> Values:
    """Return local means, on a grid GRID times as coarse: they have no finer detail."""
    height, width = product.shape
    small = ops.resize(product, (max(width // GRID, 1), max(height // GRID, 1)), "area")
    return ops.blur(small, _MEAN_SIGMA / GRID)
