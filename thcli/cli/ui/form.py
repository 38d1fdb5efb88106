"""Fields of a form for a command, derived from its arguments and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from thcli.cli.batch.jobs import OWN_OPTIONS
from thcli.cli.wording import from_markup

COMMANDS = ("reenact", "speak", "edit", "refine")
# The page chooses the output, shows it, and replaces that of an earlier run.
LEFT_OUT = (*OWN_OPTIONS, "output", "config", "open", "overwrite", "resume")
Kind = Literal["file", "files", "switch", "choice", "number", "lines", "text"]


@dataclass(frozen=True, slots=True)
class Field:
    """One argument or option of a command.

    key: its name in a job.
    label: as the user reads it: the flag, of an argument its name.
    panel: title of its group, "" for arguments.
    default: value that means "not given".
    """

    key: str
    label: str
    kind: Kind
    about: str
    panel: str = ""
    default: Any = None
    choices: tuple[str, ...] = ()


def fields_of(command: Any) -> list[Field]:
    """Return the fields of a command of the command line, arguments first, panel by panel."""
    fields = [_field(p) for p in command.params if p.name not in LEFT_OUT and _is_shown(p)]
    panels = list(dict.fromkeys(["", *(field.panel for field in fields)]))
    return sorted(fields, key=lambda field: panels.index(field.panel))


def _is_shown(parameter: Any) -> bool:
    return not getattr(parameter, "hidden", False) and parameter.name != "help"


def _field(parameter: Any) -> Field:
    about = from_markup(parameter.help or "")
    many = bool(parameter.multiple) or parameter.nargs == -1
    if parameter.param_type_name == "argument":
        kind: Kind = "files" if many else "file"
        return Field(parameter.name, parameter.name.replace("_", " "), kind, about)
    hint = parameter.type_descriptor.annotation
    choices = tuple(map(str, get_args(hint))) if get_origin(hint) is Literal else ()
    if parameter.is_flag:
        kind = "switch"
    elif choices:
        kind = "choice"
    elif many:
        kind = "lines"
    else:
        kind = "number" if hint in (int, float) else "text"
    label = max(parameter.opts, key=len)
    panel = getattr(parameter, "rich_help_panel", None) or "Options"
    default = None if many else parameter.default
    return Field(parameter.name, label, kind, about, panel, default, choices)


def make_row(command: str, fields: Sequence[Field], values: Sequence[Any]) -> dict[str, Any]:
    """Return the job of a filled form, without the values that equal their defaults.

    Args:
        command: name of the command.
        fields: of its form.
        values: in the order of the fields, as the page gives them.
    """
    row: dict[str, Any] = {"command": command, "overwrite": True}
    for field, value in zip(fields, values, strict=True):
        given = value.split("\n") if field.kind == "lines" and value else value
        if isinstance(given, list):
            given = [item for item in map(str, given) if item.strip()]
        if given not in (None, "", []) and given != field.default:
            row[field.key] = _number(field, given)
    return row


def _number(field: Field, value: Any) -> Any:
    """Return a whole number without a decimal point, as options of integers want it."""
    is_whole = field.kind == "number" and isinstance(value, float) and value.is_integer()
    return int(value) if is_whole else value


def describe_event(event: Mapping[str, Any]) -> str:
    """Return a line of progress for an object of `--progress json`, "" for others."""
    if event.get("event") == "started":
        return f"{event['stage']} …"
    if event.get("event") == "step":
        return f"{event['stage']}: {event['done']}"
    return ""
