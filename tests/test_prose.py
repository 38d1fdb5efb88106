"""House rules on words: openings of docstrings, lines of pages, citations, links."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPO

QUESTIONS = ("what", "how", "where", "who", "whom", "whether", "which", "why", "when")
WIDEST = 100
OUTSIDE = re.compile(r"shared/(specs|golden|style|redesign)|specs/[A-Z0-9_]+\.md|\bdesign\.md")


def tracked(*suffixes: str) -> list[Path]:
    """List the repository's files by ending, also where git is absent."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=REPO, capture_output=True, text=True
    )
    if listed.returncode == 0:
        names = [REPO / name for name in listed.stdout.splitlines()]
    else:
        names = [path for top in ("thcli", "tests", "docs") for path in (REPO / top).rglob("*")]
    return sorted(path for path in names if path.suffix in suffixes and path.is_file())


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, first word) of each docstring of a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text.split()[0].strip(".,:;").lower()


@pytest.mark.parametrize("path", tracked(".py"), ids=lambda path: str(path.relative_to(REPO)))
def test_docstrings_do_not_open_with_a_question(path: Path) -> None:
    assert not [(line, word) for line, word in docstrings(path) if word in QUESTIONS]


@pytest.mark.parametrize("path", tracked(".md"), ids=lambda path: str(path.relative_to(REPO)))
def test_lines_of_pages_fit(path: Path) -> None:
    """Tables and links may be wider: they cannot be broken."""
    wide = [
        number
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if len(line) > WIDEST and not line.lstrip().startswith("|") and "](" not in line
    ]
    assert not wide


def test_nothing_cites_a_file_that_is_not_here() -> None:
    """Tests may name the founders' folder: a fixture skips them where it is absent."""
    found = [
        f"{path.relative_to(REPO)}:{number}"
        for path in tracked(".py", ".md", ".toml")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if OUTSIDE.search(line) and path.relative_to(REPO).parts[0] != "tests"
    ]
    assert not found


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for page in tracked(".md"):
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(REPO)}: {target}")
    assert not broken


def test_no_formatting_is_switched_off() -> None:
    pattern = re.compile(r"#\s*fmt:\s*(off|skip)")
    found = [path for path in tracked(".py") if pattern.search(path.read_text("utf-8"))]
    assert not found
