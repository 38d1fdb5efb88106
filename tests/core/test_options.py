"""Options check themselves, and say in words what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from thcli.core.errors import UsageError
from thcli.core.options import MotionOptions, OutputOptions, ReadOptions, ReenactOptions, RunOptions


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ReadOptions(start=-1), "--start"),
        (lambda: ReadOptions(start=5, end=5), "--end"),
        (lambda: OutputOptions(crf=99), "--crf"),
        (lambda: OutputOptions(fps=0), "--fps"),
        (lambda: MotionOptions(strength=4), "--strength"),
        (lambda: MotionOptions(smooth=-0.1), "--smooth"),
        (lambda: RunOptions(device="tpu"), "--device"),
        (lambda: RunOptions(batch_size=0), "--batch-size"),
    ],
)
def test_out_of_range_is_a_usage_error(make: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        make()
    assert caught.value.exit_code == 2


def test_defaults_are_valid() -> None:
    assert ReenactOptions().run == RunOptions()
