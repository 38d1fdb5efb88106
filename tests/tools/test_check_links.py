"""tools/check_links.py with answers of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tools import check_links


def test_links_end_where_the_address_ends(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("[x](https://a.example/b), see <http://c.example>. `https://d.example`!")
    found = check_links.outside_links([page])
    assert list(found) == ["http://c.example", "https://a.example/b", "https://d.example"]


@pytest.mark.parametrize(("code", "exit_code", "word"), [(200, 0, "ok"), (404, 1, "gone")])
def test_gone_pages_fail(
    code: int, exit_code: int, word: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "down.example":
            raise httpx.ConnectError("no network")
        return httpx.Response(405 if request.method == "HEAD" else code)

    links = {"https://up.example": ["a.md"], "https://down.example": ["a.md"]}
    monkeypatch.setattr(check_links, "outside_links", lambda _: links)
    client = httpx.Client(transport=httpx.MockTransport(answer))
    assert check_links.main([], client) == exit_code
    said = capsys.readouterr().out.splitlines()
    assert word in said[0] and "unknown" in said[1]
