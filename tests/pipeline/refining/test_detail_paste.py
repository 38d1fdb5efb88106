"""Addition of a change to a frame: in its own pixels where the crop is not scaled."""

from __future__ import annotations

import numpy as np
import pytest

from thcli.core.types import Crop
from thcli.faces.compositing.mask import rim_mask
from thcli.faces.compositing.paste import paste_change
from thcli.faces.compositing.pixel_ops import OPENCV
from thcli.faces.crops.crop import crop
from thcli.pipeline.refining.detail_crops import _RIM, add_to_frame, cut


@pytest.mark.parametrize(
    "corner", [(5, 7), (-9, 20), (40, -3), (60, 60), (-70, 5), (70, 5), (5, 70)]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_it_adds_what_pasting_adds(corner: tuple[int, int], dtype: type) -> None:
    """Also where the crop is partly or wholly outside of the frame."""
    rng = np.random.default_rng(1)
    full = np.iinfo(dtype).max
    frame = rng.integers(0, full, (64, 64, 3), dtype, endpoint=True)
    coarse = rng.integers(0, 256, (32, 32, 3), np.uint8)
    change = rng.normal(0, 20, (32, 32, 3)).astype(np.float32)
    left, top = corner
    placement = Crop(np.array([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]]), (32, 32))
    before = coarse.astype(np.float32) / np.float32(255)
    after, mask = before + change / np.float32(255), rim_mask((32, 32), _RIM)
    expected = paste_change(frame, before, after, placement, mask)
    np.testing.assert_array_equal(cut(coarse, placement), crop(coarse, placement))
    made = add_to_frame(frame, coarse, change, placement, OPENCV)
    assert made.dtype == dtype
    assert np.abs(made.astype(int) - expected).max() <= full // 255
