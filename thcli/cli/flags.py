"""Command-line flags made from option classes: name, default and help stand in core/options alone.

    @app.command()
    @flags
    def crop(video: str, *, faces: FaceOptions, run: RunOptions) -> None: ...

Each parameter that is an option class becomes its fields, nested classes included; the class's
first docstring line is the title of its panel in --help.
"""

from __future__ import annotations

import functools
import inspect
import keyword
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from thcli.core.errors import UsageError
from thcli.core.options import flag_names
from thcli.core.text_files import parser_reason, read_text, reading_reason

WIDEST_CHOICES = 20  # characters: longer lists of choices stand in the help text, unbroken
_only_options: ContextVar[bool] = ContextVar("_only_options", default=False)


def _leaves(options: type, hide: Sequence[str] = ()) -> Iterator[tuple[type, Field[Any], Any]]:
    """Yield every flag below an option class: the class, field and type.

    hide: fields without a flag, which keep their defaults. A nested option class is told by its
    field's metadata, so that a command leaves out what means nothing to it.
    """
    hints = get_type_hints(options)
    for item in fields(options):
        if is_dataclass(hints[item.name]):
            yield from _leaves(hints[item.name], item.metadata.get("hide", ()))
        elif not item.metadata.get("hidden") and item.name not in hide:
            yield options, item, hints[item.name]


def _key(item: Field[Any]) -> str:
    names = item.metadata.get("names")
    key = names[0].split("/")[0].lstrip("-").replace("-", "_") if names else item.name
    return f"{key}_" if keyword.iskeyword(key) else key


def _parameter(item: Field[Any], hint: Any, panel: str) -> inspect.Parameter:
    names = flag_names(item)
    show, text, metavar = item.default not in (None, False), item.metadata.get("help"), None
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    if len("|".join(choices)) > WIDEST_CHOICES:
        text, metavar = f"{text} One of {', '.join(choices)}.", "CHOICE"
    declared = typer.Option(
        *names, help=text, metavar=metavar, show_default=show, rich_help_panel=panel
    )
    return inspect.Parameter(
        _key(item),
        inspect.Parameter.KEYWORD_ONLY,
        default=item.default,
        annotation=Annotated[hint, declared],
    )


def _build(options: type, given: dict[str, Any], hide: Sequence[str] = ()) -> Any:
    """Build the option class from the flags' values, which are removed from `given`."""
    hints = get_type_hints(options)
    values: dict[str, Any] = {}
    for item in fields(options):
        if is_dataclass(hints[item.name]):
            inner = item.metadata.get("hide", ())
            values[item.name] = _build(hints[item.name], given, inner)
        elif not item.metadata.get("hidden") and item.name not in hide:
            values[item.name] = given.pop(_key(item))
    return options(**values)


def _configure(context: typer.Context, file: Path | None) -> Path | None:
    """Read the flags' defaults from a TOML file.

    Its top level serves every command, a table [COMMAND] only that one.
    """
    if file is None:
        return None
    try:
        table = tomllib.loads(read_text(file))
    except OSError as exc:
        raise UsageError(
            f"The configuration file {file} cannot be read: {reading_reason(exc)}."
        ) from exc
    except ValueError as exc:
        reason = parser_reason(exc)
        raise UsageError(f"The configuration file {file} cannot be read: {reason}.") from exc
    except RecursionError as exc:
        raise UsageError(f"The configuration file {file} is nested too deeply.") from exc
    command = context.info_name or ""
    own = table.get(command, {})
    if not isinstance(own, dict):
        raise UsageError(
            f"{file} gives {command!r} a value, but it is a command.",
            f"Write a table: [{command}].",
        )
    known = _names_of_commands(context.find_root().command)
    known_to_any = set[str]().union(*known.values())
    for key, value in table.items():
        if not (key in known if isinstance(value, dict) else _plain(key) in known_to_any):
            raise UsageError(
                f"{file} sets {key!r}, which no command knows.",
                "The keys are the flags' names, such as overwrite = true; tables are commands.",
            )
    params = {name: p for p in context.command.params for name in _names(p)}
    unknown = sorted(key for key in own if _plain(key) not in params)
    if unknown:
        raise UsageError(
            f"{file} sets {unknown[0]!r}, which '{context.info_name}' does not know.",
            "See its --help.",
        )
    common = {key: value for key, value in table.items() if not isinstance(value, dict)}
    context.default_map = {}
    for key, value in [*common.items(), *own.items()]:
        parameter = params.get(_plain(key))
        if parameter is None:  # an option of other commands
            continue
        is_on = _plain(key) not in map(_plain, parameter.secondary_opts)
        if not is_on and not isinstance(value, bool):
            raise UsageError(f"{file} gives {key!r} a value other than true or false.")
        context.default_map[parameter.name] = value if is_on else not value
    return file


def _plain(name: str) -> str:
    return name.lstrip("-").replace("-", "_")


def _names(parameter: Any) -> set[str]:
    """Return the names of an option or argument, those that turn it off included."""
    return {_plain(name) for name in (parameter.name, *parameter.opts, *parameter.secondary_opts)}


def _names_of_commands(group: Any) -> dict[str, set[str]]:
    """Return the names of the options of each command below a group; names of groups are none."""
    found: dict[str, set[str]] = {}
    for command in group.commands.values():
        if hasattr(command, "commands"):
            below = _names_of_commands(command)
        else:
            below = {command.name: set[str]().union(*map(_names, command.params))}
        for name, names in below.items():
            found[name] = found.get(name, set()) | names
    return found


_CONFIG = inspect.Parameter(
    "config",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="Take defaults from this TOML file.",
            is_eager=True,
            callback=_configure,
        ),
    ],
)


def _title(options: type) -> str:
    """Return the title of an option class's panel; a job's own options are the command's."""
    title = (options.__doc__ or "").split("\n")[0].rstrip(".")
    return "Options" if title.startswith(("`", "Options")) else title


def flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn the option-class parameters of a command into flags, and add --config."""
    hints = get_type_hints(command, include_extras=True)
    groups = {
        name: hint for name, hint in hints.items() if inspect.isclass(hint) and is_dataclass(hint)
    }
    signature = inspect.signature(command)
    parameters = [
        p.replace(annotation=hints.get(name, p.annotation))
        for name, p in signature.parameters.items()
        if name not in groups
    ]
    for group in groups.values():
        for owner, item, hint in _leaves(group):
            parameters.append(_parameter(item, hint, _title(owner)))
    parameters = sorted([*parameters, _CONFIG], key=lambda p: p.kind)

    @functools.wraps(command)
    def wrapper(*args: Any, config: Path | None = None, **given: Any) -> Any:
        built = {name: _build(group, given) for name, group in groups.items()}
        if _only_options.get():
            return list(built.values())
        return command(*args, **given, **built)

    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # inspect reads it
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def read_options(command: Any, context: Any) -> list[Any]:
    """Return the option objects of a command line without running it.

    Args:
        command: made by `flags`, as Typer holds it.
        context: of the parsed command line.

    Raises:
        UsageError: a value is out of its range.
    """
    token = _only_options.set(True)
    try:
        return list(command.invoke(context))
    finally:
        _only_options.reset(token)
