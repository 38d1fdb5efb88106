"""Validation of options."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from thcli.core import options
from thcli.core.errors import UsageError
from thcli.core.options import MotionOptions, OutputOptions, ReadOptions, ReenactOptions, RunOptions


@pytest.mark.parametrize(
    ("make", "flag"),
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
def test_out_of_range_is_a_usage_error(make: Any, flag: str) -> None:
    with pytest.raises(UsageError, match=flag) as caught:
        make()
    assert caught.value.exit_code == 2


def test_defaults_are_valid() -> None:
    assert ReenactOptions().run == RunOptions()


CLASSES = [v for v in vars(options).values() if isinstance(v, type) and is_dataclass(v)]


@pytest.mark.parametrize("group", CLASSES)
def test_a_class_has_the_title_of_its_panel_and_a_sentence_for_each_option(group: type) -> None:
    title = (group.__doc__ or "").splitlines()[0]
    assert title.endswith(".") and len(title.split()) <= 4, title
    for item in fields(group):
        text = item.metadata.get("help")
        assert text is None or (text.endswith(".") and text[0] == text[0].strip()), item.name
