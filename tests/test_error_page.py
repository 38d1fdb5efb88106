"""docs/errors.md quotes sentences that the program says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]
QUOTES = re.findall(r'^\*\*"(.+?)"\*\*', (REPO / "docs/errors.md").read_text("utf-8"), re.M)


@pytest.fixture(scope="module")
def source() -> str:
    """Return the text of all modules."""
    return "\n".join(path.read_text("utf-8") for path in sorted((REPO / "thcli").rglob("*.py")))


@pytest.mark.parametrize("quote", QUOTES)
def test_quoted_error_is_in_the_program(quote: str, source: str) -> None:
    parts = [part.strip(" .").removesuffix(" with engine mesh") for part in quote.split("...")]
    assert any(parts)
    for part in parts:
        assert part in source, part


def test_page_quotes_errors() -> None:
    assert len(QUOTES) > 10
