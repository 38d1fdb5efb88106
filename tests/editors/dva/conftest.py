"""Direct convolutions: Winograd's kernels would take four times the memory of the networks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from thcli.engines.shared.fast_conv import fast


@pytest.fixture(autouse=True, scope="module")
def direct_convolutions() -> Iterator[None]:
    """Keep every convolution as it is; tests/engines/shared tests the replacements."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "MAX_WEIGHTS", 0)
        yield
