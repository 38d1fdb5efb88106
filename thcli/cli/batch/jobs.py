"""Jobs of a batch: command lines read from a TOML, JSON Lines or CSV file, or made from a pattern.

A job names a command and gives its arguments and options by name, as `thcli COMMAND --help` shows
them. All jobs are checked before the first one runs.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path
from typing import Any

import typer

from thcli.cli.flags import read_options
from thcli.core.errors import MediaError, UsageError
from thcli.core.options.base import PathRole, named_paths
from thcli.core.text_files import parser_reason, read_text, reading_reason

CLIPS = {"reenact": 1, "edit": 0, "refine": 0}  # command -> argument that is the clip
# With these, segments depend on what comes before them, or the output is not a whole clip.
WHOLE_OPTIONS = ("start", "fps", "preview", "dry_run", "compare", "save_motion", "save_edit")
OWN_OPTIONS = ("json", "progress", "quiet", "debug")  # those that the batch itself sets
STANDARD_STREAM = "-"
SUFFIXES = (".toml", ".jsonl", ".csv")
PLACEHOLDERS = "{} (the file), {stem}, {name}, {parent} and {number}"


@dataclass(frozen=True, slots=True)
class Job:
    """One command line.

    number: place in the batch, from 1.
    name: of the user, else made from number and command.
    command: such as "reenact".
    argv: arguments and options after the command.
    inputs: positional arguments, and the files and folders that options name.
    made: files and folders that options name as outputs.
    output: value of its --output, if it has one.
    flags: those of "--resume" and "--overwrite" that the command has, and "--device" where it has
        that and the job does not give it.
    clip: video whose frames are those of the output; None where its segments cannot be made apart.
    """

    number: int
    name: str
    command: str
    argv: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    output: str | None = None
    flags: frozenset[str] = frozenset()
    clip: str | None = None

    def line(self) -> str:
        """Return the command line as a shell reads it."""
        return shlex.join(["thcli", self.command, *self.argv])


def read_jobs(commands: Mapping[str, Any], file: Path) -> list[Job]:
    """Read the jobs of a file.

    TOML has a table [[job]] for each job and, on its top level, values for all of them. JSON Lines
    has one object per line. CSV has one row per job and names in its first row; an empty cell is
    not given, several values of one cell are separated by semicolons.

    Args:
        commands: name -> command of the command line.
        file: file with one of SUFFIXES.

    Raises:
        MediaError: the file cannot be read.
        UsageError: a job is not a valid command line, or two jobs write the same output.
    """
    try:
        text = read_text(file)
    except (OSError, ValueError) as exc:
        raise MediaError(f"The jobs {file} cannot be read: {reading_reason(exc)}.") from exc
    try:
        rows = list(_rows(file.suffix.lower(), text))
    except (ValueError, csv.Error, RecursionError) as exc:
        reason = parser_reason(exc) if isinstance(exc, ValueError) else str(exc)
        raise UsageError(f"{file} is no valid {file.suffix[1:].upper()}: {reason}.") from exc
    return _check(
        [make_job(commands, number, row) for number, row in enumerate(rows, 1)], str(file)
    )


def expand_pattern(commands: Mapping[str, Any], pattern: str, template: Sequence[str]) -> list[Job]:
    """Make one job for each file that matches a pattern.

    Args:
        commands: see `read_jobs`.
        pattern: glob, with ** for all folders below; or a folder, for the files in it.
        template: command line with placeholders: PLACEHOLDERS.

    Raises:
        MediaError: no file matches.
        UsageError: see `read_jobs`, or no word of the template is a placeholder.
    """
    where = str(Path(pattern) / "*") if Path(pattern).is_dir() else pattern
    found = glob(where, recursive=True)  # noqa: PTH207  # a pattern may be absolute
    files = sorted(path for path in found if Path(path).is_file())
    if not files:
        raise MediaError(f"No file matches {pattern!r}.", "Quote the pattern: 'clips/*.mp4'.")
    if all(_fill(word, 1, files[0]) == word for word in template):
        raise UsageError("The command names no file.", f"Write one of {PLACEHOLDERS}.")
    others = re.compile(r"\{(?!(?:stem|name|parent|number)?\})[A-Za-z_][\w.:]*\}")
    if unknown := others.search(" ".join(template)):
        raise UsageError(
            f"{unknown[0]} is no placeholder of the pattern.", f"There are {PLACEHOLDERS}."
        )
    jobs = [
        _from_line(commands, number, path, [_fill(word, number, path) for word in template])
        for number, path in enumerate(files, 1)
    ]
    return _check(jobs, pattern)


def _fill(word: str, number: int, path: str) -> str:
    """Return a word of a template with its placeholders filled for one file."""
    file = Path(path)
    values = {
        "{}": path,
        "{stem}": file.stem,
        "{name}": file.name,
        "{parent}": str(file.parent),
        "{number}": str(number),
    }
    for key, value in values.items():
        word = word.replace(key, value)
    return word


def _rows(suffix: str, text: str) -> Iterator[dict[str, Any]]:
    """Yield the values of each job. A value is a text, number, truth value or list of them."""
    if suffix == ".toml":
        table = tomllib.loads(text)
        jobs = table.pop("job", [])
        if not isinstance(jobs, list) or not all(isinstance(job, dict) for job in jobs):
            raise UsageError("Jobs are written as tables.", "Begin each of them with [[job]].")
        yield from ({**table, **job} for job in jobs)
    elif suffix == ".jsonl":
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as exc:
                reason = exc.msg if isinstance(exc, json.JSONDecodeError) else parser_reason(exc)
                raise UsageError(f"Line {number} of the jobs is no JSON: {reason}.") from exc
            if not isinstance(row, dict):
                raise UsageError(f"Line {number} of the jobs is no JSON object.")
            yield row
    else:
        reader = csv.DictReader(text.splitlines(), strict=True)
        if [";" in name for name in reader.fieldnames or ()] == [True]:
            raise UsageError(
                "The columns of the jobs are separated by semicolons.", "Separate them by commas."
            )
        for cells in reader:
            if None in cells or None in cells.values():
                raise UsageError("A row of the jobs has not as many cells as the first row.")
            given = {key: cell for key, cell in cells.items() if cell}
            yield {key: cell.split(";") if ";" in cell else cell for key, cell in given.items()}


def make_job(commands: Mapping[str, Any], number: int, row: dict[str, Any]) -> Job:
    """Return the job of a row: arguments first, then options, in the order of the command."""
    values = {str(key).replace("-", "_"): value for key, value in row.items()}
    name, command = values.pop("name", None), values.pop("command", None)
    if not isinstance(command, str):
        raise UsageError(
            f"Job {number} names no command.", 'Write one, such as command = "refine".'
        )
    arguments: list[str] = []
    options: list[str] = []
    absent: list[str] = []
    for parameter in _find(commands, command, number).params:
        keys = {
            str(parameter.name),
            *(word.lstrip("-").replace("-", "_") for word in parameter.opts),
        }
        is_argument = parameter.param_type_name == "argument"
        if is_argument:
            keys.add(_shown_name(parameter))
        given = [key for key in values if key in keys]
        if not given:
            absent += [_shown_name(parameter)] if is_argument else []
            continue
        if is_argument and absent:  # it would be taken for the absent one
            raise UsageError(f"Job {number} gives {given[0]!r}, but not {absent[0]!r}.")
        texts = _texts(values.pop(given[0]), number, given[0])
        if is_argument:
            arguments += texts
        elif parameter.is_flag:
            options += _switch(parameter, texts, number, given[0])
        else:
            options += [f"{_longest(parameter.opts)}={text}" for text in texts]
    if values:
        raise UsageError(
            f"Job {number} sets {sorted(values)[0]!r}, which '{command}' does not know.",
            f"See 'thcli {command} --help'.",
        )
    words = [*options, *(["--", *arguments] if arguments else [])]
    return _parse(commands, Job(number, str(name or f"{number} {command}"), command, tuple(words)))


def _shown_name(argument: Any) -> str:
    """Return the name of an argument that the help shows: "stream" of "[FACE] STREAM"."""
    words = str(argument.metavar or argument.name).lower().split()
    return words[-1].strip("[].")


def _from_line(commands: Mapping[str, Any], number: int, path: str, words: Sequence[str]) -> Job:
    command, *rest = words[1:] if words[0] == "thcli" else words
    _find(commands, command, number)
    return _parse(commands, Job(number, path, command, tuple(rest)))


def _find(commands: Mapping[str, Any], command: str, number: int) -> Any:
    """Return a command that works alone on files and reports as JSON."""
    able = [
        name
        for name, found in commands.items()
        if name != "batch" and {"json", "progress", "output"} <= {p.name for p in found.params}
    ]
    if command not in able:
        raise UsageError(
            f"Job {number} has the command {command!r}, which a batch cannot run.",
            f"It can run: {', '.join(able)}.",
        )
    return commands[command]


def _texts(value: Any, number: int, key: str) -> list[str]:
    values = value if isinstance(value, list) else [value]
    for item in values:
        if not isinstance(item, str | int | float):
            raise UsageError(f"Job {number} gives {key!r} a value that is no text or number.")
    return [str(item).lower() if isinstance(item, bool) else str(item) for item in values]


def _switch(parameter: Any, texts: Sequence[str], number: int, key: str) -> list[str]:
    """Return the flag of a switch for "true" or "false"."""
    on, off = _longest(parameter.opts), parameter.secondary_opts
    if list(texts) == ["true"]:
        return [on]
    if list(texts) == ["false"]:
        return [_longest(off)] if off else []
    raise UsageError(f"Job {number} gives {key!r} a value other than true or false.")


def _longest(flags: Sequence[str]) -> str:
    return max(flags, key=len)


def _parse(commands: Mapping[str, Any], job: Job) -> Job:
    """Return a job with what its command line says, after the command's own checks of it."""
    command = commands[job.command]
    try:
        context = command.make_context(job.command, list(job.argv))
        options = read_options(command, context)
    except (typer.TyperException, typer.Exit) as error:
        message = getattr(error, "format_message", lambda: "it only asks for help")()
        raise UsageError(f"Job {job.number} ({job.line()}): {message}") from error
    except UsageError as error:
        raise UsageError(f"Job {job.number} ({job.line()}): {error.message}", error.hint) from error
    given = context.params
    for parameter in command.params:
        if parameter.name in OWN_OPTIONS and given[parameter.name] != parameter.default:
            raise UsageError(
                f"Job {job.number} gives {_longest(parameter.opts)}, which the batch itself sets."
            )
    arguments = [
        str(item)
        for parameter in command.params
        if parameter.param_type_name == "argument"
        for item in _as_list(given[parameter.name])
    ]
    output = given["output"]
    is_plain = not any(given.get(name) for name in WHOLE_OPTIONS)
    place = CLIPS.get(job.command) if is_plain else None
    if STANDARD_STREAM in (*arguments, str(output)):
        raise UsageError(f"Job {job.number} uses a standard stream (-), which a batch cannot.")
    known = {flag for parameter in command.params for flag in parameter.opts}
    is_free = given.get("device") == "auto"
    return replace(
        job,
        inputs=(*arguments, *_named(options, "input", "numbered input")),
        made=tuple(_named(options, "output")),
        output=None if output is None else str(output),
        flags=frozenset(known & {"--resume", "--overwrite", *(["--device"] if is_free else [])}),
        clip=None if place is None or place >= len(arguments) else arguments[place],
    )


def _named(options: Iterable[Any], *roles: PathRole) -> Iterator[str]:
    return (name for one in options for name in named_paths(one, *roles))


def _as_list(value: Any) -> Iterable[Any]:
    if value is None:
        return []
    return value if isinstance(value, list | tuple) else [value]


def _check(jobs: list[Job], origin: str) -> list[Job]:
    """Return the jobs. Raise UsageError for none, for equal names and for equal outputs."""
    if not jobs:
        raise UsageError(f"{origin} has no jobs.")
    seen: dict[tuple[str, Any], Job] = {}
    for job in jobs:
        is_file = job.output is not None and not job.output.endswith(("/", os.sep))
        path = os.path.realpath(job.output) if job.output is not None and is_file else None
        keys: list[tuple[str, Any]] = [
            ("name", job.name),
            ("command line", (job.command, job.argv)),
        ]
        for key in [*keys, *([("output", path)] if path else [])]:
            other = seen.setdefault(key, job)
            if other is not job:
                raise UsageError(f"Jobs {other.number} and {job.number} have the same {key[0]}.")
    return jobs
