"""Fixtures of edits."""

from __future__ import annotations

import pytest

from thcli.editors.backends import EDITORS, PAINTERS
from thcli.weights.backend import Backend


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register a fake painter, `blusher`, and a fake editor, `shader`."""
    made = "tests.pipeline.editing.fakes"
    monkeypatch.setitem(PAINTERS.rows, "blusher", Backend(f"{made}:load_painter", "a fake"))
    monkeypatch.setitem(EDITORS.rows, "shader", Backend(f"{made}:load_editor", "a fake"))
