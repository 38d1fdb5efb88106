"""List the outside links of README and docs, or check that they still answer.

    python tools/check_links.py --list
    python tools/check_links.py            # needs a network; exit code 1 when a page is gone

Links inside the pages are tested by `mkdocs build --strict`. A host that cannot be reached counts
as unknown, not as gone: machines without a network check nothing.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

REPO = Path(__file__).resolve().parents[1]
LINK = re.compile(r"https?://[^\s)>\]\"'`|]+")
GONE = (404, 410)
SECONDS = 20.0


def pages(root: Path = REPO) -> list[Path]:
    """Return the pages whose links count."""
    return [
        *sorted(root.glob("*.md")),
        *sorted((root / "docs").glob("*.md")),
        root / "weights.toml",
    ]


def links_in(text: str) -> Iterator[str]:
    """Yield the outside links of a text, without the punctuation that ends a sentence."""
    for link in LINK.findall(text):
        yield link.rstrip(".,;:")


def outside_links(files: Sequence[Path]) -> dict[str, list[str]]:
    """Return link -> names of the files that have it."""
    found: dict[str, list[str]] = {}
    for file in files:
        for link in sorted(set(links_in(file.read_text("utf-8")))):
            found.setdefault(link, []).append(file.name)
    return dict(sorted(found.items()))


def state_of(link: str, client: httpx.Client) -> str:
    """Return "ok", "gone (CODE)", or "unknown (REASON)" of a link."""
    try:
        code = client.head(link).status_code
        if code not in (200, *GONE):  # hosts that refuse HEAD
            with client.stream("GET", link) as answer:
                code = answer.status_code
    except httpx.HTTPError as error:
        return f"unknown ({type(error).__name__})"
    if code in GONE:
        return f"gone ({code})"
    return "ok" if code < 400 else f"unknown ({code})"


def main(argv: Sequence[str] | None = None, client: httpx.Client | None = None) -> int:
    """Check all links; return 1 when a page is gone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="print the links, check nothing")
    only_list = parser.parse_args(argv).list
    found = outside_links(pages())
    gone = 0
    with client or httpx.Client(timeout=SECONDS, follow_redirects=True) as session:
        for link, files in found.items():
            state = "" if only_list else state_of(link, session)
            gone += state.startswith("gone")
            sys.stdout.write(f"{link} ({', '.join(files)}) {state}".rstrip() + "\n")
    sys.stderr.write(f"{len(found)} links, {gone} gone\n")
    return int(gone > 0)


if __name__ == "__main__":
    raise SystemExit(main())
