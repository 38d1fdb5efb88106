"""Opening of results (--open)."""

from __future__ import annotations

from pathlib import Path

import typer

from thcli.cli.console import Console
from thcli.core.errors import UsageError
from thcli.core.events import Warned
from thcli.core.options import ViewerOptions


def check_viewer(viewer: ViewerOptions, output: str | None) -> None:
    """Raise UsageError when the output of a command cannot be opened.

    Args:
        viewer: the choice of the user.
        output: as given by the user, None for the default.
    """
    if viewer.open and output == "-":
        raise UsageError("--open has no effect with -o -.", "Give -o FILE.")


def open_output(viewer: ViewerOptions, output: Path | None, console: Console) -> None:
    """Open a finished output where that was asked for; a program that is missing gives a warning.

    Args:
        viewer: the choice of the user.
        output: None where nothing was written, as in a dry run.
        console: of the command.
    """
    if viewer.open and output is not None and output.exists() and typer.launch(str(output)) != 0:
        console(Warned(f"No program opened {output}."))
