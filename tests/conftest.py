"""Fixtures shared by all test folders."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    """Restore Ctrl-C, which a shell's background processes and their children ignore."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real clips beside the checkout; without it skip, in CI fail."""
    folder = REPO.parent / "shared"
    if not folder.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{folder} is missing in CI")
        pytest.skip("needs ../shared (real clips that may not be in the repository)")
    return folder
