"""Pages that mkdocs generates from the program itself: every command, every public name."""

from __future__ import annotations

import html
import inspect
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import thcli
from thcli.cli.app import app


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add commands.md and reference.md to the files of the site."""
    for name, text in (("commands.md", command_pages()), ("reference.md", public_names())):
        files.append(File.generated(config, name, content=text))
    return files


def command_pages() -> str:
    """Return the reference of all commands: usage, help text, arguments and options."""
    group: Any = typer.main.get_command(app)
    lines = ["# Commands", "", "`thcli COMMAND --help` shows the same text.", ""]
    for name, command in sorted(group.commands.items()):
        lines += _command(("thcli", name), command, 2)
    return "\n".join(lines)


def _command(path: tuple[str, ...], command: Any, level: int) -> Iterator[str]:
    if command.hidden:
        return
    yield from (f"{'#' * level} {' '.join(path[1:])}", "", inspect.cleandoc(command.help or ""), "")
    if hasattr(command, "commands"):
        for name, child in sorted(command.commands.items()):
            yield from _command((*path, name), child, level + 1)
        return
    context = command.make_context(path[-1], [], resilient_parsing=True)
    usage = " ".join(command.collect_usage_pieces(context))
    yield from ("```text", f"{' '.join(path)} {usage}", "```", "")
    yield from ("| argument or option | |", "|---|---|")
    for parameter in command.params:
        record = None if parameter.hidden else parameter.get_help_record(context)
        if record is not None:
            names, text = map(_cell, record)
            yield f"| <code>{names}</code> | {text} |"
    yield ""


def _cell(text: str) -> str:
    """Return a text for a cell of a table."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "&#124;")


def public_names() -> str:
    """Return the page of all public functions and classes, with the fields of options."""
    lines = ["# Public names", "", "`thcli.__all__`; each is imported on first use.", ""]
    for name in sorted(thcli.__all__):
        value = getattr(thcli, name)
        if inspect.isroutine(value) or inspect.isclass(value):
            lines += [f"::: {value.__module__}.{value.__name__}", "", *_option_table(value), ""]
    return "\n".join(lines)


def _option_table(value: Any) -> list[str]:
    """Return a table of the fields of an option class; nothing for other values."""
    if not is_dataclass(value):
        return []
    options = [item for item in fields(value) if "help" in item.metadata]
    rows = [
        f"| `{item.name}` | {_cell(item.metadata['help'])} | `{item.default!r}` |"
        for item in options
    ]
    return ["| field | | default |", "|---|---|---|", *rows] if rows else []
