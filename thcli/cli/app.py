"""The command tree and its one door, `run(argv) -> exit code`."""

from __future__ import annotations

import errno
import inspect as introspection
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cache
from typing import Annotated, Any

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
    training,
    weights,
)
from thcli.cli.batch import worker
from thcli.cli.batch.command import batch
from thcli.cli.conference import evaluate as evaluate_transmission
from thcli.cli.conference.command import receive, transmit
from thcli.cli.console import complain
from thcli.cli.evaluating import reenact as evaluating_reenact
from thcli.cli.evaluating import speak as evaluating_speak
from thcli.cli.files import inspect
from thcli.cli.study import command as study
from thcli.cli.training.prepare import prepare
from thcli.cli.ui.command import ui
from thcli.cli.wording import to_markup
from thcli.core import interrupts
from thcli.core.errors import INTERRUPTED, DeviceMemoryError, ThcliError, UsageError

GROUPS = ("eval", "train", "weights")  # commands that need one more word
SURPLUS_HINTS = {  # command -> remedy of an argument too many
    "reenact": "Further pictures of the person are given by --also FILE, drivers of further faces "
    "by --driver N=FILE.",
}


def _examples(*lines: str) -> str:
    """Return the end of a command's `--help`."""
    return "\n".join(["Examples:", *(f"  {line}" for line in lines)])


app = typer.Typer(
    name="thcli",
    epilog=_examples(
        "thcli demo                          a first result, without files of your own",
        "thcli reenact face.jpg drive.mp4    the motion of a video on a picture",
        "thcli speak face.jpg speech.wav     a picture that says what is heard",
        "thcli edit talk.mp4 --attr beard    another look in every frame",
        "thcli COMMAND --help                all options of a command",
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
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


def _add(panel: str, function: Callable[..., Any], *examples: str, name: str | None = None) -> None:
    """Register a command with its examples. panel: group of commands in `thcli --help`."""
    app.command(name=name, rich_help_panel=panel, epilog=_examples(*examples))(function)


FACES, STAGES, RESULTS, SETUP = "Faces in video", "Stages", "Results and models", "Installation"

_add(
    FACES,
    reenact.reenact,
    "thcli reenact face.jpg drive.mp4",
    "thcli reenact face.jpg drive.mp4 -o out.mp4 --region lips --compare pair.mp4",
    "thcli reenact talk.mp4 drive.mp4 --engine liveportrait",
)
_add(
    FACES,
    refine.refine,
    "thcli refine coarse.mp4 --source face.jpg",
    "thcli refine coarse.mp4 --engine fadm --steps 100",
)
_add(
    FACES,
    edit.edit,
    "thcli edit talk.mp4 --attr smiling",
    "thcli edit talk.mp4 --attr beard --attr eyeglasses --attr old=0.5",
    'thcli edit talk.mp4 --text "a face with a beard"',
)
_add(
    FACES,
    speak.speak,
    "thcli speak face.jpg speech.wav",
    "thcli speak face.jpg one.wav two.mp3 -o videos/ --pose still",
)
_add(
    FACES,
    batch,
    "thcli batch jobs.toml --workers 4",
    "thcli batch 'clips/*.mp4' -- refine {} --source face.jpg -o 'out/{stem}.mp4'",
)
_add(
    FACES,
    transmit,
    "thcli transmit talk.mp4 -o talk.thc",
    "thcli transmit talk.mp4 -o talk.thc --key-frame image --bitrate 4",
)
_add(FACES, receive, "thcli receive face.jpg talk.thc -o out.mp4", "thcli receive talk.thc")
_add(FACES, ui, "thcli ui", "thcli ui --port 8000 --open")
_add(STAGES, stages.detect, "thcli detect clip.mp4 -o faces.jsonl")
_add(STAGES, stages.track, "thcli track clip.mp4 --points 68 -o tracks.jsonl")
_add(STAGES, stages.fit, "thcli fit clip.mp4 -o pose.csv")
_add(STAGES, stages.crop, "thcli crop clip.mp4 -o crops.mp4 --size 512")
_add(STAGES, stages.align, "thcli align group.jpg -o faces/ --template arcface --face all")
_add(
    STAGES,
    stages.parse,
    "thcli parse clip.mp4 --regions face,hair -o mask.mp4",
    "thcli parse face.jpg --kind overlay -o regions.png",
)
_add(STAGES, stages.encode, "thcli encode drive.mp4 -o drive.motion.safetensors")
_add(STAGES, stages.warp, "thcli warp face.jpg drive.motion.safetensors -o out.mp4")
_add(STAGES, stages.paste, "thcli paste crops.mp4 clip.mp4 --mask parse -o out.mp4")
_add(RESULTS, compare.compare, "thcli compare a.mp4 b.mp4 -o both.mp4 --label before --label after")
_add(RESULTS, inspect.inspect, "thcli inspect out.mp4", "thcli inspect out.mp4 --json")
for measure in (
    evaluating_reenact.reenact,
    evaluate_models.parse,
    evaluate_models.identity,
    evaluate_models.attributes,
    evaluate_models.words,
    evaluate_models.removers,
    evaluate_models.a2m,
    evaluating_speak.speak,
    evaluate_transmission.transmit,
    study.study,
    study.answers,
):
    evaluate.app.command()(measure)
app.add_typer(evaluate.app, name="eval", rich_help_panel=RESULTS)
_add(RESULTS, bench.bench, "thcli bench", "thcli bench --device cuda --json")
app.add_typer(training.app, name="train", rich_help_panel=RESULTS)
_add(RESULTS, prepare, "thcli prepare videos/ -o faces/")
app.add_typer(weights.app, name="weights", rich_help_panel=RESULTS)
_add(
    RESULTS,
    listing.listing,
    "thcli list engines",
    "thcli list attributes",
    "thcli list parser --json",
    name="list",
)
_add(SETUP, doctor.doctor, "thcli doctor")
_add(SETUP, demo.demo, "thcli demo -o demo-out")


@app.command(hidden=True)
def batch_worker() -> int:
    """Run command lines from standard input: a worker process of `thcli batch`."""
    return worker.serve(run)


@cache
def _commands() -> Any:
    """Build the command tree once: workers of `thcli batch` run many command lines."""
    commands: Any = typer.main.get_command(app)
    _format_help(commands)
    return commands


def _format_help(command: Any, parent: Any = None) -> None:
    """Prepare help texts for Rich: paragraphs wrap to the terminal, brackets are no markup."""
    context = typer.Context(command, parent=parent, **command.context_settings)
    paragraphs = introspection.cleandoc(command.help or "").split("\n\n")
    command.help = "\n\n".join(to_markup(" ".join(part.split())) for part in paragraphs)
    for parameter in (*command.params, command.get_help_option(context)):
        parameter.help = to_markup(parameter.help or "")
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""  # a switch takes no value
    for inner in getattr(command, "commands", {}).values():
        _format_help(inner, context)


def run(argv: Sequence[str]) -> int:
    """Parse and run one command and return its exit code.

    0 ok, 2 to 7 as `core.errors` says, 130 interrupted. A bug is not caught: it reaches the
    interpreter, which exits with 1.
    """
    named = next((word for word in argv if not word.startswith("-")), "")
    as_json = "--json" in argv
    without_command = list(argv) in ([], *([group] for group in GROUPS))
    try:
        with _terminable(), redirect_stdout(sys.stderr if without_command else sys.stdout):
            result = _commands().main(list(argv), prog_name="thcli", standalone_mode=False)
        sys.stdout.flush()  # a closed pipe shows here rather than when the interpreter ends
    except ThcliError as error:
        complain(error, named, as_json=as_json)
        return error.exit_code
    except MemoryError:
        reason = DeviceMemoryError("There is not enough memory.", "Close other programs.")
        complain(reason, named, as_json=as_json)
        return reason.exit_code
    except OSError as error:
        from thcli.media.failures import is_write_failure, to_output_error  # av is slow to import

        if not is_write_failure(error):
            raise
        if error.errno == errno.EPIPE:  # nobody reads on: what is left is dropped
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        failure = to_output_error(error.filename or "standard output", error)
        complain(failure, named, as_json=as_json and error.errno != errno.EPIPE)
        return failure.exit_code
    except typer.TyperException as error:
        if error.format_message().startswith("Usage:"):  # a command group without a command
            print(error.format_message(), file=sys.stderr)
            return UsageError.exit_code
        context = getattr(error, "ctx", None)
        hint = f"Try '{context.command_path} --help'." if context else ""
        message = error.format_message()
        if message.startswith("Got unexpected extra"):
            hint = SURPLUS_HINTS.get(named, hint)
        sentence = message if message.endswith((".", "?", "!")) else f"{message}."
        complain(UsageError(sentence, hint), named, as_json=as_json)
        return UsageError.exit_code
    except (KeyboardInterrupt, typer.Abort):
        result = INTERRUPTED
    if result == INTERRUPTED:  # typer turns Ctrl-C into this code by itself
        print("thcli: interrupted.", file=sys.stderr)
    return result if isinstance(result, int) else 0


@contextmanager
def _terminable() -> Iterator[None]:
    """Unwind on SIGTERM and SIGHUP as on Ctrl-C, so that they leave no partial files."""
    names = [n for n in ("SIGTERM", "SIGHUP") if hasattr(signal, n)]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell may ignore it
        names.append("SIGINT")
    if threading.current_thread() is not threading.main_thread():
        names = []
    before = {name: signal.signal(getattr(signal, name), interrupts.interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
