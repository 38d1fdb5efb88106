"""A web site on this machine, without the proxies of the environment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.weights.fake_site import FakeSite, serve


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSite]:
    for name in (
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "THCLI_OFFLINE",
    ):
        monkeypatch.delenv(name, raising=False)
    with serve() as running:
        yield running
