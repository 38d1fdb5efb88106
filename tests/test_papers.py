"""Every place in the code that docs/papers.md names exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import REPO

PAGE = (REPO / "docs" / "papers.md").read_text("utf-8")
PLACES = sorted(set(re.findall(r"`([a-z0-9_/]+\.py):([A-Za-z0-9_.]+)`", PAGE)))
PAPERS = (
    "X2Face",
    "Monkey-Net",
    "First-order motion model",
    "face vid2vid",
    "LivePortrait",
    "Real3D-Portrait",
    "FADM",
    "ResShift",
    "Diffusion Video Autoencoders",
    "Diffused Heads",
)


@cache
def names(path: Path) -> frozenset[str]:
    """Return the functions and classes of a module, methods as Class.method."""
    return frozenset(_names(ast.parse(path.read_text("utf-8")).body, ""))


def _names(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef):
            yield f"{prefix}{node.name}"
        if isinstance(node, ast.ClassDef):
            yield f"{prefix}{node.name}"
            yield from _names(node.body, f"{prefix}{node.name}.")


@pytest.mark.parametrize(("file", "name"), PLACES)
def test_places_exist(file: str, name: str) -> None:
    path = REPO / "thcli" / file
    assert path.is_file(), file
    assert name in names(path)


def test_every_code_place_has_the_checked_form() -> None:
    found = re.findall(r"`[^`]*\.py[^`]*`", PAGE)
    odd = [text for text in found if not re.fullmatch(r"`[a-z0-9_/]+\.py:[A-Za-z0-9_.]+`", text)]
    assert not odd
    assert len(PLACES) > 70


@pytest.mark.parametrize("paper", PAPERS)
def test_each_paper_has_its_parts(paper: str) -> None:
    section = re.search(rf"^## {re.escape(paper)}\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    assert section is not None, paper
    for part in ("| statement | code |", "Otherwise: ", "```sh\n"):
        assert part in section[1], part
