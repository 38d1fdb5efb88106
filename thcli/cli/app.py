"""The command tree and its one door, `run(argv) -> exit code`."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import typer

from thcli import __version__
from thcli.cli import (
    bench,
    compare,
    demo,
    doctor,
    edit,
    evaluate,
    evaluate_models,
    listing,
    reenact,
    refine,
    speak,
    stages,
    train,
    weights,
)
from thcli.cli.console import complain
from thcli.core.errors import ThcliError, UsageError

INTERRUPTED = 130

app = typer.Typer(
    name="thcli",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"thcli {__version__}")
        raise typer.Exit


@app.callback()
def thcli(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", is_eager=True, callback=_version
        ),
    ] = False,
) -> None:
    """Talking-head video: animate, refine, edit or voice a face."""


app.command()(reenact.reenact)
app.command()(refine.refine)
app.command()(edit.edit)
app.command()(speak.speak)
for stage in (
    stages.detect,
    stages.track,
    stages.fit,
    stages.crop,
    stages.align,
    stages.parse,
    stages.encode,
    stages.warp,
    stages.paste,
):
    app.command(rich_help_panel="Stages")(stage)
app.command()(compare.compare)
for measure in (
    evaluate_models.parse,
    evaluate_models.identity,
    evaluate_models.attributes,
    evaluate_models.words,
    evaluate_models.a2m,
):
    evaluate.app.command()(measure)
app.add_typer(evaluate.app, name="eval")
app.add_typer(train.app, name="train")
app.command()(train.prepare)
app.command()(bench.bench)
app.add_typer(weights.app, name="weights")
app.command(name="list")(listing.listing)
app.command()(doctor.doctor)
app.command()(demo.demo)


def run(argv: Sequence[str]) -> int:
    """Parses and runs one command; returns its exit code (design.md section 5). A bug is not caught: it reaches the interpreter."""
    try:
        with _terminable():
            result = typer.main.get_command(app).main(
                list(argv), prog_name="thcli", standalone_mode=False
            )
    except ThcliError as error:
        complain(error)
        return error.exit_code
    except typer.TyperException as error:
        if error.format_message().startswith(
            "Usage:"
        ):  # a command group without a command: its help
            print(error.format_message(), file=sys.stderr)
            return UsageError.exit_code
        context = getattr(error, "ctx", None)
        complain(
            UsageError(
                error.format_message(), f"Try '{context.command_path} --help'." if context else ""
            )
        )
        return UsageError.exit_code
    except (KeyboardInterrupt, typer.Abort):
        result = INTERRUPTED
    if result == INTERRUPTED:  # typer turns Ctrl-C into this code by itself
        print("thcli: interrupted.", file=sys.stderr)
    return result if isinstance(result, int) else 0


@contextmanager
def _terminable() -> Iterator[None]:
    """A polite kill (SIGTERM, a closed terminal) unwinds like Ctrl-C, so that it leaves no debris either."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    names = [n for n in ("SIGTERM", "SIGHUP") if hasattr(signal, n)]
    if threading.current_thread() is not threading.main_thread():
        names = []
    before = {name: signal.signal(getattr(signal, name), interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
