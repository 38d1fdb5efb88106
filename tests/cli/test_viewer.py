"""--open."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from thcli.cli.console import Console
from thcli.cli.files.viewer import check_viewer, open_output
from thcli.core.errors import UsageError
from thcli.core.options import ShowOptions, ViewerOptions


@pytest.mark.parametrize(("code", "warnings"), [(0, 0), (1, 1)])
def test_the_output_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, warnings: int
) -> None:
    opened: list[str] = []

    def launch(url: str) -> int:
        opened.append(url)
        return code

    monkeypatch.setattr(typer, "launch", launch)
    path = tmp_path / "out.mp4"
    path.touch()
    console = Console(ShowOptions(quiet=True))
    open_output(ViewerOptions(), path, console)
    open_output(ViewerOptions(open=True), None, console)
    open_output(ViewerOptions(open=True), tmp_path / "missing.mp4", console)
    assert not opened
    open_output(ViewerOptions(open=True), path, console)
    assert opened == [str(path)] and len(console.warnings) == warnings


def test_a_pipe_cannot_be_opened() -> None:
    check_viewer(ViewerOptions(), "-")
    with pytest.raises(UsageError, match="--open has no effect with -o -"):
        check_viewer(ViewerOptions(open=True), "-")
