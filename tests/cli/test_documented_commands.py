"""Every command line of README and docs is one that the command line accepts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from thcli.cli.app import app
from thcli.cli.batch.jobs import read_jobs

PROGRAM: Any = typer.main.get_command(app)
REPO = Path(__file__).resolve().parents[2]
PAGES = [REPO / "README.md", REPO / "CONTRIBUTING.md", *sorted((REPO / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(?:sh|shell|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^ {4}(?:\S.*)?\n)+", re.MULTILINE)
INLINE = re.compile(r"`(thcli [a-z][^`]*)`")
INCOMPLETE = re.compile("^Missing|requires an argument")
ENDS = {"|", "||", "&&", ";", ">", ">>", "2>", "<", "&", "done", ")"}


def command_lines(page: Path) -> Iterator[list[str]]:
    """Yield the words after `thcli` of each command in the code blocks of a page."""
    text = page.read_text("utf-8")
    fenced = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    blocks = [found for found in INDENTED.findall(fenced) if "thcli " in found]
    for block in [*BLOCK.findall(text), *blocks]:
        for line in block.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
            lexer.whitespace_split = True
            yield from _after_program(list(lexer))


def mentions(page: Path) -> Iterator[list[str]]:
    """Yield the words after `thcli` of commands in running text, which may lack arguments."""
    for line in INLINE.findall(page.read_text("utf-8")):
        words = " ".join(line.split())
        if not re.search(r"\.\.\.|…|[A-Z]{3,}|\|", words):
            yield from _after_program(shlex.split(words))


def _after_program(words: list[str]) -> Iterator[list[str]]:
    for number, word in enumerate(words):
        if word != "thcli":
            continue
        rest = words[number + 1 :]
        end = next((i for i, word in enumerate(rest) if word in ENDS), len(rest))
        yield rest[:end]


def refusal(words: list[str]) -> str:
    """Return what the program says of a command line without running it, "" when it is accepted."""
    command = PROGRAM
    words = list(words)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        name = words.pop(0)
        if name not in command.commands:
            return f"There is no command {name!r}."
        command = command.commands[name]
    try:
        command.make_context("thcli", words)
    except typer.TyperException as error:
        return error.format_message()
    except typer.Exit:  # --help and --version
        return ""
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documented_commands_are_accepted(page: Path) -> None:
    refused = [(words, said) for words in command_lines(page) if (said := refusal(words))]
    refused += [
        (words, said)
        for words in mentions(page)
        if (said := refusal(words)) and not INCOMPLETE.search(said)
    ]
    assert not refused, refused


def test_commands_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Run `thcli crop a.mp4 --nope` or `thcli crop ...`.\n"
        '```sh\nfor f in *; do thcli refine "$f" -o x.mp4 || echo; done   # all\n'
        "thcli list engines | head\n```\n"
    )
    assert list(command_lines(page)) == [["refine", "$f", "-o", "x.mp4"], ["list", "engines"]]
    assert list(mentions(page)) == [["crop", "a.mp4", "--nope"]]
    assert refusal(["crop", "a.mp4", "--nope"]) and refusal(["mend", "a.mp4"])
    assert refusal(["train", "nobody", "faces/"]) and not refusal(["crop", "a.mp4", "-o", "b.mp4"])


def test_the_documented_jobs_are_accepted(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", (REPO / "docs/batch.md").read_text("utf-8"), re.S)
    (tmp_path / "jobs.toml").write_text(example)
    jobs = read_jobs(PROGRAM.commands, tmp_path / "jobs.toml")
    assert [job.command for job in jobs] == ["reenact", "reenact", "speak"]
