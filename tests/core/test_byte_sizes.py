"""Text of file sizes."""

from __future__ import annotations

import pytest

from thcli.core.byte_sizes import size_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (713, "713 bytes"),
        (6009, "6.0 kB"),
        (99_949, "99.9 kB"),
        (99_960, "100 kB"),
        (229_714, "230 kB"),
        (38_696_353, "38.7 MB"),
        (288_621_354, "289 MB"),
        (2_112_619_148, "2.1 GB"),
    ],
)
def test_sizes_have_two_or_three_digits(size: int, text: str) -> None:
    assert size_text(size) == text
