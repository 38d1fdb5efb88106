"""Paste-back and tone mapping by torch, compared by `thcli bench`."""

from __future__ import annotations

from dataclasses import replace

import cv2
import pytest

from thcli.core.errors import DeviceError
from thcli.core.options import RunOptions
from thcli.evaluate.benchmarks.networks import require_equal
from thcli.evaluate.benchmarks.pixels import PixelResult, compare_pixels, pixel_table

GOOD = PixelResult("paste feather", 1, 10.0, 100.0)


def test_each_step_is_equal_and_timed() -> None:
    results = compare_pixels(RunOptions(device="cpu"), repeat=1)
    assert [one.name for one in results] == [
        "paste feather",
        "paste laplacian",
        "paste poisson",
        "tone mapping (HLG)",
    ]
    assert all(one.equal and one.rate > 0 and one.cpu_rate > 0 for one in results)
    _, lines = pixel_table(results)
    assert [line[-1] for line in lines] == ["yes"] * 4


def test_opencv_has_one_thread_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU's figures do not depend on what ran before in the process."""
    given: list[int] = []
    monkeypatch.setattr(cv2, "getNumThreads", lambda: 5)
    monkeypatch.setattr(cv2, "setNumThreads", given.append)
    with pytest.raises(DeviceError):
        compare_pixels(RunOptions(device="cuda:99"))
    assert given == [1, 5]


def test_other_pixels_than_on_the_cpu_are_refused() -> None:
    require_equal([GOOD], "cuda")
    with pytest.raises(DeviceError, match="paste feather computed other"):
        require_equal([replace(GOOD, levels=2)], "cuda")
