"""Direction of imports between the rooms of the pipeline."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import thcli.pipeline

ROOT = Path(thcli.pipeline.__file__).parent
LEVELS = {
    "job": 0,
    "observe": 1,
    "sources": 2,
    "refining": 2,
    "editing": 2,
    "render": 3,
    "conference": 3,
}
MODULES = sorted(path for room in LEVELS for path in (ROOT / room).glob("*.py"))


def imported_rooms(path: Path) -> Iterator[str]:
    """Yield the room of every pipeline module that a file imports; verbs have none."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("thcli.pipeline."):
            yield (node.module or "").split(".")[2]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_rooms_of_its_level_or_below(path: Path) -> None:
    own = LEVELS[path.parent.name]
    assert all(LEVELS.get(room, 4) <= own for room in imported_rooms(path))
